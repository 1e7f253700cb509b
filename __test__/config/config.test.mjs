// ssh_config files: read as by OpenSSH's client, converted to options, and used with a real server.

import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, userInfo } from 'node:os';
import { join, relative } from 'node:path';
import { PassThrough } from 'node:stream';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Target, behaviours, connect } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { reading, truth } from '../helpers/ssh-config.mjs';
import { EventLog, assertIncludes, roundTrip } from '../helpers/tunnels.mjs';

const require = createRequire(import.meta.url);
const { readConfig } = require('../../lib/ssh-config/index.js');
const { makeContext } = require('../../lib/ssh-config/context.js');
const { DIRECTIVES } = require('../../lib/ssh-config/directives.js');

const USER = userInfo().username;
const folder = temporaryFolder('config');
after(folder.remove);
const at = (name) => join(folder.path, name);

let files = 0;

/** A file with this text that only the user can write. */
function write(text, name = `config${files++}`) {
  writeFileSync(at(name), text, { mode: 0o600 });
  return at(name);
}

const authority = makeKey(at('authority'));
const server = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`] });
after(() => server.stop());
const known = write(`[127.0.0.1]:${server.port} ${server.hostKeys[0].publicKey}\nalias ${server.hostKeys[0].publicKey}\n`, 'known_hosts');
const SERVER = `
  HostName 127.0.0.1
  Port ${server.port}
  UserKnownHostsFile ${known}
  GlobalKnownHostsFile none
  UpdateHostKeys no
  IdentityAgent none
`;

/** ssh and fromConfig read a file alike, and errors are in the same line. */
function agree(text, host = 'h', { args, given } = {}) {
  const file = write(text, 'compared');
  const expected = truth(file, host, args);
  const found = reading(file, host, given);
  if (expected.error === undefined) {
    assert.deepEqual(found, expected, JSON.stringify(text));
    return expected;
  }
  assert.ok(found.error, `${JSON.stringify(text)} is refused by ssh: ${expected.error.text}`);
  if (expected.error.line !== undefined) assert.equal(found.error.line, expected.error.line, JSON.stringify(text));
  return expected;
}

/** Texts of one kind, each of which must set something. */
const TEXTS = {
  'keywords and separators': [
    'Host h\n HostName a.b\n Port 2222\n User u\n', 'Host=h\nHostName=a.b\nPort = 2222\nUser= u\n',
    'hOsT h\n uSeR a\nUSER b\n', '\tHost\t h\n\tUser\tu\n', 'Host h\r\n User u\r\n Port 9\r\n', 'User u \f\n', '"User" u\n',
    'User a=b\n', 'User==u\n', '# a\n\n  # b\nUser u', 'Protocol 2\nCipher 3des\nUseRoaming no\nUser u\n', 'User a%b\n',
    'KeepAlive no\nSkeyAuthentication no\nIdentityFile2 /a\n',
  ],
  'words, quotes and comments': [
    'IdentityFile /k/a#b\nUser x#y\n', 'User x # c\nHostName a # d\n', "IdentityFile '/k/a b'\n", 'IdentityFile "/k/a b"\n',
    'IdentityFile /k/"a b"/c\n', 'IdentityFile /k/a\\ b\n', 'IdentityFile "a\\ b"\n', 'IdentityFile a\\"b\\\'c\\\\d\\e\n',
    'UserKnownHostsFile "/a b" /c\n', 'UserKnownHostsFile \'/a "b\' /c\n',
  ],
  'the first value counts': [
    'Host h\n User a\nHost *\n User b\n', 'UserKnownHostsFile /a /b\nUserKnownHostsFile /c\n',
    'IdentityFile /a\nHost h\n IdentityFile /b\nHost *\n IdentityFile /a\n', 'CertificateFile /a\nCertificateFile /b\nCertificateFile /a\n',
    'UserKnownHostsFile none\nGlobalKnownHostsFile /x /y\n', 'RekeyLimit 1G 1h\nRekeyLimit 2G\n',
  ],
  'Host and its patterns': [
    'Host *.x !bad.x\n User u\nHost *\n User w\n', 'Host !a\n User u\nHost *\n User w\n', 'Host h?\n User u\nHost ?\n User v\n',
    'Host *h*\n User u\n', 'Host **\n User u\n', 'Host H\n User u\nHost *\n User v\n', 'Host a h !b\n User u\n', 'Host "h" # a\n User u\n',
    'Host a,h\n User u\nHost *\n User v\n',
  ],
  'Match': [
    'Match all\n User u\n', 'HostName real\nMatch host real\n User u\n', 'HostName real\nMatch originalhost h\n User u\n',
    'Match !host other\n User u\n', 'Match host *,!h\n User u\nMatch all\n User w\n', 'User u\nMatch user u\n Port 3\n',
    `Match localuser ${USER}\n Port 3\n`, 'Match localuser nobody-else\n Port 3\nMatch all\n Port 4\n', 'Match host a host h\n Port 3\nMatch all\n Port 4\n',
    'Match host h host a\n Port 3\nMatch all\n Port 4\n', 'Match HOST h\n User e\n', 'Match host H\n User e\n', 'Match host h # c\n User e\n',
    'Match host h user nobody\n User e\nHost h\n User f\n', 'Match host h all\n User e\n', 'User "u v"\nMatch user "u v"\n Port 3\n',
  ],
  'Match canonical and final': [
    'Match final host real\n User f\nHost h\n HostName real\n', 'Match canonical\n User f\nMatch final all\n Port 3\n',
    'Match !final\n User f\nMatch final\n Port 3\nHost real\n Port 4\n IdentityFile /x\nHost h\n HostName REAL\n LocalForward 1 a:1\n',
  ],
  'Match exec': [
    'Match exec "true"\n User e\n', 'Match exec "false"\n User e\nMatch all\n User f\n', 'Match !exec "false"\n User e\n', 'Match exec "test x = x"\n User e\n',
    `HostName real\nMatch exec "test %h-%n-%p-%r-%u-%% = real-h-22-${USER}-${USER}-%%"\n User e\nMatch all\n User f\n`,
    'Match exec "test %L = %l"\n User e\nMatch all\n User f\n', 'Match exec "test %d-%i-%k = $HOME"\n User e\nMatch all\n User f\n',
    `Match host other exec "touch ${at('never')}"\n User e\nMatch all\n User f\n`,
  ],
  'proxies': [
    'ProxyCommand sh -c "nc  %h %p"  x=y\n', 'ProxyCommand sh -c \'a "$b"c\' #d\n', 'ProxyCommand a\\"b  c\n', 'ProxyCommand=nc %h\n', 'ProxyCommand = = nc %h\n',
    'ProxyJump a,u@b:3\n', 'ProxyJump u@b:3,[::1]:4 # c\nProxyCommand x\n', 'ProxyCommand x\nProxyJump b\n', 'ProxyJump none\nProxyCommand x\n',
    'ProxyJump a@b@c:3\n', 'ProxyJump none\nProxyJump b\nHostName c\n',
  ],
  'forwardings': [
    'LocalForward 8080 a:80\nLocalForward [::1]:81 [fe80::1]:82\n', 'LocalForward "8080" "a:80"\n',
    'LocalForward localhost:8080 a:80\nLocalForward *:1 b:2\nLocalForward :3 b:2\n', 'LocalForward 8080 a:80\nLocalForward 8080 a:80\n',
    'LocalForward 8080 a:80\nClearAllForwardings yes\n', 'GatewayPorts yes\nLocalForward [a]:8080 [b]:80\n',
  ],
  'values': [
    'HostName %h.example\nUser u\n', 'HostName a%%b\n', 'HostName UPPER.example\n', 'ConnectTimeout 1m\nServerAliveInterval 1h30m5\n', 'ServerAliveInterval 1W2D\n', 'RekeyLimit 1m\n',
    'RekeyLimit default 30\n', 'RekeyLimit 1K none\n', 'Compression yes\nIdentitiesOnly TRUE\nGatewayPorts Yes\nHashKnownHosts true\n',
    'PasswordAuthentication no\nKbdInteractiveAuthentication no\nPreferredAuthentications publickey,password\n', 'StrictHostKeyChecking accept-new\n',
    'StrictHostKeyChecking off\n', 'StrictHostKeyChecking NO\n', 'HostKeyAlias AbC\n', 'IdentityAgent /a/b\n', 'IdentityAgent $NAME\n', 'AddressFamily inet6\nBindAddress 1.2.3.4\n',
    'UserKnownHostsFile ~/a /b/%h-%n-%p-%r-%u-%i-%k-%L-%l-%%\n', 'UserKnownHostsFile ${HOME}/a\n', 'RequiredRSASize 4096\n', 'RevokedHostKeys /a\nRevokedHostKeys /b\n', 'CanonicalizeMaxDots 3\n',
    'CanonicalizeHostname yes\nMatch canonical\n User u\n', 'CanonicalizeHostname always\nCanonicalDomains a.b c.d\nCanonicalizeMaxDots 0\nHost a\n User x\nMatch final\n User u\n', 'ServerAliveCountMax 7\n',
    'IgnoreUnknown Non*,foo\nNonsense x y z\nUser u\n',
  ],
};

for (const [kind, texts] of Object.entries(TEXTS)) {
  test(`fromConfig reads as ssh does: ${kind}`, () => {
    for (const text of texts) {
      assert.notDeepEqual(agree(text), {}, `ssh finds nothing in ${JSON.stringify(text)}`);
    }
  });
}

test('Match exec is not run in a section that does not apply', () => {
  assert.throws(() => readFileSync(at('never')), { code: 'ENOENT' });
});

test('fromConfig rejects what ssh rejects, with file and line', () => {
  for (const text of [
    'User\nHostName x\n', 'Host\nUser x\n', 'User a b\n', 'User ""\n', 'Host "" h\n', 'ProxyCommand echo it"s\n', 'IdentityFile \'a\n', 'User x\nNonsense x\n', 'Nonsense x\nIgnoreUnknown Non*\n',
    'Host other\n ConnectTimeout 1x\n', 'Port 0\n', 'Port 65536\n', 'Port x1\n', 'RekeyLimit 15\n', 'RekeyLimit 1 2 3\n', 'AddressFamily ipv6\n', 'StrictHostKeyChecking maybe\n', 'Compression perhaps\n',
    'LocalForward 8080\n', 'LocalForward 0 a:80\n', 'LocalForward 1 a:b\n', 'LocalForward 1 a:1:2:3:4\n', 'ProxyJump a,\n', 'ProxyJump a:0\n', 'Match nonsense x\n', 'Match host\n', 'Match all host h\n',
    'UserKnownHostsFile /x none\n', 'ServerAliveCountMax x\n', 'HostName %p.example\n', 'UserKnownHostsFile %x\n', 'UserKnownHostsFile ${NOT_SET_ANYWHERE}\n',
  ]) {
    assert.ok(agree(text).error, `ssh takes ${JSON.stringify(text)}`);
  }
});

test('fromConfig takes given hosts, users and ports as ssh does', () => {
  const text = 'Host H\n User upper\nMatch user given\n Port 3\nMatch host *.example\n IdentityFile /%h\nHost h h2\n HostName %h.EXAMPLE\n User file\n';
  for (const host of ['h', 'H', 'h2', 'other', '1.2.3.4', '::1']) agree(text, host);
  agree(text, 'h', { args: ['-l', 'given'], given: { username: 'given' } });
  agree(text, 'h', { args: ['-p', '77'], given: { port: 77 } });
  agree(text, 'h', { args: ['-o', 'HostName=x.example'], given: { hostName: 'x.example' } });
});

test('fromConfig includes files as ssh does', () => {
  mkdirSync(at('inc'), { recursive: true });
  write('User one\nHost other\n User never\n', 'inc/1.conf');
  write('Match all\n Port 22022\n', 'inc/2.conf');
  write('IdentityFile /three\n', 'inc/.hidden.conf');
  write(`Include ${at('inc/2.conf')}\nBindAddress 1.1.1.1\n`, 'inc/deep');
  write(`Include ${at('inc/round')}\n`, 'inc/round');
  for (const text of [
    `Include ${at('inc/*.conf')}\nHostName real\n`, `Include ${at('inc/?.conf')} ${at('inc/deep')}\n`, `Include ${at('i*/2.conf')}\n`,
    `Include ${at('inc/none*')} ${at('inc/missing')}\nUser u\n`, `Host h\n Include ${at('inc/1.conf')}\n Port 7\n`,
    `Host other\n Include ${at('inc/1.conf')}\n User never\nHost *\n User v\n`, `Match host h\n Include "${at('inc/deep')}"\n HostKeyAlias a\n`,
    `Include ${at('inc/round')}\n`, 'Include ""\n', `Include ${at('inc/.h*')}\n`, 'Include ~/nothing-is-there\nUser u\n',
    // From ~/.ssh, which may be missing.
    `Include ${relative(join(homedir(), '.ssh'), at('inc/missing'))}\nUser w\n`,
  ]) agree(text);
  assert.equal(reading(write(`Include ${relative(join(userInfo().homedir, '.ssh'), at('inc/2.conf'))}\n`), 'h').port[0], '22022');
});

test('fromConfig rejects files that others can write, as ssh does', () => {
  const included = write('User included\n', 'open');
  // Debian's ssh accepts a file that only the user's own group can write; upstream and fromConfig do not.
  for (const mode of [0o600, 0o644, 0o606, 0o666]) {
    chmodSync(included, mode);
    agree(`Include ${included}\n`);
  }
  // A file named on the command line is trusted like the command line.
  const main = write('User main\n', 'main');
  chmodSync(main, 0o666);
  assert.deepEqual(reading(main, 'h'), truth(main, 'h'));
});

/** Random but reproducible lines of every directive. */
test('fromConfig reads random files as ssh does', { timeout: 120_000 }, () => {
  let state = 20_261_101;
  const random = (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) % below;
  };
  const pick = (list) => list[random(list.length)];
  const WORDS = [
    'a', 'b', 'h', 'web', 'x.y', '/p/q', '"a b"', "'c d'", 'e\\ f', 'g#h', '#i', '"j"k', '\\"l', 'm"n o"p', '""', '*', 'h*', '!h', '?', 'x=y', 'a,b', '!a,*',
    '%%', 'none', 'yes', 'no', '5', '1h', '\\', '"', "'", 'u@h:1', '[::1]:2',
  ];
  const KEYWORDS = [
    'HostKeyAlias', 'User', 'IdentityFile', 'CertificateFile', 'ProxyCommand', 'BindAddress', 'LocalForward', 'ServerAliveInterval', 'Compression',
    'StrictHostKeyChecking', 'PreferredAuthentications', 'IdentitiesOnly', 'Port',
  ];
  const CRITERIA = ['all', 'host h', 'host a', '!host a', 'user u', 'originalhost h', 'final', '!final', 'canonical', 'host h user u', 'host a,h', 'final host real', 'user "u"'];
  const words = (count) => Array.from({ length: count }, () => pick(WORDS)).join(pick([' ', '  ', '\t']));
  const separator = () => pick([' ', '=', ' = ', '  ', '\t', '= ', ' =']);
  const line = () => {
    const kind = random(10);
    if (kind < 2) return `Host${separator()}${words(1 + random(3))}`;
    if (kind < 4) return `Match${separator()}${pick(CRITERIA)}`;
    const value = pick([words(1), words(1), words(2), pick(['h', 'real', 'u', 'yes', '22', '30', 'accept-new', '1 h:2'])]);
    return `${pick(['', '  ', '\t'])}${pick(KEYWORDS)}${separator()}${value}${pick(['', '', ' ', ' # c'])}`;
  };
  let read = 0;
  for (let count = 0; count < 250; count++) {
    const text = `${Array.from({ length: 1 + random(4) }, line).join('\n')}\n`;
    if (agree(text, pick(['h', 'web', 'a'])).error === undefined) read += 1;
  }
  assert.ok(read > 50, `only ${read} of them have no error`);
});


/** The options made of a text; without a forward in it, with a target. */
function configure(text, overrides = {}, host = 'h', context = undefined) {
  const target = /LocalForward/.test(text) ? {} : { forwardHost: 'target', forwardPort: 1 };
  const file = context ? {} : { configFile: write(text) };
  return readConfig(host, { ...file, ...target, ...overrides }, context);
}

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
    strictHostKeyChecking: 'accept-new', updateHostKeys: false, knownHosts: [`${userInfo().homedir}/one`, '/Real.Example', '/two'],
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
  for (const text of ['Ciphers 3des-cbc', 'Ciphers -*', 'MACs hmac-sha1']) {
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
  assert.ok(option('knownHosts', text, { hostVerifier: () => true }).length > 0, 'whoever is asked is asked about what the files do not know');
  assert.equal(option('knownHosts', text, { hostKey: 'SHA256:x' }), undefined);
});

/** A context with a home folder of the test. */
function contextAt(name) {
  const home = at(name);
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  const userFolder = join(home, '.ssh');
  const systemFolder = join(home, 'etc');
  mkdirSync(systemFolder);
  return {
    ...makeContext(undefined), home, userFolder, systemFolder, userFile: join(userFolder, 'config'), systemFile: join(systemFolder, 'ssh_config'), variables: {},
  };
}

test("the user's file precedes the system's, and both may be missing", () => {
  const context = contextAt('order');
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

test('existing usable keys are read, others are in configNotices', () => {
  const context = contextAt('keys');
  const key = (name, options) => makeKey(join(context.userFolder, name), options);
  const ed = key('id_ed25519');
  const rsa = key('id_rsa', { type: 'rsa' });
  const locked = key('id_ecdsa', { type: 'ecdsa', passphrase: 'secret' });
  const read = (text = '', overrides = {}) => {
    writeFileSync(context.userFile, text);
    const { options, notices } = configure('', overrides, 'h', context);
    return { keys: [options.privateKey ?? []].flat().map(({ key }) => String(key)), options, notices };
  };
  const usual = read();
  assert.deepEqual(usual.keys, [rsa.privateKey, ed.privateKey]);
  assert.equal(usual.notices.length, 1);
  assertIncludes(usual.notices[0], { option: 'IdentityFile', value: '~/.ssh/id_ecdsa', host: 'h', file: undefined, line: undefined });
  assert.match(usual.notices[0].reason, /encrypted and there is no passphrase; the option 'passphrase' would decrypt it/);

  const opened = read('', { passphrase: 'secret' });
  assert.deepEqual(opened.keys, [rsa.privateKey, locked.privateKey, ed.privateKey]);
  assert.deepEqual(opened.notices, []);
  const other = read('', { passphrase: 'other' });
  assert.deepEqual(other.keys, [rsa.privateKey, ed.privateKey]);
  assert.match(other.notices[0].reason, /passphrase of the private key is wrong/);

  const named = read('IdentityFile ~/.ssh/missing\nIdentityFile %d/.ssh/id_ed25519\nIdentityFile none\n');
  assert.deepEqual([named.keys, named.notices], [[ed.privateKey], []]);
  assert.deepEqual(read('IdentityFile none').keys, []);
  writeFileSync(join(context.userFolder, 'junk'), 'junk', { mode: 0o600 });
  chmodSync(rsa.file, 0o640);
  const bad = read('IdentityFile ~/.ssh/junk\nIdentityFile ~/.ssh/id_rsa\nIdentityFile ~/.ssh\n');
  assert.deepEqual(bad.keys, []);
  assert.deepEqual(bad.notices.map(({ line }) => line), [1, 2, 3]);
  assert.match(bad.notices[1].reason, /other users can read it/);
  chmodSync(rsa.file, 0o600);

  // With IdentitiesOnly, the agent is asked for these keys, also for those that only it can use.
  const only = read('IdentitiesOnly yes\nIdentityAgent /agent\nIdentityFile ~/.ssh/id_ecdsa\nIdentityFile ~/.ssh/id_rsa.pub\n');
  assert.deepEqual(only.options.agentKeys, [locked, rsa].map(({ publicKey }) => publicKey.split(' ').slice(0, 2).join(' ')));
  assert.deepEqual([only.keys, only.options.agent, only.notices.length], [[], '/agent', 1]);
  assert.equal(read('IdentitiesOnly yes\nIdentityAgent /agent\nIdentityFile none\n').options.agent, undefined);
  assert.equal(read('IdentityAgent /agent\n').options.agentKeys, undefined);
  // Given keys are the only ones.
  const given = read('IdentityFile ~/.ssh/id_ed25519', { privateKey: 'text' });
  assert.equal(given.options.privateKey, 'text');
});

test('certificates of keys are read', () => {
  const context = contextAt('certificates');
  const authority = makeKey(at('user-authority'));
  const [one, two] = ['one', 'two'].map((name) => makeKey(join(context.userFolder, name)));
  const certify = ({ file }, id) => {
    keygen('-q', '-s', authority.file, '-I', id, '-n', USER, `${file}.pub`);
    return readFileSync(`${file}-cert.pub`, 'utf8');
  };
  const first = certify(one, 'first');
  writeFileSync(join(context.userFolder, 'first'), first);
  const second = certify(one, 'second');
  const read = (text) => {
    writeFileSync(context.userFile, text);
    const { options, notices } = configure('', {}, 'h', context);
    return { certificates: options.privateKey.map(({ certificate }) => certificate), notices };
  };
  assert.deepEqual(read('IdentityFile ~/.ssh/one\nIdentityFile ~/.ssh/two\n'), { certificates: [second, undefined], notices: [] });
  const named = read('IdentityFile ~/.ssh/one\nCertificateFile ~/.ssh/first\nCertificateFile ~/.ssh/one-cert.pub\n');
  assert.deepEqual(named, { certificates: [first, second], notices: [] });
  const stray = read(`IdentityFile ~/.ssh/two\nCertificateFile ~/.ssh/first\nCertificateFile ~/.ssh/none\nCertificateFile ${two.file}.pub\n`);
  assert.deepEqual(stray.certificates, [undefined]);
  assert.deepEqual(stray.notices.map(({ line }) => line).sort(), [2, 3, 4]);
});

test('agents are looked up as ssh does', () => {
  const context = { ...contextAt('agents'), variables: { SSH_AUTH_SOCK: '/usual', OTHER: '/other' } };
  const agent = (text) => {
    writeFileSync(context.userFile, text);
    return configure('', {}, 'h', context).options.agent;
  };
  for (const [text, expected] of [
    ['', '/usual'], ['IdentityAgent SSH_AUTH_SOCK', '/usual'], ['IdentityAgent none', undefined], ['IdentityAgent $OTHER', '/other'],
    ['IdentityAgent ${OTHER}/%u', `/other/${USER}`], ['IdentityAgent ~/a', join(context.home, 'a')], ['IdentityAgent $MISSING', undefined],
  ]) assert.equal(agent(text), expected, text);
});

test('unsupported directives are in configNotices with file and line, irrelevant ones are not', () => {
  const text = `
    IdentityFile none
    GSSAPIAuthentication yes
    HostbasedAuthentication no
    Tunnel yes
    ForwardAgent yes
    RequestTTY force
    SendEnv LANG
    RemoteForward 1 a:1
    RemoteForward 2 a:2
    HashKnownHosts yes
    StrictHostKeyChecking accept-new
  `;
  const file = write(text);
  const tunnel = SSHTunnel.fromConfig('h', { configFile: file, forwardHost: 'f', forwardPort: 1 });
  const named = tunnel.configNotices.map(({ option, value, line }) => [line, option, value]);
  assert.deepEqual(named.sort(([a], [b]) => a - b), [
    [3, 'GSSAPIAuthentication', 'yes'], [5, 'Tunnel', 'yes'],
    [9, 'RemoteForward', '1 a:1'], [10, 'RemoteForward', '2 a:2'], [11, 'HashKnownHosts', 'yes'],
  ]);
  for (const notice of tunnel.configNotices) {
    assertIncludes(notice, { host: 'h', file });
    assert.ok(notice.reason.length > 10 && Object.isFrozen(notice));
  }
  assert.ok(Object.isFrozen(tunnel.configNotices));
  assert.deepEqual(new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 }).configNotices, []);
});

test('unsupported directives that restrict access are errors with file and line', () => {
  const refuses = (text, host) => configure(`${text}\nIdentityFile none\n`, {}, host);
  for (const [text, name] of [
    ['KnownHostsCommand /bin/true', 'KnownHostsCommand'],
    ['CheckHostIP yes', 'CheckHostIP'],
    ['BindInterface eth0', 'BindInterface'],
    ['CanonicalizeHostname yes\nCanonicalDomains example.org', 'CanonicalizeHostname'],
    ['CanonicalizeHostname yes\nCanonicalizeFallbackLocal no', 'CanonicalizeHostname'],
    ['CanonicalizeHostname always\nCanonicalDomains example.org\nHost h\n ProxyJump 127.0.0.1', 'CanonicalizeHostname'],
    ['Match version OpenSSH_*\nPort 5', 'Match version'],
    ['Match host * version OpenSSH_* exec "touch /never"', 'Match version'],
  ]) {
    assert.throws(() => refuses(text), (error) => {
      assertIncludes(error, { code: 'ERR_SSH_CONFIG', line: 1 });
      assert.ok(error.message.includes(`${name} is not supported`), error.message);
      return true;
    });
  }
  // For jump hosts too.
  assert.throws(() => refuses('Host j\n KnownHostsCommand /bin/true\nHost h\n ProxyJump j'), { code: 'ERR_SSH_CONFIG', line: 2 });
  for (const text of [
    'KnownHostsCommand none', 'CheckHostIP no', 'CheckHostIP yes\nHostName 127.0.0.1', 'CheckHostIP yes\nProxyCommand x', 'BindInterface eth0\nBindAddress 127.0.0.1',
    'CanonicalizeHostname no\nCanonicalDomains example.org', 'CanonicalizeHostname yes', 'CanonicalizeHostname yes\nCanonicalDomains example.org\nHost h\n ProxyJump 127.0.0.1',
    'CanonicalizeHostname yes\nCanonicalDomains example.org\nHostName a.b.c', 'CanonicalizeHostname yes\nCanonicalDomains none', 'CanonicalizeHostname yes\nCanonicalizeMaxDots 0\nCanonicalDomains a\nHostName b.c',
    'Match host other version OpenSSH_*', 'Match version OpenSSH_* host other', 'Host other\n KnownHostsCommand x\n BindInterface y',
    'CheckHostIP yes\nHostName LocalHost', 'BindInterface eth0\nProxyCommand x', 'Host h\n BindInterface eth0\n ProxyJump 127.0.0.1',
    // Only the first hop is dialed.
    'Host j\n BindInterface eth0\n CheckHostIP yes\n CanonicalizeHostname yes\n CanonicalDomains example.org\nHost h\n ProxyJump 127.0.0.1,j',
  ]) refuses(text);
  // A host may be the second hop of one chain and the first of another.
  assert.throws(() => refuses('Host j\n BindInterface eth0\nHost k\n ProxyJump j\nHost h\n ProxyJump k,j'), { code: 'ERR_SSH_CONFIG', line: 2 });
});

test('unsupported restrictions are accepted where overrides replace them', () => {
  const sock = new PassThrough();
  const proxied = [{ jump: { host: 'j', username: 'u' } }, { jump: [{ host: 'j', username: 'u' }] }, { proxyCommand: 'x' }, { sock }];
  for (const [text, welcome, others] of [
    ['BindInterface eth0', [...proxied, { localAddress: '127.0.0.1' }], [{ jump: [] }, { hostKey: `SHA256:${'A'.repeat(43)}` }]],
    ['CheckHostIP yes', [...proxied, { hostKey: `SHA256:${'A'.repeat(43)}` }, { knownHosts: '/dev/null' }], [{ jump: [] }, { hostVerifier: () => true }]],
    ['CanonicalizeHostname yes\nCanonicalDomains example.org', proxied, [{ jump: [] }]],
    // It could list revoked keys.
    ['KnownHostsCommand /bin/true', [], [...proxied, { hostKey: `SHA256:${'A'.repeat(43)}` }]],
  ]) {
    for (const overrides of welcome) configure(text, overrides);
    for (const overrides of others) assert.throws(() => configure(text, overrides), { code: 'ERR_SSH_CONFIG', line: 1 });
  }
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
    assert.match(error.message, /config\d+ line 2: bad port 'y'$/);
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

function fromConfig(t, host, text, overrides) {
  const tunnel = SSHTunnel.fromConfig(host, { configFile: write(text), ...overrides });
  t.after(() => tunnel.promises.shutdown());
  return tunnel;
}

test('a tunnel from Include, Match and LocalForward forwards both ways', async (t) => {
  const target = await Target.start(behaviours.echo());
  t.after(() => target.stop());
  const included = write(`Match originalhost work exec "test %n-%p = work-22"\n${SERVER}`);
  const port = (await Target.start().then(async (free) => (await free.stop(), free))).port;
  const tunnel = fromConfig(t, 'work', `
    Include ${included}
    Host work
      IdentityFile ${server.key.file}
      LocalForward ${port} 127.0.0.1:${target.port}
    Host *
      User ${USER}
      Ciphers ^aes128-ctr
  `);
  assert.deepEqual(tunnel.configNotices, []);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  assert.equal(tunnel.localPort, port);
  await roundTrip({ eventLog, target, connect: (how) => connect(port, how) }, 1 << 20);
});

test('a certificate, an agent key and a key under another name authenticate', async (t) => {
  const agent = await Agent.start();
  t.after(() => agent.stop());
  const target = { forwardHost: '127.0.0.1', forwardPort: 1 };
  const certified = makeKey(at('certified'));
  keygen('-q', '-s', authority.file, '-I', 'from-config', '-n', USER, `${certified.file}.pub`);
  await fromConfig(t, 'h', `${SERVER}\nIdentityFile ${certified.file}\n`, target).promises.connect();
  await server.logged(/Accepted certificate ID "from-config"/);

  const [held, otherKey] = ['held', 'otherKey'].map((name) => makeKey(at(name), { passphrase: '' }));
  agent.add(otherKey.file);
  agent.add(held.file);
  server.authorize(held.publicKey);
  // The private key file is removed; only the agent has the key.
  const text = `IdentityAgent ${agent.path}\nIdentitiesOnly yes\nIdentityFile ${held.file}.pub\nHostKeyAlias Alias\n${SERVER}`;
  await fromConfig(t, 'h', text, target).promises.connect();
  await server.logged(new RegExp(`Accepted publickey .*${held.fingerprint.replace(/[+/.]/g, '\\$&')}`));
  assert.ok(!server.log().includes(otherKey.fingerprint));

  const unknown = fromConfig(t, 'h', `HostKeyAlias nobody\nIdentityFile ${server.key.file}\n${SERVER}`, target);
  await assert.rejects(unknown.promises.connect(), { code: 'ERR_SSH_HOST_KEY' });
  const without = fromConfig(t, 'h', `PubkeyAuthentication no\nIdentityFile ${server.key.file}\n${SERVER}`, target);
  await assert.rejects(without.promises.connect(), { code: 'ERR_SSH_AUTH', message: /tried none; the server accepts publickey/ });
});

test('ProxyJump and ProxyCommand of the file are used', async (t) => {
  const [inner, outer] = [server, await Sshd.start()];
  t.after(() => outer.stop());
  const target = await Target.start(behaviours.echo());
  t.after(() => target.stop());
  outer.authorize(server.key.publicKey);
  writeFileSync(known, `[127.0.0.1]:${outer.port} ${outer.hostKeys[0].publicKey}\n`, { flag: 'a' });
  const script = write(`
    const [name, host, port] = process.argv.slice(2);
    require('node:fs').writeFileSync('${at('name')}', name);
    const socket = require('node:net').connect(port, host);
    socket.on('error', () => process.exit());
    process.stdin.pipe(socket).pipe(process.stdout);
  `, 'proxy.cjs');
  const text = `
    Host inner
      ProxyJump outer
      ${SERVER}
    Host outer
      HostName 127.0.0.1
      Port ${outer.port}
      ProxyCommand ${process.execPath} ${script} %n %h %p
    Host *
      IdentityFile ${server.key.file}
      IdentityAgent none
      UserKnownHostsFile ${known}
      GlobalKnownHostsFile none
      UpdateHostKeys no
  `;
  const tunnel = fromConfig(t, 'inner', text, { forwardHost: '127.0.0.1', forwardPort: target.port });
  assert.deepEqual(tunnel.configNotices, []);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  await roundTrip({ eventLog, target, connect: (how) => connect(tunnel.localPort, how) }, 1 << 20);
  const { fingerprint } = inner.key;
  const accepted = new RegExp(`Accepted publickey .*${fingerprint.replace(/[+/.]/g, '\\$&')}`);
  await Promise.all([inner.logged(accepted), outer.logged(accepted)]);
  assert.equal(readFileSync(at('name'), 'utf8'), 'outer', 'the name in the file, not the address');
});
