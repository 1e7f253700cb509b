// A forced end without cooperation: dead servers and jump hosts, a ProxyCommand that ignores the end of its input, a
// stream that accepts nothing, a pending connect.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { MIB, behaviors, settled } from '../helpers/peers.mjs';
import { hasSocket, isAlive, portName, signal, tcpSockets, whenFile } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, only, openTunnel } from '../helpers/tunnels.mjs';
import { isOver } from '../helpers/forced-ends.mjs';

const folder = temporaryFolder('forced');
after(() => folder.remove());
const at = (name) => join(folder.path, name);

/** More than both ends and everything between them buffer. */
const FLOOD = 20 * MIB;

/** Like nc, but neither the end of its input nor a signal that can be ignored ends it. */
writeFileSync(
  at('deaf.js'),
  `
  const [file, host, port] = process.argv.slice(2);
  const socket = require('net').connect(port, host, () => require('fs').writeFileSync(file, String(process.pid)));
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.on(name, () => {});
  process.stdin.pipe(socket, { end: false });
  socket.pipe(process.stdout, { end: false });
  for (const it of [socket, process.stdin, process.stdout]) it.on('error', () => {});
  setInterval(() => {}, 1000);
`,
);

async function servers(t, count) {
  const started = await Promise.all(Array.from({ length: count }, () => Sshd.start()));
  t.after(() => Promise.all(started.map((server) => server.stop())));
  return started;
}

/** Fills both directions, then freezes the servers. */
async function stuck(t, login, dead, options) {
  const opened = await openTunnel(t, { login }, behaviors.endless(), options);
  const client = await opened.connect({ read: false });
  await opened.eventLog.next('connection');
  await settled(async () => (await only(opened.tunnel)).bytesDown);
  for (const server of dead) server.freeze();
  t.after(() => dead.forEach((server) => server.thaw()));
  client.send(FLOOD);
  await settled(() => client.accepted);
  await settled(async () => (await only(opened.tunnel)).bytesUp);
  return { ...opened, client };
}

const FORCES = {
  'shutdown({ force: true })': [(tunnel) => tunnel.promises.shutdown({ force: true }), 0],
  'shutdown({ force: true }) that blocks': [(tunnel) => tunnel.shutdown({ force: true }), 0],
  'close({ timeout })': [(tunnel) => tunnel.close({ timeout: 100 }), 100],
};

async function endsByForce(setup, [force, after]) {
  const { tunnel, eventLog, client } = setup;
  const before = tunnel.promises.shutdown();
  const since = performance.now();
  await force(tunnel);
  isOver(since + after);
  await before;
  await eventLog.next('close');
  const ends = eventLog.all('disconnected');
  assert.equal(ends.length, 1);
  assertIncludes(ends[0], { code: 'ECONNABORTED', clean: false, closedBy: 'reset', lingerExpired: false });
  assert.ok(ends[0].droppedDown > 0 && ends[0].droppedUp > 0);
  const seen = await client.read().ended;
  assert.equal(seen.end, 'ECONNRESET');
  // If a write fails first, Node discards unread data.
  if (seen.error?.syscall !== 'write') assert.equal(seen.bytes, ends[0].bytesDown);
}

describe('forced close', { concurrency: 3 }, () => {
  for (const [name, force] of Object.entries(FORCES)) {
    for (const sessions of [1, 2]) {
      test(`${name} with ${sessions} session(s) ends with a dead server`, async (t) => {
        const [server] = await servers(t, 1);
        await endsByForce(await stuck(t, server.login, [server], { sessions }), force);
      });
    }

    test(`${name} ends with a dead server behind two dead jump hosts`, async (t) => {
      const [server, ...hops] = await servers(t, 3);
      const login = { ...server.login, jump: hops.map((hop) => hop.login) };
      await endsByForce(await stuck(t, login, [server, ...hops]), force);
      const { port } = hops[0]; // the only one that is reached by TCP
      const ours = tcpSockets().filter(
        ({ remote, inode }) => remote.endsWith(portName(port)) && hasSocket(process.pid, inode),
      );
      assert.deepEqual(ours, []);
    });

    test(`${name} kills a ProxyCommand that ignores the end of its input`, async (t) => {
      const [server] = await servers(t, 1);
      const file = at(`pid-${performance.now()}`);
      const login = { ...server.login, proxyCommand: `'${process.execPath}' '${at('deaf.js')}' '${file}' %h %p` };
      const setup = await stuck(t, login, [server]);
      const pid = Number(readFileSync(file, 'utf8'));
      t.after(() => signal(pid, 'SIGKILL'));
      assert.ok(isAlive(pid));
      await endsByForce(setup, force);
      assert.equal(isAlive(pid), false);
    });
  }

  for (const name of ['shutdown({ force: true })', 'close({ timeout })']) {
    test(`${name} destroys a sock stream to a dead server`, async (t) => {
      const [server] = await servers(t, 1);
      const sock = net.connect(server.port, '127.0.0.1');
      await new Promise((resolve) => sock.once('connect', resolve));
      const setup = await stuck(t, { ...server.login, host: 'behind.a.stream', port: undefined, sock }, [server]);
      await endsByForce(setup, FORCES[name]);
      assert.equal(sock.destroyed, true);
    });
  }

  test('a pending connect through a ProxyCommand that ignores every signal but SIGKILL ends', async (t) => {
    const file = at('pid-logon');
    writeFileSync(file, '');
    const silent = net.createServer(() => {}).listen(0, '127.0.0.1');
    t.after(() => silent.close());
    await new Promise((resolve) => silent.once('listening', resolve));
    const tunnel = makeTunnel(
      t,
      {
        host: '127.0.0.1',
        port: silent.address().port,
        username: 'user',
        password: 'pw',
        hostVerifier: () => true,
        proxyCommand: `'${process.execPath}' '${at('deaf.js')}' '${file}' %h %p`,
      },
      1,
    );
    const failed = assert.rejects(tunnel.promises.connect(), { code: 'ERR_TUNNEL_CLOSED' });
    await whenFile(file, /\d+/);
    const pid = Number(readFileSync(file, 'utf8'));
    t.after(() => signal(pid, 'SIGKILL'));
    const since = performance.now();
    await tunnel.promises.shutdown({ force: true });
    isOver(since);
    await failed;
    assert.equal(isAlive(pid), false);
  });

  test('a reset client whose bytes wait for a zero window ends', async (t) => {
    const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept({ window: 1000 }) });
    t.after(() => ssh2.stop());
    for (const [force, after] of Object.values(FORCES)) {
      const { tunnel, eventLog, connect } = await openTunnel(t, ssh2, behaviors.idle());
      const client = await connect();
      await ssh2.nextChannel();
      client.send(FLOOD);
      await settled(() => client.accepted);
      await settled(async () => (await only(tunnel)).bytesUp);
      await client.reset();
      while ((await only(tunnel)).state !== 'closing');
      const since = performance.now();
      await force(tunnel);
      isOver(since + after);
      const end = await eventLog.next('disconnected');
      assertIncludes(end, { code: 'ECONNRESET', clean: false, closedBy: 'reset' });
      assert.ok(end.droppedUp > 0 && end.bytesUp + end.droppedUp <= client.accepted);
      assert.equal(eventLog.all('disconnected').length, 1);
    }
  });

  test('dial() sockets end while opening, waiting for a session, stalled, and destroyed with a stalled target', async (t) => {
    const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.destPort !== 1 && open.accept() });
    t.after(() => ssh2.stop());
    const tunnel = makeTunnel(t, ssh2.login, 1);
    const eventLog = new EventLog(tunnel);
    const opening = tunnel.dial('h', 1);
    const failed = new Promise((resolve) => opening.once('error', ({ code }) => resolve(code)));
    const stalled = await tunnel.promises.dial('h', 2);
    const cut = new Promise((resolve) => stalled.once('error', ({ code }) => resolve(code)));
    const destroyed = await tunnel.promises.dial('h', 3);
    destroyed.on('error', () => {});
    for (const socket of [stalled, destroyed]) socket.write(Buffer.alloc(FLOOD));
    await settled(async () => (await tunnel.promises.connections()).reduce((sum, { bytesUp }) => sum + bytesUp, 0));
    destroyed.destroy();
    const closed = new Promise((resolve) => destroyed.once('close', resolve));
    const since = performance.now();
    tunnel.shutdown({ force: true });
    isOver(since);
    assert.deepEqual([await failed, await cut], ['ECONNABORTED', 'ECONNRESET']);
    await closed;
    await eventLog.next('close');
    assert.deepEqual(
      eventLog.all('disconnected').map(({ code }) => code),
      Array(3).fill('ECONNABORTED'),
    );
  });
});

for (const [name, act] of Object.entries({
  'resetAndDestroy()': (socket) => socket.resetAndDestroy(),
  'setLinger(false)': (socket) => socket.setLinger(false),
  'setLingerOption()': (socket) => socket.setLingerOption({ l_onoff: 1, l_linger: 0 }),
  'setLinger(false) of its connection': async (socket, tunnel) => (await only(tunnel)).promises.setLinger(false),
  'reset() of its connection': async (socket, tunnel) => (await only(tunnel)).promises.reset(),
  'a bound': (socket) => socket.setLingerOption({ l_onoff: 1, l_linger: 1 }),
})) {
  test(`${name} ends a destroyed dial() socket with a stalled target`, async (t) => {
    const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
    t.after(() => ssh2.stop());
    const tunnel = makeTunnel(t, ssh2.login, 1);
    const eventLog = new EventLog(tunnel);
    const socket = await tunnel.promises.dial('h', 3);
    socket.write(Buffer.alloc(FLOOD));
    await settled(async () => (await only(tunnel)).bytesUp);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.destroy();
    assert.deepEqual([socket.destroyed, socket.writable, socket.readable], [true, false, false]);
    await settled(() => 0);
    assert.deepEqual(eventLog.all('disconnected'), []);
    const since = performance.now();
    await act(socket, tunnel);
    await closed;
    isOver(since);
    const end = await eventLog.next('disconnected');
    assertIncludes(end, { code: 'ECONNABORTED', clean: false, closedBy: 'reset' });
    assert.ok(end.droppedUp > 0);
  });
}

test('resetting a dial() socket leaves no timer behind, also when Linger is set afterwards', async (t) => {
  const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
  t.after(() => ssh2.stop());
  const tunnel = makeTunnel(t, ssh2.login, 1);
  const socket = await tunnel.promises.dial('h', 3);
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.resetAndDestroy();
  const bounded = new Promise((resolve) => socket.setLingerOption({ l_onoff: 1, l_linger: 600 }, resolve));
  await Promise.all([closed, bounded]);
  assert.equal(timers(), before);
  await tunnel.promises.shutdown({ force: true });
});

test('a graceful shutdown() kills a ProxyCommand that ignores the end of its input', async (t) => {
  const [server] = await servers(t, 1);
  const file = at('pid-graceful');
  const tunnel = makeTunnel(
    t,
    { ...server.login, proxyCommand: `'${process.execPath}' '${at('deaf.js')}' '${file}' %h %p` },
    1,
  );
  await tunnel.promises.connect();
  const pid = Number(readFileSync(file, 'utf8'));
  t.after(() => signal(pid, 'SIGKILL'));
  assert.ok(isAlive(pid));
  await tunnel.promises.shutdown();
  assert.equal(isAlive(pid), false);
});

test('close({ timeout }) is bounded with a server that confirms nothing', async (t) => {
  const [server] = await servers(t, 1);
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.idle());
  const client = await connect();
  await client.send(4 * MIB);
  while ((await only(tunnel)).bytesUp < 4 * MIB);
  server.freeze();
  t.after(() => server.thaw());
  await client.reset();
  // Its data is in flight, and only the server's confirmation is missing.
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNRESET', droppedUp: 0 });
  const since = performance.now();
  await tunnel.close({ timeout: 100 });
  isOver(since + 100);
});

test('a tunnel can start again after a forced shutdown, and close gracefully', async (t) => {
  const [server] = await servers(t, 1);
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  for (let turn = 0; turn < 2; turn++) {
    const client = await connect();
    await client.send(1000);
    await client.received(1000);
    await tunnel.promises.shutdown({ force: true });
    assert.equal((await client.ended).end, 'ECONNRESET');
    await eventLog.next('disconnected');
    await tunnel.promises.startListening();
  }
  const client = await connect();
  await client.send(1000);
  client.end();
  assertIncludes(await client.ended, { bytes: 1000, end: 'FIN' });
  await tunnel.promises.shutdown();
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true });
});
