// Tunnels in the background when something fails: the server, a session, a tunnel's process, the supervisor.

import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { echo } from '../helpers/cli.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { Manager, answers } from '../helpers/manager.mjs';
import { exchange, refuses } from '../helpers/peers.mjs';
import { isAlive, listeners, signal, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const LINUX = { skip: process.platform !== 'linux' && 'processes are found in /proc' };
const { username } = userInfo();
const server = await Sshd.start();
after(() => server.stop());

/** Waits until a port leads to its target again. */
async function recovers(port) {
  let client;
  await until(async () => {
    client = await answers(port).catch(() => undefined);
    return client !== undefined;
  });
  client.socket.destroy();
}

test(
  'a supervisor that is killed with -9 leaves no process and no port, and up brings all tunnels back',
  LINUX,
  async (t) => {
    const target = await echo(t);
    const manager = Manager.create(t, server);
    const names = ['a', 'b', 'c', 'd', 'e'];
    const ports = [];
    for (const name of names) ports.push(await manager.profile(name, target));
    assert.equal((await manager.up(t, ...names)).status, 0);
    const pids = (await manager.list(t)).map(({ pid }) => pid);
    assert.equal(pids.filter(isAlive).length, 5);

    const [supervisor] = manager.supervisors();
    signal(supervisor, 'SIGKILL');
    await manager.ended();
    assert.deepEqual(pids.filter(isAlive), []);
    for (const port of ports) assert.deepEqual(listeners(port), []);
    const listed = await manager.list(t);
    assert.deepEqual(
      listed.map(({ name, state, wanted, reason, pid }) => ({ name, state, wanted, reason, pid })),
      names.map((name) => ({
        name,
        state: 'down',
        wanted: true,
        reason: 'wanted, but the supervisor has ended',
        pid: undefined,
      })),
    );
    const { stdout } = await manager.run(t, 'ls', '-F', manager.config);
    assert.match(stdout, /^a {4}down {19}wanted, but the supervisor has ended$/m);
    assert.equal((await manager.run(t, 'status', 'a')).status, 3);

    const again = await manager.run(t, 'up');
    assert.equal(again.status, 0);
    assert.deepEqual(
      again.stdout.split('\n').map((line) => line.split(',')[0]),
      [...names.map((name) => `${name}: up`), ''],
    );
    for (const port of ports) (await answers(port)).socket.destroy();
  },
);

test('what is wanted is forgotten by down also if the supervisor has ended', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  for (const name of ['a', 'b']) await manager.profile(name, target);
  await manager.up(t, 'a', 'b');
  signal(manager.supervisors()[0], 'SIGKILL');
  await manager.ended();
  assert.deepEqual(await manager.run(t, 'down', 'a'), { status: 0, stdout: 'a: down\n', stderr: '' });
  await manager.ended();
  // Another tunnel does not bring back what is not asked for.
  await manager.profile('c', target);
  await manager.up(t, 'c');
  const states = (await manager.list(t)).map(({ name, state, wanted }) => [name, state, wanted]);
  assert.deepEqual(states, [
    ['b', 'down', true],
    ['c', 'up', true],
    ['a', 'down', false],
  ]);
  const { stdout } = await manager.run(t, 'down', '--all');
  assert.equal(stdout, 'b: down\nc: down\n');
});

test('connections may finish when the supervisor has been killed, for ten seconds', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  const other = await manager.profile('other', target);
  await manager.up(t, 'db', 'other');
  const client = await answers(port);
  const staying = await answers(other);
  signal(manager.supervisors()[0], 'SIGKILL');
  await until(() => refuses(port));
  await exchange(client);
  client.socket.end();
  assert.equal((await client.ended).end, 'FIN');
  await exchange(staying);
  assert.equal((await staying.ended).end, 'ECONNRESET');
  await manager.ended();
});

test('SIGTERM ends the supervisor, and the tunnels stay wanted', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  await manager.up(t, 'db');
  signal(manager.supervisors()[0], 'SIGTERM');
  await manager.ended();
  assert.deepEqual(
    (await manager.list(t)).map(({ state, wanted }) => [state, wanted]),
    [['down', true]],
  );
});

test('a process of a tunnel that is killed with -9 is replaced', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  await manager.up(t, 'db');
  const { pid } = await manager.tunnel('db');
  signal(pid, 'SIGKILL');
  const waiting = await manager.reaches('db', 'reconnecting');
  assert.equal(waiting.reason, 'its process was ended by SIGKILL');
  assert.deepEqual([waiting.attempt, waiting.pid], [1, undefined]);
  assert.ok(waiting.nextAttempt > waiting.since);
  const again = await manager.reaches('db', 'up');
  assert.notEqual(again.pid, pid);
  assert.equal(again.restarts, 1);
  (await answers(port)).socket.destroy();
});

test('a session that is lost is restored, and ls shows it', LINUX, async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const target = await echo(t);
  const manager = Manager.create(t, own);
  const port = await manager.profile('db', target);
  await manager.up(t, 'db');
  const before = await manager.tunnel('db');
  await own.halt();
  await manager.reaches('db', 'reconnecting');
  const { stdout } = await manager.run(t, 'ls', '-F', manager.config);
  assert.match(stdout, /^db {3}reconnecting 00:00:\d\d {2}attempt \d+( in \d+ s)?: \S/m);
  assert.equal((await manager.run(t, 'status', '-F', manager.config, 'db')).status, 4);
  await own.restart();
  await manager.reaches('db', 'up');
  await recovers(port);
  const { pid, restarts } = await manager.tunnel('db');
  assert.deepEqual([pid, restarts], [before.pid, 0], 'the process has stayed');
});

test('a key that is refused is not tried again, until up asks for it', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const key = makeKey(manager.at('stranger'));
  manager.key = key.file;
  const port = await manager.profile('db', target);
  const reason = `failed, ${username}@127.0.0.1: Permission denied (publickey).`;
  const refused = { status: 255, stdout: '', stderr: `db: ${reason}\n` };
  assert.deepEqual(await manager.up(t, 'db'), refused);
  const { state, reason: known, pid, restarts } = await manager.tunnel('db');
  assert.deepEqual([state, `failed, ${known}`, pid, restarts], ['failed', reason, undefined, 0]);
  const status = await manager.run(t, 'status', '-F', manager.config, 'db');
  assert.equal(status.status, 4);
  assert.match(status.stdout, /^db: failed since [^\n]*\n {2}\S+@127\.0\.0\.1: Permission denied/);
  assert.match((await manager.run(t, 'ls', '-F', manager.config)).stdout, /^db {3}failed {7}00:00:\d\d {2}\S+@127/m);
  assert.deepEqual(await manager.up(t, 'db'), refused);
  server.authorize(key.publicKey);
  assert.equal((await manager.up(t, 'db')).status, 0);
  (await answers(port)).socket.destroy();
});

test('an unknown host key, a wrong setting and a folder that has gone are not tried again', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('stranger', target, 'UserKnownHostsFile none', 'StrictHostKeyChecking yes');
  await manager.profile('changing', target);
  await manager.profile('gone', target);
  const refused = await manager.up(t, 'stranger');
  assert.deepEqual([refused.status, refused.stdout], [255, '']);
  assert.match(refused.stderr, /^stranger: failed, No ED25519 host key is known for /);
  assert.equal((await manager.tunnel('stranger')).state, 'failed');

  await manager.up(t, 'changing');
  writeFileSync(manager.config, 'Host changing\n  Compression 7\n');
  const changed = await manager.run(t, 'restart', 'changing');
  assert.equal(changed.status, 255);
  assert.match(changed.stderr, /^changing: failed, \S+config line 2: /);

  const folder = manager.at('folder');
  mkdirSync(folder);
  await manager.profile('gone', target);
  const request = {
    names: ['gone'],
    args: ['-F', manager.config],
    cwd: folder,
    env: { ...process.env, ...manager.env },
  };
  await manager.ask({ command: 'up', ...request });
  await manager.reaches('gone', 'up');
  rmdirSync(folder);
  const gone = await manager.run(t, 'restart', 'gone');
  assert.deepEqual([gone.status, gone.stderr], [255, `gone: failed, there is no folder ${folder}\n`]);
});

test('a server that is not there yet is tried again, with growing waits', LINUX, async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const target = await echo(t);
  const manager = Manager.create(t, own);
  const port = await manager.profile('db', target);
  await own.halt();
  const { status, stderr } = await manager.up(t, 'db');
  assert.equal(status, 255);
  assert.match(
    stderr,
    /^db: reconnecting, attempt 1( in 1 s)?: connect to host 127\.0\.0\.1 port \d+: Connection refused\n$/,
  );
  const second = await manager.reaches('db', 'reconnecting');
  assert.ok(second.nextAttempt - second.since <= 1000);
  await until(async () => (await manager.tunnel('db')).attempt === 2);
  const { since, nextAttempt } = await manager.tunnel('db');
  assert.equal(Math.round((nextAttempt - since) / 100), 20);
  await own.restart();
  // Who asks for it does not wait.
  assert.equal((await manager.up(t, 'db')).status, 0);
  (await answers(port)).socket.destroy();
});

test('a port that is in use is tried again, and the tunnel is complete or not up', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target, `LocalForward 127.0.0.1:${target.port} a:1`);
  const { status, stderr } = await manager.up(t, 'db');
  assert.equal(status, 255);
  assert.match(
    stderr,
    new RegExp(`^db: reconnecting, .*bind \\[127\\.0\\.0\\.1\\]:${target.port}: Address already in use\n`),
  );
  assert.equal(await refuses(port), true);
  assert.deepEqual(await manager.run(t, 'down', 'db'), { status: 0, stdout: 'db: down\n', stderr: '' });
});

test('a process that does not answer is ended by --force', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  await manager.up(t, 'db');
  const { pid } = await manager.tunnel('db');
  signal(pid, 'SIGSTOP');
  // It says what the supervisor knows.
  const status = await manager.run(t, 'status', '-F', manager.config, 'db');
  assert.equal(status.status, 0);
  assert.match(status.stdout, /^db: up/);
  assert.deepEqual(await manager.run(t, 'down', '--force', 'db'), { status: 0, stdout: 'db: down\n', stderr: '' });
  assert.equal(isAlive(pid), false);
});
