// `npm run spelling`: typos over everything that git has or would have. `npm run spelling -- --write-changes` corrects.

import { pinnedTool, run } from './pinned.mjs';

const program = pinnedTool({ name: 'typos', crate: 'typos-cli', version: '1.52.0', pinned: 'typos.txt' });
process.exit(run(program, process.argv.slice(2)).status ?? 1);
