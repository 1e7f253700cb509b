// scripts/corpus.mjs, over files that are made here: keys of every tool and format, known_hosts files, configurations.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { ensurePackages, findProgram } from '../helpers/ensure-sshd.mjs';
import { certifier, keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { run } from '../helpers/process.mjs';

const SCRIPT = fileURLToPath(new URL('../../scripts/corpus.mjs', import.meta.url));
const PASSPHRASE = 'several words';
const hasTools = ensurePackages(['puttygen', 'openssl'], ['putty-tools', 'openssl']);
/** OpenSSH 10 has no DSA. */
const hasDsa = execFileSync(findProgram('ssh'), ['-Q', 'key'], { encoding: 'utf8' }).includes('ssh-dss');
const folder = temporaryFolder('corpus');
after(folder.remove);

const corpus = folder.at('files');
for (const name of ['keys', 'known_hosts', 'config']) mkdirSync(join(corpus, name), { recursive: true });
/** Little work for key derivations, which this addon may do without optimization. */
const QUICK = { keygen: ['-a', '1'], putty: ['--ppk-param', 'memory=1024,passes=1'] };

const inKeys = (name) => join(corpus, 'keys', name);

const check = (path, options = {}) =>
  run(process.execPath, [SCRIPT, path, '--passphrase', PASSPHRASE], { timeout: 120_000, ...options });

/** Private and public keys of ssh-keygen, OpenSSL and PuTTYgen, and the same in other encodings. */
function makeKeys() {
  const program = (name, ...args) => execFileSync(findProgram(name), args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const pass = ['-passout', `pass:${PASSPHRASE}`];
  const authority = makeKey(folder.at('authority'));
  const types = [
    { type: 'ed25519' },
    ...[256, 384, 521].map((bits) => ({ type: 'ecdsa', bits })),
    { type: 'rsa' },
    { type: 'rsa', bits: 1024 },
    ...(hasDsa ? [{ type: 'dsa', bits: 1024 }] : []),
  ];
  for (const { type, bits } of types) {
    // One key of each type, converted: making keys takes long.
    const { file, privateKey } = makeKey(inKeys(`${type}-${bits}`), { type, bits });
    for (const passphrase of ['', PASSPHRASE]) {
      for (const format of type === 'ed25519' ? ['RFC4716'] : ['RFC4716', 'PEM', 'PKCS8']) {
        const copy = `${file}-${format}${passphrase && '-encrypted'}`;
        writeFileSync(copy, privateKey, { mode: 0o600 });
        keygen('-q', '-p', ...QUICK.keygen, '-m', format, '-P', '', '-N', passphrase, '-f', copy);
      }
    }
  }
  for (const cipher of [
    '3des-cbc',
    'aes128-cbc',
    'aes192-ctr',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
  ])
    keygen('-q', '-t', 'ed25519', ...QUICK.keygen, '-N', PASSPHRASE, '-Z', cipher, '-f', inKeys(cipher));
  const pem = inKeys('rsa-undefined-PEM');
  program('openssl', 'rsa', '-in', pem, '-traditional', '-des3', ...pass, '-out', inKeys('pem-des3'));
  for (const [name, ...args] of [
    ['des3', '-v2', 'des3'],
    ['sha1-des3', '-v1', 'PBE-SHA1-3DES'],
    ['scrypt', '-scrypt', '-scrypt_N', '1024'],
  ])
    program('openssl', 'pkcs8', '-topk8', '-in', pem, ...args, ...pass, '-out', inKeys(`pkcs8-${name}`));
  program('openssl', 'genpkey', '-algorithm', 'ed25519', '-out', inKeys('pkcs8-ed25519'));
  const [none, some] = [folder.write('', 'none'), folder.write(PASSPHRASE, 'some')];
  for (const type of ['ed25519-undefined', 'ecdsa-256', 'rsa-undefined']) {
    for (const [kind, to] of [
      ['plain', none],
      ['encrypted', some],
    ]) {
      const convert = (input, format, output, ...more) =>
        program(
          'puttygen',
          input,
          '-O',
          format,
          '-o',
          output,
          '--old-passphrase',
          none,
          '--new-passphrase',
          to,
          ...more,
        );
      const own = folder.at(`${type}.ppk`);
      const unencrypted = ['--old-passphrase', none, '--new-passphrase', none];
      program('puttygen', inKeys(`${type}-RFC4716`), '-O', 'private', '-o', own, ...unencrypted);
      convert(inKeys(`${type}-RFC4716`), 'private', inKeys(`${type}-${kind}.ppk`), ...QUICK.putty);
      for (const format of ['private-openssh', 'private-openssh-new'])
        convert(own, format, inKeys(`${type}-${kind}-${format}`));
    }
  }
  const text = readFileSync(inKeys('ed25519-undefined-RFC4716'), 'utf8');
  writeFileSync(inKeys('mark'), `\ufeff${readFileSync(pem, 'utf8')}`);
  writeFileSync(inKeys('utf16'), Buffer.from(`\ufeff${text}`, 'utf16le'));
  writeFileSync(inKeys('quoted'), JSON.stringify(text));
  writeFileSync(inKeys('one-line'), text.replaceAll('\n', ' '));
  writeFileSync(inKeys('cut'), text.slice(0, 200));
  for (const kind of ['user', 'host'])
    certifier(authority, { kind, principals: 'someone' })({ file: makeKey(inKeys(`certified-${kind}`)).file });
  writeFileSync(inKeys('commented.pub'), `# laptop\n\n${authority.publicKey}\n`);
  return authority;
}

function makeKnownHosts({ publicKey }) {
  const [type, base64] = publicKey.split(' ');
  const key = `${type} ${base64}`;
  const file = join(corpus, 'known_hosts', 'known_hosts');
  writeFileSync(
    file,
    [
      '# a comment',
      `plain.example,192.0.2.1 ${key} a comment`,
      `[ports.example]:2222 ${key}`,
      `*.wild.example,!not.wild.example ${key}`,
      `UPPER.example ${key}`,
      `@cert-authority *.signed.example ${key}`,
      `@revoked revoked.example ${key}`,
      '',
    ].join('\n'),
  );
  const hashed = join(corpus, 'known_hosts', 'hashed_known_hosts');
  writeFileSync(hashed, `hashed.example ${key}\n`);
  keygen('-q', '-H', '-f', hashed);
  writeFileSync(hashed, `${readFileSync(hashed, 'utf8')}after.example ${key}\n`);
}

const CONFIGS = [
  'Host a b\n User u\n Port 2222\nHost *\n User other\n IdentityFile ~/.ssh/%h\n',
  'Host=bastion\n HostName=bastion.example\nHost inner\n ProxyJump bastion\n LocalForward 8080 web:80\n',
  'Match host x user nobody\n Port 3\nMatch all\n Compression yes\nHost !y *\n ServerAliveInterval 1m\n',
  'Host broken\n Port none\n',
];

function makeConfigs() {
  for (const [index, text] of CONFIGS.entries())
    writeFileSync(join(corpus, 'config', `config${index}`), text, { mode: 0o600 });
}

if (hasTools) {
  makeKnownHosts(makeKeys());
  makeConfigs();
}

test('all keys, known hosts and configurations are read as by OpenSSH, except by policy', {
  skip: !hasTools,
  timeout: 150_000,
}, async () => {
  const { code, stdout, stderr } = await check(corpus);
  assert.equal(code, 0, `${stdout}${stderr}`);
  for (const words of [
    /^private keys: \d+ checked, \d+ agree \(1 refused by both\), \d+ by policy, 0 different$/m,
    /^public keys: \d+ checked, \d+ agree, 0 by policy, 0 different$/m,
    /^known hosts: \d+ checked, \d+ agree, 0 by policy, 0 different$/m,
    /^configurations: \d+ checked, \d+ agree \(2 refused by both\), 0 by policy, 0 different$/m,
    ...(hasDsa ? [/^by policy, 7: DSA is not supported$/m] : []),
    /^by policy, 7: RSA keys have 2048 to 8192 bits$/m,
    /^by policy, 6: PuTTY's files are read$/m,
    /^by policy, 3: encodings around a key are removed$/m,
  ])
    assert.match(stdout, words);
});

test('each difference is printed, and fails', {
  skip: !hasTools || process.platform === 'win32',
  timeout: 150_000,
}, async () => {
  // An ssh-keygen that knows one key only, and an ssh that knows no configuration.
  const shims = folder.at('shims');
  mkdirSync(shims);
  writeFileSync(join(shims, 'ssh-keygen'), '#!/bin/sh\necho ssh-ed25519 AAAA\n', { mode: 0o755 });
  writeFileSync(join(shims, 'ssh'), '#!/bin/sh\necho "user wrong"\n', { mode: 0o755 });
  const env = { ...process.env, PATH: `${shims}${delimiter}${process.env.PATH}` };
  const { code, stdout } = await check(corpus, { env });
  assert.equal(code, 1);
  assert.match(stdout, /^DIFFERENT private keys: keys\/3des-cbc: ssh-ed25519 AAAA; here: ssh-ed25519 AAAAC3/m);
  assert.match(stdout, /^DIFFERENT public keys: keys\/commented\.pub: ssh-keygen: no public key; here: SHA256:/m);
  assert.match(
    stdout,
    /^DIFFERENT known hosts: known_hosts\/known_hosts \(plain\.example\): ssh-keygen: no line; here: changed, line 2/m,
  );
  assert.match(stdout, /^DIFFERENT configurations: config\/config0 \(a\): .*port as usual; here: 2222/m);
});

test('a folder has to be named', async () => {
  const { code, stderr } = await run(process.execPath, [SCRIPT], { timeout: 60_000 });
  assert.equal(code, 2);
  assert.match(stderr, /^usage: npm run corpus -- DIR/);
});
