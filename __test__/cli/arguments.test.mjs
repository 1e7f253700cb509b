// The arguments of the command `sshtunnel`: what they mean, and the errors of invalid ones.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting } from '../helpers/cli.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const require = createRequire(import.meta.url);
const { UsageError, parseArguments } = require('../../lib/cli/arguments.js');
const { permitOnly } = require('../../lib/cli/forwardings.js');
const { COMMAND } = require('../../lib/ssh-config/directives.js');

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

test('arguments: grouped flags, values and options after the host', () => {
  const parse = (text) => parseArguments(text.split(' '));
  for (const [text, expected] of [
    ['h', { host: 'h', lines: [] }],
    ['u@h', { host: 'h', lines: [['User', 'u']] }],
    ['a@b@h', { host: 'h', lines: [['User', 'a@b']] }],
    [
      'ssh://u@h:2222',
      {
        host: 'h',
        lines: [
          ['User', 'u'],
          ['Port', '2222'],
        ],
      },
    ],
    ['ssh://[::1]:2222', { host: '::1', lines: [['Port', '2222']] }],
    ['-p 22 h', { host: 'h', lines: [['Port', '22']] }],
    ['-p22 h', { host: 'h', lines: [['Port', '22']] }],
    [
      'h -p 22 -l u',
      {
        host: 'h',
        lines: [
          ['Port', '22'],
          ['User', 'u'],
        ],
      },
    ],
    [
      '-NTCp22 h',
      {
        lines: [
          ['Compression', 'yes'],
          ['Port', '22'],
        ],
      },
    ],
    ['-N -- h -g', { host: 'h', lines: [['GatewayPorts', 'yes']] }],
    ['-vvq -v h', { lines: [['LogLevel', 'DEBUG1']] }],
    ['-vvvv h', { lines: [['LogLevel', 'DEBUG3']] }],
    ['-q h', { lines: [['LogLevel', 'QUIET']] }],
    ['-4 -oPort=1 -o Port=2 h', { lines: [['AddressFamily', 'inet'], 'Port=1', 'Port=2'] }],
    ['-J a,u@b:3 h', { lines: [['ProxyJump', 'a,u@b:3']] }],
    ['-AaXxYtkK -e none h', { lines: [] }],
    ['-W a:1 h', { stdio: { host: 'a', port: 1 } }],
    ['-W [::1]:1 h', { stdio: { host: '::1', port: 1 } }],
    ['--json --no-view h', { json: true, noView: true }],
  ])
    assertIncludes(parse(text), expected);
  assert.deepEqual(parseArguments(['-i', 'a "b"\\c', 'h']).lines, [['IdentityFile', 'a "b"\\c']]);
});

test('PermitRemoteOpen decides about a connection once its forward is known', () => {
  const tunnel = Object.assign(new EventEmitter(), { forwards: () => known });
  const said = [];
  const opened = permitOnly(tunnel, [{ host: 'a', port: '*' }], { verbose: (text) => said.push(text) });
  let known = [];
  const decisions = [];
  const ask = (forwardId, target) => {
    const decide = (how) => () => decisions.push(`${forwardId} ${how}`);
    tunnel.emit('connectionRequest', { forwardId, ...target, accept: decide('accepted'), reject: decide('rejected') });
  };
  // A path, and targets that are not listed: it depends on the kind of the forward.
  ask(1, { forwardPath: '/run/x' });
  ask(2, { forwardHost: 'b', forwardPort: 1 });
  ask(3, { forwardHost: 'b', forwardPort: 1 });
  ask(2, { forwardHost: 'a', forwardPort: 2 });
  assert.deepEqual(decisions.splice(0), ['2 accepted']);
  known = [{ forwardId: 1, kind: 'local', forwardPath: '/run/x' }];
  opened();
  assert.deepEqual(decisions.splice(0), ['1 accepted']);
  known.push({ forwardId: 2, kind: 'remote' }, { forwardId: 3, kind: 'remote', forwardHost: 'b', forwardPort: 1 });
  opened();
  opened();
  assert.deepEqual(decisions, ['2 rejected', '3 accepted']);
  assert.match(said.join(), /^Refused remote forward to b:1:[^,]*$/);
});

test('arguments: forwards', () => {
  const of = (flag, text) => parseArguments([flag, text, 'h']).forwardings[0];
  for (const [text, listen, connectTo] of [
    ['8080:db:80', { port: 8080 }, { host: 'db', port: 80 }],
    ['0:db:80', { port: 0 }, { host: 'db', port: 80 }],
    [':8080:db:80', { host: '', port: 8080 }, { host: 'db', port: 80 }],
    ['*:8080:db:80', { host: '*', port: 8080 }, { host: 'db', port: 80 }],
    ['localhost:8080:db:80', { host: 'localhost', port: 8080 }, { host: 'db', port: 80 }],
    ['[::1]:8080:[fe80::1]:80', { host: '::1', port: 8080 }, { host: 'fe80::1', port: 80 }],
    ['/tmp/a:db:80', { path: '/tmp/a' }, { host: 'db', port: 80 }],
    ['8080:/tmp/b', { port: 8080 }, { path: '/tmp/b' }],
    ['a:8080:/tmp/b', { host: 'a', port: 8080 }, { path: '/tmp/b' }],
    ['/tmp/a:/tmp/b', { path: '/tmp/a' }, { path: '/tmp/b' }],
  ]) {
    assert.deepEqual(of('-L', text), { kind: 'local', listen, connect: connectTo }, text);
    assert.deepEqual(of('-R', text), { kind: 'remote', listen, connect: connectTo }, text);
  }
  assert.deepEqual(of('-D', '1080'), { kind: 'dynamic', listen: { port: 1080 } });
  assert.deepEqual(of('-D', '[::1]:1080'), { kind: 'dynamic', listen: { host: '::1', port: 1080 } });
  assert.deepEqual(of('-R', '1080'), { kind: 'remote', listen: { port: 1080 } });
  assert.deepEqual(of('-R', '*:0'), { kind: 'remote', listen: { host: '*', port: 0 } });
  for (const [flag, text] of [
    ['-L', '8080'],
    ['-L', '8080:db'],
    ['-L', '8080:db:x'],
    ['-L', '8080:db:0'],
    ['-L', '65536:a:1'],
    ['-L', '1:2:3:4:5'],
    ['-L', '8080::80'],
    ['-L', '[::1:8080:db:80'],
    ['-L', ''],
    ['-D', 'x'],
    ['-D', '1080:db:80'],
    ['-R', 'a:b:c'],
    ['-W', '80'],
    ['-W', 'a:b'],
  ])
    assert.throws(() => of(flag, text), UsageError, `${flag} ${text}`);
});

test('unknown flags and missing arguments are usage errors', async (t) => {
  for (const [args, text] of [
    [[], /a destination is missing[^]*usage:/],
    [['-Z', 'h'], /unknown option -- Z[^]*usage:/],
    [['--nonsense', 'h'], /unknown option --nonsense/],
    [['h', 'ls', '-l'], /no remote command is run/],
    [['-O', 'restart', 'h'], /-O: Invalid multiplex command/],
    [['-p', '99999', 'h'], /Bad port '99999'/],
    [['-L', 'bad', 'h'], /Bad local forwarding specification 'bad'/],
    [['-W', 'a:1', '--json', 'h'], /standard output/],
    [['-J', 'a', '-J', 'b', 'h'], /only one -J/],
    [['-f', '--json', 'h'], /ForkAfterAuthentication cannot be given together with --json/],
    [['-f', '-W', 'a:1', 'h'], /ForkAfterAuthentication cannot be given together with -W/],
    [['-F', 'none', '-o', 'StreamLocalBindMask=9', 'h'], /command line: bad mask '9'/],
    [['-l'], /requires an argument -- l/],
    [['ho;st'], /'ho;st' is not a \[user@\]host/],
    [['-F', '/nonexistent', 'h'], /\/nonexistent: there is no such file/],
    [['-F', 'none', '-o', 'Nonsense=1', 'h'], /command line: unknown directive Nonsense/],
    [['-F', 'none', '-L', '/tmp/%z:db:80', 'h'], /command line: '%z' is not a token/],
    [['-F', 'none', '-o', 'Linger=perhaps', 'h'], /command line: 'perhaps' is not a time/],
  ]) {
    const { status, stdout, stderr } = await Cli.start(t, args).end();
    assert.deepEqual([status, stdout], [255, ''], args.join(' '));
    assert.match(stderr, text);
  }
});

test('--help and --version print and exit with 0', async (t) => {
  const help = await Cli.start(t, ['--help']).end();
  assertIncludes(help, { status: 0, stderr: '' });
  assert.match(help.stdout, /^usage: sshtunnel /);
  const { version } = require('../../package.json');
  for (const flag of ['--version', '-V']) {
    assert.deepEqual(await Cli.start(t, [flag]).end(), { status: 0, stdout: `sshtunnel ${version}\n`, stderr: '' });
  }
});

test('docs/command.md has every flag, directive and report', () => {
  const page = readFileSync(new URL('../../docs/command.md', import.meta.url), 'utf8');
  for (const flag of '46AaBbCcDEeFfGgIiJKkLlMmNnOoPpQqRSsTtVvWwXxYy')
    assert.ok(page.includes(`\`-${flag}`), `-${flag}`);
  for (const flag of ['--json', '--no-view', '--web', '--help', '--version'])
    assert.ok(page.includes(`\`${flag}`), flag);
  for (const name in COMMAND) assert.ok(page.includes(`\`${name}`), name);
  for (const event of [
    'web',
    'ready',
    'listening',
    'connection',
    'disconnected',
    'reconnecting',
    'sessionError',
    'forwardError',
    'error',
    'closing',
    'close',
    'omitted',
  ]) {
    assert.ok(page.includes(`\`${event}\``), event);
  }
});
