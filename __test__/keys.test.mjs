// Every form of private key that ssh-keygen writes logs on at a real server.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../index.js';
import { test } from './helpers/bounded.mjs';
import { makeKey, temporaryFolder } from './helpers/keys.mjs';
import { Sshd } from './helpers/sshd.mjs';

const server = await Sshd.start({ hostKeyTypes: ['ed25519'] });
const folder = temporaryFolder('user-keys');
after(async () => {
  folder.remove();
  await server.stop();
});

const PASSPHRASE = 'pässphrase of several words';
const KINDS = [
  { type: 'ed25519', format: 'RFC4716' },
  { type: 'ecdsa', format: 'RFC4716' },
  { type: 'ecdsa', format: 'PEM' },
  { type: 'ecdsa', format: 'PKCS8' },
  { type: 'rsa', format: 'RFC4716' },
  { type: 'rsa', format: 'PEM' },
  { type: 'rsa', format: 'PKCS8' },
  { type: 'rsa', format: 'RFC4716', bits: 4096 },
];
const FORMAT_NAMES = { RFC4716: 'OpenSSH', PEM: 'PEM', PKCS8: 'PKCS #8' };

/** Logs on and off. */
async function logOn(options) {
  const tunnel = new SSHTunnel({
    ...server.login, forwardHost: '127.0.0.1', forwardPort: 1, ...options,
  });
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
}

for (const [index, kind] of KINDS.entries()) {
  const name = `${kind.type}${kind.bits ?? ''} in ${FORMAT_NAMES[kind.format]} format`;

  test(name, async () => {
    const { privateKey, publicKey, fingerprint } = makeKey(join(folder.path, `plain${index}`), kind);
    server.authorize(publicKey);
    await logOn({ privateKey });
    await server.logged(new RegExp(`Accepted publickey .*${escape(fingerprint)}`));
    await logOn({ privateKey: Buffer.from(privateKey) });
  });

  test(`${name}, encrypted`, async () => {
    const file = join(folder.path, `encrypted${index}`);
    const { privateKey, publicKey, fingerprint } = makeKey(file, { ...kind, passphrase: PASSPHRASE });
    server.authorize(publicKey);
    await logOn({ privateKey, passphrase: PASSPHRASE });
    await server.logged(new RegExp(`Accepted publickey .*${escape(fingerprint)}`));
    await logOn({ privateKey, passphrase: Buffer.from(PASSPHRASE) });
    const refused = { code: 'ERR_SSH_PRIVATE_KEY' };
    await assert.rejects(logOn({ privateKey, passphrase: 'wrong' }), refused);
    await assert.rejects(logOn({ privateKey }), refused);
  });
}

function escape(text) {
  return text.replace(/[+/.]/g, '\\$&');
}
