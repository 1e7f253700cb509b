// Host names, user names, socket paths and ports: invalid ones are rejected at every entry, before anything changes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { createTunnel } from '../../tunnel-ssh.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { Target, behaviors } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { FAILED, HOST_UNREACHABLE, ask5, connectSocks, request4, reply4 } from '../helpers/socks.mjs';

const require = createRequire(import.meta.url);
const { parseArguments } = require('../../lib/cli/arguments.js');
const { readConfig } = require('../../lib/ssh-config/index.js');
const names = require('../../lib/validate/names.js');

const folder = temporaryFolder('names');
after(folder.remove);
const server = await Sshd.start();
after(() => server.stop());
const echo = await Target.start(behaviors.echo());
after(() => echo.stop());

/** Invalid names. */
const CONTROLS = {
  NUL: 'a\0b', 'line feed': 'a\nb', 'line feed at the end': 'a\n', 'carriage return': 'a\rb', tab: 'a\tb', ESC: 'a\x1b[2Jb', DEL: 'a\x7fb',
  'C1 control': 'a\x9bb', 'line separator': 'a\u2028b', 'paragraph separator': 'a\u2029b', 'half a surrogate pair': 'a\ud800b', 'the other half': '\udc00',
};
const LONG = 'x'.repeat(300_000);
/** Too long in bytes, not in characters. */
const WIDE = 'ä'.repeat(700);
const BAD = { ...CONTROLS, empty: '', long: LONG, wide: WIDE };

/** Names in common use. */
const USERS = ['ann', 'DOMAIN\\ann', 'ann@example.org', 'Ann Other', 'müller', '用户', 'host$', 'ann#target#22', "o'brien", 'a;b', '-a', 'a\\', 'x'.repeat(1024)];
const HOSTS = ['h', 'db.internal', 'DB.Internal.', '127.0.0.1', '::1', 'fe80::1%eth0', 'xn--mller-kva.example', 'müller.example', 'under_score', '*', 'a$b', 'x'.repeat(1024)];

const LOGIN = { host: '127.0.0.1', port: 1, username: 'user' };

/** Every error names the argument, says why, and is short whatever was given. */
function refuses(call, name, text = name) {
  const check = (error) => {
    assert.ok(error instanceof TypeError, `${error.stack}`);
    assert.equal(error.code, 'ERR_INVALID_ARG_VALUE');
    assert.ok(error.message.includes(`'${name}'`), error.message);
    assert.ok(error.message.length < 300, `${error.message.length} characters`);
    assert.doesNotMatch(error.message, /[\p{Cc}\p{Zl}\p{Zp}]/u);
    return true;
  };
  assert.throws(call, check, `${name}: ${JSON.stringify(text).slice(0, 50)}`);
}

/** The options that take a name, without its value. */
const OPTIONS = {
  'options.host': (host) => new SSHTunnel({ ...LOGIN, host }),
  'options.username': (username) => new SSHTunnel({ ...LOGIN, username }),
  'options.hostKeyAlias': (hostKeyAlias) => new SSHTunnel({ ...LOGIN, hostKeyAlias }),
  'options.agent': (agent) => new SSHTunnel({ ...LOGIN, agent }),
  'options.localHost': (localHost) => new SSHTunnel({ ...LOGIN, localHost }),
  'options.localAddress': (localAddress) => new SSHTunnel({ ...LOGIN, localAddress }),
  'options.forwardHost': (forwardHost) => new SSHTunnel({ ...LOGIN, forwardHost, forwardPort: 1 }),
  'options.jump.host': (host) => new SSHTunnel({ ...LOGIN, jump: { ...LOGIN, host } }),
  'options.jump[1].host': (host) => new SSHTunnel({ ...LOGIN, jump: [LOGIN, { ...LOGIN, host }] }),
  'options.jump[1].username': (username) => new SSHTunnel({ ...LOGIN, jump: [LOGIN, { ...LOGIN, username }] }),
  'options.jump[0].hostKeyAlias': (hostKeyAlias) => new SSHTunnel({ ...LOGIN, jump: [{ ...LOGIN, hostKeyAlias }] }),
  'options.jump[0].agent': (agent) => new SSHTunnel({ ...LOGIN, jump: [{ ...LOGIN, agent }] }),
  host: (host) => SSHTunnel.fromConfig(host, { configFile: 'none' }),
  'overrides.host': (host) => SSHTunnel.fromConfig('h', { configFile: 'none', host }),
  'overrides.username': (username) => SSHTunnel.fromConfig('h', { configFile: 'none', username }),
};

test('the constructor and fromConfig reject invalid names', () => {
  for (const [name, make] of Object.entries(OPTIONS)) {
    for (const text of Object.values(BAD)) refuses(() => make(text), name, text);
  }
});

test('the constructor accepts names in common use', () => {
  for (const username of USERS) new SSHTunnel({ ...LOGIN, username, jump: { ...LOGIN, username } });
  for (const host of HOSTS) new SSHTunnel({ ...LOGIN, host, hostKeyAlias: host, localHost: host, forwardHost: host, forwardPort: 1, jump: { ...LOGIN, host } });
});

test('fromConfig accepts from its caller what ssh accepts on its command line', () => {
  const given = (members) => SSHTunnel.fromConfig('h', { configFile: 'none', ...members });
  for (const username of ['ann', 'DOMAIN\\ann', 'ann@example.org', 'Ann Other', 'müller', 'host$', 'ann#target']) given({ username });
  for (const username of ['-a', 'a -b', 'a\\', 'a;b', "o'brien", 'a`b', 'a"b', 'a&b', 'a|b', 'a(b', 'a{b', 'a<b']) refuses(() => given({ username }), 'overrides.username', username);
  for (const host of ['-h', 'a b', 'a;b', '$(a)', 'a\\b', 'a,b', 'a`b', 'a|b', "a'b"]) {
    refuses(() => given({ host }), 'overrides.host', host);
    refuses(() => SSHTunnel.fromConfig(host, { configFile: 'none' }), 'host', host);
  }
  // It would stand for %p in a command.
  assert.throws(() => given({ port: '22;id' }), { code: 'ERR_INVALID_ARG_TYPE', message: /"overrides\.port"/ });
  assert.throws(() => given({ port: 65_536 }), { code: 'ERR_OUT_OF_RANGE', message: /"overrides\.port"/ });
  refuses(() => given({ configFile: 'a\nb' }), 'overrides.configFile');
});

test('createTunnel() rejects invalid names before any lookup', async () => {
  const ways = {
    'sshOptions.host': (host) => createTunnel({}, {}, { ...LOGIN, host }, { dstAddr: 'a', dstPort: 1 }),
    'sshOptions.username': (username) => createTunnel({}, {}, { ...LOGIN, username }, { dstAddr: 'a', dstPort: 1 }),
    'serverOptions.host': (host) => createTunnel({}, { host }, LOGIN, { dstAddr: 'a', dstPort: 1 }),
    'forwardOptions.dstAddr': (dstAddr) => createTunnel({}, {}, LOGIN, { dstAddr, dstPort: 1 }),
  };
  for (const [name, make] of Object.entries(ways)) {
    for (const text of Object.values({ ...CONTROLS, long: LONG })) {
      const error = await make(text).then(() => assert.fail(), (failure) => failure);
      refuses(() => { throw error; }, name, text);
    }
  }
});

test('invalid targets and listen addresses are rejected without a session', () => {
  const tunnel = new SSHTunnel(LOGIN);
  tunnel.on('error', assert.fail);
  const nothing = () => assert.fail('called back');
  const ways = {
    host: (host) => tunnel.dial(host, 80),
    'options.host': (host) => tunnel.dial({ host, port: 80 }),
    'options.path': (path) => tunnel.dial({ path }),
    'options.forwardHost': (forwardHost) => tunnel.forwardLocal({ forwardHost, forwardPort: 80 }, nothing),
    'options.forwardPath': (forwardPath) => tunnel.forwardLocal({ forwardPath }, nothing),
    'options.localHost': (localHost) => tunnel.forwardDynamic({ localHost }, nothing),
    'options.localPath': (localPath) => tunnel.forwardLocal({ localPath, forwardHost: 'a', forwardPort: 1 }, nothing),
    'options.remotePath': (remotePath) => tunnel.forwardRemote({ remotePath, forwardHost: 'a', forwardPort: 1 }, nothing),
  };
  for (const [name, ask] of Object.entries(ways)) {
    for (const text of Object.values(BAD)) refuses(() => ask(text), name, text);
  }
  for (const text of Object.values({ ...CONTROLS, long: LONG })) {
    refuses(() => tunnel.forwardRemote({ remoteHost: text, forwardHost: 'a', forwardPort: 1 }, nothing), 'options.remoteHost', text);
    refuses(() => tunnel.forwardRemote({ forwardPath: text }, nothing), 'options.forwardPath', text);
  }
  assert.deepEqual(tunnel.forwards(), []);
});

/** No limit of the rate, as the addon takes it. */
const NO_RATE = { up: 0, down: 0 };

/** Values that only JavaScript could pass by mistake. */
test('the addon rejects invalid names too', () => {
  const { binding, create } = require('../../lib/native/index.js');
  const { checkOptions } = require('../../lib/validate/index.js');
  const spoil = (change) => {
    const { native } = checkOptions({ ...LOGIN, jump: LOGIN, forwardHost: 'a', forwardPort: 1 });
    change(native);
    return create({}, native);
  };
  for (const text of ['a\0b', 'a\nb', LONG, '']) {
    for (const [name, change] of Object.entries({
      'options.host': ({ server }) => (server.host = text),
      'options.username': ({ server }) => (server.username = text),
      'options.hostKeyAlias': ({ server }) => (server.hostKeyAlias = text),
      'options.agent': ({ server }) => (server.credentials.agent = text),
      'options.jump.host': ({ jump }) => (jump[0].host = text),
      'options.jump.username': ({ jump }) => (jump[0].username = text),
      'options.forwardHost': (native) => (native.forwardHost = text),
      'options.localHost': (native) => (native.localHost = text),
      'options.localAddress': (native) => (native.localAddress = text),
    })) {
      const failure = spoil(change);
      assert.equal(failure.code, 'ERR_INVALID_ARG_VALUE', `${name}: ${typeof failure}`);
      assert.ok(failure.message.includes(`'${name}'`) && failure.message.length < 200, failure.message);
    }
  }
  const handle = spoil(() => {});
  assert.equal(typeof handle, 'number');
  for (const host of ['a\0b', 'a\nb', LONG]) {
    assert.throws(() => binding.dial(handle, { host, port: 1 }), { code: 'InvalidArg' });
    assert.throws(() => binding.dial(handle, { path: host }), { code: 'InvalidArg' });
    const good = { host: 'a', port: 1 };
    for (const kind of ['local', 'remote']) {
      const start = (listen, target) =>
        binding.call(handle, binding.Method.StartForward, 0, 0, { forward: { kind, listen, target, maxRate: NO_RATE } });
      assert.throws(() => start({ host, port: 1 }, good), { code: 'InvalidArg' });
      assert.throws(() => start(good, { host, port: 1 }), { code: 'InvalidArg' });
      assert.throws(() => start(good, { path: host }), { code: 'InvalidArg' });
    }
  }
  const dynamic = { kind: 'dynamic', listen: { host: 'a', port: 1 }, username: 'half a login', maxRate: NO_RATE };
  assert.throws(() => binding.call(handle, binding.Method.StartForward, 0, 0, { forward: dynamic }), /login is not valid/);
});

test('an invalid name in a SOCKS request gets a reply and affects no other client', async (t) => {
  const tunnel = new SSHTunnel(server.login);
  t.after(() => tunnel.promises.shutdown(), { timeout: 10_000 });
  tunnel.on('error', assert.fail);
  const { localPort } = await tunnel.promises.forwardDynamic({});
  const other = await tunnel.promises.dial('127.0.0.1', echo.port);
  for (const text of ['a\0b', 'a\nb', 'a\x1b[2Jb', 'a\x7fb', 'a\u0085b', 'a\u2028b', '']) {
    const { peer: five, code } = await ask5(localPort, text, 80, { name: true });
    assert.equal(code, FAILED, JSON.stringify(text));
    five.read();
    await five.ended;
    if (text.includes('\0')) continue; // that ends the name in SOCKS 4a
    const four = await connectSocks(localPort);
    four.socket.write(request4(text, 80));
    assert.equal(await reply4(four), 91, JSON.stringify(text));
  }
  // A valid name of maximum length: the server decides about it.
  const { code } = await ask5(localPort, 'x'.repeat(255), 80, { name: true });
  assert.equal(code, HOST_UNREACHABLE);
  other.write('still there');
  const [bytes] = await once(other, 'data');
  assert.equal(String(bytes), 'still there');
  other.destroy();
});

test('an HTTP request to an invalid name fails alone, also from the queue', async (t) => {
  const tunnel = new SSHTunnel(server.login);
  t.after(() => tunnel.promises.shutdown(), { timeout: 10_000 });
  tunnel.on('error', assert.fail);
  await tunnel.promises.connect();
  const site = http.createServer((_, response) => setImmediate(() => response.end('good')));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => site.close());
  const agent = tunnel.httpAgent({ maxSockets: 1, maxTotalSockets: 1 });
  t.after(() => agent.destroy());
  const get = (host, port) => new Promise((resolve, reject) => http.get({ host, port, agent }, (response) => response.resume().on('end', () => resolve(response.statusCode))).on('error', reject));
  const first = get('127.0.0.1', site.address().port);
  const waiting = get(LONG, 80);
  const last = get('127.0.0.1', site.address().port);
  assert.equal(await first, 200);
  await assert.rejects(waiting, { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' });
  assert.equal(await last, 200);
});

test('invalid names in files and expanded tokens are errors with file and line', () => {
  const file = join(folder.path, 'config');
  const read = (text, host = 'h', overrides = {}) => {
    writeFileSync(file, text, { mode: 0o600 });
    const { wipe, options } = readConfig(host, { configFile: file, ...overrides });
    wipe();
    return options;
  };
  const bad = { NUL: 'a\0b', ESC: 'a\x1b[2Jb', tab: '"a\tb"', 'C1 control': 'a\x9bb', long: LONG };
  for (const keyword of ['HostName', 'User', 'HostKeyAlias', 'BindAddress', 'LocalForward 8080', 'ProxyJump']) {
    for (const [name, text] of Object.entries(bad)) {
      const given = keyword.startsWith('Local') ? `${text}:80` : text;
      assert.throws(() => read(`\n${keyword} ${given}\n`), (error) => {
        assert.equal(error.code, 'ERR_SSH_CONFIG', `${keyword} ${name}: ${error.stack}`);
        assert.deepEqual([error.file, error.line], [file, 2]);
        assert.ok(error.message.length < file.length + 250, `${keyword}: ${error.message.length}`);
        return true;
      });
    }
  }
  assert.throws(() => read(`HostName ${'%h.'.repeat(300)}\n`, 'x'.repeat(100)), { code: 'ERR_SSH_CONFIG', line: 1, message: /HostName must not be longer than 1024 bytes/ });
  // Literal text in a file is accepted as the file has it.
  assert.equal(read('User "o\'brien"\n').username, "o'brien");
  assert.equal(read('User DOMAIN\\ann\n').username, 'DOMAIN\\ann');
  assert.equal(read('User "Ann Other"\n').username, 'Ann Other');
});

test('an invalid agent path is ignored, as in ssh', () => {
  const variables = { SSH_AUTH_SOCK: `/${'x'.repeat(300)}` };
  const before = process.env.SSH_AUTH_SOCK;
  process.env.SSH_AUTH_SOCK = variables.SSH_AUTH_SOCK;
  try {
    const tunnel = SSHTunnel.fromConfig('h', { configFile: 'none' });
    assert.ok(tunnel.configNotices.some(({ option, reason }) => option === 'IdentityAgent' && /must not be longer/.test(reason)));
  } finally {
    if (before === undefined) delete process.env.SSH_AUTH_SOCK;
    else process.env.SSH_AUTH_SOCK = before;
  }
});

test('flags of the command accept one valid name only', () => {
  const flags = {
    '-l': (text) => ['-l', text], '-J': (text) => ['-J', text], '-J user': (text) => ['-J', `${text}@a`], '-W': (text) => ['-W', `${text}:1`], '-L': (text) => ['-L', `1:${text}:1`], '-L path': (text) => ['-L', `1:/${text}`],
    '-R': (text) => ['-R', `${text}:1:a:1`], '-D': (text) => ['-D', `${text}:1`], '-b': (text) => ['-b', text], '-o': (text) => ['-o', `User=${text}`], '-i': (text) => ['-i', text], '-F': (text) => ['-F', text],
    '-p': (text) => ['-p', `2${text}`], '-c': (text) => ['-c', text], '-m': (text) => ['-m', text], '-P': (text) => ['-P', text], '-S': (text) => ['-S', text], '-e': (text) => ['-e', text],
    destination: (text) => [text], user: (text) => [`${text}@a`], 'ssh://': (text) => [`ssh://${text}@a`], 'ssh://host': (text) => [`ssh://${text}`],
  };
  for (const [flag, args] of Object.entries(flags)) {
    for (const [name, text] of Object.entries(CONTROLS)) {
      assert.throws(() => parseArguments([...args(text), 'h'].slice(0, 3)), (error) => {
        assert.equal(error.constructor.name, 'UsageError', `${flag} ${name}: ${error.stack}`);
        return error.message.length < 300;
      }, `${flag} ${name}`);
    }
  }
  for (const [flag, text] of [['-L', `1:${LONG}:1`], ['-L', `1:/${LONG}`], ['-R', `1:${LONG}:1`], ['-W', `${LONG}:1`], ['-D', `${LONG}:1`], ['-p', LONG]]) {
    assert.throws(() => parseArguments([flag, text, 'h']), (error) => error.constructor.name === 'UsageError' && error.message.length < 300, flag);
  }
});

test('destinations: [user@]host[:port] and ssh:// URIs', () => {
  for (const [text, expected] of [
    ['h', { host: 'h' }], ['u@h', { user: 'u', host: 'h' }], ['a@b@h', { user: 'a@b', host: 'h' }], ['u@h:22', { user: 'u', host: 'h', port: 22 }],
    ['[::1]:22', { host: '::1', port: 22 }], ['[::1]', { host: '::1' }], ['DOMAIN\\u@h', { user: 'DOMAIN\\u', host: 'h' }], ['u%41@h', { user: 'u%41', host: 'h' }],
    ['ssh://u@h:22', { user: 'u', host: 'h', port: 22 }], ['ssh://h/', { host: 'h' }], ['ssh://u%41@h', { user: 'uA', host: 'h' }], ['ssh://u%5cx@h', { user: 'u\\x', host: 'h' }],
    ['ssh://u%c3%a4@h', { user: 'uä', host: 'h' }], ['ssh://u%20x@h', { user: 'u x', host: 'h' }], ['ssh://u+x@h', { user: 'u x', host: 'h' }], ['ssh://u%40x@h', { user: 'u@x', host: 'h' }],
    ['ssh://u;fingerprint=a@h', { user: 'u', host: 'h' }],
  ]) {
    assert.deepEqual(JSON.parse(JSON.stringify(names.readDestination(text))), expected, text);
  }
  for (const text of [
    '', '@h', 'u@', 'h:', 'h:0', 'h:65536', 'h:x', 'h:22:', '::1', '[::1', '[]', '[a]b', 'a/b', 'a/', '-h', 'u@-h', '-u@h', 'a b', 'u;x@h', 'a;b', 'a,b', 'a\\@h', 'u -x@h', '$(x)@h:1:', '$(x)@h', 'u"@h',
    'ssh://', 'ssh://@h', 'ssh://u@', 'ssh://h:0', 'ssh://h/path', 'ssh://a@b@h', 'ssh://u%@h', 'ssh://u%4@h', 'ssh://u%zz@h', 'ssh://u%ff@h', 'ssh://u@h%41b c',
    'ssh://u%00@h', 'ssh://u%00root@h', 'ssh://u%0a@h', 'ssh://u%1b@h', 'ssh://u%7f@h', 'ssh://u%3bx@h', 'ssh://u%27@h', 'ssh://%2dx@h', 'ssh://;a@h', LONG, `${LONG}@h`,
  ]) {
    assert.equal(names.readDestination(text), undefined, text.slice(0, 50));
  }
});
