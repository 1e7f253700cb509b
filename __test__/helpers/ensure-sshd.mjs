// Finds the programs that the tests need, and installs them if that is possible without a prompt.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];

/** Where Debian keeps the programs of PostgreSQL: a folder for each version, none of them in PATH. */
const POSTGRES = '/usr/lib/postgresql';

/** PostgreSQL's own folders, the latest version first. */
function postgresFolders() {
  try {
    const versions = readdirSync(POSTGRES).sort((one, other) => other - one);
    return versions.map((version) => join(POSTGRES, version, 'bin'));
  } catch {
    return []; // not installed, or not by Debian
  }
}

/** The full path of a program (sshd insists on being started by it), or null. */
export function findProgram(name) {
  for (const folder of [...FOLDERS, ...postgresFolders()]) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return null;
}

/**
 * Whether something is there, now or after installing Debian's packages; says so if it is not.
 * @param {() => string[]} missing names what is not there
 */
function ensure(missing, packages) {
  const complete = () => missing().length === 0;
  if (complete()) return true;
  if (process.getuid?.() === 0 && findProgram('apt-get')) {
    console.log(`The tests use real servers: installing Debian's ${packages.join(', ')}`);
    // Its status is no indication: where services cannot be started it fails after the installation.
    const install = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    spawnSync('sh', ['-c', install], { stdio: ['ignore', 'ignore', 'inherit'], env });
    if (complete()) return true;
  }
  console.error(`${missing().join(', ')} cannot be found: install ${packages.join(', ')}`);
  return false;
}

/** Whether the programs are there, now or after installing Debian's packages; says so if they are not. */
export const ensurePackages = (programs, packages) =>
  ensure(() => programs.filter((name) => !findProgram(name)), packages);

/** The same for what is no program: `isThere` tells. */
export const ensureDebian = (name, isThere, packages) => ensure(() => (isThere() ? [] : [name]), packages);

/** Whether sshd and ssh-keygen are there, now or after installing them. */
export const ensureSshd = () => ensurePackages(['sshd', 'ssh-keygen'], ['openssh-server']);
