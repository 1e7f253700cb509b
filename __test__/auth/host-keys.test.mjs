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

test('knownHosts: a plain line matches', async () => {
  await logOn({ knownHosts: knownHosts(`${address} ${hostKey.publicKey}`) });
});

test('knownHosts: a plain line among others matches', async () => {
  const file = knownHosts(
    '# a comment',
    '',
    `elsewhere.example ${stranger.publicKey}`,
    `127.0.0.1 ${stranger.publicKey}`, // port 22 is another server
    `other.example,${address} ${hostKey.publicKey}`,
  );
  await logOn({ knownHosts: file });
});

test('knownHosts: a hashed line matches', async () => {
  const file = knownHosts(`${address} ${hostKey.publicKey}`);
  keygen('-H', '-f', file);
  await logOn({ knownHosts: file });
});

test('a known key is negotiated even if the server prefers another type', async () => {
  for (const { publicKey } of [rsaKey, ...ecdsaKeys]) {
    const file = knownHosts(`${address} ${publicKey}`);
    await logOn({ knownHosts: file });
    assert.ok((await server.ask(file)).trusts);
  }
});

test('a key of another type than the known one counts as changed, as in ssh', async () => {
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

test('hostKeyAlias replaces the host name in known_hosts', async () => {
  const file = knownHosts(`the-gateway ${hostKey.publicKey}`, `${address} ${stranger.publicKey}`);
  await logOn({ knownHosts: file, hostKeyAlias: 'The-Gateway' });
  await assert.rejects(logOn({ knownHosts: file }), REFUSED);
  await assert.rejects(logOn({ knownHosts: file, hostKeyAlias: 'gateway' }), /host key of gateway is not known/);
});

test('knownHosts accepts several files and ignores missing ones', async () => {
  const missing = files.missing();
  await logOn({ knownHosts: [missing, knownHosts(`${address} ${hostKey.publicKey}`)] });
  await assert.rejects(logOn({ knownHosts: [missing] }), REFUSED);
});

test('a changed key is rejected, for plain and hashed lines', async () => {
  const file = knownHosts(`${address} ${stranger.publicKey}`);
  await assert.rejects(logOn({ knownHosts: file }), (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY');
    assert.ok(error.message.includes(hostKey.fingerprint), error.message);
    return true;
  });
  keygen('-H', '-f', file);
  await assert.rejects(logOn({ knownHosts: file }), REFUSED);
});

test('an unknown host key is rejected', async () => {
  await assert.rejects(logOn({ knownHosts: knownHosts(`elsewhere ${hostKey.publicKey}`) }), REFUSED);
  await assert.rejects(logOn({}), REFUSED);
});

test('hostKey accepts a fingerprint, a public key line, and several of them', async () => {
  await logOn({ hostKey: hostKey.fingerprint });
  await logOn({ hostKey: hostKey.publicKey });
  await logOn({ hostKey: [stranger.fingerprint, hostKey.fingerprint] });
  await assert.rejects(logOn({ hostKey: stranger.fingerprint }), REFUSED);
  await assert.rejects(logOn({ hostKey: [stranger.publicKey] }), REFUSED);
});

test('hostVerifier receives the key and decides', async () => {
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

test('hostVerifier may resolve later', async () => {
  const later = (value) => () => new Promise((resolve) => setImmediate(resolve, value));
  await logOn({ hostVerifier: later(true) });
  await assert.rejects(logOn({ hostVerifier: later(false) }), REFUSED);
});

test('hostVerifier rejects the key unless it returns exactly true', async () => {
  for (const value of [undefined, null, 1, 'yes', {}]) {
    await assert.rejects(logOn({ hostVerifier: () => value }), REFUSED, String(value));
  }
});

test('hostVerifier rejects the key when it throws or rejects', async () => {
  const broken = () => {
    throw new Error('no idea');
  };
  await assert.rejects(logOn({ hostVerifier: broken }), REFUSED);
  await assert.rejects(logOn({ hostVerifier: async () => broken() }), REFUSED);
});

test('readyTimeout ends the wait for a hostVerifier that never settles', async () => {
  const since = performance.now();
  const never = logOn({ hostVerifier: () => new Promise(() => {}), readyTimeout: 500 });
  await assert.rejects(never, { code: 'ETIMEDOUT' });
  assert.ok(performance.now() - since < 1500);
});

test('hostVerifier is not called for a known key', async () => {
  const hostVerifier = () => assert.fail('asked');
  const file = knownHosts(`${address} ${hostKey.publicKey}`, `${address} ${rsaKey.publicKey}`);
  await logOn({ knownHosts: file, hostVerifier });
  await logOn({ hostKey: server.login.hostKey, hostVerifier });
});
