// Whom a tunnel believes a server to be.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts, logOn as logOnTo } from '../helpers/trust.mjs';

const server = await Sshd.start({ hostKeyTypes: ['ed25519', 'rsa', 'ecdsa-384', 'ecdsa-521'] });
const files = new KnownHosts();
after(async () => {
  files.remove();
  await server.stop();
});

const [hostKey, rsaKey, ...ecdsaKeys] = server.hostKeys;
const stranger = makeKey(join(files.path, 'stranger'));
const { address } = server;
const REFUSED = { code: 'ERR_SSH_HOST_KEY' };

const knownHosts = (...lines) => files.file(...lines);
const logOn = (trust) => logOnTo(server, trust);

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
  for (const { publicKey } of [rsaKey, ...ecdsaKeys]) {
    const file = knownHosts(`${address} ${publicKey}`);
    await logOn({ knownHosts: file });
    assert.ok((await server.ask(file)).trusts);
  }
});

test('a key where another type of key is known is a changed one, as for ssh', async () => {
  const other = makeKey(join(files.path, 'other'), { type: 'ecdsa' });
  const file = knownHosts(`${address} ${other.publicKey}`);
  await assert.rejects(logOn({ knownHosts: file, hostVerifier: () => true }), (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY');
    for (const part of ['has changed', `${file}:1`, other.fingerprint])
      assert.ok(error.message.includes(part), error.message);
    return true;
  });
  assert.match((await server.ask(file)).stderr, /REMOTE HOST IDENTIFICATION HAS CHANGED/);
});

test('another name for the host', async () => {
  const file = knownHosts(`the-gateway ${hostKey.publicKey}`, `${address} ${stranger.publicKey}`);
  await logOn({ knownHosts: file, hostKeyAlias: 'The-Gateway' });
  await assert.rejects(logOn({ knownHosts: file }), REFUSED);
  await assert.rejects(logOn({ knownHosts: file, hostKeyAlias: 'gateway' }), /host key of gateway is not known/);
});

test('several files, of which some are missing', async () => {
  const missing = files.missing();
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
