// Each key exchange, cipher, MAC and host key type: with servers that support no other, and as the client's choice.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { MIB, behaviors } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const SIZE = 16 * MIB;
const COUNTER = ['aes128-ctr', 'aes192-ctr', 'aes256-ctr'];
const MACS = ['hmac-sha2-256', 'hmac-sha2-512', 'hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'];
const CASES = [
  ...['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'].map((cipher) => ({
    name: cipher,
    config: [`Ciphers ${cipher}`],
    log: `cipher: ${cipher}`,
  })),
  ...COUNTER.flatMap((cipher) =>
    MACS.map((mac) => ({
      name: `${cipher} with ${mac}`,
      config: [`Ciphers ${cipher}`, `MACs ${mac}`],
      log: `cipher: ${cipher} MAC: ${mac} compression: none`,
    })),
  ),
  ...['ed25519', 'ecdsa', 'rsa'].map((type) => ({ name: `${type} host key`, hostKeyTypes: [type] })),
  ...['rsa-sha2-256', 'rsa-sha2-512'].map((algorithm) => ({
    name: `${algorithm} signatures of the host`,
    hostKeyTypes: ['rsa'],
    config: [`HostKeyAlgorithms ${algorithm}`],
    log: `host key algorithm: ${algorithm}`,
  })),
  ...[
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group-exchange-sha256',
    'diffie-hellman-group14-sha256',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group18-sha512',
  ].map((kex) => ({ name: kex, config: [`KexAlgorithms ${kex}`], log: `kex: algorithm: ${kex}` })),
  { name: 'all host keys at once', hostKeyTypes: ['rsa', 'ecdsa', 'ed25519'] },
];

for (const { name, log, ...options } of CASES) {
  test(`${name}: 16 MiB pass both ways`, async (t) => {
    const server = await Sshd.start({ logLevel: 'DEBUG1', ...options });
    t.after(() => server.stop());
    await echoed(t, server);
    if (log) await server.logged(new RegExp(log));
  });
}

async function echoed(t, server, options) {
  await roundTrip(await openTunnel(t, server, behaviors.echo(), options), SIZE);
}

// A server that rekeys often, so that counters and sequence numbers restart.
const server = await Sshd.start({
  logLevel: 'DEBUG1',
  hostKeyTypes: ['ed25519', 'rsa'],
  config: ['RekeyLimit 4M', 'Ciphers aes128-gcm@openssh.com,aes256-ctr,aes128-ctr', 'MACs hmac-sha2-512,hmac-sha2-256'],
});
after(() => server.stop());

const choices = [
  [{ cipher: ['aes128-ctr'], hmac: ['hmac-sha2-512'] }, /kex: client->server cipher: aes128-ctr MAC: hmac-sha2-512 /],
  [{ cipher: { prepend: 'aes256-ctr' } }, /kex: client->server cipher: aes256-ctr MAC: hmac-sha2-256 /],
  [
    { cipher: { remove: ['aes128-gcm@openssh.com', 'aes256-ctr'] }, hmac: { prepend: ['hmac-sha2-512'] } },
    /cipher: aes128-ctr MAC: hmac-sha2-512 /,
  ],
  [
    { serverHostKey: ['rsa-sha2-256'], kex: { remove: 'curve25519-sha256' } },
    /kex: algorithm: curve25519-sha256@libssh.org/,
  ],
  [{ serverHostKey: ['rsa-sha2-256'] }, /kex: host key algorithm: rsa-sha2-256/],
];
for (const [algorithms, expected] of choices) {
  test(`the client's choice is negotiated: ${JSON.stringify(algorithms)}`, async (t) => {
    const before = server.log().length;
    await echoed(t, server, { algorithms });
    const log = server.log().slice(before).replaceAll(' [preauth]', '');
    assert.match(log, expected);
    assert.ok(log.match(/SSH2_MSG_NEWKEYS received/g).length > 2, 'keys were changed');
    // The method, the host key's algorithm, and what both directions use: the same every time.
    assert.equal(new Set(log.match(/(cipher|algorithm): .*/g)).size, 3);
  });
}

const without = [
  [
    { cipher: ['aes256-gcm@openssh.com'] },
    'no cipher in common: the server offers aes128-gcm@openssh.com,aes256-ctr,aes128-ctr; this client offers aes256-gcm@openssh.com',
  ],
  [
    { cipher: ['aes128-ctr'], hmac: ['hmac-sha2-256-etm@openssh.com'] },
    'no MAC in common: the server offers hmac-sha2-512,hmac-sha2-256; this client offers hmac-sha2-256-etm@openssh.com',
  ],
  [
    { serverHostKey: ['ecdsa-sha2-nistp256'] },
    /^no host key algorithm in common: the server offers .*ssh-ed25519.*; this client offers ecdsa-sha2-nistp256$/,
  ],
];
for (const [algorithms, message] of without) {
  test(`no common algorithm is an error with both lists: ${JSON.stringify(algorithms)}`, async (t) => {
    const tunnel = makeTunnel(t, server.login, 9, { algorithms });
    await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_ALGORITHM', message });
  });
}

test('an unsupported MAC matters only for ciphers that need one', async (t) => {
  const tunnel = makeTunnel(t, server.login, 9, { algorithms: { hmac: ['hmac-sha2-256-etm@openssh.com'] } });
  await tunnel.promises.connect();
});
