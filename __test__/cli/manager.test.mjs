// `sshtunnel up` and the subcommands beside it: tunnels in the background, with a real server.

import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { after } from 'node:test';

import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { Cli, echo } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { Manager, answers } from '../helpers/manager.mjs';
import { exchange, refuses, silentPort } from '../helpers/peers.mjs';
import { ROOT, signal, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const LINUX = { skip: process.platform !== 'linux' && 'processes are found in /proc' };
const server = await Sshd.start();
after(() => server.stop());

const { username } = userInfo();

test('up, ls, status and down: a host with a forward is a profile', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const ports = [await manager.profile('db', target), await manager.profile('cache', target)];
  manager.host('other');
  manager.host('*.internal', 'DynamicForward 1080');
  const lines = ['db', 'cache'].map(
    (name, index) =>
      `${name}: up, ${username}@127.0.0.1:${server.port}, -L 127.0.0.1:${ports[index]} -> 127.0.0.1:${target.port}\n`,
  );
  assert.deepEqual(await manager.up(t, 'db', 'cache'), { status: 0, stdout: lines.join(''), stderr: '' });
  for (const port of ports) (await answers(port)).socket.destroy();
  const [db] = await manager.list(t);
  // The same again changes nothing.
  assert.deepEqual(await manager.up(t, 'db'), { status: 0, stdout: lines[0], stderr: '' });
  assert.equal((await manager.list(t))[0].pid, db.pid);

  const status = await manager.run(t, 'status', '-F', manager.config, 'db');
  assert.equal(status.status, 0);
  assert.match(
    status.stdout,
    new RegExp(
      `^db: up since \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d \\(00:00:\\d\\d\\), ${username}@127\\.0\\.0\\.1:\\d+, process ${db.pid}\n` +
        `  -L 127\\.0\\.0\\.1:${ports[0]} -> 127\\.0\\.0\\.1:${target.port}  0 open, 1 ended, 1\\.0 KiB up, 1\\.0 KiB down\n`,
    ),
  );
  const down = await manager.run(t, 'down', 'db');
  assert.deepEqual(down, { status: 0, stdout: 'db: down\n', stderr: '' });
  assert.equal(await refuses(ports[0]), true);
  assert.equal((await manager.run(t, 'status', '-F', manager.config, 'db')).status, 3);
  const { stdout } = await manager.run(t, 'ls', '-F', manager.config);
  const rows = stdout.split('\n');
  assert.match(rows[0], /^NAME {2}STATE {8}FOR {7}FORWARDS$/);
  assert.match(rows[1], new RegExp(`^cache up {11}00:00:\\d\\d {2}-L 127\\.0\\.0\\.1:${ports[1]} -> 127\\.0\\.0\\.1`));
  assert.match(rows[2], new RegExp(`^db {4}down {19}-L 127\\.0\\.0\\.1:${ports[0]} -> 127\\.0\\.0\\.1`));
  assert.equal(rows.length, 4);
  for (const row of rows) assert.ok(row.length <= 80, row);

  assert.deepEqual(await manager.run(t, 'down', '--all'), { status: 0, stdout: 'cache: down\n', stderr: '' });
  await manager.ended();
  assert.equal(existsSync(manager.socket), false);
});

test('ls --json and status --json have the documented members', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  await manager.profile('idle', target);
  await manager.up(t, 'db');
  const client = await answers(port);
  t.after(() => client.socket.destroy());
  const [db, idle] = await manager.list(t);
  const { since, pid, forwards, ...rest } = db;
  assert.ok(Number.isInteger(pid) && since <= Date.now() && since > Date.now() - 60_000);
  const name = `-L 127.0.0.1:${port} -> 127.0.0.1:${target.port}`;
  const forward = { kind: 'local', name, from: `127.0.0.1:${port}`, to: `127.0.0.1:${target.port}` };
  assert.deepEqual(forwards, [{ ...forward, failed: false }]);
  assert.deepEqual(rest, {
    name: 'db',
    args: ['-F', manager.config],
    cwd: resolve(ROOT),
    state: 'up',
    wanted: true,
    restarts: 0,
    destination: `${username}@127.0.0.1:${server.port}`,
    log: manager.log('db'),
  });
  const { forwards: listed, ...profile } = idle;
  assert.deepEqual(profile, { name: 'idle', state: 'down', wanted: false });
  assert.equal(listed.length, 1);

  const { snapshot, ...tunnel } = JSON.parse((await manager.run(t, 'status', '--json', 'db')).stdout);
  assert.deepEqual(tunnel, db);
  assert.equal(snapshot.pid, pid);
  assert.equal(snapshot.session.state, 'connected');
  assert.deepEqual([snapshot.open, snapshot.connections.length, snapshot.forwardings[0].open], [1, 1, 1]);
});

test('a name without a forward is refused, with what is missing', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  manager.host('plain');
  manager.host('cleared', 'LocalForward 1 a:1', 'ClearAllForwardings yes');
  for (const [names, text] of [
    [
      ['plain'],
      /^sshtunnel: 'plain' has no forward: add LocalForward, .* to 'Host plain' in .*config, or give -L, -D or -R\n$/,
    ],
    [['db', 'nobody'], /^sshtunnel: 'nobody' has no forward/],
    [['cleared'], /ClearAllForwardings removes them/],
    [['-x;y'], /unknown option|-x/],
    [['a b'], /is not a \[user@\]host/],
  ]) {
    const { status, stdout, stderr } = await manager.up(t, ...names);
    assert.deepEqual([status, stdout], [255, '']);
    assert.match(stderr, text);
  }
  assert.deepEqual(manager.processes(), []);
});

test('command lines that are not valid are refused', LINUX, async (t) => {
  const manager = Manager.create(t, server);
  const lines = [
    [['up', '--json', 'db'], /--json cannot be given/],
    [['up', '-W', 'a:1', 'db'], /-W cannot be given/],
    [['up', '-L', '1:a:1'], /a name is missing/],
    [['up', '--web', '8400', 'db', 'cache'], /--web with port 8400 is for one tunnel: each needs a port of its own/],
    [['down'], /a name is missing/],
    [['down', '--all', 'db'], /--all goes without names/],
    [['down', 'db', '--timeout', 'soon'], /soon/],
    [['down', 'nobody'], /nobody: down, there is no such tunnel/],
    [['restart'], /a name is missing/],
    [['restart', 'nobody'], /'nobody' has no forward/],
    [['ls', 'db'], /too many arguments/],
    [['ls', '--wrong'], /Unknown option '--wrong'/],
    [['status'], /a name is missing/],
    [['status', 'nobody'], /there is no tunnel and no profile 'nobody'/],
    [['logs', 'nobody'], /there is no log of 'nobody'/],
    [['logs', '-n', 'x', 'db'], /-n requires a number/],
    [['up'], /no tunnel is wanted/],
  ];
  const check = async ([args, text]) => {
    const { status, stdout, stderr } = await manager.run(t, ...args);
    assert.deepEqual([status, stdout], [255, ''], args.join(' '));
    assert.match(stderr, text);
  };
  await Promise.all(lines.map(check));
  assert.deepEqual(manager.processes(), []);
});

test('each subcommand prints its usage', LINUX, async (t) => {
  const manager = Manager.create(t, server);
  for (const word of ['up', 'down', 'restart', 'ls', 'status', 'logs']) {
    const { status, stdout } = await manager.run(t, word, '--help');
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^usage: sshtunnel ${word} `));
  }
});

test('a host without a section is brought up with the options of ssh', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  await manager.up(t, 'db');
  const options = ['-L', `127.0.0.1:${await manager.profile('unused', target)}:127.0.0.1:${target.port}`];
  const { status, stdout } = await manager.up(t, ...options, `${username}@127.0.0.1`);
  assert.equal(status, 0);
  assert.match(stdout, new RegExp(`^${username}@127\\.0\\.0\\.1: up, `));
  const refused = await manager.up(t, '-v', 'db');
  assert.deepEqual([refused.status, refused.stdout], [255, '']);
  assert.match(refused.stderr, /^db: it has other options: take it down first/);
  (await answers(port)).socket.destroy();
  assert.equal((await manager.run(t, 'down', `${username}@127.0.0.1`)).status, 0);
});

test('status has the URL of the page of --web', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  assert.equal((await manager.up(t, '--web', String(await freePort()), 'db')).status, 0);
  const [url] = /http:\S+/.exec((await manager.run(t, 'status', '-F', manager.config, 'db')).stdout);
  assert.equal((await fetch(url)).status, 200);
  assert.doesNotMatch(readFileSync(manager.log('db'), 'utf8'), /http:/);
});

test('down lets connections finish, and says what --force and --timeout have cut', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  await manager.up(t, 'db');
  const client = await answers(port);
  const closing = manager.start(t, 'down', 'db');
  await manager.reaches('db', 'closing');
  await until(() => refuses(port));
  await exchange(client);
  client.socket.end();
  await client.ended;
  const ended = 'db: down, 1 connection, none cut\n';
  assert.deepEqual(await closing.end(), { status: 0, stdout: ended, stderr: '' });

  for (const how of [['--force'], ['--timeout', '0']]) {
    await manager.up(t, 'db');
    const other = await answers(port);
    const { stdout } = await manager.run(t, 'down', ...how, 'db');
    assert.equal(stdout, 'db: down, 1 connection, 1 cut\n');
    assert.equal((await other.ended).end, 'ECONNRESET');
  }
  // A second request may be less patient than the first.
  await manager.up(t, 'db');
  const last = await answers(port);
  const patient = manager.start(t, 'down', 'db');
  await manager.reaches('db', 'closing');
  await manager.run(t, 'down', '--force', 'db');
  assert.equal((await patient.end()).status, 0);
  assert.equal((await last.ended).end, 'ECONNRESET');
});

test('restart takes the same options, and up after down waits for the connections', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  await manager.up(t, 'db');
  const before = await manager.tunnel('db');
  const { status, stdout } = await manager.run(t, 'restart', 'db');
  assert.deepEqual([status, /^db: up, /.test(stdout)], [0, true]);
  const after = await manager.tunnel('db');
  assert.notEqual(after.pid, before.pid);
  assert.deepEqual([after.args, after.restarts], [before.args, 0]);

  const client = await answers(port);
  const closing = manager.start(t, 'down', 'db');
  await manager.reaches('db', 'closing');
  const again = manager.start(t, 'up', '-F', manager.config, 'db');
  await until(async () => (await manager.tunnel('db')).wanted);
  client.socket.end();
  assert.equal((await again.end()).status, 0);
  await closing.end();
  (await answers(port)).socket.destroy();
});

test('several up at once start one supervisor, also beside a stale socket', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) await manager.profile(name, target);
  for (const round of [1, 2]) {
    const ends = await Promise.all(names.map((name) => manager.up(t, name)));
    for (const { status, stderr } of ends) assert.deepEqual([status, stderr], [0, ''], `round ${round}`);
    const [supervisor, ...others] = manager.supervisors();
    assert.deepEqual(others, []);
    assert.deepEqual(
      (await manager.list(t)).map(({ state }) => state),
      names.map(() => 'up'),
    );
    signal(supervisor, 'SIGKILL');
    await manager.ended();
    assert.equal(existsSync(manager.socket), true, 'nobody has removed it');
  }
});

test('Ctrl-C of up leaves the tunnel to the supervisor', LINUX, async (t) => {
  const silent = await silentPort();
  t.after(silent.stop);
  const manager = Manager.create(t, server);
  manager.host('slow', `Port ${silent.port}`, `DynamicForward 127.0.0.1:${await freePort()}`);
  const up = manager.start(t, 'up', '-F', manager.config, 'slow');
  await until(() => existsSync(manager.socket) && manager.supervisors().length === 1);
  await until(async () => (await manager.tunnel('slow'))?.pid !== undefined);
  up.signal('SIGINT');
  assert.equal(await up.exit, 'SIGINT');
  assert.equal((await manager.tunnel('slow')).state, 'connecting');
  assert.equal((await manager.run(t, 'status', 'slow')).status, 4);
  assert.deepEqual(await manager.run(t, 'down', 'slow'), { status: 0, stdout: 'slow: down\n', stderr: '' });
});

test('the supervisor belongs to no terminal, and holds no folder', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  await manager.up(t, 'db');
  const [supervisor] = manager.supervisors();
  const [, fields] = /^\d+ \(.*\) (.*)/.exec(readFileSync(`/proc/${supervisor}/stat`, 'utf8'));
  const [, , , session, terminal] = fields.split(' ').map(Number);
  assert.deepEqual([session, terminal], [supervisor, 0]);
  assert.equal(readlinkSync(`/proc/${supervisor}/cwd`), '/');
  const { pid } = await manager.tunnel('db');
  assert.equal(readlinkSync(`/proc/${pid}/cwd`), resolve(ROOT));
});

test('socket, folders and files are for the user alone', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  await manager.up(t, 'db');
  const mode = (path) => (statSync(path).mode & 0o777).toString(8);
  assert.equal(mode(manager.socket), '600');
  assert.equal(mode(join(manager.socket, '..')), '700');
  assert.equal(mode(manager.state), '700');
  const files = readdirSync(manager.state).sort();
  assert.deepEqual(files, ['db.log', 'supervisor.log', 'tunnels.json']);
  for (const file of files) assert.equal(mode(join(manager.state, file)), '600', file);
  assert.doesNotMatch(readFileSync(manager.wanted, 'utf8'), /XDG_|HOME/);
});

test('a folder that others may enter, or that is a link, is refused', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  const temporary = manager.at('tmp');
  mkdirSync(temporary);
  const folder = join(temporary, `sshtunnel-${process.geteuid()}`);
  const env = { ...manager.env, XDG_RUNTIME_DIR: '', TMPDIR: temporary };
  const run = (...args) => Cli.start(t, args, { env }).end();
  const refused = async () => {
    for (const args of [['up', '-F', manager.config, 'db'], ['ls']]) {
      const { status, stderr } = await run(...args);
      assert.equal(status, 255);
      assert.match(stderr, new RegExp(`^sshtunnel: ${folder} is not used: `));
    }
  };
  mkdirSync(folder, { mode: 0o755 });
  await refused();
  chmodSync(folder, 0o700);
  assert.equal((await run('up', '-F', manager.config, 'db')).status, 0);
  assert.equal(existsSync(join(folder, 'supervisor.sock')), true);
  assert.equal((await run('down', 'db')).status, 0);
  await manager.ended();
  const link = manager.at('link');
  mkdirSync(link, { mode: 0o700 });
  env.TMPDIR = link;
  symlinkSync(folder, join(link, `sshtunnel-${process.geteuid()}`));
  const { status, stderr } = await run('ls');
  assert.deepEqual([status, /is not used/.test(stderr)], [255, true]);
});

test('a damaged file of wanted tunnels gives a message, and is left as it is', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  mkdirSync(manager.state, { mode: 0o700 });
  for (const [text, reason] of [
    ['{"version":1,', /is damaged \(.*JSON.*\): correct it, or remove it/],
    ['{"version":2,"tunnels":[]}', /is damaged \(its version is not 1\)/],
    ['{"version":1,"tunnels":[{"name":7}]}', /is damaged \(its tunnels are not complete\)/],
    ['null', /is damaged/],
  ]) {
    writeFileSync(manager.wanted, text);
    for (const args of [['up', '-F', manager.config, 'db'], ['ls'], ['down', 'db'], ['status', 'db']]) {
      const { status, stderr } = await manager.run(t, ...args);
      assert.equal(status, 255);
      assert.match(stderr, reason);
    }
    assert.equal(readFileSync(manager.wanted, 'utf8'), text);
  }
  await manager.ended();
});

test('the environment of up reaches the tunnel: keys of an agent', LINUX, async (t) => {
  const target = await echo(t);
  const agent = await Agent.start();
  const manager = Manager.create(t, server);
  const key = makeKey(manager.at('of-the-agent'));
  agent.add(key.file);
  server.authorize(key.publicKey);
  manager.key = manager.at('no-such-file');
  const port = await manager.profile('db', target, 'IdentityAgent SSH_AUTH_SOCK');
  const env = { ...manager.env, SSH_AUTH_SOCK: agent.path, NOTIFY_SOCKET: '/nowhere' };
  const { status, stderr } = await Cli.start(t, ['up', '-F', manager.config, 'db'], { env }).end();
  assert.deepEqual([status, stderr], [0, '']);
  (await answers(port)).socket.destroy();
  const { pid } = await manager.tunnel('db');
  const variables = readFileSync(`/proc/${pid}/environ`, 'utf8');
  assert.match(variables, /SSH_AUTH_SOCK=/);
  assert.doesNotMatch(variables, /NOTIFY_SOCKET/, 'it is for the process that the service manager has started');
  // Without an agent, the next process has no key.
  await agent.stop();
  const other = await manager.run(t, 'restart', 'db');
  assert.equal(other.status, 255);
  assert.match(other.stderr, /^db: failed, .*Permission denied/);
});

test('requests that are not valid are refused, and change nothing', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  await manager.up(t, 'db');
  const before = readFileSync(manager.wanted, 'utf8');
  const env = { PATH: process.env.PATH };
  for (const [request, text] of [
    [{ command: 'stop' }, 'unknown command'],
    [{ command: '__proto__' }, 'unknown command'],
    [{ command: 'up' }, "'names' of the request is not valid"],
    [{ command: 'up', names: ['a', 7], args: [], cwd: '/', env }, "'names' of the request is not valid"],
    [{ command: 'up', names: ['a'], args: '-v', cwd: '/', env }, "'args' of the request is not valid"],
    [{ command: 'up', names: ['a'], args: [], cwd: '.', env }, "'cwd' of the request is not valid"],
    [{ command: 'up', names: ['a'], args: [], cwd: '/', env: { A: 1 } }, "'env' of the request is not valid"],
    [{ command: 'up', names: Array(1001).fill('a'), args: [], cwd: '/', env }, "'names' of the request is not valid"],
    [{ command: 'down', names: ['db'], timeout: -1 }, "'timeout' of the request is not valid"],
    [{ command: 'wait' }, "'name' of the request is not valid"],
    [{ command: 'status', name: ['db'] }, "'name' of the request is not valid"],
  ])
    assert.deepEqual(await manager.ask(request), [{ ok: false, message: text }]);
  const [reply] = await manager.ask({ command: 'wait', name: 'nobody' });
  assert.deepEqual(reply.tunnel, { name: 'nobody', state: 'down', wanted: false });
  assert.equal(reply.version, 1);
  assert.equal(readFileSync(manager.wanted, 'utf8'), before);
  assert.equal((await manager.tunnel('db')).state, 'up');
});
