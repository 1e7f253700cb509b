// Makes ready what a fresh clone lacks: the packages and the addon. Does nothing where both are
// there and up to date. Imports nothing but Node's own modules, for at first there is nothing else.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const INSTALLED = join(ROOT, 'node_modules', '.package-lock.json'); // npm's own record
const SOURCES = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'src', 'crates'];
const OLDEST_NODE = 20;

/** Runs a command in the repository with its output shown; ends this program if it fails. */
export function mustRun(command, args, options) {
  const { status, signal, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options });
  if (status === 0) return;
  console.error(`\n${command} ${args.join(' ')}: ${error?.message ?? signal ?? `exit code ${status}`}`);
  process.exit(status || 1);
}

/** Installs the packages and builds the addon where that is needed. */
export function setup() {
  checkTools();
  installPackages();
  buildAddon();
}

function checkTools() {
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
    console.error(`Node.js ${OLDEST_NODE} or later is needed; this is ${process.version}`);
    process.exit(1);
  }
  const { status } = spawnSync('cargo', ['--version'], { cwd: ROOT, stdio: 'ignore' });
  if (status !== 0) {
    console.error('Rust is needed to build the addon: see https://rustup.rs');
    process.exit(1);
  }
}

function installPackages() {
  const manifests = ['package.json', 'package-lock.json'].map((name) => join(ROOT, name));
  const present = manifests.filter((path) => existsSync(path));
  if (existsSync(INSTALLED) && present.every((path) => changed(path) < changed(INSTALLED))) return;
  console.log('Installing the packages that build, demo and tests need ...');
  const command = present.length === manifests.length ? 'ci' : 'install';
  mustRun('npm', [command, '--no-audit', '--no-fund', '--loglevel', 'error']);
}

function buildAddon() {
  const built = readdirSync(ROOT).filter((name) => name.endsWith('.node'));
  const youngest = Math.max(...SOURCES.map((name) => changed(join(ROOT, name))));
  if (built.some((name) => changed(join(ROOT, name)) > youngest)) return;
  console.log('Building the addon; the first time takes a few minutes ...');
  mustRun('npm', ['run', '--silent', 'build']);
}

/** When a file, or anything in a folder, was changed last. */
function changed(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  const names = readdirSync(path).filter((name) => name !== 'target');
  return Math.max(0, ...names.map((name) => changed(join(path, name))));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setup();
  console.log('Ready.');
}
