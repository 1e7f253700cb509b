// Limits of what peers and local clients can make a tunnel hold: connections, descriptors, pending events and
// attempts to reconnect.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';
import { Worker } from 'node:worker_threads';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, Target, behaviors, connect, exchange } from '../helpers/peers.mjs';
import { Child, memory } from '../helpers/process.mjs';
import { connectSocks, greeting, request5 } from '../helpers/socks.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, listed, makeTunnel, openRemote, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** Channel opens that may be unanswered. */
const UNANSWERED = 4096;
const TOO_MANY = 'ERR_TUNNEL_MAX_CONNECTIONS';

const accepted = async (tunnel) => (await tunnel.promises.stats()).connections.accepted;

for (const sessions of [1, 2]) {
  test(`maxConnections pauses accepting, with ${sessions} session(s)`, async (t) => {
    const { tunnel, connect } = await openTunnel(t, server, behaviors.echo(), { maxConnections: 2, sessions });
    const clients = [await connect(), await connect()];
    await Promise.all(clients.map(exchange));
    const late = await connect();
    await late.send(KIB);
    // Enough turns of the driver to accept it.
    for (const client of clients) await exchange(client);
    assert.equal(await accepted(tunnel), 2);
    assert.equal((await listed(tunnel, 2)).length, 2);
    clients[0].end();
    await late.received(KIB);
    assert.equal(await accepted(tunnel), 3);
  });
}

test('each forward has its own maxConnections', async (t) => {
  const { tunnel, target, connect: connectOwn } = await openTunnel(t, server, behaviors.echo());
  const options = { forwardHost: '127.0.0.1', forwardPort: target.port, maxConnections: 1 };
  const forwards = [await tunnel.promises.forwardLocal(options), await tunnel.promises.forwardLocal(options)];
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  const through = async ({ localPort }) => {
    clients.push(await connect(localPort));
    return clients.at(-1);
  };
  const first = await through(forwards[0]);
  await exchange(first);
  const late = await through(forwards[0]);
  await late.send(KIB);
  await exchange(await through(forwards[1]));
  await exchange(await connectOwn());
  await exchange(first);
  assert.equal((await forwards[0].promises.stats()).accepted, 1);
  first.end();
  await late.received(KIB);
});

test('maxConnections of a tunnel holds for its forwards together', async (t) => {
  const { tunnel, target } = await openTunnel(t, server, behaviors.echo(), { maxConnections: 1 });
  const to = { forwardHost: '127.0.0.1', forwardPort: target.port };
  const ports = [tunnel.localPort, (await tunnel.promises.forwardLocal(to)).localPort];
  const clients = [await connect(ports[0])];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  await exchange(clients[0]);
  // Each waits for the end of the one before, on the other forward.
  for (const port of [ports[1], ports[0], ports[1]]) {
    const [before, late] = [clients.at(-1), await connect(port)];
    clients.push(late);
    await late.send(KIB);
    await exchange(before);
    assert.equal(await accepted(tunnel), clients.length - 1);
    before.end();
    await late.received(KIB);
  }
});

test('a silent SOCKS client counts against maxConnections', async (t) => {
  const { tunnel, target } = await openTunnel(t, server, behaviors.echo());
  const forward = await tunnel.promises.forwardDynamic({ maxConnections: 1 });
  const silent = await connectSocks(forward.localPort);
  t.after(() => silent.socket.destroy());
  await listed(tunnel, 1);
  const client = (await connectSocks(forward.localPort)).read();
  t.after(() => client.socket.destroy());
  client.socket.write(greeting(0));
  assert.equal((await forward.promises.stats()).accepted, 1);
  silent.socket.destroy();
  await client.received(2);
  client.socket.write(request5('127.0.0.1', target.port));
  await client.received(2 + 10);
  await exchange(client);
});

test('a remote forward rejects channels beyond maxConnections', async (t) => {
  const { tunnel, connect } = await openRemote(t, server, behaviors.echo(), { remote: { maxConnections: 1 } });
  const client = await connect();
  await exchange(client);
  const refused = await connect();
  assert.notEqual((await refused.ended).end, null);
  await server.logged(/open failed: resource shortage/);
  assert.equal(await accepted(tunnel), 1);
  client.end();
  await client.ended;
  while ((await tunnel.promises.connections()).length > 0);
  await exchange(await connect());
});

test('dial() fails beyond maxConnections and succeeds below it again', async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const tunnel = makeTunnel(t, server.login, target.port, { maxConnections: 1 });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  const eventLog = new EventLog(tunnel);
  await assert.rejects(tunnel.promises.dial('127.0.0.1', target.port), { code: TOO_MANY, message: /maxConnections/ });
  assertIncludes(await eventLog.next('disconnected'), { code: TOO_MANY, closedBy: 'reset' });
  socket.destroy();
  await eventLog.next('disconnected');
  (await tunnel.promises.dial('127.0.0.1', target.port)).destroy();
});

test('accepting pauses before a flood of clients uses all descriptors', async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const child = await Child.start('few-descriptors-process.mjs', { descriptors: 160 });
  t.after(() => child.stop());
  const port = await child.ask('open', { ...server.login, forwardPort: target.port });
  const clients = await Promise.all(Array.from({ length: 300 }, () => connect(port)));
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  for (const client of clients) client.send(KIB);
  // Every accepted connection is served; the others wait.
  let open;
  for (;;) {
    open = await child.ask('openable');
    // All may have been served meanwhile: then no further one comes.
    const unserved = clients.filter(({ bytes }) => bytes === 0);
    if (clients.length - unserved.length >= 60) break;
    await Promise.race(unserved.map((client) => client.received(KIB)));
  }
  assert.ok(open >= 16, `${open} files could be opened`);
  // Others are accepted as these close.
  const waiting = clients.filter(({ bytes }) => bytes === 0);
  assert.ok(waiting.length > 100);
  for (const client of clients.filter(({ bytes }) => bytes > 0)) client.socket.destroy();
  await Promise.any(waiting.map((client) => client.received(KIB)));
  assert.ok((await child.ask('openable')) >= 16);
});

/**
 * Connects and resets until a connection is not made for a second, or `most` were, while this thread is blocked. The
 * target that they lead to is there, too.
 */
const FLOODER = `
  const { workerData: { state, most }, parentPort } = require('node:worker_threads');
  const net = require('node:net');
  const target = net.createServer((socket) => socket.on('error', () => {}).resume());
  target.listen(0, '127.0.0.1', () => parentPort.postMessage(target.address().port));
  parentPort.once('message', async (port) => {
    let count = 0;
    const once = () => new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      const late = setTimeout(() => { socket.destroy(); resolve(false); }, 1000);
      socket.on('error', () => {}).on('connect', () => { clearTimeout(late); socket.resetAndDestroy(); resolve(true); });
    });
    while (count < most && await once()) count++;
    Atomics.store(state, 1, count);
    Atomics.store(state, 0, 1);
    Atomics.notify(state, 0);
  });
`;

test('a blocked event loop pauses accepting and loses no event', { timeout: 120_000 }, async (t) => {
  const state = new Int32Array(new SharedArrayBuffer(8));
  const most = 20_000;
  const worker = new Worker(FLOODER, { eval: true, workerData: { state, most } });
  t.after(() => worker.terminate());
  const [port] = await once(worker, 'message');
  const tunnel = makeTunnel(t, server.login, port);
  let [connections, ends] = [0, 0];
  tunnel.on('connection', () => connections++).on('disconnected', () => ends++);
  await tunnel.promises.startListening();
  const before = memory();
  worker.postMessage(tunnel.localPort);
  assert.equal(Atomics.wait(state, 0, 0, 60_000), 'ok');
  const count = Atomics.load(state, 1);
  // Some thousand events, and the connections in the backlog.
  assert.ok(count < most, `${count} were accepted or wait`);
  assert.ok(memory() - before < 64 * MIB);
  while (ends < count) await once(tunnel, 'disconnected');
  const stats = (await tunnel.promises.stats()).connections;
  assert.equal(stats.accepted, ends);
  assert.equal(stats.opened, connections);
});

test('unanswered channel opens are limited, and continue after replies', {
  timeout: 120_000,
}, async (t) => {
  const opens = [];
  const silent = await Ssh2Server.start({ onOpen: (open) => opens.push(open) });
  t.after(() => silent.stop());
  const tunnel = makeTunnel(t, silent.login, 9, { readyTimeout: 1500 });
  let ends = 0;
  tunnel.on('disconnected', () => ends++).on('error', () => {}); // the server stops first
  await tunnel.promises.startListening();
  const clients = new Set();
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 500 }, async () => clients.add(await connect(tunnel.localPort))));
    // Until every accepted connection has timed out.
    while (ends < Math.min(clients.size, UNANSWERED)) await once(tunnel, 'disconnected');
  }
  const most = await accepted(tunnel);
  assert.ok(most >= UNANSWERED && most < clients.size, `${most} of ${clients.size} were accepted`);
  for (const open of opens.splice(0)) open.reject();
  while ((await accepted(tunnel)) < clients.size);
});

test('reconnect backs off from a server that disconnects right after authentication', async (t) => {
  const flapping = await Ssh2Server.start({
    authenticate(context, session) {
      if (context.method !== 'password') return context.reject(['password']);
      context.accept();
      setImmediate(session.end);
    },
  });
  t.after(() => flapping.stop());
  const tunnel = makeTunnel(t, flapping.login, 9, { reconnect: { initialDelay: 10, maxDelay: 60_000 } });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  for (let attempt = 0; attempt < 7; attempt++) {
    const { delay } = await eventLog.next('reconnecting');
    assert.ok(delay >= 5 * 2 ** attempt, `${delay} ms before attempt ${attempt}`);
  }
});

for (const [value, code] of [
  [0, 'ERR_OUT_OF_RANGE'],
  [1.5, 'ERR_OUT_OF_RANGE'],
  [2 ** 32, 'ERR_OUT_OF_RANGE'],
  ['1', 'ERR_INVALID_ARG_TYPE'],
  [null, 'ERR_INVALID_ARG_TYPE'],
]) {
  test(`maxConnections: ${JSON.stringify(value)} is refused`, async (t) => {
    const expected = { code, message: /options\.maxConnections/ };
    assert.throws(() => makeTunnel(t, server.login, 1, { maxConnections: value }), expected);
    const tunnel = makeTunnel(t, server.login, 1);
    const target = { forwardHost: '127.0.0.1', forwardPort: 1, maxConnections: value };
    await assert.rejects(async () => tunnel.promises.forwardLocal(target), expected);
    await assert.rejects(async () => tunnel.promises.forwardRemote(target), expected);
    await assert.rejects(async () => tunnel.promises.forwardDynamic({ maxConnections: value }), expected);
  });
}
