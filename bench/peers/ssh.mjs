// OpenSSH's client: `ssh -N -L`, with the same key and the same key exchange as everybody.

import { userInfo } from 'node:os';

import { freePort } from '../../__test__/helpers/daemon.mjs';
import { findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { Program } from '../harness/programs.mjs';

/** The name of every server in the file of known hosts. */
const ALIAS = 'bench';

/** The arguments of `ssh -W` and `sshtunnel -W`: input and output are one forwarded connection. */
export function stdioArguments(context, server, options) {
  const to = `127.0.0.1:${context.targets[options.target]}`;
  return [...common(context, server, options), '-W', to, '127.0.0.1'];
}

/** Arguments up to the host's name, which is the last of them. */
function common(context, server, { cipher, via }) {
  const settings = [
    'BatchMode=yes',
    'StrictHostKeyChecking=yes',
    `HostKeyAlias=${ALIAS}`,
    'GlobalKnownHostsFile=none',
    `UserKnownHostsFile=${context.knownHosts(ALIAS, server)}`,
    'UpdateHostKeys=no',
    `IdentityFile=${server.key.file}`,
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    `KexAlgorithms=${context.kex}`,
    `Ciphers=${cipher}`,
    'Compression=no',
    'ExitOnForwardFailure=yes',
  ];
  const options = settings.flatMap((setting) => ['-o', setting]);
  return ['-F', 'none', ...options, '-p', String(via ?? server.port), '-l', userInfo().username];
}

export const ssh = {
  name: 'ssh',
  label: 'OpenSSH `ssh -L`',
  weight: 1,

  async open(context, options) {
    const server = await context.server(this.name);
    const port = await freePort();
    const program = new Program(findProgram('ssh'), [
      ...common(context, server, options),
      '-N',
      '-L',
      `127.0.0.1:${port}:127.0.0.1:${context.targets[options.target]}`,
      // It runs this once its port is bound and the session is up.
      '-o',
      'PermitLocalCommand=yes',
      '-o',
      'LocalCommand=echo true',
      '127.0.0.1',
    ]);
    const stop = () => program.stop();
    try {
      await program.line();
    } catch (error) {
      await stop();
      throw error;
    }
    return { port, pids: () => [program.pid], serverPids: () => server.sessions(), stop };
  },

  /** `ssh -W`: its input and output are one forwarded connection, from the start of the process. */
  async direct(context, options) {
    const server = await context.server(this.name);
    return new Program(findProgram('ssh'), stdioArguments(context, server, options));
  },

  /** The same, as the command that `sshtunnel` is compared with. */
  command(context, options) {
    return this.direct(context, options);
  },
};
