// ssh_config files: read as by OpenSSH's client.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join, relative } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { reading, truth } from '../helpers/ssh-config.mjs';


const USER = userInfo().username;
const folder = temporaryFolder('config');
after(folder.remove);
const { at, write } = folder;

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

/** Texts of one kind; each must set something. */
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
    'IgnoreUnknown Non*,foo\nNonsense x y z\nUser u\n', 'User u\nPort 2\nUserKnownHostsFile /a/%C\n', 'HostName H.Example\nUserKnownHostsFile %C\n',
  ],
  'ports by the names of services': [
    'Port http\n', 'Port snmp-trap\n', 'Port www\n', 'Port 000022022\n', 'Port +23\n', 'Port " 23"\n', 'LocalForward www h:https\n', 'LocalForward 000080 h:80\n', 'ProxyJump u@b:https\n',
    'ProxyJump ssh://u@b:https\n',
  ],
  'home folders of other users': ['UserKnownHostsFile ~root/a ~root ~nobody/b\n', `UserKnownHostsFile ~${USER}/x\n`, 'UserKnownHostsFile ~ /b\n'],
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
    'Port HTTP\n', 'Port domain-of-nobody\n', 'Port 70000\n', 'Port -1\n', 'Port --help\n', 'LocalForward 1 a:nonsense\n', 'UserKnownHostsFile ~no-user-of-that-name/a\n',
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

test('fromConfig expands the wildcards of Include as glob(3) does', () => {
  const names = ['10-a', '20-b', 'a', 'b', 'z', 'B', '[', ']', '-', 'a-b', 'a[1]', '!x', '^y', '.hidden', 'a b', 'ä', 'back\\slash', 'star*', 'q?', '{a,b}'];
  mkdirSync(at('glob'));
  mkdirSync(at('glob/d1'));
  mkdirSync(at('glob/d1-x'));
  // The order of the lines is that of the files.
  for (const name of [...names, 'd1/f', 'd1-x/f']) write(`IdentityFile "/from ${name.replaceAll('\\', '')}"\n`, join('glob', name));
  for (const pattern of [
    '[0-9]*', '[!0-9]*', '[^0-9]*', '[a-c]', '[abc]', '[]]', '[[]', '[]-]', '[a-]', '[-a]', '[--a]', '[!]a]', '[z-a]', '[[:digit:]]*', '[[:alpha:]]', '[![:alpha:]]*',
    '[[:upper:]]', '[[:nonsense:]]', '[[:digit:][:upper:]]*', '[', 'a[', 'a[[]1]', 'a[1]', 'a[1', '[.]hidden', '[.h]*', '?', '??', '*', '.*', '*-*', '[a\\]b]', 'star[*]', 'star\\\\*', 'q[?]',
    'back*', 'b[a]c[!k]*', '[!x', '[^', '[ab', '[äö]', 'd*/f', 'd1*/[f]', '[d]1/f', '{a,b}', '{10,20}-*', '*[ab]', '*]', '*[!]]', '[\\\\a]', 'a\\ b', '//a',
  ]) agree(`Include ${join(at('glob'))}/${pattern}\nUser u\n`);
  assert.equal(agree(`Include "${at('glob')}/[0-9]*"\n`).identityfile.length, 2);
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
