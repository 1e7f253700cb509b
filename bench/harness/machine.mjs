// What a run was made on and with.

import { spawnSync } from 'node:child_process';
import { cpus, release, totalmem, type } from 'node:os';

import { findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { version } from './prepare.mjs';

const PACKAGES = ['tunnel-ssh', 'ssh2', '@microsoft/dev-tunnels-ssh-tcp', 'sockopt'];

const say = (command, ...args) => {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return `${stdout}${stderr}`.trim().split('\n')[0];
};

export function machine() {
  const processors = cpus();
  return {
    processor: processors[0].model.trim(),
    cores: processors.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${type()} ${release()}`,
  };
}

export function versions() {
  const packages = PACKAGES.flatMap((name) => {
    const found = version(name);
    return found ? [[name, found]] : [];
  });
  return {
    node: process.version,
    rustc: say('rustc', '--version').replace(/^rustc (\S+).*/, '$1'),
    OpenSSH: say(findProgram('ssh'), '-V').replace(/^OpenSSH_([^ ,]+).*/, '$1'),
    ...Object.fromEntries(packages),
  };
}
