// known_hosts files with unusual content, compared with ssh: what ssh rejects is rejected, and an unreadable line about
// the server is an error with its place.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { certifier, makeKey } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts, connectOnce } from '../helpers/trust.mjs';

const server = await Sshd.start({ hostKeyTypes: ['ed25519', 'rsa'] });
const files = new KnownHosts();
after(async () => {
  files.remove();
  await server.stop();
});

const words = ({ publicKey }) => publicKey.split(' ').slice(0, 2).join(' ');
const { address } = server;
const [own, rsa] = server.hostKeys.map(words);
const authority = makeKey(join(files.path, 'authority'));
const other = words(authority);
const base64 = (line) => line.split(' ')[1];
const decode = (line) => Buffer.from(base64(line), 'base64');
const latin = (text) => Buffer.from(text, 'latin1');
const utf16 = (text) => Buffer.from(`\ufeff${text}`, 'utf16le');

/** The line of an RSA key whose numbers begin with a superfluous zero byte. */
function padded(line) {
  const blob = decode(line);
  const fields = [];
  for (let at = 0; at < blob.length; at += 4 + blob.readUInt32BE(at))
    fields.push(blob.subarray(at + 4, at + 4 + blob.readUInt32BE(at)));
  const [name, ...numbers] = fields;
  const write = (bytes) => [Buffer.from([0, 0, bytes.length >> 8, bytes.length & 255]), bytes];
  const all = [name, ...numbers.map((number) => Buffer.concat([Buffer.from([0]), number]))];
  return `ssh-rsa ${Buffer.concat(all.flatMap(write)).toString('base64')}`;
}

function file(bytes) {
  const path = files.missing();
  writeFileSync(path, bytes);
  return path;
}

/** `trusted`, `refused` or `changed`, `revoked`, `damaged line n`. */
async function verdict(path, strictHostKeyChecking) {
  try {
    await connectOnce(server, { knownHosts: path, strictHostKeyChecking });
    return 'trusted';
  } catch (error) {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY', error.message);
    const [, line] = /cannot read the known hosts file .*, line (\d+): /.exec(error.message) ?? [];
    if (line !== undefined) {
      assert.ok(error.message.includes(path) && error.message.includes(address), error.message);
      return `damaged line ${line}`;
    }
    return / is revoked by /.test(error.message)
      ? 'revoked'
      : / has changed: /.test(error.message)
        ? 'changed'
        : 'refused';
  }
}

const whole = `${address} ${own}`;
const cut = `${address} ${own.slice(0, 60)}`;
const damaged = (line) => [`damaged line ${line}`, `damaged line ${line}`];
const key = (type, ...parts) =>
  `${type} ${Buffer.concat([Buffer.from([0, 0, 0, type.length]), Buffer.from(type), ...parts]).toString('base64')}`;

/** The content of a file, and the outcome with StrictHostKeyChecking yes and accept-new. */
const CASES = [
  ['a comment in Latin-1', latin(`${whole} caf\xe9\n`), ['trusted', 'trusted']],
  ['null bytes in a comment', `${whole} a\0b\0\n`, ['trusted', 'trusted']],
  [
    'ends of lines from Windows, and none at the end',
    `# a\r\n\r\n${whole}\r\n${address} ${rsa} x`,
    ['trusted', 'trusted'],
  ],
  ['blanks before and between', ` \t ${address} \t${own}`, ['trusted', 'trusted']],
  ['a comment of a megabyte', `${whole} ${'x'.repeat(2 ** 20)}\n`, ['trusted', 'trusted']],
  ['names that are not UTF-8', latin(`caf\xe9,${address},\xff* ${own}\n`), ['trusted', 'trusted']],
  ['a byte order mark', `\ufeff${whole}\r\n`, ['trusted', 'trusted'], { unlikeSsh: true }],
  ['an RSA key with zeros before its numbers', `${address} ${padded(rsa)}\n`, ['trusted', 'trusted']],
  ['the name of a signature for the type', `${address} rsa-sha2-512 ${base64(rsa)}\n`, ['trusted', 'trusted']],
  ['keys of version 1', `${address} 1024 35 1234567890\n${whole}\n`, ['trusted', 'trusted']],
  [
    'damaged lines about others',
    latin(
      `other.example damaged\n|1|a|b ${own}\nother.example,!* x\n127.0.0.1 x\n@revoked other.example x\n@unknown other ${own}\n\xe9\n${whole}\n`,
    ),
    ['trusted', 'trusted'],
  ],
  ['nothing', '', ['refused', 'trusted']],
  ['a key of version 1 alone', `${address} 1024 35 1234567890\n`, ['refused', 'trusted']],

  ['another key, and a comment in Latin-1', latin(`${address} ${other} caf\xe9\n`), ['changed', 'changed']],
  ['another key behind a byte order mark', `\ufeff${address} ${other}\n`, ['changed', 'changed']],
  [
    'another RSA key with zeros',
    `${address} ${padded(words(makeKey(join(files.path, 'rsa'), { type: 'rsa' })))}\n`,
    ['changed', 'changed'],
  ],
  [
    'a key of DSA',
    `${address} ${key('ssh-dss', ...[5, 3, 2, 7].map((number) => Buffer.from([0, 0, 0, 1, number])))}\n`,
    ['changed', 'changed'],
  ],
  [
    'a security key',
    `${address} ${key('sk-ssh-ed25519@openssh.com', Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, 1), Buffer.from([0, 0, 0, 4]), Buffer.from('ssh:'))}\n`,
    ['changed', 'changed'],
  ],
  ['a key of a type to come', `${address} ${key('ssh-mldsa44', Buffer.alloc(9))}\n`, ['changed', 'changed']],
  [
    'a certificate of the key',
    () => `${address} ${readFileSync(certifier(authority, { principals: '127.0.0.1' })(server.hostKeys[0]), 'latin1')}`,
    ['changed', 'changed'],
  ],

  ['a revoked key, and a comment in Latin-1', latin(`${whole}\n@revoked * ${own} caf\xe9\n`), ['revoked', 'revoked']],
  [
    'a revoked certificate of the key',
    () =>
      `${whole}\n@revoked * ${readFileSync(certifier(authority, { principals: '127.0.0.1' })(server.hostKeys[0]), 'latin1')}`,
    ['revoked', 'revoked'],
  ],

  ['a key that was cut', `${cut}\n`, damaged(1)],
  ['a key that was cut beside the whole one', `${whole}\n${cut}\n`, damaged(2)],
  ['no key', `# a\n${address}\n`, damaged(2)],
  ['a type and another key', `${address} ssh-rsa ${base64(own)}\n`, damaged(1)],
  [
    'something behind the key',
    `${address} ssh-ed25519 ${Buffer.concat([decode(own), Buffer.from([0, 0, 0])]).toString('base64')}\n`,
    damaged(1),
  ],
  ['padding that is not there', `${address} ${own}=\n`, damaged(1)],
  ['an unknown marker', `${whole}\n@Revoked ${address} ${own}\n`, damaged(2)],
  ['two markers', `${whole}\n@revoked @revoked * ${own}\n`, damaged(2)],
  ['a revoked key that was cut', `${whole}\n@revoked * ${own.slice(0, 60)}\n`, damaged(2)],
  ['a revoked key without hosts', `${whole}\n@revoked ${own}\n`, damaged(2)],
  ['an authority that was cut', `${whole}\n@cert-authority * ${other.slice(0, 60)}\n`, damaged(2)],
  ['a revoked key of a damaged name', `${whole}\n@revoked |1|AAAA|BBBB ${own}\n`, damaged(2)],
  ['UTF-16', utf16(`# a\r\n${address} ${other}\r\n`), damaged(2)],
  ['UTF-16 behind ASCII', Buffer.concat([Buffer.from(`${whole}\n`), utf16(`@revoked * ${own}\r\n`)]), damaged(2)],
  ['ends of lines from old Macs', `other.example ${own}\r${address} ${other}\r`, damaged(1)],
];

for (const [name, content, [strict, accepting], { unlikeSsh = false } = {}] of CASES) {
  test(name, async () => {
    const path = file(typeof content === 'function' ? content() : content);
    const before = readFileSync(path);
    for (const [strictness, expected] of [
      [true, strict],
      ['accept-new', accepting],
      ['no', accepting],
    ]) {
      const copy = files.missing();
      copyFileSync(path, copy);
      const asked = await server.ask(copy, `StrictHostKeyChecking=${strictness === true ? 'yes' : strictness}`);
      copyFileSync(path, copy);
      assert.equal(await verdict(copy, strictness), expected, `${strictness}`);
      // With "no", ssh connects anyway, and disables forwarding.
      if (expected === 'trusted' && !unlikeSsh) assert.ok(asked.trusts, asked.stderr);
      const now = readFileSync(copy);
      assert.deepEqual(now.subarray(0, before.length), before, 'what was there stays');
      if (strict === expected) assert.equal(now.length, before.length);
    }
  });
}

test('a valid key beside a revoked one is preferred, as in ssh, and the revoked one is rejected in every position', async () => {
  const path = file(`${address} ${own}\n${address} ${rsa}\n@revoked * ${own}\n`);
  await connectOnce(server, { knownHosts: path });
  assert.ok((await server.ask(path)).trusts);
  await assert.rejects(
    connectOnce(server, { knownHosts: path, algorithms: { serverHostKey: ['ssh-ed25519', 'rsa-sha2-512'] } }),
    /is revoked by/,
  );
  assert.ok(!(await server.ask(path, 'HostKeyAlgorithms=ssh-ed25519,rsa-sha2-512')).trusts);
  const zeros = file(`${address} ${rsa}\n@revoked * ${padded(rsa)}\n`);
  await assert.rejects(
    connectOnce(server, { knownHosts: zeros, algorithms: { serverHostKey: ['rsa-sha2-512'] } }),
    /is revoked by/,
  );
  assert.ok(!(await server.ask(zeros, 'HostKeyAlgorithms=rsa-sha2-512')).trusts);
});

test('a chosen order of host key algorithms is kept, as in ssh', async () => {
  const path = file(`${address} ${rsa}\n`);
  for (const [serverHostKey, option] of [
    [['ssh-ed25519', 'rsa-sha2-512'], 'ssh-ed25519,rsa-sha2-512'],
    [{ prepend: 'ssh-ed25519' }, '^ssh-ed25519'],
    [{ append: 'ssh-ed25519' }, '+ssh-ed25519'],
    [{ remove: 'rsa-sha2-256' }, '-rsa-sha2-256'],
    [undefined, '+rsa-sha2-256'],
  ]) {
    const { trusts } = await server.ask(path, `HostKeyAlgorithms=${option}`);
    const attempt = connectOnce(server, { knownHosts: path, algorithms: { serverHostKey } });
    if (trusts) await attempt;
    else await assert.rejects(attempt, /has changed/);
    assert.equal(trusts, !option.startsWith('ssh') && !option.startsWith('^'), option);
  }
});

test('a known_hosts file in UTF-16 is never written to', async () => {
  const bytes = utf16(`other.example ${other}\r\n`);
  const path = file(bytes);
  await assert.rejects(connectOnce(server, { knownHosts: path, strictHostKeyChecking: 'accept-new' }), /UTF-16/);
  assert.deepEqual(readFileSync(path), bytes);
});
