// Whom a tunnel believes a server to be.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../index.js';
import { test } from './helpers/bounded.mjs';
import { keygen, makeKey, temporaryFolder } from './helpers/keys.mjs';
import { Sshd } from './helpers/sshd.mjs';

const server = await Sshd.start({ hostKeyTypes: ['ed25519', 'rsa'] });
const folder = temporaryFolder('known-hosts');
after(async () => {
  folder.remove();
  await server.stop();
});

const [hostKey, rsaKey] = server.hostKeys;
const stranger = makeKey(join(folder.path, 'stranger'));
const address = `[127.0.0.1]:${server.port}`;
const REFUSED = { code: 'ERR_SSH_HOST_KEY' };

let files = 0;
function knownHosts(...lines) {
  const file = join(folder.path, `known_hosts${files++}`);
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  return file;
}

/** Logs on and off, with no pin. */
async function logOn(trust) {
  const tunnel = new SSHTunnel({
    ...server.login, hostKey: undefined, knownHosts: [], forwardHost: '127.0.0.1', forwardPort: 1,
    ...trust,
  });
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
}

test('a plain line', async () => {
  await logOn({ knownHosts: knownHosts(`${address} ${hostKey.publicKey}`) });
});

test('a plain line among others', async () => {
  const file = knownHosts(
    '# a comment',
    '',
    `elsewhere.example ${stranger.publicKey}`,
    `127.0.0.1 ${stranger.publicKey}`, // port 22 is another server
    `other.example,${address} ${hostKey.publicKey}`,
  );
  await logOn({ knownHosts: file });
});

test('a hashed line', async () => {
  const file = knownHosts(`${address} ${hostKey.publicKey}`);
  keygen('-H', '-f', file);
  await logOn({ knownHosts: file });
});

test('a known key of another type than the server likes best', async () => {
  await logOn({ knownHosts: knownHosts(`${address} ${rsaKey.publicKey}`) });
});

test('several files, of which some are missing', async () => {
  const missing = join(folder.path, 'missing');
  await logOn({ knownHosts: [missing, knownHosts(`${address} ${hostKey.publicKey}`)] });
  await assert.rejects(logOn({ knownHosts: [missing] }), REFUSED);
});

test('a changed key is refused, plain and hashed', async () => {
  const file = knownHosts(`${address} ${stranger.publicKey}`);
  await assert.rejects(logOn({ knownHosts: file }), (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY');
    assert.ok(error.message.includes(hostKey.fingerprint), error.message);
    return true;
  });
  keygen('-H', '-f', file);
  await assert.rejects(logOn({ knownHosts: file }), REFUSED);
});

test('an unknown server is refused', async () => {
  await assert.rejects(logOn({ knownHosts: knownHosts(`elsewhere ${hostKey.publicKey}`) }), REFUSED);
  await assert.rejects(logOn({}), REFUSED);
});

test('pins: a fingerprint, a line, several', async () => {
  await logOn({ hostKey: hostKey.fingerprint });
  await logOn({ hostKey: hostKey.publicKey });
  await logOn({ hostKey: [stranger.fingerprint, hostKey.fingerprint] });
  await assert.rejects(logOn({ hostKey: stranger.fingerprint }), REFUSED);
  await assert.rejects(logOn({ hostKey: [stranger.publicKey] }), REFUSED);
});

test('hostVerifier is told the key and decides', async () => {
  const asked = [];
  await logOn({
    hostVerifier: (key) => {
      asked.push(key);
      return true;
    },
  });
  assert.equal(asked.length, 1);
  const [key] = asked;
  assert.equal(key.host, '127.0.0.1');
  assert.equal(key.port, server.port);
  assert.ok(server.hostKeys.some(({ fingerprint }) => fingerprint === key.fingerprint));
  const blobs = server.hostKeys.map(({ publicKey }) => publicKey.split(' ')[1]);
  assert.ok(blobs.includes(Buffer.from(key.key).toString('base64')));
  await assert.rejects(logOn({ hostVerifier: () => false }), REFUSED);
});

test('hostVerifier may take its time', async () => {
  const later = (value) => () => new Promise((resolve) => setImmediate(resolve, value));
  await logOn({ hostVerifier: later(true) });
  await assert.rejects(logOn({ hostVerifier: later(false) }), REFUSED);
});

test('whatever is not true is a no', async () => {
  for (const value of [undefined, null, 1, 'yes', {}]) {
    await assert.rejects(logOn({ hostVerifier: () => value }), REFUSED, String(value));
  }
});

test('a hostVerifier that throws or rejects refuses', async () => {
  const broken = () => {
    throw new Error('no idea');
  };
  await assert.rejects(logOn({ hostVerifier: broken }), REFUSED);
  await assert.rejects(logOn({ hostVerifier: async () => broken() }), REFUSED);
});

test('a hostVerifier that never answers is not waited for beyond readyTimeout', async () => {
  const since = performance.now();
  const never = logOn({ hostVerifier: () => new Promise(() => {}), readyTimeout: 500 });
  await assert.rejects(never, { code: 'ETIMEDOUT' });
  assert.ok(performance.now() - since < 1500);
});

test('a key that is known needs no hostVerifier', async () => {
  const hostVerifier = () => assert.fail('asked');
  const file = knownHosts(`${address} ${hostKey.publicKey}`, `${address} ${rsaKey.publicKey}`);
  await logOn({ knownHosts: file, hostVerifier });
  await logOn({ hostKey: server.login.hostKey, hostVerifier });
});
