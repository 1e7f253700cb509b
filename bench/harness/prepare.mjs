// Makes ready what a run needs: the addon, the load tool, OpenSSH, and the peers from npm.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { ensurePackages, ensureSshd } from '../../__test__/helpers/ensure-sshd.mjs';
import { ROOT, mustRun, setup } from '../../scripts/setup.mjs';

const BENCH = join(ROOT, 'bench');

const LIBRARIES = ['libsshtunnel_native.so', 'libsshtunnel_native.dylib'];

/** Whether the addon is the release build: figures of another one would say nothing. */
function released() {
  const [addon] = readdirSync(ROOT).filter((name) => name.endsWith('.node'));
  const { size } = statSync(join(ROOT, addon));
  // A build for a named target, as `npm run build` makes on Linux, has a folder of its own.
  const target = join(ROOT, 'target');
  return [target, ...readdirSync(target).map((name) => join(target, name))]
    .flatMap((folder) => LIBRARIES.map((name) => join(folder, 'release', name)))
    .some((library) => existsSync(library) && statSync(library).size === size);
}

/** @param options.npm whether peers from npm take part; @param options.release whether speed counts */
export function prepare({ npm, release }) {
  setup();
  if (release && !released()) mustRun('npm', ['run', '--silent', 'build']);
  mustRun('cargo', ['build', '--quiet', '--release', '--locked', '--package', 'sshtunnel-load']);
  if (!ensureSshd() || !ensurePackages(['ssh'], ['openssh-client'])) process.exit(1);
  if (npm && !installed()) {
    mustRun('npm', ['ci', '--no-audit', '--no-fund', '--loglevel', 'error'], { cwd: BENCH });
  }
}

/** Whether npm has installed what the lock file says. */
function installed() {
  const record = join(BENCH, 'node_modules', '.package-lock.json');
  const changed = (path) => statSync(path).mtimeMs;
  return existsSync(record) && changed(join(BENCH, 'package-lock.json')) < changed(record);
}

/** The version of a package that a run compares with, or null. */
export function version(name) {
  const path = join(BENCH, 'node_modules', name, 'package.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : null;
}
