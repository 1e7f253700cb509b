// Each cipher and each type of host key, at servers that offer nothing else.

import { test } from './helpers/bounded.mjs';
import { MIB, behaviours, patternHash } from './helpers/peers.mjs';
import { Sshd } from './helpers/sshd.mjs';
import { assertIncludes, openTunnel } from './helpers/tunnels.mjs';

const SIZE = 16 * MIB;
const CASES = [
  ...['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'].map(
    (cipher) => ({ name: cipher, config: [`Ciphers ${cipher}`], log: `cipher: ${cipher}` }),
  ),
  ...['ed25519', 'ecdsa', 'rsa'].map((type) => ({ name: `${type} host key`, hostKeyTypes: [type] })),
  ...['rsa-sha2-256', 'rsa-sha2-512'].map((algorithm) => ({
    name: `${algorithm} signatures of the host`,
    hostKeyTypes: ['rsa'],
    config: [`HostKeyAlgorithms ${algorithm}`],
    log: `host key algorithm: ${algorithm}`,
  })),
  {
    name: 'curve25519-sha256',
    config: ['KexAlgorithms curve25519-sha256'],
    log: 'kex: algorithm: curve25519-sha256',
  },
  { name: 'all host keys at once', hostKeyTypes: ['rsa', 'ecdsa', 'ed25519'] },
];

for (const { name, log, ...options } of CASES) {
  test(`${name}: 16 MiB there and back`, async (t) => {
    const server = await Sshd.start({ logLevel: 'DEBUG1', ...options });
    t.after(() => server.stop());
    const { diary, target, connect } = await openTunnel(t, server, behaviours.echo());
    const client = await connect();
    await client.send(SIZE);
    client.end();
    const whole = { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' };
    assertIncludes(await client.ended, whole);
    assertIncludes(await (await target.next()).ended, whole);
    assertIncludes(await diary.next('disconnected'), { code: 'OK', clean: true });
    if (log) await server.logged(new RegExp(log));
  });
}
