// `sshtunnel run ... -- command`: a program here whose URLs lead through the tunnel.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { MIB, behaviors, connect, exchange } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));
const site = http.createServer(({ url, headers }, response) => response.end(`${url} ${headers.authorization ?? ''}`));
site.listen(0, '127.0.0.1');
await once(site, 'listening');
after(() => site.close());
const sitePort = site.address().port;

const POSIX = { skip: process.platform === 'win32' && 'there are no signals between processes' };

/** Starts the command with a program behind it. */
const start = (t, flags, command, options = {}) =>
  Cli.start(t, ['run', ...flags, ...setting.options(), '127.0.0.1', '--', ...command], options);

/** Runs a script of Node.js with arguments to its end. */
const node = (t, flags, script, args = [], options = {}) =>
  start(t, flags, [process.execPath, '-e', script, ...args], options).end();

/** Prints the arguments as JSON. */
const ARGUMENTS = 'console.log(JSON.stringify(process.argv.slice(1)))';

test('URLs among the arguments lead through the tunnel, and others are left', async (t) => {
  const fetched = await node(t, [], 'fetch(process.argv[1]).then((it) => it.text()).then(console.log)', [
    `http://127.0.0.1:${sitePort}/a?b`,
  ]);
  assert.deepEqual(fetched, { status: 0, stdout: '/a?b \n', stderr: '' });
  const given = [
    'postgres://me:p%40ss@db.internal/app?x=1#y',
    '--dsn=redis://db.internal:7000,cache.internal',
    'URL=mysql://db.internal',
    'postgres://me:p%40ss@db.internal/other',
    'db.internal:80',
    'file:///etc/hosts',
    'mongodb+srv://cluster.internal/',
    'a=b=http://x/',
    '-L',
  ];
  const { status, stdout, stderr } = await node(t, [], ARGUMENTS, given);
  assert.deepEqual([status, stderr], [0, '']);
  const ports = (text) => [...text.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port));
  const got = JSON.parse(stdout);
  const [first] = ports(got[0]);
  assert.equal(got[0], `postgres://me:p%40ss@127.0.0.1:${first}/app?x=1#y`);
  const [seventh, sixth] = ports(got[1]);
  assert.equal(got[1], `--dsn=redis://127.0.0.1:${seventh},127.0.0.1:${sixth}`);
  assert.match(got[2], /^URL=mysql:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(got[3], `postgres://me:p%40ss@127.0.0.1:${first}/other`, 'the same server');
  assert.deepEqual(got.slice(4), given.slice(4));
  const kept = await node(t, ['--no-urls', '-L', '0:a:1'], ARGUMENTS, [given[0]]);
  assert.deepEqual(JSON.parse(kept.stdout), [given[0]]);
});

test('--env sets variables to local addresses', async (t) => {
  const script = 'const { A, B, C, D } = process.env; console.log(JSON.stringify({ A, B, C, D }))';
  const flags = ['--env', 'A', '--env=B=db.internal:5432', '--env', 'C=http://[fd00::1]:80/x'];
  const env = { A: 'postgres://u:p@db.internal/a', B: 'replaced', D: 'http://left/' };
  const { status, stdout, stderr } = await node(t, flags, script, [], { env });
  assert.deepEqual([status, stderr], [0, '']);
  const { A, B, C, D } = JSON.parse(stdout);
  const [, port] = /^127\.0\.0\.1:(\d+)$/.exec(B);
  assert.equal(A, `postgres://u:p@127.0.0.1:${port}/a`, 'the same server');
  assert.match(C, /^http:\/\/127\.0\.0\.1:\d+\/x$/);
  assert.equal(D, env.D);
  for (const [flag, text] of [
    ['NOT_SET', /--env NOT_SET: the environment variable is not set/],
    ['A=nonsense', /--env A: the value is neither a URL nor host:port/],
    ['A=foo://secret@host/', /--env A: [^]*has to name the port/],
  ]) {
    const failed = await node(t, ['--env', flag], ARGUMENTS);
    assert.deepEqual([failed.status, failed.stdout], [255, '']);
    assert.match(failed.stderr, text);
    assert.doesNotMatch(failed.stderr, /secret/);
  }
});

test('-L opens ports before the program starts, which has the standard streams', async (t) => {
  const target = await echo(t);
  const child = start(
    t,
    ['-L', `127.0.0.1:0:127.0.0.1:${target.port}`, '-v'],
    [process.execPath, '-e', 'process.stdin.pipe(process.stdout)'],
    { stdin: 'pipe' },
  );
  const [, port] = await child.says('stderr', /Local connections to 127\.0\.0\.1:(\d+) forwarded/);
  child.child.stdin.write('hello\n');
  await child.says('stdout', /^hello\n$/);
  const client = await connect(Number(port));
  await exchange(client);
  // The program ends; the connection of another one may finish.
  child.child.stdin.end();
  await child.says('stderr', /Closing, after the end of the command/);
  await exchange(client);
  client.end();
  await client.ended;
  assert.equal(await child.exit, 0);
});

test('it ends with the status of the program', POSIX, async (t) => {
  const flags = ['-L', '0:a:1'];
  assert.equal((await node(t, flags, 'process.exit(7)')).status, 7);
  assert.equal((await node(t, flags, 'process.kill(process.pid, "SIGTERM")')).status, 143);
  assert.equal((await node(t, flags, 'process.kill(process.pid, "SIGKILL")')).status, 137);
  const missing = await start(t, flags, ['no-such-program-here']).end();
  assert.deepEqual(
    [missing.status, missing.stderr],
    [127, 'sshtunnel: no-such-program-here: No such file or directory\n'],
  );
  const text = setting.file('text', 'not a program');
  assert.equal((await start(t, flags, [text]).end()).status, 126);
});

test('everything that the program sent before its end arrives', async (t) => {
  const target = await echo(t, behaviors.sink());
  const script = `
    const [, port] = /:(\\d+)$/.exec(process.argv[1]);
    require('net').connect(port, '127.0.0.1').end(Buffer.alloc(4 * 1024 * 1024), () => process.exit(3));
  `;
  const { status, stderr } = await node(t, [], script, [`tcp://127.0.0.1:${target.port}`]);
  assert.deepEqual([status, stderr], [3, '']);
  assertIncludes(await (await target.next()).ended, { bytes: 4 * MIB, end: 'FIN' });
});

test('signals reach the program, which decides about its end', POSIX, async (t) => {
  const script = `
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2', 'SIGQUIT'])
      process.on(name, () => console.log(name) || (name === 'SIGHUP' && process.exit(5)));
    setInterval(() => {}, 1000);
    console.log('ready');
  `;
  const child = start(t, ['-L', '0:a:1'], [process.execPath, '-e', script]);
  await child.says('stdout', /ready\n/);
  for (const name of ['SIGINT', 'SIGTERM', 'SIGTERM', 'SIGUSR2', 'SIGQUIT', 'SIGHUP']) {
    const { length } = child.stdout;
    child.signal(name);
    await child.says('stdout', new RegExp(`^[^]{${length}}${name}\n$`));
  }
  assert.equal(await child.exit, 5);
});

test('--quiet-unless-failed shows the output of a program that failed', async (t) => {
  const script = 'console.log("out"); console.error("err"); process.exitCode = Number(process.argv[1])';
  const flags = ['--quiet-unless-failed', '-L', '0:a:1'];
  assert.deepEqual(await node(t, flags, script, ['0']), { status: 0, stdout: '', stderr: '' });
  assert.deepEqual(await node(t, flags, script, ['4']), { status: 4, stdout: '', stderr: 'out\nerr\n' });
});

test('a program goes on when its session disconnects', async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const its = new Setting(own);
  t.after(() => its.remove());
  const script = 'console.log("ready"); process.stdin.once("data", () => process.exit(6))';
  const args = ['run', '-L', '0:a:1', ...its.options(), '127.0.0.1', '--', process.execPath, '-e', script];
  const child = Cli.start(t, args, { stdin: 'pipe' });
  await child.says('stdout', /ready/);
  own.killSessions();
  await child.says('stderr', /closed by remote host|disconnected|reset/i);
  child.child.stdin.write('x');
  assert.equal(await child.exit, 6);
});

test('it does not start the program if a port cannot be bound, or nothing would lead through the tunnel', async (t) => {
  const target = await echo(t);
  const taken = await node(t, ['-L', `127.0.0.1:${target.port}:a:1`], 'console.log("ran")');
  assert.deepEqual([taken.status, taken.stdout], [255, '']);
  const nothing = await node(t, [], 'console.log("ran")');
  assert.deepEqual([nothing.status, nothing.stdout], [255, '']);
  assert.match(nothing.stderr, /nothing would lead through the tunnel/);
});

test('wrong command lines are refused', async (t) => {
  for (const [args, text] of [
    [['run', 'h', '--'], /the command behind -- is missing/],
    [['run', '--', 'true'], /destination is missing/],
    [['run', 'h', 'true'], /a command here is behind --/],
    [['--env', 'A', 'h'], /--env is for: sshtunnel run/],
    [['--quiet-unless-failed', 'h'], /is for: sshtunnel run/],
    [['run', '--env', 'A-B', 'h', '--', 'true'], /--env requires NAME/],
    [['run', '--env', '--', 'true'], /--env requires NAME/],
    [['run', '--no-urls=1', 'h', '--', 'true'], /takes no value/],
    [['run', '--json', 'h', '--', 'true'], /--json/],
    [['run', '-W', 'a:1', 'h', '--', 'true'], /-W/],
    [['run', '-F', 'none', '-f', 'h', '--', 'true'], /run/],
  ]) {
    const { status, stderr } = await Cli.start(t, args).end();
    assert.equal(status, 255, args.join(' '));
    assert.match(stderr, text);
  }
});
