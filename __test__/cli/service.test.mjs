// `sshtunnel service`: units of systemd and agents of launchd, as their own readers read them.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { AtTerminal, Cli, hasTerminal } from '../helpers/cli.mjs';
import { ensurePackages } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const require = createRequire(import.meta.url);
const { launchd } = require('../../lib/cli/install/launchd.js');
const { systemd, unitName } = require('../../lib/cli/install/systemd.js');

const LINUX = { skip: process.platform !== 'linux' && 'the command makes units of systemd on Linux only' };
const AT_TERMINAL = { skip: LINUX.skip || (!hasTerminal && 'there is no script(1)') };

const folder = temporaryFolder('service');
after(folder.remove);
const config = folder.write(
  `Host db
  LocalForward 15432 db.internal:5432
Host own
  DynamicForward 1080
  IgnoreUnknown Linger,CloseTimeout,Reconnect
  Reconnect no
  CloseTimeout 120
Host hard
  DynamicForward 1080
  ForkAfterAuthentication yes
  Linger no
Host endless
  DynamicForward 1080
  CloseTimeout none
Host plain
  HostName 127.0.0.1
`,
  'ssh config 100%',
);
const SCRIPT = join(ROOT, 'bin', 'sshtunnel.js');

let homes = 0;
/** A folder of units for the test, with a systemctl that only records its arguments. */
function home() {
  const path = folder.at(`home-${++homes}`);
  mkdirSync(join(path, 'bin'), { recursive: true });
  writeFileSync(join(path, 'bin', 'systemctl'), `#!/bin/sh\necho "$*" >>'${path}/calls'\nexit \${FAILS:-0}\n`, {
    mode: 0o755,
  });
  const calls = () =>
    existsSync(join(path, 'calls')) ? readFileSync(join(path, 'calls'), 'utf8').trim().split('\n') : [];
  const env = { XDG_CONFIG_HOME: path, PATH: `${join(path, 'bin')}${delimiter}${process.env.PATH}` };
  return { env, calls, unit: (name) => join(path, 'systemd', 'user', `sshtunnel-${name}.service`) };
}

/** Runs `service` to its end. */
const service = (t, env, ...args) => Cli.start(t, ['service', '-F', config, ...args], { env }).end();

/** What systemd makes of units: its complaints. */
async function verified(path) {
  const { stdout, stderr } = await run('systemd-analyze', ['--user', 'verify', '--man=no', path], {
    env: { ...process.env, XDG_RUNTIME_DIR: folder.path },
  });
  return `${stdout}${stderr}`.trim();
}

/** A service with words that need care. */
const ODD = ['a b', '100%', '$HOME', '"', "it's", 'back\\slash', '%h', '', 'tab\there', 'ünïcode', ';', '${X}', '-o'];
const odd = (program) => ({ name: 'db', mark: 'Mark.', command: [program, ...ODD], stopSeconds: 75, notes: ['Note.'] });

test('install --print prints the unit, and writes nothing', LINUX, async (t) => {
  const { env, unit } = home();
  const { status, stdout, stderr } = await service(t, env, 'install', 'db', '--print');
  assert.deepEqual([status, stderr], [0, '']);
  const options = ['BatchMode=yes', 'Reconnect=yes', 'ExitOnForwardFailure=yes', 'CloseTimeout=60'];
  const words = [
    process.execPath,
    SCRIPT,
    '-F',
    `"${config.replace('%', '%%')}"`,
    ...options.flatMap((one) => ['-o', one]),
  ];
  assert.ok(stdout.includes(`\nExecStart=${words.join(' ')} db\n`), stdout);
  assert.match(stdout, /^TimeoutStopSec=75$/m);
  assert.match(stdout, /^Type=notify$[^]*^WatchdogSec=30$/m);
  assert.ok(!existsSync(unit('db')));
});

test('what the files say of Reconnect and CloseTimeout is left', LINUX, async (t) => {
  const { stdout } = await service(t, home().env, 'install', 'own', '--print');
  assert.doesNotMatch(stdout, /Reconnect=|CloseTimeout=/);
  assert.match(stdout, /^TimeoutStopSec=135$/m);
  for (const [name, seconds] of [
    ['hard', '15'],
    ['endless', 'infinity'],
  ]) {
    const other = await service(t, home().env, 'install', name, '--print');
    assert.doesNotMatch(other.stdout, /CloseTimeout=/);
    assert.ok(other.stdout.includes(`\nTimeoutStopSec=${seconds}\n`), name);
  }
});

test('a service stays in the foreground', LINUX, async (t) => {
  const [forks, stays] = await Promise.all(
    ['hard', 'db'].map((name) => service(t, home().env, 'install', name, '--print')),
  );
  assert.match(forks.stdout, /ExecStart=.* -o ForkAfterAuthentication=no /);
  assert.doesNotMatch(stays.stdout, /ForkAfterAuthentication/);
});

test('only a host with forwards becomes a service', LINUX, async (t) => {
  const { env } = home();
  for (const [args, text] of [
    [['install', 'plain'], /has no LocalForward, RemoteForward or DynamicForward for plain/],
    [['install', 'me@db'], /'me@db' is no name of a host/],
    [['install'], /give install or uninstall, and the name/],
    [['remove', 'db'], /give install or uninstall/],
    [['install', 'db', '--force'], /unknown option --force/],
    [['uninstall', 'db', '--print'], /--print is for install/],
    [['uninstall', 'db'], /there is no .*sshtunnel-db\.service/],
    [['install', 'db'], /there is no terminal to ask at; --yes does not ask/],
  ]) {
    const { status, stderr } = await service(t, env, ...args);
    assert.equal(status, 255, args.join(' '));
    assert.match(stderr, text);
  }
});

test('install and uninstall write and remove the unit, and say what is next', LINUX, async (t) => {
  const { env, unit, calls } = home();
  const file = unit('db');
  const made = await service(t, env, 'install', 'db', '--yes');
  assert.deepEqual([made.status, made.stderr], [0, '']);
  const text = readFileSync(file, 'utf8');
  assert.ok(made.stdout.startsWith(text), 'the file is shown');
  assert.match(
    made.stdout,
    /systemctl --user daemon-reload\n {2}systemctl --user enable --now sshtunnel-db\.service\n$/,
  );
  assert.equal(statSync(file).mode & 0o777, 0o644 & ~process.umask());
  assert.match((await service(t, env, 'install', 'db')).stdout, /is there, and the same\./);

  writeFileSync(file, '# another one\n');
  const replaced = await service(t, env, 'install', 'db', '--yes');
  assert.match(replaced.stdout, /sshtunnel-db\.service exists and differs:\n\n# another one\n/);
  assert.equal(readFileSync(file, 'utf8'), text);

  const link = join(dirname(file), 'default.target.wants', basename(file));
  mkdirSync(dirname(link));
  symlinkSync(file, link);
  const removed = await service(t, env, 'uninstall', 'db', '--yes');
  assert.equal(removed.status, 0);
  assert.match(removed.stdout, /If it runs, this stops it:\n {2}systemctl --user stop sshtunnel-db\.service\n/);
  for (const path of [file, link]) assert.throws(() => statSync(path), { code: 'ENOENT' });
  assert.deepEqual(calls(), []);
});

test('uninstall leaves files that others have written', LINUX, async (t) => {
  const { env, unit } = home();
  mkdirSync(dirname(unit('db')), { recursive: true });
  writeFileSync(unit('db'), '[Service]\n');
  const { status, stderr } = await service(t, env, 'uninstall', 'db', '--yes');
  assert.equal(status, 255);
  assert.match(stderr, /was not written by this command/);
  assert.equal(readFileSync(unit('db'), 'utf8'), '[Service]\n');
});

test('--now runs systemctl, and its failure is one of the command', LINUX, async (t) => {
  const { env, unit, calls } = home();
  assert.equal((await service(t, env, 'install', 'db', '--yes', '--now')).status, 0);
  assert.equal((await service(t, env, 'uninstall', 'db', '--yes', '--now')).status, 0);
  const name = 'sshtunnel-db.service';
  const expected = ['daemon-reload', `enable --now ${name}`, `disable --now ${name}`, 'daemon-reload'];
  assert.deepEqual(
    calls(),
    expected.map((words) => `--user ${words}`),
  );
  const failed = await service(t, { ...env, FAILS: '1' }, 'install', 'db', '--yes', '--now');
  assert.equal(failed.status, 255);
  assert.equal((await service(t, { ...env, FAILS: '1' }, 'uninstall', 'db', '--yes', '--now')).status, 255);
  assert.ok(existsSync(unit('db')), 'it may still run');
});

test('install asks at the terminal', AT_TERMINAL, async (t) => {
  const { env, unit } = home();
  for (const [answer, status] of [
    ['no', 255],
    ['yes', 0],
  ]) {
    const session = AtTerminal.start(t, ['service', '-F', config, 'install', 'db'], { env });
    await session.sees(/Write \S+sshtunnel-db\.service\? \(yes\/no\) /);
    session.type(`${answer}\r`);
    await session.sees(new RegExp(`status ${status}\r\n`));
    assert.equal(existsSync(unit('db')), answer === 'yes');
  }
});

test('systemd accepts the unit', LINUX, async (t) => {
  if (!ensurePackages(['systemd-analyze'], ['systemd'])) return t.skip('there is no systemd-analyze');
  const { env, unit } = home();
  await service(t, env, 'install', 'db', '--yes');
  assert.equal(await verified(unit('db')), '');
  writeFileSync(unit('db'), `${readFileSync(unit('db'), 'utf8')}\n[Service]\nNonsense=1\n`);
  assert.match(await verified(unit('db')), /Nonsense/);
});

/** The words of ExecStart as systemd reads them: after its own unquoting, specifiers and variables. */
async function wordsOf(t, line) {
  // systemd-run is not there without a manager: the rules of systemd.service(5), written once more, and by other means.
  const python = `
import json, re, sys
line = sys.stdin.read()
words, at = [], 0
while at < len(line):
    if line[at] == ' ':
        at += 1
        continue
    word, quote = '', None
    while at < len(line) and (quote or line[at] != ' '):
        c = line[at]
        if c == '\\\\':
            m = re.match(r'\\\\u([0-9a-f]{4})', line[at:])
            word += chr(int(m.group(1), 16)) if m else line[at + 1]
            at += 6 if m else 2
            continue
        if quote is None and c in '"\\'' and word == '':
            quote = c
        elif c == quote:
            quote = None
        else:
            word += c
        at += 1
    words.append(word)
first, rest = words[0].replace('%%', '%'), [w.replace('%%', '%').replace('$$', '$') for w in words[1:]]
print(json.dumps([first] + rest))
`;
  const { stdout, stderr } = await run('sh', ['-c', 'printf %s "$1" | python3 -c "$2"', 'sh', line, python]);
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

test('words of a unit are quoted', LINUX, async (t) => {
  const program = '/opt/node 100%/$x/node';
  const text = systemd({ home: '/home/me', variables: {} }).text(odd(program));
  const [, line] = /^ExecStart=(.*)$/m.exec(text);
  assert.deepEqual(await wordsOf(t, line), [program, ...ODD]);
  assert.doesNotMatch(line.replaceAll('%%', ''), /%/);
  assert.doesNotMatch(line.slice(line.indexOf('"a b"')).replaceAll('$$', ''), /\$/);
  if (!ensurePackages(['systemd-analyze'], ['systemd'])) return t.skip('there is no systemd-analyze');
  const file = folder.write(systemd({ home: '/home/me', variables: {} }).text(odd('/bin/true')), 'odd.service');
  assert.equal(await verified(file), '');
});

test('names of units are those of systemd', async (t) => {
  assert.equal(unitName('db.internal_1:2-3'), 'sshtunnel-db.internal_1:2-3.service');
  if (!ensurePackages(['systemd-escape'], ['systemd'])) return t.skip('there is no systemd-escape');
  for (const name of ['a@b', 'ümlaut', '.hidden', 'a,b', 'a/b%']) {
    const escaped = unitName(name);
    assert.match(escaped, /^sshtunnel-[\w:.\\]+\.service$/);
    const { stdout } = await run('systemd-escape', ['--unescape', '--', escaped.slice(10, -8)]);
    assert.equal(stdout.trimEnd(), name);
  }
});

test('a property list has the words as they are', async (t) => {
  if (!ensurePackages(['python3'], ['python3'])) return t.skip('there is no python3');
  const words = [...ODD, '<a> & "b"', ']]>', '\r', '--'];
  const service = { ...odd('/opt/node'), name: 'db&<x>', command: ['/opt/node', ...words] };
  const manager = launchd({ home: '/Users/me', uid: 501 });
  const file = folder.write(manager.text(service), 'list.plist');
  const { code, stdout, stderr } = await run('python3', [
    '-c',
    'import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], "rb"))))',
    file,
  ]);
  assert.deepEqual([code, stderr], [0, '']);
  const { Label, ProgramArguments, RunAtLoad, KeepAlive, ExitTimeOut, StandardErrorPath } = JSON.parse(stdout);
  assert.equal(Label, 'sshtunnel.db&<x>');
  assert.deepEqual(ProgramArguments, ['/opt/node', ...words]);
  assert.deepEqual([RunAtLoad, KeepAlive, ExitTimeOut], [true, { SuccessfulExit: false }, 75]);
  assert.equal(StandardErrorPath, '/Users/me/Library/Logs/sshtunnel.db&<x>.log');
  assert.equal(manager.fileOf('db'), '/Users/me/Library/LaunchAgents/sshtunnel.db.plist');
  assert.deepEqual(manager.start('db'), [
    ['launchctl', 'bootstrap', 'gui/501', '/Users/me/Library/LaunchAgents/sshtunnel.db.plist'],
  ]);
  assert.throws(() => manager.text({ ...service, command: ['\x01'] }), /control characters/);
});
