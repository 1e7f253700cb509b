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

/** Whether sshd and ssh-keygen are there, now or after installing them. */
export function ensureSshd() {
  const complete = () => findProgram('sshd') && findProgram('ssh-keygen');
  if (complete()) return true;
  if (process.getuid?.() === 0 && findProgram('apt-get')) {
    console.log('The tests talk to a real OpenSSH server: installing Debian\'s openssh-server');
    // Its status says nothing: where services may not be started it fails after the install.
    const install = 'apt-get update && apt-get install -y --no-install-recommends openssh-server';
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    spawnSync('sh', ['-c', install], { stdio: ['ignore', 'ignore', 'inherit'], env });
    if (complete()) return true;
  }
  console.error('OpenSSH\'s sshd and ssh-keygen are needed for the tests: install openssh-server');
  return false;
}
