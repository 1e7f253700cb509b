// `sshtunnel -M -S path` and `-O`: the control socket of a command, also in the background.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, lstatSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { connect, exchange, refuses } from '../helpers/peers.mjs';
import { signal, until } from '../helpers/process.mjs';
import { GRANTED, ask5 } from '../helpers/socks.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const require = createRequire(import.meta.url);

const UNIX = { skip: process.platform === 'win32' && 'there are no control sockets on Windows' };
const server = await Sshd.start();
const setting = new Setting(server);
const folder = temporaryFolder('control');
after(() => Promise.all([server.stop(), setting.remove(), folder.remove()]));

let sockets = 0;
const newPath = () => join(folder.path, `socket-${++sockets}`);

/** Runs the command with -O until its end. */
const ask = (t, path, command, ...args) => setting.start(t, ['-S', path, '-O', command, ...args]).end();

/** A command with a control socket that listens. */
async function master(t, path, ...args) {
  const child = setting.start(t, ['--json', '-v', '-M', '-S', path, ...args]);
  // The file is there a moment before the socket listens.
  await until(async () => (await replies(path, '{"command":"check"}\n', 1)).length === 1);
  return child;
}

/** Sends bytes through a port and back. */
async function answers(port) {
  const client = await connect(port);
  await exchange(client);
  return client;
}

/** What a server of a control socket replies to these bytes until it ends the connection, or until this number of lines was received. */
async function replies(path, bytes, count) {
  const socket = net.connect({ path });
  socket.write(bytes);
  let text = '';
  const lines = () =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  // A client that is not served may be reset.
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('data', (data) => {
    text += data;
    if (count !== undefined && lines().length >= count) socket.destroy();
  });
  await closed;
  return lines();
}

test('a command in the background is checked and ended', UNIX, async (t) => {
  const target = await echo(t);
  const port = await freePort();
  const path = newPath();
  const args = ['-M', '-S', path, '-f', '-N', '-L', `127.0.0.1:${port}:127.0.0.1:${target.port}`];
  const started = await setting.start(t, args).end();
  assert.deepEqual(started, { status: 0, stdout: '', stderr: '' });
  const { stderr, ...checked } = await ask(t, path, 'check');
  const [, pid] = /^Master running \(pid=(\d+)\)\n$/.exec(stderr);
  t.after(() => signal(Number(pid), 'SIGKILL'));
  assert.deepEqual(checked, { status: 0, stdout: '' });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  // The connection may finish.
  const client = await answers(port);
  assert.deepEqual(await ask(t, path, 'exit'), { status: 0, stdout: '', stderr: 'Exit request sent.\n' });
  await until(() => refuses(port));
  await exchange(client);
  client.end();
  await client.ended;
  await until(() => !existsSync(path));
  await until(() => {
    try {
      process.kill(Number(pid), 0);
      return false;
    } catch {
      return true;
    }
  });
});

test('exit for the second time resets connections', UNIX, async (t) => {
  const target = await echo(t);
  const path = newPath();
  const child = await master(t, path, '-L', `0:127.0.0.1:${target.port}`);
  const { localPort } = await child.report('listening');
  const client = await answers(localPort);
  await ask(t, path, 'exit');
  await child.report('closing');
  await ask(t, path, 'exit');
  assert.equal((await client.ended).end, 'ECONNRESET');
  assert.equal(await child.exit, 'SIGTERM');
  assert.equal(existsSync(path), false);
});

test('without a command that runs, -O ends with 255 in the words of ssh', UNIX, async (t) => {
  const path = newPath();
  for (const command of ['check', 'exit', 'stop', 'forward', 'cancel']) {
    const { status, stderr } = await ask(t, path, command, '-L', '1:a:1');
    assert.equal(status, 255);
    assert.equal(stderr, `Control socket connect(${path}): No such file or directory\n`);
  }
  const none = await setting.start(t, ['-O', 'check']).end();
  assert.deepEqual([none.status, none.stderr], [255, 'No ControlPath specified for "-O" command\n']);
  const unknown = await ask(t, path, 'restart');
  assert.equal(unknown.status, 255);
  assert.match(unknown.stderr, /Invalid multiplex command/);
});

test('stop removes the socket, and the command goes on', UNIX, async (t) => {
  const target = await echo(t);
  const path = newPath();
  const child = await master(t, path, '-L', `0:127.0.0.1:${target.port}`);
  const { localPort } = await child.report('listening');
  assert.deepEqual(await ask(t, path, 'stop'), { status: 0, stdout: '', stderr: 'Stop listening request sent.\n' });
  assert.match((await ask(t, path, 'check')).stderr, /No such file or directory/);
  (await answers(localPort)).socket.destroy();
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('forward opens forwards of each kind, and cancel closes them', UNIX, async (t) => {
  const target = await echo(t);
  const path = newPath();
  const child = await master(t, path);
  const to = `127.0.0.1:${target.port}`;
  const local = await ask(t, path, 'forward', '-L', `127.0.0.1:0:${to}`);
  assert.deepEqual([local.status, local.stderr], [0, '']);
  const port = Number(local.stdout);
  assert.equal((await child.report('listening')).localPort, port);
  const client = await answers(port);
  const remote = await ask(t, path, 'forward', '-R', `127.0.0.1:0:${to}`);
  (await answers(Number(remote.stdout))).socket.destroy();
  const socks = await freePort();
  assert.deepEqual(await ask(t, path, 'forward', '-D', String(socks)), { status: 0, stdout: '', stderr: '' });
  const { peer, code } = await ask5(socks, '127.0.0.1', target.port);
  assert.equal(code, GRANTED);
  peer.socket.destroy();
  // The same one again is the one that is open.
  assert.equal((await ask(t, path, 'forward', '-D', String(socks))).status, 0);

  const taken = await ask(t, path, 'forward', '-L', `127.0.0.1:${target.port}:${to}`);
  assert.deepEqual([taken.status, taken.stdout], [255, '']);
  assert.match(taken.stderr, /Port forwarding failed/);
  await child.says('stderr', /Address already in use/);

  for (const [flag, spec, listening] of [
    ['-L', `127.0.0.1:0:${to}`, port],
    ['-R', `127.0.0.1:0:${to}`, Number(remote.stdout)],
    ['-D', String(socks), socks],
  ]) {
    assert.equal((await ask(t, path, 'cancel', flag, spec)).status, 0);
    assert.equal(await refuses(listening), true);
    const again = await ask(t, path, 'cancel', flag, spec);
    assert.deepEqual([again.status, /port not found/.test(again.stderr)], [255, true]);
  }
  await exchange(client);
  client.socket.destroy();
  assert.match((await ask(t, path, 'forward')).stderr, /needs a forwarding/);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('tokens in ControlPath, ControlMaster in a file, and none', UNIX, async (t) => {
  const target = await echo(t);
  const config = setting.file(
    'config',
    `
      ControlMaster yes
      ControlPath ${folder.path}/%h-%p-%r-%C
      Port ${server.port}
      UserKnownHostsFile ${setting.knownHosts}
      GlobalKnownHostsFile none
      IdentityFile ${setting.key}
      IdentityAgent none
    `,
  );
  const child = Cli.start(t, ['--json', '-F', config, '-L', `0:127.0.0.1:${target.port}`, '127.0.0.1']);
  await child.report('listening');
  const check = () => Cli.start(t, ['-F', config, '-O', 'check', '127.0.0.1']).end();
  await until(async () => (await check()).status === 0);
  assert.match((await check()).stderr, new RegExp(`^Master running \\(pid=${child.child.pid}\\)\n$`));
  const off = await Cli.start(t, ['-F', config, '-S', 'none', '-O', 'check', '127.0.0.1']).end();
  assert.match(off.stderr, /No ControlPath/);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('a socket of a process that was killed is replaced, another file and a living one are left', UNIX, async (t) => {
  const target = await echo(t);
  const path = newPath();
  const spec = () => ['-L', `0:127.0.0.1:${target.port}`];
  const killed = await master(t, path, ...spec());
  await ask(t, path, 'check');
  killed.signal('SIGKILL');
  await killed.exit;
  assert.match((await ask(t, path, 'check')).stderr, /Connection refused/);
  const child = setting.start(t, ['--json', '-M', '-S', path, ...spec()]);
  await child.report('listening');
  await until(async () => (await ask(t, path, 'check')).status === 0);

  const second = setting.start(t, ['-M', '-S', path, ...spec(), '--json']);
  await second.says('stderr', /ControlSocket [^\n]* already exists, disabling multiplexing/);
  (await answers((await second.report('listening')).localPort)).socket.destroy();
  second.signal('SIGTERM');
  assert.equal(await second.exit, 0);
  assert.match((await ask(t, path, 'check')).stderr, new RegExp(`pid=${child.child.pid}`));
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);

  const file = setting.file('text', 'mine');
  const beside = setting.start(t, ['-M', '-S', file, ...spec(), '--json']);
  await beside.says('stderr', /already exists, disabling multiplexing/);
  beside.signal('SIGTERM');
  await beside.exit;
  assert.equal(existsSync(file), true);
  const nowhere = await setting.start(t, ['-M', '-S', '/nowhere/socket', ...spec()]).end();
  assert.equal(nowhere.status, 255);
  assert.match(nowhere.stderr, /cannot bind to path \/nowhere\/socket: No such file or directory/);
  const long = await setting.start(t, ['-M', '-S', `/tmp/${'x'.repeat(120)}`, ...spec()]).end();
  assert.equal(long.status, 255);
  assert.match(long.stderr, /ControlPath/);
});

test('of several commands that replace a stale socket at once, one has it', UNIX, async (t) => {
  const target = await echo(t);
  const path = newPath();
  const args = ['-M', '-S', path, '-L', `0:127.0.0.1:${target.port}`];
  const killed = await master(t, path, ...args.slice(3));
  killed.signal('SIGKILL');
  await killed.exit;
  const started = Array.from({ length: 4 }, () => setting.start(t, ['--json', ...args]));
  for (const child of started) await child.report('listening');
  const says = (child) => /already exists, disabling multiplexing/.test(child.stderr);
  await until(() => started.filter(says).length === 3);
  const { stderr } = await ask(t, path, 'check');
  assert.equal(stderr, `Master running (pid=${started.find((child) => !says(child)).child.pid})\n`);
  for (const child of started) child.signal('SIGTERM');
  for (const child of started) assert.equal(await child.exit, 0);
  assert.equal(existsSync(path), false);
});

test('requests are JSON lines; what is no request is refused, and input is bounded', UNIX, async (t) => {
  const path = newPath();
  const child = await master(t, path, '-R', '127.0.0.1:0:localhost:9');
  const { pid } = child.child;
  const ok = { ok: true, version: 1, pid };
  const refused = (message) => ({ ok: false, message });
  // Several in one segment are answered in their order.
  const asked = ['check', 'restart', '__proto__', 'check']
    .map((command) => `${JSON.stringify({ command })}\n`)
    .join('');
  const unknown = refused('unknown command');
  assert.deepEqual(await replies(path, asked, 4), [ok, unknown, unknown, ok]);
  for (const bytes of ['{}\n', '{"command":["check"]}\n', '{"command":{"toString":1}}\n'])
    assert.deepEqual(await replies(path, bytes, 1), [unknown]);
  for (const [kind, spec] of [
    ['local', 7],
    ['global', '1:a:1'],
    ['local', '1:a:1\n'],
    ['local', '1:a'],
    ['toString', '1'],
  ]) {
    const request = `${JSON.stringify({ command: 'forward', kind, spec })}\n`;
    assert.deepEqual(await replies(path, request, 1), [refused('not a forwarding')]);
  }
  const garbage = refused('not a request');
  for (const bytes of ['check\n', '[]\n', 'null\n', '\n', '{"command":\n', 'x'.repeat(80 * 1024)])
    assert.deepEqual(await replies(path, bytes), [garbage]);
  assert.deepEqual(await replies(path, Buffer.concat([Buffer.alloc(3), Buffer.from('\n')])), [garbage]);
  // As many clients as there may be stay, and a further one gets no reply.
  const clients = Array.from({ length: 16 }, () => net.connect({ path }));
  t.after(() => clients.forEach((client) => client.destroy()));
  for (const client of clients) {
    client.write('{"command":"check"}\n');
    await once(client, 'data');
  }
  assert.deepEqual(await replies(path, '{"command":"check"}\n'), []);
  for (const client of clients) client.destroy();
  await until(async () => (await ask(t, path, 'check')).status === 0);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('-O says so if the socket is that of another program', UNIX, async (t) => {
  const path = newPath();
  for (const answer of [
    Buffer.from([0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 4]),
    'no JSON\n',
    '{"ok":false,"message":"\x1b[2J"}\n',
    '',
  ]) {
    const other = net
      .createServer((socket) =>
        socket
          .on('error', () => {})
          .resume()
          .end(answer),
      )
      .listen(path);
    await once(other, 'listening');
    const { status, stderr } = await ask(t, path, 'check');
    other.close();
    await once(other, 'close');
    assert.equal(status, 255);
    assert.match(stderr, /^(the control socket is not one of sshtunnel|the master refused)/);
    assert.doesNotMatch(stderr, /\x1b/);
  }
});

test('the name that is bound first may be a number, which is no port', UNIX, async (t) => {
  const crypto = require('node:crypto');
  const { randomBytes } = crypto;
  // Taken when the module is loaded. One random name in forty has digits only.
  crypto.randomBytes = () => Buffer.from('27078425', 'hex');
  const { ControlServer } = require('../../lib/cli/control/server.js');
  crypto.randomBytes = randomBytes;
  const before = process.cwd();
  process.chdir(folder.path);
  t.after(() => process.chdir(before));
  const control = new ControlServer({});
  t.after(() => control.close());
  await control.listen('db.sock');
  assert.ok(lstatSync('db.sock').isSocket());
  const socket = net.connect({ path: './db.sock' });
  await once(socket, 'connect');
  socket.destroy();
});
