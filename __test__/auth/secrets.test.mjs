// Secrets: a scan of the memory of processes that have used some.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

import { test } from '../helpers/bounded.mjs';
import { AtTerminal, hasTerminal } from '../helpers/cli.mjs';
import { ensurePackages, findProgram } from '../helpers/ensure-sshd.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { canLook, parts, search } from '../helpers/memory.mjs';
import { descendants } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const PROGRAM = fileURLToPath(new URL('../helpers/secrets-process.mjs', import.meta.url));
const STAGES = ['made', 'connected', 'connected again', 'closed'];

const server = await Sshd.start();
const folder = temporaryFolder('secrets');
after(() => Promise.all([server.stop(), folder.remove()]));

const skip = canLook() ? false : 'this system has no /proc/<pid>/mem';

/** Text that occurs nowhere else. */
const secret = () => randomBytes(36).toString('base64url');

/** The lines of a key file that differ between key files. */
const body = (text) =>
  parts(
    text
      .split('\n')
      .filter((line) => /^[\w+/=]{40,}$/.test(line))
      .slice(-3, -1)
      .join('\n'),
  );

/** The private number of an elliptic curve key, in both byte orders. */
function privateNumber(text, passphrase) {
  const { d } = createPrivateKey({ key: text, passphrase }).export({ format: 'jwk' });
  const number = Buffer.from(d, 'base64url');
  return [...parts(number), ...parts(Buffer.from(number).reverse())];
}

/**
 * Runs the program with secrets as bytes, and scans its memory at each stage.
 * @param secrets by the names of options, in order
 */
async function look(t, { options, secrets, needles, config, program = PROGRAM, stages = STAGES }) {
  const described = JSON.stringify({ options, secrets: secrets.map(([name]) => name), config });
  for (const part of Object.values(needles).flat())
    assert.ok(!described.includes(part.toString('latin1')), 'the program is told a secret');
  const child = spawn(process.execPath, [program, described], { stdio: ['pipe', 'pipe', 'inherit', 'pipe'] });
  const closed = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  for (const [, value] of secrets) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(value));
    child.stdin.write(Buffer.concat([length, Buffer.from(value)]));
  }
  const found = {};
  for (const stage of stages) {
    const [said] = await Promise.race([once(child.stdout, 'data'), closed.then(() => ['nothing'])]);
    assert.equal(String(said), `${stage}\n`);
    found[stage] = search(child.pid, needles);
    child.stdio[3].write('x');
  }
  await closed;
  return found;
}

const nothing = Object.fromEntries(STAGES.map((stage) => [stage, []]));

/** The options of a tunnel without its secrets. */
const place = ({ login: { host, port, hostKey } }, more) => ({
  host,
  port,
  hostKey,
  forwardHost: '127.0.0.1',
  forwardPort: 1,
  ...more,
});

test('the memory scan finds a known string', { skip }, async (t) => {
  const kept = join(folder.path, 'kept.mjs');
  writeFileSync(
    kept,
    `
    import { readSync } from 'node:fs';
    const bytes = Buffer.allocUnsafeSlow(4 + ${secret().length});
    for (let at = 0; at < bytes.length; ) at += readSync(0, bytes, at, bytes.length - at, null);
    process.stdout.write('made\\n');
    readSync(3, Buffer.alloc(1));
    bytes.fill(0);
    process.stdout.write('connected\\n');
    readSync(3, Buffer.alloc(1));
  `,
  );
  const value = secret();
  const seen = await look(t, {
    program: kept,
    options: {},
    secrets: [['it', value]],
    needles: { it: parts(value) },
    stages: ['made', 'connected'],
  });
  assert.equal(seen.made.length, parts(value).length);
  assert.deepEqual(seen.connected, []);
});

const KINDS = [
  { type: 'ed25519', format: 'RFC4716' },
  { type: 'ecdsa', format: 'RFC4716' },
  { type: 'ecdsa', format: 'PEM' },
  { type: 'ecdsa', format: 'PKCS8' },
  { type: 'rsa', format: 'RFC4716' },
  { type: 'rsa', format: 'PKCS8' },
];

for (const [index, kind] of KINDS.entries()) {
  test(`memory holds no trace of an encrypted key: ${kind.type} as ${kind.format}`, {
    skip,
    timeout: 60_000,
  }, async (t) => {
    const passphrase = secret();
    const file = join(folder.path, `encrypted${index}`);
    const { privateKey, publicKey } = makeKey(file, { ...kind, passphrase });
    server.authorize(publicKey);
    const needles = { passphrase: parts(passphrase), 'the key file': body(privateKey) };
    if (kind.type === 'ecdsa' && kind.format !== 'RFC4716')
      needles['the private key'] = privateNumber(privateKey, passphrase);
    const options = place(server, { username: userInfo().username });
    assert.deepEqual(
      await look(t, {
        options,
        secrets: [
          ['privateKey', privateKey],
          ['passphrase', passphrase],
        ],
        needles,
      }),
      nothing,
    );
  });
}

/** Commands that encrypt a key of ssh-keygen in their own formats. */
const PUTTYGEN = 'puttygen KEY -O private -o OUTPUT --old-passphrase /dev/null --new-passphrase PASSPHRASE --ppk-param';
const CONVERTERS = {
  'PEM with 3DES': 'openssl ec -des3 -in KEY -passout file:PASSPHRASE -out OUTPUT',
  'PKCS #8 with 3DES': 'openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -in KEY -passout file:PASSPHRASE -out OUTPUT',
  "PuTTY's version 2": `${PUTTYGEN} version=2`,
  "PuTTY's version 3": `${PUTTYGEN} version=3,memory=1024,passes=1`,
};
const hasConverters = !skip && ensurePackages(['openssl', 'puttygen'], ['openssl', 'putty-tools']);

for (const [format, command] of Object.entries(CONVERTERS)) {
  test(`memory holds no trace of an encrypted key: ${format}`, {
    skip: !hasConverters,
    timeout: 60_000,
  }, async (t) => {
    const passphrase = secret();
    const converted = temporaryFolder('converted');
    t.after(converted.remove);
    const { file, privateKey, publicKey } = makeKey(converted.at('key'), { type: 'ecdsa', format: 'PEM' });
    server.authorize(publicKey);
    const names = { KEY: file, OUTPUT: converted.at('output'), PASSPHRASE: converted.write(passphrase, 'passphrase') };
    const words = command.split(' ').map((word) => word.replace(/KEY|OUTPUT|PASSPHRASE/, (name) => names[name]));
    execFileSync(findProgram(words[0]), words.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
    const needles = { passphrase: parts(passphrase), 'the private key': privateNumber(privateKey) };
    const options = place(server, { username: userInfo().username });
    const secrets = [
      ['privateKey', readFileSync(names.OUTPUT, 'utf8')],
      ['passphrase', passphrase],
    ];
    assert.deepEqual(await look(t, { options, secrets, needles }), nothing);
  });
}

test('memory holds no trace of a key in the encodings of an environment variable', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const { privateKey, publicKey } = makeKey(join(folder.path, 'variable'), { type: 'ecdsa', format: 'PKCS8' });
  server.authorize(publicKey);
  const needles = { 'the key file': body(privateKey), 'the private key': privateNumber(privateKey) };
  const options = place(server, { username: userInfo().username });
  for (const text of [JSON.stringify(privateKey), Buffer.from(privateKey).toString('base64')])
    assert.deepEqual(await look(t, { options, secrets: [['privateKey', text]], needles }), nothing);
});

test('memory holds no trace of an unencrypted key', { skip, timeout: 60_000 }, async (t) => {
  const { privateKey, publicKey } = makeKey(join(folder.path, 'plain'), { type: 'ecdsa', format: 'PKCS8' });
  server.authorize(publicKey);
  const needles = { 'the key file': body(privateKey), 'the private key': privateNumber(privateKey) };
  const options = place(server, { username: userInfo().username });
  assert.deepEqual(await look(t, { options, secrets: [['privateKey', privateKey]], needles }), nothing);
});

test('memory holds no trace of key files named in ssh_config and their passphrase', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const passphrase = secret();
  const key = join(folder.path, 'named');
  const { privateKey, publicKey } = makeKey(key, { type: 'ecdsa', format: 'PEM', passphrase });
  const plain = join(folder.path, 'named-plain');
  const other = makeKey(plain, { type: 'ecdsa', format: 'PEM' });
  server.authorize(publicKey);
  const configFile = join(folder.path, 'config');
  writeFileSync(configFile, `Host *\n  IdentityFile ${plain}\n  IdentityFile ${key}\n  IdentityAgent none\n`);
  const needles = {
    passphrase: parts(passphrase),
    'the key file': body(privateKey),
    'the private key': privateNumber(privateKey, passphrase),
    'the other key': [...body(other.privateKey), ...privateNumber(other.privateKey)],
  };
  const options = { ...place(server), configFile };
  assert.deepEqual(
    await look(t, { config: '127.0.0.1', options, secrets: [['passphrase', passphrase]], needles }),
    nothing,
  );
});

test('memory holds no trace of a password', { skip, timeout: 60_000 }, async (t) => {
  const password = secret();
  const asking = await Ssh2Server.start({
    authenticate: (context) =>
      context.method === 'password' && context.password === password ? context.accept() : context.reject(['password']),
  });
  t.after(() => asking.stop());
  const options = place(asking, { username: 'user' });
  assert.deepEqual(
    await look(t, { options, secrets: [['password', password]], needles: { password: parts(password) } }),
    nothing,
  );
});

test('memory holds no trace of a password that a function gives', { skip, timeout: 60_000 }, async (t) => {
  const password = secret();
  const asking = await Ssh2Server.start({
    authenticate: (context) =>
      context.method === 'password' && context.password === password ? context.accept() : context.reject(['password']),
  });
  t.after(() => asking.stop());
  const options = place(asking, { username: 'user' });
  const secrets = [
    ['password()', password],
    ['password()', password],
  ];
  assert.deepEqual(await look(t, { options, secrets, needles: { password: parts(password) } }), nothing);
});

test('memory holds no trace of a key and a passphrase that functions give', { skip, timeout: 60_000 }, async (t) => {
  const passphrase = secret();
  const file = join(folder.path, 'given');
  const { privateKey, publicKey } = makeKey(file, { type: 'ecdsa', format: 'PEM', passphrase });
  server.authorize(publicKey);
  const needles = {
    passphrase: parts(passphrase),
    'the key file': body(privateKey),
    'the private key': privateNumber(privateKey, passphrase),
  };
  const options = place(server, { username: userInfo().username });
  const given = [
    ['privateKey()', privateKey],
    ['passphrase()', passphrase],
  ];
  assert.deepEqual(await look(t, { options, secrets: [...given, ...given], needles }), nothing);
  // The key stays encrypted by its passphrase.
  const fixed = [['privateKey', privateKey], given[1], given[1]];
  assert.deepEqual(await look(t, { options, secrets: fixed, needles }), nothing);
});

test('memory holds no trace of an answer to a prompt', { skip, timeout: 60_000 }, async (t) => {
  const answer = secret();
  const asking = await Ssh2Server.start({
    authenticate: (context) => {
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
      return context.prompt([{ prompt: 'Code: ', echo: false }], ([given]) =>
        given === answer ? context.accept() : context.reject(),
      );
    },
  });
  t.after(() => asking.stop());
  const options = place(asking, { username: 'user', tryKeyboard: true });
  const secrets = [
    ['response', answer],
    ['response', answer],
  ];
  assert.deepEqual(await look(t, { options, secrets, needles: { answer: parts(answer) } }), nothing);
});

/** The process of the command itself, a descendant of `script` and a shell. */
const commandOf = (session) =>
  descendants(session.child.pid).find((pid) => readlinkSync(`/proc/${pid}/exe`) === process.execPath);

/** The options of the command that keep everything else out of its memory. */
function commandFor({ port, hostKeys }, name, identity) {
  const known = join(folder.path, `${name}-known`);
  writeFileSync(known, `[127.0.0.1]:${port} ${hostKeys[0].public}\n`);
  const settings = [
    `UserKnownHostsFile=${known}`,
    'GlobalKnownHostsFile=none',
    'IdentityAgent=none',
    `IdentityFile=${identity}`,
    'UpdateHostKeys=no',
  ];
  return [
    '--no-view',
    '-F',
    'none',
    '-N',
    '-v',
    '-p',
    String(port),
    ...settings.flatMap((one) => ['-o', one]),
    'user@127.0.0.1',
  ];
}

/** Types texts at prompts until the command is authenticated; returns where its memory still holds them. */
async function typeAll(t, args, texts) {
  const session = AtTerminal.start(t, args);
  for (const [prompt, text] of texts) {
    await session.sees(prompt);
    session.type(`${text}\r`);
  }
  await session.sees(/Authenticated to 127\.0\.0\.1/);
  const found = search(
    commandOf(session),
    Object.fromEntries(texts.map(([prompt, text]) => [prompt.source, parts(text)])),
  );
  session.type('\x03');
  await session.sees(/status 0\r\n/);
  return found;
}

const typed = { skip: skip || (hasTerminal ? false : 'there is no script(1)'), timeout: 60_000 };

test('memory holds no trace of a passphrase and a code typed at the terminal', typed, async (t) => {
  const [passphrase, code] = [secret(), secret()];
  const { publicKey, file } = makeKey(join(folder.path, 'typed'), { passphrase });
  const asking = await Ssh2Server.start({
    authenticate: (context) => {
      const { method, key } = context;
      if (method === 'publickey' && key.data.toString('base64') === publicKey.split(' ')[1]) {
        return context.signature ? context.reject(['keyboard-interactive'], true) : context.accept();
      }
      if (method !== 'keyboard-interactive') return context.reject(['publickey', 'keyboard-interactive']);
      return context.prompt([{ prompt: 'Code: ', echo: false }], ([given]) =>
        given === code ? context.accept() : context.reject(),
      );
    },
  });
  t.after(() => asking.stop());
  const texts = [
    [/Enter passphrase for key '.*': /, passphrase],
    [/Code: /, code],
  ];
  assert.deepEqual(await typeAll(t, commandFor(asking, 'typed', file), texts), []);
});

test('memory holds no trace of a password typed at the terminal', typed, async (t) => {
  const password = secret();
  const asking = await Ssh2Server.start({
    authenticate: (context) =>
      context.method === 'password' && context.password === password ? context.accept() : context.reject(['password']),
  });
  t.after(() => asking.stop());
  const texts = [
    [/password: /, secret()],
    [/try again[^]*password: /, password],
  ];
  assert.deepEqual(await typeAll(t, commandFor(asking, 'password', 'none'), texts), []);
});
