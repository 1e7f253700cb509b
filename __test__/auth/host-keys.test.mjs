// Host key checks by known_hosts, `hostKey` and `hostVerifier`.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts, connectOnce as connectOnceTo } from '../helpers/trust.mjs';

const server = await Sshd.start({ hostKeyTypes: ['ed25519', 'rsa', 'ecdsa-384', 'ecdsa-521'] });
const files = new KnownHosts();
after(async () => {
  files.remove();
  await server.stop();
});

const [hostKey, rsaKey, ...ecdsaKeys] = server.hostKeys;
const otherKey = makeKey(join(files.path, 'otherKey'));
const { address } = server;
const REFUSED = { code: 'ERR_SSH_HOST_KEY' };

const knownHosts = (...lines) => files.file(...lines);
const connectOnce = (trust) => connectOnceTo(server, trust);

test('knownHosts: a plain line matches', async () => {
  await connectOnce({ knownHosts: knownHosts(`${address} ${hostKey.publicKey}`) });
});

test('knownHosts: a plain line among others matches', async () => {
  const file = knownHosts(
    '# a comment',
    '',
    `elsewhere.example ${otherKey.publicKey}`,
    `127.0.0.1 ${otherKey.publicKey}`, // port 22 is another server
    `other.example,${address} ${hostKey.publicKey}`,
  );
  await connectOnce({ knownHosts: file });
});

test('knownHosts: a hashed line matches', async () => {
  const file = knownHosts(`${address} ${hostKey.publicKey}`);
  keygen('-H', '-f', file);
  await connectOnce({ knownHosts: file });
});

test('a known key is negotiated even if the server prefers another type', async () => {
  for (const { publicKey } of [rsaKey, ...ecdsaKeys]) {
    const file = knownHosts(`${address} ${publicKey}`);
    await connectOnce({ knownHosts: file });
    assert.ok((await server.ask(file)).trusts);
  }
});

test('a key of another type than the known one counts as changed, as in ssh', async () => {
  const other = makeKey(join(files.path, 'other'), { type: 'ecdsa' });
  const file = knownHosts(`${address} ${other.publicKey}`);
  await assert.rejects(connectOnce({ knownHosts: file, hostVerifier: () => true }), (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY');
    for (const part of ['has changed', `${file}:1`, other.fingerprint])
      assert.ok(error.message.includes(part), error.message);
    return true;
  });
  assert.match((await server.ask(file)).stderr, /REMOTE HOST IDENTIFICATION HAS CHANGED/);
});

test('hostKeyAlias replaces the host name in known_hosts', async () => {
  const file = knownHosts(`the-gateway ${hostKey.publicKey}`, `${address} ${otherKey.publicKey}`);
  await connectOnce({ knownHosts: file, hostKeyAlias: 'The-Gateway' });
  await assert.rejects(connectOnce({ knownHosts: file }), REFUSED);
  await assert.rejects(connectOnce({ knownHosts: file, hostKeyAlias: 'gateway' }), /host key of gateway is not known/);
});

test('knownHosts accepts several files and ignores missing ones', async () => {
  const missing = files.missing();
  await connectOnce({ knownHosts: [missing, knownHosts(`${address} ${hostKey.publicKey}`)] });
  await assert.rejects(connectOnce({ knownHosts: [missing] }), REFUSED);
});

test('a changed key is rejected, for plain and hashed lines', async () => {
  const file = knownHosts(`${address} ${otherKey.publicKey}`);
  await assert.rejects(connectOnce({ knownHosts: file }), (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY');
    assert.ok(error.message.includes(hostKey.fingerprint), error.message);
    return true;
  });
  keygen('-H', '-f', file);
  await assert.rejects(connectOnce({ knownHosts: file }), REFUSED);
});

test('an unknown host key is rejected', async () => {
  await assert.rejects(connectOnce({ knownHosts: knownHosts(`elsewhere ${hostKey.publicKey}`) }), REFUSED);
  await assert.rejects(connectOnce({}), REFUSED);
});

test('hostKey accepts a fingerprint, a public key line, and several of them', async () => {
  await connectOnce({ hostKey: hostKey.fingerprint });
  await connectOnce({ hostKey: hostKey.publicKey });
  await connectOnce({ hostKey: [otherKey.fingerprint, hostKey.fingerprint] });
  await assert.rejects(connectOnce({ hostKey: otherKey.fingerprint }), REFUSED);
  await assert.rejects(connectOnce({ hostKey: [otherKey.publicKey] }), REFUSED);
});

test('hostVerifier receives the key and decides', async () => {
  const asked = [];
  await connectOnce({
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
  await assert.rejects(connectOnce({ hostVerifier: () => false }), REFUSED);
});

test('hostVerifier may resolve later', async () => {
  const later = (value) => () => new Promise((resolve) => setImmediate(resolve, value));
  await connectOnce({ hostVerifier: later(true) });
  await assert.rejects(connectOnce({ hostVerifier: later(false) }), REFUSED);
});

test('hostVerifier rejects the key unless it returns exactly true', async () => {
  for (const value of [undefined, null, 1, 'yes', {}]) {
    await assert.rejects(connectOnce({ hostVerifier: () => value }), REFUSED, String(value));
  }
});

test('hostVerifier rejects the key when it throws or rejects', async () => {
  const broken = () => {
    throw new Error('no idea');
  };
  await assert.rejects(connectOnce({ hostVerifier: broken }), REFUSED);
  await assert.rejects(connectOnce({ hostVerifier: async () => broken() }), REFUSED);
});

test('readyTimeout ends the wait for a hostVerifier that never settles', async () => {
  const since = performance.now();
  const never = connectOnce({ hostVerifier: () => new Promise(() => {}), readyTimeout: 500 });
  await assert.rejects(never, { code: 'ETIMEDOUT' });
  assert.ok(performance.now() - since < 1500);
});

test('hostVerifier is not called for a known key', async () => {
  const hostVerifier = () => assert.fail('asked');
  const file = knownHosts(`${address} ${hostKey.publicKey}`, `${address} ${rsaKey.publicKey}`);
  await connectOnce({ knownHosts: file, hostVerifier });
  await connectOnce({ hostKey: server.login.hostKey, hostVerifier });
});
