// OpenSSH's regress scripts: Debian's package openssh-tests in the version of the installed ssh, unpacked into target/.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { ensurePackages, findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { ROOT } from '../setup.mjs';

const FOLDER = join(ROOT, 'target', 'regress');
const NAME = 'openssh-tests';

/** Programs of the scripts, and the packages that have them. */
const PROGRAMS = {
  ssh: 'openssh-client',
  sshd: 'openssh-server',
  sftp: 'openssh-client',
  openssl: 'openssl',
  hostname: 'hostname',
  perl: 'perl-base',
};
/** Without these, some scripts do less than they say. */
const HELPFUL = { telnet: 'inetutils-telnet', 'softhsm2-util': 'softhsm2' };

function run(command, args, options) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', ...options });
  return status === 0 ? stdout : null;
}

/** The version of a package that is installed; null if this is not Debian. */
const installed = (name) => run('dpkg-query', ['--show', '--showformat', '${Version}', name]);

/** Downloads the package into a folder, with the lists of apt-get as they are, or after an update. */
function download(folder, spec) {
  const get = () => run('apt-get', ['-qq', 'download', spec], { cwd: folder }) !== null;
  return get() || (run('apt-get', ['-qq', 'update']) !== null && get());
}

/**
 * The folder of the scripts.
 * @param {{ all?: boolean }} options all: whether to install what only some of the scripts need
 * @returns {{ folder: string, version: string } | { missing: string }} missing: what cannot be had here
 */
export function regressScripts({ all = false } = {}) {
  const ensure = (programs) => Object.entries(programs).map(([program, name]) => ensurePackages([program], [name]));
  if (!ensure(PROGRAMS).every(Boolean)) return { missing: `needs ${Object.keys(PROGRAMS).join(', ')}` };
  if (findProgram('apt-get') === null) return { missing: 'needs apt-get' };
  if (all) ensure(HELPFUL);
  const version = installed('openssh-client');
  if (version === null) return { missing: 'openssh-client is not installed by a package' };
  const folder = join(FOLDER, version.replace(':', '_'));
  if (!existsSync(folder)) {
    const unfinished = `${folder}.${process.pid}`;
    mkdirSync(unfinished, { recursive: true });
    try {
      if (!download(unfinished, `${NAME}=${version}`)) return { missing: `${NAME} ${version} cannot be downloaded` };
      const [archive] = readdirSync(unfinished);
      if (run('dpkg-deb', ['--extract', archive, '.'], { cwd: unfinished }) === null)
        return { missing: `${archive} cannot be unpacked` };
      // Another process may have been faster.
      if (!existsSync(folder)) renameSync(unfinished, folder);
    } finally {
      rmSync(unfinished, { recursive: true, force: true });
    }
  }
  return { folder: join(folder, 'usr', 'lib', 'openssh', 'regress'), version };
}
