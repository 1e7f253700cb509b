// Finds OpenSSH's server, and installs it where that is possible without asking.

import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];

/** The full path of a program (sshd insists on being started by it), or null. */
export function findProgram(name) {
  for (const folder of FOLDERS) {
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

/** Whether the programs are there, now or after installing Debian's packages. */
export function ensure(programs, packages) {
  const complete = () => programs.every(findProgram);
  if (complete()) return true;
  if (process.getuid?.() !== 0 || !findProgram('apt-get')) return false;
  console.log(`The tests talk to real servers: installing Debian's ${packages.join(', ')}`);
  // Its status says nothing: where services may not be started it fails after the install.
  const install = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('sh', ['-c', install], { stdio: ['ignore', 'ignore', 'inherit'], env });
  return complete();
}

/** Whether sshd and ssh-keygen are there, now or after installing them. */
export function ensureSshd() {
  if (ensure(['sshd', 'ssh-keygen'], ['openssh-server'])) return true;
  console.error('OpenSSH\'s sshd and ssh-keygen are needed for the tests: install openssh-server');
  return false;
}
