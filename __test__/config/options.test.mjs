// The options that fromConfig makes of ssh_config files.

import assert from 'node:assert/strict';
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { userInfo } from 'node:os';
import { join, } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { configureIn, contextIn } from '../helpers/ssh-config.mjs';
import { assertIncludes, } from '../helpers/tunnels.mjs';

const require = createRequire(import.meta.url);
const { DIRECTIVES } = require('../../lib/ssh-config/directives.js');

const USER = userInfo().username;
const folder = temporaryFolder('config');
after(folder.remove);
const { at, write } = folder;

const configure = configureIn(folder);

/** One member of the options made of a text. */
const option = (name, text, overrides) => configure(text, overrides).options[name];

test('options of the server, the session and its proxies', () => {
  const { options, notices } = configure(`
    HostName Real.Example
    Port 2222
    User u
    ConnectTimeout 7
    ServerAliveInterval 1m
    ServerAliveCountMax 0
    RekeyLimit 1M 2h
    AddressFamily inet6
    BindAddress ::1
    HostKeyAlias Alias
    StrictHostKeyChecking accept-new
    UserKnownHostsFile ~/one /%h
    GlobalKnownHostsFile /two
    Compression yes
    IdentityFile none
    IdentityAgent none
  `);
  assertIncludes(options, {
    host: 'real.example', port: 2222, username: 'u', readyTimeout: 7000, keepaliveInterval: 60_000, keepaliveCountMax: 1,
    rekey: { bytes: 2 ** 20, seconds: 7200 }, forceIPv6: true, forceIPv4: undefined, localAddress: '::1', hostKeyAlias: 'alias',
    strictHostKeyChecking: 'accept-new', updateHostKeys: false, knownHosts: [`${userInfo().homedir}/one`, '/real.example', '/two'],
    algorithms: { compress: ['zlib@openssh.com', 'none'] }, privateKey: undefined, agent: undefined, authHandler: undefined,
    jump: undefined, proxyCommand: undefined, forwardHost: 'target', forwardPort: 1,
  });
  assert.deepEqual(notices, []);
  const plain = configure('').options;
  const files = ['known_hosts', 'known_hosts2'].map((name) => join(userInfo().homedir, '.ssh', name));
  assertIncludes(plain, {
    host: 'h', port: 22, username: USER, updateHostKeys: true, strictHostKeyChecking: undefined, readyTimeout: undefined, algorithms: undefined,
    knownHosts: [...files, '/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'], rekey: undefined, keepaliveInterval: undefined,
  });
});

test('options: sizes and times beyond the limits of the constructor', () => {
  const { options, notices } = configure('RekeyLimit 16 3000w\nServerAliveInterval 3000w\nConnectTimeout 3000w\nIdentityFile none\n');
  assertIncludes(options, { rekey: { bytes: 2 ** 20, seconds: 2_147_483 }, keepaliveInterval: 2 ** 31 - 1, readyTimeout: 2 ** 31 - 1 });
  assert.deepEqual(notices.map(({ option, reason }) => [option, reason]), [['RekeyLimit', `taken as ${2 ** 20} bytes`]]);
  new SSHTunnel(options);
  assert.equal(option('rekey', 'RekeyLimit default none'), undefined);
});

test('options of host key checking', () => {
  for (const [value, expected] of [['yes', true], ['ask', true], ['accept-new', 'accept-new'], ['no', 'no'], ['off', 'no']]) {
    assert.equal(option('strictHostKeyChecking', `StrictHostKeyChecking ${value}`), expected);
  }
  assert.deepEqual(option('knownHosts', 'UserKnownHostsFile none\nGlobalKnownHostsFile none'), []);
  for (const [text, expected] of [['', true], ['UserKnownHostsFile /x', false], ['UpdateHostKeys yes\nUserKnownHostsFile /x', true], ['UpdateHostKeys no', false]]) {
    assert.equal(option('updateHostKeys', text), expected, text);
  }
  // As in ssh, a key is not accepted if it cannot be written.
  for (const value of ['accept-new', 'no', 'off']) {
    const { options, notices } = configure(`UserKnownHostsFile none\nStrictHostKeyChecking ${value}\nUpdateHostKeys yes`);
    assertIncludes(options, { strictHostKeyChecking: true, updateHostKeys: false });
    assert.equal(options.hostVerifier, undefined);
    assert.deepEqual(notices.map(({ option }) => option), ['StrictHostKeyChecking']);
  }
  for (const [text, expected] of [['', undefined], ['RevokedHostKeys None', undefined], ['RevokedHostKeys ~/r-%h', [`${userInfo().homedir}/r-h`]]]) {
    assert.deepEqual(option('revokedHostKeys', text), expected);
    assert.deepEqual(option('revokedHostKeys', text, { knownHosts: '/other' }), expected);
  }
  for (const [text, expected] of [['', undefined], ['RequiredRSASize 0', 1024], ['RequiredRSASize 3072', 3072], ['RequiredRSASize 99999', 16_384]]) {
    assert.equal(option('requiredRSASize', text), expected);
  }
  const ask = configure('UpdateHostKeys ask');
  assert.equal(ask.options.updateHostKeys, false);
  assertIncludes(ask.notices[0], { option: 'UpdateHostKeys', value: 'ask' });
});

test('options of algorithms', () => {
  const lists = (text) => configure(`IdentityFile none\n${text}`);
  assert.deepEqual(lists('Ciphers aes256-ctr,aes128-ctr').options.algorithms, { cipher: ['aes256-ctr', 'aes128-ctr'] });
  assert.deepEqual(lists('Ciphers -aes*-ctr,chacha*').options.algorithms.cipher.remove.sort(), [
    'aes128-ctr', 'aes192-ctr', 'aes256-ctr', 'chacha20-poly1305@openssh.com',
  ]);
  assert.deepEqual(lists('MACs ^hmac-sha2-256').options.algorithms, { hmac: { prepend: ['hmac-sha2-256'] } });
  assert.deepEqual(lists('HostKeyAlgorithms +ssh-ed25519').options.algorithms, { serverHostKey: { append: ['ssh-ed25519'] } });
  assert.deepEqual(lists('HostKeyAlgorithms rsa-sha2-*,ssh-ed25519').options.algorithms, {
    serverHostKey: ['rsa-sha2-512', 'rsa-sha2-256', 'rsa-sha2-512-cert-v01@openssh.com', 'rsa-sha2-256-cert-v01@openssh.com', 'ssh-ed25519'],
  });
  assert.deepEqual(lists('CASignatureAlgorithms ecdsa-*384,ssh-dss').options.algorithms, { caSignature: ['ecdsa-sha2-nistp384'] });
  assert.deepEqual(lists('PubkeyAcceptedKeyTypes -*rsa*').options.algorithms.publicKey.remove.length, 4);
  assert.equal(lists('PubkeyAcceptedAlgorithms +ssh-rsa').options.algorithms, undefined);
  assert.deepEqual(lists('KexAlgorithms curve25519-sha256').options.algorithms, { kex: ['curve25519-sha256'] });
  const some = lists('Ciphers 3des-cbc,aes256-ctr,aes128-cbc\nMACs +umac-64@openssh.com\nKexAlgorithms -nonsense');
  assert.deepEqual(some.options.algorithms, { cipher: ['aes256-ctr'] });
  assert.deepEqual(some.notices.map(({ option, reason }) => [option, reason]), [
    ['KexAlgorithms', 'no'], ['Ciphers', 'not known here, and left out: 3des-cbc, aes128-cbc'], ['MACs', 'not known here, and left out: umac-64@openssh.com'],
  ].filter(([, reason]) => reason !== 'no'));
  // Without a MAC that is known here, only ciphers are left that need none.
  const others = ['aes128-ctr', 'aes192-ctr', 'aes256-ctr'];
  for (const [text, expected] of [
    ['MACs hmac-sha1,umac-64@openssh.com', { remove: others }], ['MACs -*', { remove: others }],
    ['MACs hmac-sha1\nCiphers aes128-ctr,aes256-gcm@openssh.com', ['aes256-gcm@openssh.com']],
    ['MACs hmac-sha1\nCiphers -chacha*', { remove: ['chacha20-poly1305@openssh.com', ...others] }],
    ['MACs hmac-sha1\nCiphers ^aes128-ctr,aes128-gcm@openssh.com', { prepend: ['aes128-gcm@openssh.com'], remove: others }],
  ]) {
    const { options } = lists(text);
    const { cipher, hmac } = options.algorithms;
    if (cipher.remove) cipher.remove.sort((a, b) => Number(others.includes(a)) - Number(others.includes(b)) || (a < b ? -1 : 1));
    assert.deepEqual([cipher, hmac], [expected, undefined], text);
    new SSHTunnel(options);
  }
  for (const text of ['MACs hmac-sha1\nCiphers aes128-ctr', 'MACs -*\nCiphers -*gcm*,chacha*', 'MACs hmac-sha1\nCiphers aes128-ctr,aes192-ctr']) {
    assert.throws(() => lists(text), { code: 'ERR_SSH_CONFIG', line: 2, message: /every cipher that is left needs one/ });
  }
  for (const text of ['Ciphers 3des-cbc', 'Ciphers -*', 'MACs nonsense', 'MACs hmac-sha1,nonsense']) {
    assert.throws(() => lists(text), { code: 'ERR_SSH_CONFIG', line: 2, message: /no algorithm that is known here: / });
  }
  assert.deepEqual(
    configure('Ciphers aes256-ctr\nMACs hmac-sha2-256', { algorithms: { cipher: ['aes128-ctr'] } }).options.algorithms,
    { cipher: ['aes128-ctr'], hmac: ['hmac-sha2-256'] },
  );
  // The constructor supports every remaining name.
  new SSHTunnel(lists('Ciphers ^aes256-ctr\nMACs -hmac-sha2-512\nHostKeyAlgorithms rsa-sha2-512\nKexAlgorithms +curve25519-sha256').options);
});

test('options of authentication', () => {
  const methods = (text, overrides) => option('authHandler', `IdentityAgent /agent\n${text}`, { password: 'p', tryKeyboard: true, ...overrides });
  assert.equal(methods(''), undefined);
  assert.deepEqual(methods('PreferredAuthentications password,publickey'), ['none', 'password', 'agent']);
  assert.deepEqual(methods('PasswordAuthentication no'), ['agent', 'none', 'keyboard-interactive']);
  assert.deepEqual(methods('PubkeyAuthentication no\nKbdInteractiveAuthentication no'), ['none', 'password']);
  assert.deepEqual(methods('PreferredAuthentications keyboard-interactive\nPubkeyAuthentication yes'), ['none', 'keyboard-interactive']);
  assert.deepEqual(methods('PreferredAuthentications publickey', { password: undefined, tryKeyboard: undefined, agent: '/x' }), ['agent', 'none']);
  assert.deepEqual(methods('PreferredAuthentications password', { password: undefined, tryKeyboard: undefined }), ['none']);
  assert.deepEqual(methods('PasswordAuthentication no', { authHandler: ['password'] }), ['password']);
  const { notices } = configure('PreferredAuthentications gssapi-with-mic,hostbased,publickey\nIdentityFile none');
  assert.deepEqual(notices.map(({ option, reason }) => [option, reason]), [['PreferredAuthentications', 'not supported: gssapi-with-mic, hostbased']]);
});

test('options of forwards', () => {
  const NAMES = ['localHost', 'localPort', 'forwardHost', 'forwardPort'];
  const forward = (text, overrides) => NAMES.map((name) => option(name, `IdentityFile none\n${text}`, overrides));
  assert.deepEqual(forward('LocalForward 8080 db:5432'), [undefined, 8080, 'db', 5432]);
  assert.deepEqual(forward('LocalForward [::1]:8080 [fe80::1]:5432'), ['::1', 8080, 'fe80::1', 5432]);
  assert.deepEqual(forward('LocalForward 127.0.0.9:8080 %h.${LANG_OF_TEST}:5432'.replace('${LANG_OF_TEST}', 'example')), ['127.0.0.9', 8080, 'h.example', 5432]);
  for (const text of ['LocalForward *:8080 db:1', 'LocalForward :8080 db:1', 'GatewayPorts yes\nLocalForward 8080 db:1']) {
    assert.equal(forward(text)[0], '0.0.0.0', text);
  }
  assert.deepEqual(forward('LocalForward 1 db:1', { localPort: 0, localHost: '::1' }), ['::1', 0, 'db', 1]);
  // Another target does not use this port.
  assert.deepEqual(forward('LocalForward 8080 db:1', { forwardHost: 'web', forwardPort: 80 }), [undefined, undefined, 'web', 80]);
  assert.equal(forward('ClearAllForwardings yes\nLocalForward 8080 db:1')[1], undefined);
  const { options, notices } = configure('IdentityFile none\nLocalForward /sock db:1\nLocalForward 2 db:2\nLocalForward 3 db:3\nLocalForward 4 /sock\nRemoteForward 5 db:5\nDynamicForward 6');
  assert.equal(options.localPort, 2);
  assert.deepEqual(notices.map(({ option, line }) => [option, line]).sort(), [
    ['DynamicForward', 7], ['LocalForward', 2], ['LocalForward', 4], ['LocalForward', 5], ['RemoteForward', 6],
  ]);
});

test('jump hosts are looked up in the file themselves', () => {
  const { options } = configure(`
    Host inner
      HostName inner.example
      ProxyJump outer,me@middle:2200
    Host outer
      User outer-user
      HostName outer.example
      ProxyJump first
      BindAddress 10.0.0.1
    Host middle
      Port 1
      HostKeyAlias m
      ProxyJump nobody-asks
    Host first
      ProxyCommand connect %n %h:%p 100%% as %r
      BindAddress 10.0.0.2
    Host *
      IdentityFile none
      IdentityAgent none
  `, {}, 'inner');
  assert.deepEqual(options.jump.map(({ host, port, username }) => [host, port, username]), [
    ['first', 22, USER], ['outer.example', 22, 'outer-user'], ['middle', 2200, 'me'],
  ]);
  assert.equal(options.jump[2].hostKeyAlias, 'm');
  // The proxy of the first hop applies to the whole chain.
  assert.equal(options.proxyCommand, undefined);
  assert.deepEqual(options.jump.map(({ proxyCommand }) => proxyCommand), ['connect first %h:%p 100%% as %r', undefined, undefined]);
  assert.equal(options.localAddress, '10.0.0.2');
  assert.equal(option('jump', 'ProxyJump a\nIdentityFile none', { jump: [] }).length, 0);
  assert.equal(option('proxyCommand', 'ProxyCommand x\nIdentityFile none', { jump: [] }), undefined);
  assert.equal(option('proxyCommand', 'ProxyCommand none'), undefined);
  assert.equal(option('proxyCommand', 'HostName real\nProxyCommand x %n:%p'), 'x h:%p');
  assert.throws(() => configure('ProxyCommand x %C'), { code: 'ERR_SSH_CONFIG', line: 1 });
  assert.equal(option('jump', 'ProxyJump none\nProxyCommand x'), undefined);
  assert.throws(() => configure('Host *\n ProxyJump b\n'), { code: 'ERR_SSH_CONFIG', line: 2, message: /more than 16 hosts/ });
});

test('overrides take precedence, like the command line of ssh', () => {
  const text = 'Match user given\n ServerAliveInterval 5\nHost h\n User file\n Port 5\n HostName file.example\n HostKeyAlias a\nMatch host over.example\n ConnectTimeout 9\n';
  const { options } = configure(text, { username: 'given', port: 6, host: 'over.example', knownHosts: ['/only'], readyTimeout: 1, agent: undefined });
  assertIncludes(options, { username: 'given', port: 6, host: 'over.example', keepaliveInterval: 5000, readyTimeout: 1, knownHosts: ['/only'], hostKeyAlias: undefined });
  assert.ok(option('knownHosts', text, { hostVerifier: () => true }).length > 0, 'the verifier decides about keys that the files do not have');
  assert.equal(option('knownHosts', text, { hostKey: 'SHA256:x' }), undefined);
});

test("the user's file precedes the system's, and both may be missing", () => {
  const context = contextIn(folder, 'order');
  const read = () => configure('', {}, 'h', context).options;
  assertIncludes(read(), { host: 'h', port: 22, username: USER });
  writeFileSync(context.systemFile, 'User system\nPort 2\nInclude more\n');
  writeFileSync(join(context.systemFolder, 'more'), 'HostKeyAlias more\n');
  writeFileSync(context.userFile, 'User user\nInclude own\n');
  writeFileSync(join(context.userFolder, 'own'), 'Host h\n HostName own.example\n');
  assertIncludes(read(), { host: 'own.example', port: 2, username: 'user', hostKeyAlias: 'more' });
  writeFileSync(context.systemFile, 'Include ~/x\n');
  assert.throws(read, { code: 'ERR_SSH_CONFIG', file: context.systemFile, line: 1 });
  assertIncludes(configure('', {}, 'h', { ...context, configFile: 'none' }).options, { host: 'h', username: USER });
  writeFileSync(context.systemFile, '');
  for (const mode of [0o620, 0o602]) {
    chmodSync(context.userFile, mode);
    assert.throws(read, { code: 'ERR_SSH_CONFIG', file: context.userFile, message: /others than its user may write it/ });
  }
  chmodSync(context.userFile, 0o644);
  read();
  // A file of root is trusted like the user's own; a third user's file is not, also not by root.
  if (context.uid === 0) chownSync(context.userFile, 12_345, 12_345);
  assert.throws(() => configure('', {}, 'h', { ...context, uid: context.uid && 12_345 }), /others than its user/);
});

test('Match localnetwork applies as in ssh', () => {
  const user = (criterion) => option('username', `Match ${criterion}\n User u\n`);
  for (const networks of ['127.0.0.0/8', '10.255.255.255,127.0.0.1', '0.0.0.0/0']) assert.equal(user(`localnetwork ${networks}`), 'u');
  for (const networks of ['203.0.113.0/24', '2001:db8::/32,203.0.113.1']) {
    assert.equal(user(`localnetwork ${networks}`), USER);
    assert.equal(user(`!localnetwork ${networks}`), 'u');
  }
  for (const bad of ['x', '127.0.0.1/33', '::/129', '127.0.0.1/', '127.0.0.0/8,']) assert.throws(() => user(`localnetwork ${bad}`), { code: 'ERR_SSH_CONFIG', line: 1 });
});

test('RefuseConnection, Tag and environment variables apply as in ssh', () => {
  const refused = { code: 'ERR_SSH_CONFIG', line: 1, message: /RefuseConnection: not today/ };
  assert.throws(() => configure('RefuseConnection "not today"'), refused);
  assert.equal(option('username', 'Tag x\nMatch tagged x,y\n User u\n'), 'u');
  assert.equal(option('username', 'Match tagged ""\n User u\n'), 'u');
  assert.equal(option('username', 'Match command ""\n User u\n'), 'u');
  assert.equal(option('username', 'Match sessiontype none\n User u\n'), 'u');
});

test('invalid arguments throw', () => {
  const target = { forwardHost: 'f', forwardPort: 1, configFile: 'none' };
  const make = (host, overrides) => () => SSHTunnel.fromConfig(host, overrides);
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  for (const host of [undefined, 5, null, {}]) assert.throws(make(host, target), { ...type, message: /^The "host" argument must be of type string/ });
  for (const host of ['', '-oProxyCommand=x', 'a b', 'a;b', '$(x)', 'a\nb', "a'b"]) assert.throws(make(host, target), { ...value, message: /'host'/ });
  for (const overrides of [5, null, 'x', []]) assert.throws(make('h', overrides), { ...type, message: /"overrides"/ });
  assert.throws(make('h', { ...target, configFile: 5 }), { ...type, message: /"overrides.configFile"/ });
  assert.throws(make('h', { ...target, configFile: at('missing') }), { code: 'ERR_SSH_CONFIG', file: at('missing') });
  assert.throws(make('h', { configFile: 'none', forwardPort: 1 }), { ...type, message: /"options.forwardHost"/ });
  assert.throws(make('h', { ...target, port: 0 }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
  assert.throws(make('h', { ...target, passphrase: 5 }), { ...type, message: /"options.passphrase"/ });
  assert.throws(make('h', { ...target, configFile: folder.path }), { code: 'ERR_SSH_CONFIG', message: /EISDIR/ });
  assert.throws(make('h', { ...target, configFile: write('User x\nPort y\n') }), (error) => {
    assert.ok(error instanceof Error);
    assertIncludes(error, { code: 'ERR_SSH_CONFIG', line: 2 });
    assert.match(error.message, /file\d+ line 2: bad port 'y'$/);
    return true;
  });
});

test('docs/config.md lists every directive in its category', () => {
  const page = readFileSync(new URL('../../docs/config.md', import.meta.url), 'utf8');
  const [, supported, reported, refused, ignored] = page.split(/^## (?:Supported|Reported|Refused|Ignored)$/m);
  for (const [name, directive] of Object.entries(DIRECTIVES)) {
    const part = directive.irrelevant ? ignored : directive.refuses ? refused : directive.reason ? reported : supported;
    assert.ok(part.includes(`\`${name}\``), name);
  }
});

// At a real server.
