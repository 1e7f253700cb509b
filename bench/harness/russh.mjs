// An SSH server made of russh. sshd looks at every channel of a session whenever it wakes up, so it takes longer for
// everything when there are many. This one looks only at channels that are ready.

import { join } from 'node:path';

import { makeKey } from '../../__test__/helpers/keys.mjs';
import { startProgram } from '../../interop/programs.mjs';
import { ROOT, mustRun } from '../../scripts/setup.mjs';

const SOURCE = join(ROOT, 'interop', 'russh-server');

/** @returns a server as the others are, without processes of its sessions */
export async function startRussh(folder, { quick }) {
  mustRun('cargo', ['build', '--quiet', '--locked', ...(quick ? [] : ['--release'])], { cwd: SOURCE });
  const program = join(SOURCE, 'target', quick ? 'debug' : 'release', 'russh-server');
  const [hostKey, key, authority] = ['host', 'user', 'authority'].map((name) => makeKey(join(folder, `russh-${name}`)));
  const { ports, username, stop } = await startProgram('russh', [program], {
    hostKeys: [hostKey],
    userKeys: [key],
    authority,
  });
  const login = { host: '127.0.0.1', port: ports[0], username, privateKey: key.privateKey, hostKey: hostKey.publicKey };
  return { login, sessions: () => [], stop };
}
