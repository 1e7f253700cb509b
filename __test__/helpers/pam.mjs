// A PAM service for one test: one prompt, answered by a password that no account has.

import { accessSync, chmodSync, constants, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';

const SERVICES = '/etc/pam.d';

/** Whether services can be made: by root, where PAM has its folder. */
export function hasPam() {
  try {
    accessSync(SERVICES, constants.W_OK);
    return process.getuid() === 0;
  } catch {
    return false;
  }
}

/**
 * sshd uses the PAM service of its own program name: it gets a unique name, and the machine's
 * services and accounts do not change.
 * @returns {{ program: string, remove(): void }} what to start, as sshd
 */
export function makePamService(password) {
  const folder = temporaryFolder('pam');
  const name = `sshtunnel-test-${process.pid}`;
  const program = join(folder.path, name);
  const check = join(folder.path, 'check');
  const service = join(SERVICES, name);
  const remove = () => {
    process.off('exit', remove);
    rmSync(service, { force: true });
    folder.remove();
  };
  process.on('exit', remove);
  symlinkSync(findProgram('sshd'), program);
  chmodSync(folder.path, 0o755);
  // pam_exec ends the password with a zero byte.
  writeFileSync(check, `#!/bin/sh\n[ "$(tr -d '\\000')" = '${password}' ]\n`, { mode: 0o755 });
  const lines = [
    `auth required pam_exec.so expose_authtok quiet ${check}`,
    ...['auth', 'account', 'session'].map((kind) => `${kind} required pam_permit.so`),
  ];
  writeFileSync(service, `${lines.join('\n')}\n`);
  return { program, remove };
}
