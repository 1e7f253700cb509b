// Private keys as OpenSSL, PuTTYgen and ssh-keygen write them, in every encoding that a store may add, with a real
// server. All keys are made here.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { ensurePackages, findProgram } from '../helpers/ensure-sshd.mjs';
import { keygen, makeKey, opensshKey, temporaryFolder } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start({ hostKeyTypes: ['ed25519'] });
const folder = temporaryFolder('key-formats');
const PASSPHRASE = 'several wörds';
const passphraseFile = folder.write(`${PASSPHRASE}\n`, 'passphrase');
const noPassphrase = folder.write('', 'no-passphrase');
const hasPuttygen = ensurePackages(['puttygen'], ['putty-tools']);
const hasOpenssl = ensurePackages(['openssl'], ['openssl']);
after(async () => {
  folder.remove();
  await server.stop();
});

let files = 0;
const next = () => folder.at(`key${files++}`);

async function connectOnce(options) {
  const tunnel = new SSHTunnel({ ...server.login, forwardHost: '127.0.0.1', forwardPort: 1, ...options });
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
}

/** The key authenticates its user; an encrypted one does with its passphrase only. */
async function authenticates({ publicKey, fingerprint }, text, { encrypted }) {
  server.authorize(publicKey);
  await connectOnce({ privateKey: text, passphrase: PASSPHRASE });
  await server.logged(new RegExp(`Accepted publickey .*${fingerprint.replace(/[+/.]/g, '\\$&')}`));
  if (!encrypted) return connectOnce({ privateKey: text });
  const refused = (message) => ({ code: 'ERR_SSH_PRIVATE_KEY', message });
  await assert.rejects(connectOnce({ privateKey: text }), refused(/encrypted and there is no passphrase/));
  await assert.rejects(
    connectOnce({ privateKey: text, passphrase: 'other' }),
    refused(/the passphrase of the private key is wrong/),
  );
}

const [rsa, ecdsa] = ['rsa', 'ecdsa'].map((type) => makeKey(next(), { type, format: 'PEM' }));
const keys = { rsa, ecdsa, ed25519: makeKey(next()) };
for (const bits of [384, 521]) keys[`ecdsa ${bits}`] = makeKey(next(), { type: 'ecdsa', bits });

// OpenSSL's own formats.

const openssl = (...args) => execFileSync(findProgram('openssl'), args, { stdio: ['ignore', 'ignore', 'pipe'] });

for (const [name, type, args] of [
  ['PEM with 3DES', 'rsa', ['rsa', '-traditional', '-des3']],
  ['PEM with AES-192', 'rsa', ['rsa', '-traditional', '-aes192']],
  ['PEM with 3DES', 'ecdsa', ['ec', '-des3']],
  ['PKCS #8 with PBES2 and 3DES', 'rsa', ['pkcs8', '-topk8', '-v2', 'des3']],
  ['PKCS #8 with PBES2 and 3DES', 'ecdsa', ['pkcs8', '-topk8', '-v2', 'des3']],
  ['PKCS #8 with SHA-1 and 3DES', 'rsa', ['pkcs8', '-topk8', '-v1', 'PBE-SHA1-3DES']],
  ['PKCS #8 with SHA-1 and 3DES', 'ecdsa', ['pkcs8', '-topk8', '-v1', 'PBE-SHA1-3DES', '-iter', '5000']],
  ['PKCS #8 with SHA-1 and two keys of 3DES', 'rsa', ['pkcs8', '-topk8', '-v1', 'PBE-SHA1-2DES']],
  ['PKCS #8 with SHA-512', 'rsa', ['pkcs8', '-topk8', '-v2', 'aes-128-cbc', '-v2prf', 'hmacWithSHA512']],
  ['PKCS #8 with scrypt', 'ecdsa', ['pkcs8', '-topk8', '-scrypt', '-scrypt_N', '1024']],
]) {
  test(`${type} key of OpenSSL: ${name}`, { skip: !hasOpenssl }, async () => {
    const file = next();
    openssl(...args, '-in', keys[type].file, '-out', file, '-passout', `pass:${PASSPHRASE}`);
    await authenticates(keys[type], readFileSync(file), { encrypted: true });
  });
}

for (const cipher of ['3des-cbc', 'aes128-cbc', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com']) {
  test(`ed25519 key of ssh-keygen with ${cipher}`, async () => {
    const file = next();
    keygen('-q', '-t', 'ed25519', '-N', PASSPHRASE, '-Z', cipher, '-f', file);
    const fingerprint = keygen('-l', '-f', `${file}.pub`).split(' ')[1];
    const publicKey = readFileSync(`${file}.pub`, 'utf8').trim();
    await authenticates({ publicKey, fingerprint }, readFileSync(file), { encrypted: true });
  });
}

// PuTTYgen's format, and what it exports.

/** Converts with PuTTYgen; the result is encrypted on request. */
function puttygen(input, type, { encrypted = false, from = noPassphrase, parameters } = {}) {
  const output = next();
  const to = encrypted ? passphraseFile : noPassphrase;
  const more = parameters === undefined ? [] : ['--ppk-param', parameters];
  const args = [input, '-O', type, '-o', output, '--old-passphrase', from, '--new-passphrase', to, ...more];
  execFileSync(findProgram('puttygen'), args, { stdio: ['ignore', 'ignore', 'pipe'] });
  return output;
}

const QUICK = 'memory=1024,passes=1';
for (const type of Object.keys(keys)) {
  for (const encrypted of [false, true]) {
    const title = `${type} key of PuTTYgen, ${encrypted ? '' : 'not '}encrypted`;

    test(`${title}: its own format`, { skip: !hasPuttygen }, async () => {
      for (const parameters of ['version=2', `version=3,${QUICK}`]) {
        const text = readFileSync(puttygen(keys[type].file, 'private', { encrypted, parameters }));
        assert.match(String(text), new RegExp(`^PuTTY-User-Key-File-${parameters[8]}: `));
        await authenticates(keys[type], text, { encrypted });
      }
    });

    test(`${title}: exported for OpenSSH`, { skip: !hasPuttygen }, async () => {
      const own = puttygen(keys[type].file, 'private');
      for (const format of ['private-openssh', 'private-openssh-new']) {
        const text = readFileSync(puttygen(own, format, { encrypted }));
        await authenticates(keys[type], text, { encrypted });
      }
    });
  }
}

test('PuTTY key files with every key derivation, and in other line ends', { skip: !hasPuttygen }, async () => {
  for (const kdf of ['argon2id', 'argon2i', 'argon2d']) {
    const parameters = `kdf=${kdf},${QUICK},parallelism=2`;
    const text = readFileSync(puttygen(keys.ed25519.file, 'private', { encrypted: true, parameters }), 'utf8');
    await authenticates(keys.ed25519, text.replaceAll('\n', '\r\n'), { encrypted: true });
    await authenticates(keys.ed25519, Buffer.from(`\ufeff${text}`, 'utf16le'), { encrypted: true });
    await authenticates(keys.ed25519, text.replaceAll('\n', '\\n'), { encrypted: true });
  }
});

test('a changed PuTTY key file is refused', { skip: !hasPuttygen }, async () => {
  const text = readFileSync(puttygen(keys.ed25519.file, 'private'), 'utf8');
  const rejected = (key, message) =>
    assert.rejects(connectOnce({ privateKey: key }), { code: 'ERR_SSH_PRIVATE_KEY', message });
  await rejected(text.replace('Comment: ', 'Comment: another '), /its MAC is wrong/);
  await rejected(text.replaceAll('\n', ' '), /its line feeds are missing/);
  await rejected(text.replace('File-3', 'File-4'), /version 4 of PuTTY's format/);
});

/** An Ed25519 key whose seed ends with a zero byte, which PuTTY's format leaves out. */
function shortSeed() {
  for (;;) {
    const { privateKey } = generateKeyPairSync('ed25519');
    const { d, x } = privateKey.export({ format: 'jwk' });
    const [seed, point] = [d, x].map((part) => Buffer.from(part, 'base64url'));
    if (seed.at(-1) === 0) return { seed, point };
  }
}

test('an Ed25519 key that is shorter in PuTTYgen, with every padding', { skip: !hasPuttygen }, async () => {
  const pair = shortSeed();
  for (const comment of ['', 'a', 'four', 'thirteen long']) {
    const { text, publicKey } = opensshKey(pair, { comment, block: 16 });
    const file = folder.write(text);
    writeFileSync(`${file}.pub`, `${publicKey}\n`);
    const key = { publicKey, fingerprint: keygen('-l', '-f', `${file}.pub`).split(' ')[1] };
    await authenticates(key, text, { encrypted: false });
    await authenticates(key, readFileSync(puttygen(file, 'private')), { encrypted: false });
  }
});

// What is around a key, and what is no key that can be used.

test('a key is found in the encodings that files, environment variables and secret stores add', async () => {
  const { publicKey, privateKey: text } = keys.ecdsa;
  server.authorize(publicKey);
  const base64 = Buffer.from(text).toString('base64');
  for (const key of [
    `\ufeff${text}`,
    Buffer.from(`\ufeff${text}`, 'utf16le'),
    Buffer.from(`\ufeff${text}`, 'utf16le').toString('utf8'),
    `"${text}"`,
    text.replaceAll('\n', '\\n'),
    JSON.stringify(text),
    base64,
    Buffer.from(base64),
    text.replaceAll('\n', ' '),
  ]) {
    await connectOnce({ privateKey: key });
  }
});

test('keys that are not supported are named', { skip: !hasPuttygen || !hasOpenssl }, async () => {
  const der = next();
  openssl('pkcs8', '-topk8', '-nocrypt', '-in', keys.ecdsa.file, '-outform', 'DER', '-out', der);
  const single = next();
  openssl('ec', '-in', keys.ecdsa.file, '-out', single, '-camellia128', '-passout', `pass:${PASSPHRASE}`);
  for (const [key, message] of [
    [readFileSync(der), /it is in DER/],
    [readFileSync(der).toString('base64'), /its lines -----BEGIN/],
    [readFileSync(single), /encrypted with CAMELLIA-128-CBC/],
    [readFileSync(puttygen(keys.rsa.file, 'private-sshcom')), /it is a key of ssh\.com/],
    [makeKey(next(), { type: 'rsa', bits: 1024, format: 'PEM' }).privateKey, /an RSA key of 1024 bits; 2048 to 8192/],
    [encodeURIComponent(keys.ecdsa.privateKey), /URL-encoded/],
  ]) {
    await assert.rejects(connectOnce({ privateKey: key, passphrase: PASSPHRASE }), (error) => {
      assert.equal(error.code, 'ERR_SSH_PRIVATE_KEY');
      assert.match(error.message, message);
      assert.ok(error.message.length < 300, 'nothing of the key');
      return true;
    });
  }
});
