// Values never become shell code, a second directive or a flag, and parsing takes linear time.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { Canaries } from '../helpers/canaries.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { ROOT } from '../helpers/process.mjs';

const require = createRequire(import.meta.url);
const { UsageError, parseArguments } = require('../../lib/cli/arguments.js');
const { makeContext } = require('../../lib/ssh-config/context.js');
const { Config, readConfig } = require('../../lib/ssh-config/index.js');
const { expandForwarding } = require('../../lib/ssh-config/options.js');
const { Reader } = require('../../lib/ssh-config/reader.js');

const COMMAND = join(ROOT, 'bin', 'sshtunnel.js');
const canaries = new Canaries('evil', 'asked');
after(() => canaries.remove());

let files = 0;

function write(text) {
  const file = canaries.file(`config${files++}`);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

/** Runs the command with nothing but canaries on the PATH. */
function run(...args) {
  const env = { ...process.env, ...canaries.env };
  const { status, stderr } = spawnSync(process.execPath, [COMMAND, ...args], { env, encoding: 'utf8', timeout: 20_000 });
  return { status, stderr, started: canaries.started() };
}

/** Text that a shell would interpret. */
const CODE = [
  '$(evil)', '`evil`', 'a;evil', 'a|evil', 'a||evil', 'a&evil', 'a&&evil', 'a\nevil', 'a\revil', "a';evil;'", 'a";evil;"', '$[`evil`]', '${x:-`evil`}', '<(evil)', 'a>evil', '{evil,}',
  '(evil)', 'a\\', '\\$(evil)', "$'\\nevil'", 'a\u2028evil', 'a\0evil', '$[+]\nevil', 'a\n', '*', '[a]', '~root',
];

test('tokens cannot inject code into Match exec', (t) => {
  canaries.adopt(t);
  const context = (members) => ({ ...makeContext(), userFile: canaries.file('none'), systemFile: canaries.file('none'), ...members });
  const read = (token, quote, { destination = {}, lines = '', members = {} }) => {
    const file = write(`${lines}Match exec "asked ${quote}x%${token}${quote}"\n Port 2222\n`);
    const reader = new Reader(context({ ...members, configFile: file }), { host: 'h', ...destination });
    reader.read();
    return reader;
  };
  const ways = {
    h: (text) => ({ destination: { hostName: text } }),
    n: (text) => ({ destination: { host: text } }),
    r: (text) => ({ destination: { username: text } }),
    p: (text) => ({ destination: { port: text } }),
    u: (text) => ({ members: { user: text } }),
    d: (text) => ({ members: { home: `/home/${text}` } }),
    l: (text) => ({ members: { hostname: text } }),
    L: (text) => ({ members: { hostname: text } }),
    i: (text) => ({ members: { uid: text } }),
  };
  for (const [token, way] of Object.entries(ways)) {
    for (const quote of ['', "'", '\\"']) {
      for (const text of CODE.filter((code) => !(token === 'd' && code === '~root'))) {
        assert.throws(() => read(token, quote, way(text)), { code: 'ERR_SSH_CONFIG', line: 1, message: /the value of '%.' contains/ }, `%${token} ${quote} ${JSON.stringify(text)}`);
      }
      assert.deepEqual(canaries.started(), [], `%${token} ${quote}`);
      // Values that are no code reach the command.
      assert.equal(read(token, quote, way('good.one-2')).value('Port'), 2222);
      assert.equal(canaries.started().length, 1);
    }
  }
  // From other lines of the file: a literal name there may contain such text and still never becomes code.
  const quoted = (text) => `"${text.replace(/["'\\]/g, '\\$&')}"`;
  for (const [token, keyword] of [['k', 'HostKeyAlias'], ['r', 'User'], ['h', 'HostName']]) {
    for (const text of CODE.filter((code) => !/[\n\0]/.test(code))) {
      assert.throws(() => read(token, '', { lines: `${keyword} ${quoted(text)}\n` }), { code: 'ERR_SSH_CONFIG' }, `${keyword} ${text}`);
    }
  }
  // A home may have blanks in its name.
  assert.equal(read('d', "'", ways.d('An n')).value('Port'), 2222);
  assert.deepEqual(canaries.started(), ['asked x/home/An n']);
});

test('tokens cannot inject code into ProxyCommand', (t) => {
  canaries.adopt(t);
  const options = { host: 'h', port: 1, username: 'u', proxyCommand: 'asked %h %r %p' };
  for (const text of CODE) {
    for (const [name, token] of [['host', 'h'], ['username', 'r']]) {
      const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
      assert.throws(() => new SSHTunnel({ ...options, [name]: text, proxyCommand: `asked %${token}` }), refused, `${name} ${JSON.stringify(text)}`);
      assert.throws(() => new SSHTunnel({ ...options, jump: [{ ...options, [name]: text, proxyCommand: `asked '%${token}'` }], proxyCommand: undefined }), refused);
    }
    const file = write(`Host ${'*'}\n User "${text.replace(/["'\\]/g, '\\$&').replace(/[\n\0]/g, ';')}"\n ProxyCommand asked %r\n`);
    assert.throws(() => SSHTunnel.fromConfig('h', { configFile: file }), { code: /^ERR_INVALID_ARG_VALUE$|^ERR_SSH_CONFIG$/ }, text);
    // %n is expanded before the constructor gets the command.
    const named = write('HostName x\nProxyCommand asked %n\n');
    assert.throws(() => SSHTunnel.fromConfig(text, { configFile: named }), { code: /^ERR_INVALID_ARG_VALUE$|^ERR_SSH_CONFIG$/ }, text);
  }
  assert.deepEqual(canaries.started(), []);
});

test('invalid names are rejected before Match exec sees them', (t) => {
  const file = write('Match exec "asked %r %h %n"\n Port 2222\nHost *\n HostName 127.0.0.1\n Port 1\n');
  const usual = ['-F', file, '-o', 'BatchMode=yes', '-L', '0:x:1'];
  for (const code of ['$(evil)', 'a;evil', 'a\nevil', '`evil`']) {
    for (const args of [['-l', code, 'h'], [`${code}@h`], ['-o', `User=${code}`, 'h'], ['-J', `${code}@127.0.0.1:1`, 'h'], ['-o', `ProxyJump=${code}@127.0.0.1:1`, 'h'], ['--', code]]) {
      const { status, stderr, started } = run(...usual, ...args);
      assert.equal(status, 255, stderr);
      assert.ok(!started.some((line) => line.startsWith('evil')), `${args}: ${started}`);
      assert.match(stderr, /sshtunnel: /);
    }
  }
  canaries.adopt(t);
  for (const code of CODE) {
    for (const members of [{ username: `${code} -x` }, { host: code }, { host: code, username: 'u' }]) {
      assert.throws(() => SSHTunnel.fromConfig('h', { configFile: file, ...members }), { code: /^ERR_INVALID_ARG_VALUE$|^ERR_SSH_CONFIG$/ });
    }
  }
  assert.deepEqual(canaries.started(), []);
});

test('a -o flag is a single directive', () => {
  const evil = ['ProxyCommand evil', 'Match exec evil', 'Match all exec "evil"'];
  for (const code of evil) {
    for (const end of ['\n', '\r', '\r\n', '\v', '\f', '\0', '\u2028', '\x85', '\x1e']) {
      for (const [flag, text] of [
        ['-o', `Port=1${end}${code}`], ['-o', `${end}${code}`], ['-o', `User=x${end}${code}`], ['-J', `none${end}${code}`], ['-i', `x${end}${code}`], ['-i', `x"${end}${code}`], ['-l', `x${end}${code}`], ['-l', `x"${end}${code}`],
        ['-F', `x${end}${code}`], ['-b', `x${end}${code}`], ['-c', `x${end}${code}`], ['-m', `x${end}${code}`], ['-P', `x${end}${code}`], ['-p', `1${end}${code}`],
      ]) {
        assert.throws(() => parseArguments([flag, text, 'h']), (error) => error instanceof UsageError, JSON.stringify([flag, text]));
      }
    }
  }
  // The same by the command itself.
  for (const [flag, text] of [['-J', 'none\nProxyCommand evil'], ['-o', 'Port=1\nProxyCommand evil'], ['-i', 'x"\nProxyCommand evil\nUser "y'], ['-l', 'x"\nProxyCommand evil\n#"']]) {
    const { status, stderr, started } = run('-F', 'none', '-o', 'BatchMode=yes', flag, text, '127.0.0.1', '-L', '0:x:1');
    assert.deepEqual([status, started], [255, []], stderr);
    assert.match(stderr, new RegExp(`^sshtunnel: ${flag}: control characters in `));
  }
});

test('-o accepts no Host, Match or Include, as in ssh', () => {
  const ssh = findProgram('ssh');
  const included = write('ProxyCommand evil\n');
  for (const text of ['Host h', 'Match all', 'Match exec evil', 'Match final exec "evil"', `Include ${included}`]) {
    assert.notEqual(spawnSync(ssh, ['-G', '-F', 'none', '-o', text, 'h'], { env: { ...process.env, ...canaries.env } }).status, 0, `ssh takes ${text}`);
    const { status, stderr, started } = run('-F', 'none', '-o', 'BatchMode=yes', '-o', text, '127.0.0.1', '-L', '0:x:1');
    assert.deepEqual([status, started], [255, []], stderr);
    assert.match(stderr, /^sshtunnel: command line: \w+ is for files only$/m);
  }
  canaries.started();
});

test('the value of a flag is a single argument, whatever it contains', () => {
  const texts = ['a" "b', "a' 'b", 'a b', 'a\\', '\\', '"', "'", '""', 'a # b', '#a', '=a', '= a', ' a ', 'a\\ b', 'a\\"b', '%%h', 'a"b', '"a', 'a=b', ',', '${NOT_SET', 'ä'];
  for (const [flag, name, many] of [['-i', 'IdentityFile', true], ['-P', 'Tag'], ['-c', 'Ciphers'], ['-b', 'BindAddress']]) {
    for (const text of texts) {
      const { lines } = parseArguments([flag, text, 'h']);
      const reader = new Reader(makeContext('none', { lines, passphrases: new Map() }), { host: 'h' });
      reader.read();
      assert.deepEqual(many ? reader.list(name).map(({ value }) => value) : [reader.value(name)], [text], `${flag} ${text}`);
      assert.equal(reader.settings.size, many ? 0 : 1);
    }
  }
});

test('variables and tokens are expanded once and never become directives', (t) => {
  canaries.adopt(t);
  const context = { ...makeContext(write('IdentityFile ${VARIABLE}\nMatch exec "asked"\n Port 7\n')), variables: { ...process.env, VARIABLE: 'x" \nProxyCommand evil $(evil)' } };
  const { options, wipe } = readConfig('h', {}, context);
  wipe();
  assert.equal(options.proxyCommand, undefined);
  assert.equal(options.port, 7);
  assert.deepEqual(canaries.started(), ['asked']);
});

test('expanded values are not expanded again, as in ssh', () => {
  const variables = { ...process.env, VARIABLE: '%h %z %% ${HOME} ~' };
  const text = 'UserKnownHostsFile "/a/${VARIABLE}/%r"\nUser "${VARIABLE}"\nLocalForward "/b/${VARIABLE}" /%h\n';
  const { options, reader, wipe } = new Config({ ...makeContext(write(text)), variables }, { privateKey: 'x' }).read('h');
  wipe();
  assert.equal(options.knownHosts[0], '/a/%h %z %% ${HOME} ~/${VARIABLE}');
  const [{ value, line }] = reader.list('LocalForward');
  const { listen, connect } = expandForwarding(reader, value, line);
  assert.deepEqual([listen.path, connect.path], ['/b/%h %z %% ${HOME} ~', '/h']);
});

/** Each function parses a text from a user, a file or a server. */
const READERS = `
const dir = process.argv[1] + '/';
const { parseArguments } = require(dir + 'lib/cli/arguments.js');
const { lines } = require(dir + 'lib/ssh-config/syntax.js');
const { directive } = require(dir + 'lib/ssh-config/directives.js');
const { parseForwarding } = require(dir + 'lib/ssh-config/forwardings.js');
const { expand, expandVariables } = require(dir + 'lib/ssh-config/tokens.js');
const names = require(dir + 'lib/validate/names.js');
const messages = require(dir + 'lib/cli/output/messages.js');
const { plain } = require(dir + 'lib/cli/output/text.js');
const { SSHTunnel } = require(dir);
const line = { error: (reason) => new Error(reason) };
const KEYWORDS = ['ConnectTimeout', 'ServerAliveInterval', 'RekeyLimit', 'ProxyJump', 'ProxyCommand', 'LocalForward', 'RemoteForward', 'Port', 'Linger', 'UserKnownHostsFile', 'HostName', 'User'];
const READERS = {
  ...Object.fromEntries(KEYWORDS.map((keyword) => [keyword, (value) => { for (const each of lines(keyword + ' ' + value, 'f')) directive(keyword, true).read(each); }])),
  lines: (value) => [...lines(value, 'f')],
  forwarding: (value) => parseForwarding(value, 'local'),
  expand: (value) => expand(value, { h: 'h' }, line),
  expandBoth: (value) => expand(value, { h: 'h' }, line, { variables: { a: 'b' } }),
  variables: (value) => expandVariables(value, { a: 'b' }, line),
  destination: names.readDestination,
  isHost: names.isHost,
  isUser: names.isUser,
  shell: names.shellFault,
  methods: (message) => messages.acceptedMethods({ message }),
  hop: (message) => messages.hopOf({ message }),
  refusal: (message) => messages.refusal({ code: 'ERR_SSH_PROTOCOL', message }, { host: 'h', port: 1, username: 'u' }),
  open: (message) => messages.openRefusal({ code: 'ERR_SSH_OPEN_FAILED', message }),
  plain,
  flag: (value) => parseArguments(['-o', value, '-J', value, '-L', value, '-p', value, value]),
  uri: (value) => parseArguments(['ssh://' + value]),
  constructor: (value) => new SSHTunnel({ host: value, port: 1, username: value, hostKeyAlias: value }),
  hostKey: (value) => new SSHTunnel({ host: 'h', username: 'u', hostKey: value }),
};
for (const [piece, start, end] of JSON.parse(process.argv[2])) {
  const text = start + piece.repeat(Math.ceil(300_000 / piece.length)) + end;
  for (const [name, read] of Object.entries(READERS)) {
    require('node:fs').writeSync(1, JSON.stringify([name, piece, start, end]) + '\\n');
    try { read(text); } catch {}
  }
}
require('node:fs').writeSync(1, 'done\\n');
`;

test('parsing takes linear time', { timeout: 120_000 }, () => {
  // The repeated text, its prefix and its suffix.
  const texts = [
    ['1', '', 'x'], ['1s', '', '!'], [' ', 'a', 'b'], ['\t ', 'Port 1', '#'], ['#', '', '\u2028'], ['\u2028#', '', ''], ['@', '', '/'], ['a@', '', ':'], ['[', '', ']:'], [':', '', 'x'], ['\\', '', ':'],
    ['\\:', '', '\\'], ['${', '', ''], ['${a}', '', '${'], ['%h', '', '%'], ['"', '', ''], ['" ', 'a', ''], ['=', '', ''], [' =', 'Port', ''], [',', '', ''], ['a,', '', ';'], ['%41', '', '%'],
    ['; the server accepts ', '', ''], ['jump host a', '', ''], ['- ', '', ''], ['the server refused to open the channel (reason 1', '', ''], ['\n', '', ''], [' \n', '', 'x'], ['\r', 'a', 'b'],
  ];
  // Quadratic time would take minutes; the limit only distinguishes it from linear time.
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--eval', READERS, ROOT, JSON.stringify(texts)], { encoding: 'utf8', timeout: 100_000 });
  assert.deepEqual([status, signal, stdout.trimEnd().split('\n').at(-1)], [0, null, 'done'], stderr.slice(0, 1000));
});
