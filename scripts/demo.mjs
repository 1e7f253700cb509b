// `npm run demo`: everything that a fresh clone lacks, and then the demonstration.

import { join } from 'node:path';

import { ROOT, mustRun, setup } from './setup.mjs';

setup();
mustRun(process.execPath, [join(ROOT, 'examples', 'demo.mjs')]);
