// Private keys in every format that ssh-keygen writes, with a real server.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start({ hostKeyTypes: ['ed25519'] });
const folder = temporaryFolder('user-keys');
const authority = makeKey(join(folder.path, 'authority'));
const trusting = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`] });
after(async () => {
  folder.remove();
  await Promise.all([server.stop(), trusting.stop()]);
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

/** Connects and shuts down. */
async function connectOnce(options) {
  const tunnel = new SSHTunnel({
    ...server.login,
    forwardHost: '127.0.0.1',
    forwardPort: 1,
    ...options,
  });
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
}

for (const [index, kind] of KINDS.entries()) {
  const name = `${kind.type}${kind.bits ?? ''} in ${FORMAT_NAMES[kind.format]} format`;

  test(name, async () => {
    const { privateKey, publicKey, fingerprint } = makeKey(join(folder.path, `plain${index}`), kind);
    server.authorize(publicKey);
    await connectOnce({ privateKey });
    await server.logged(new RegExp(`Accepted publickey .*${escaped(fingerprint)}`));
    await connectOnce({ privateKey: Buffer.from(privateKey) });
  });

  test(`${name} with a passphrase`, async () => {
    const file = join(folder.path, `encrypted${index}`);
    const { privateKey, publicKey, fingerprint } = makeKey(file, { ...kind, passphrase: PASSPHRASE });
    server.authorize(publicKey);
    await connectOnce({ privateKey, passphrase: PASSPHRASE });
    await server.logged(new RegExp(`Accepted publickey .*${escaped(fingerprint)}`));
    await connectOnce({ privateKey, passphrase: Buffer.from(PASSPHRASE) });
    const refused = { code: 'ERR_SSH_PRIVATE_KEY' };
    await assert.rejects(connectOnce({ privateKey, passphrase: 'wrong' }), refused);
    await assert.rejects(connectOnce({ privateKey }), refused);
  });
}

function escaped(text) {
  return text.replace(/[+/.]/g, '\\$&');
}

// Several keys, and certificates beside them.

let pairs = 0;
const otherKey = (options) => makeKey(join(folder.path, `otherKey${pairs++}`), options);

/** A certificate's line for a key. */
function certify({ file }, { id, args = [] }) {
  keygen('-q', '-s', authority.file, '-I', id, '-n', userInfo().username, ...args, `${file}.pub`);
  return readFileSync(`${file}-cert.pub`, 'utf8');
}

for (const type of ['ed25519', 'ecdsa', 'rsa']) {
  test(`a certificate with its private key authenticates: ${type}`, async () => {
    const key = otherKey({ type });
    const { privateKey } = key;
    const certificate = certify(key, { id: `beside-${type}` });
    await assert.rejects(connectOnce({ ...trusting.login, privateKey }), { code: 'ERR_SSH_AUTH' });
    await connectOnce({ ...trusting.login, privateKey, certificate });
    await trusting.logged(new RegExp(`Accepted certificate ID "beside-${type}"`));
    await connectOnce({ ...trusting.login, privateKey: [{ key: privateKey, certificate: Buffer.from(certificate) }] });
  });
}

test('the plain key is tried after the server refuses its certificate', async () => {
  const key = otherKey();
  server.authorize(key.publicKey);
  const certificate = certify(key, { id: 'nobody' }); // by an authority that this server does not know
  await connectOnce({ privateKey: key.privateKey, certificate });
  const failed = new RegExp(
    `Failed publickey for .*ED25519-CERT.*Accepted publickey .*${escaped(key.fingerprint)}`,
    's',
  );
  await server.logged(failed);
});

test('an expired certificate and a certificate for another user are refused', async () => {
  for (const [id, args] of [
    ['late', ['-V', '20200101:20210101']],
    ['other', ['-n', 'somebody-else']],
  ]) {
    const key = otherKey();
    const certificate = certify(key, { id, args });
    const refused = { code: 'ERR_SSH_AUTH', message: /ssh-ed25519-cert-v01@openssh\.com/ };
    await assert.rejects(connectOnce({ ...trusting.login, privateKey: key.privateKey, certificate }), refused);
  }
});

test('a certificate of another key or of a host, and invalid text, fail before anything is sent', async () => {
  const [key, other] = [otherKey(), otherKey()];
  const wrong = {
    'another private key': certify(other, { id: 'x' }),
    'is for a host, not for a user': certify(key, { id: 'x', args: ['-h'] }),
    'certificate type ssh-ed25519 is not': key.publicKey,
    'a line such as that of': key.privateKey,
  };
  const before = server.log();
  for (const [words, certificate] of Object.entries(wrong)) {
    const refused = { code: 'ERR_SSH_PRIVATE_KEY', message: new RegExp(words) };
    await assert.rejects(connectOnce({ privateKey: key.privateKey, certificate }), refused);
    const { privateKey } = server.key;
    const second = { code: 'ERR_SSH_PRIVATE_KEY', message: new RegExp(`^privateKey\\[1\\]: .*${words}`) };
    await assert.rejects(connectOnce({ privateKey: [privateKey, { key: key.privateKey, certificate }] }), second);
  }
  assert.equal(server.log(), before);
});

test('several keys are offered in order', async () => {
  const keys = [otherKey(), otherKey({ type: 'rsa' }), otherKey({ type: 'ecdsa' })];
  server.authorize(keys[2].publicKey);
  await connectOnce({ privateKey: keys.map(({ privateKey }) => privateKey) });
  const [first, second, third] = keys.map(({ fingerprint }) => escaped(fingerprint));
  await server.logged(
    new RegExp(`Failed publickey .*${first}[^]*Failed publickey .*${second}[^]*Accepted publickey .*${third}`),
  );
  await assert.rejects(connectOnce({ privateKey: keys.slice(0, 2).map(({ privateKey }) => privateKey) }), (error) => {
    assert.equal(error.code, 'ERR_SSH_AUTH');
    assert.match(error.message, /tried publickey \(ssh-ed25519\), publickey \(rsa-sha2-512\), none;/);
    return true;
  });
});

test('each key has its own passphrase, or the common one', async () => {
  const encrypted = ['one', 'two'].map((passphrase) => otherKey({ passphrase }));
  server.authorize(encrypted[1].publicKey);
  const [one, two] = encrypted.map(({ privateKey }) => privateKey);
  await connectOnce({ privateKey: [{ key: one, passphrase: 'one' }, two], passphrase: 'two' });
  await connectOnce({ privateKey: { key: two, passphrase: Buffer.from('two') } });
  const wrong = { code: 'ERR_SSH_PRIVATE_KEY', message: /^privateKey\[0\]: .*passphrase.* wrong/ };
  await assert.rejects(connectOnce({ privateKey: [one, two], passphrase: 'two' }), wrong);
});

test('errors about invalid keys name the option without its value', () => {
  const make = (options) => () => new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1, ...options });
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  for (const [privateKey, place] of [
    [5, 'privateKey'],
    [null, 'privateKey'],
    [{}, 'privateKey'],
    [['k', undefined], 'privateKey\\[1\\]'],
    [[5], 'privateKey\\[0\\]'],
    [[['k']], 'privateKey\\[0\\]'],
    [{ key: 5 }, 'privateKey.key'],
    [{ key: 'k', passphrase: 1 }, 'privateKey.passphrase'],
    [[{ key: 'k', certificate: 1 }], 'privateKey\\[0\\].certificate'],
  ]) {
    assert.throws(make({ privateKey }), {
      ...type,
      message: new RegExp(`"options.${place}" property must be of type string`),
    });
  }
  const alone = {
    name: 'TypeError',
    code: 'ERR_INVALID_ARG_VALUE',
    message: /certificate' needs one privateKey.*type string$/,
  };
  assert.throws(make({ certificate: 'secret' }), alone);
  assert.throws(make({ certificate: 'secret', privateKey: ['k'] }), alone);
  make({ privateKey: [] })();
});
