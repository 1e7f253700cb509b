// stats(): equal to the sum of the connections' reports, live, and never decreasing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { KIB, MIB, behaviors, connect as connectTo, exchange } from '../helpers/peers.mjs';
import { signal } from '../helpers/process.mjs';
import { ask5 } from '../helpers/socks.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, listed, makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const SOON = { initialDelay: 20, maxDelay: 100 };
const BYTES = ['bytesUp', 'bytesDown', 'droppedUp', 'droppedDown', 'unconfirmedDown'];
/** Values that are gauges or durations, not counters. */
const GAUGES = new Set(['up', 'pending', 'open', 'logonTime', 'roundTrip']);

const server = await Sshd.start();
after(() => server.stop());

/** Every number of the statistics, by path. */
function* numbers(value, path = []) {
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner === 'object') yield* numbers(inner, [...path, name]);
    else yield [[...path, name].join('.'), inner];
  }
}

function assertSound({ connections }) {
  const { accepted, pending, open, ended, clean, unclean, closedBy, rejected, refused } = connections;
  const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
  assert.equal(accepted, pending + open + sum(ended));
  assert.equal(sum(ended), clean + unclean);
  assert.equal(sum(ended), closedBy.graceful + closedBy.reset);
  assert.equal(rejected, ended.ERR_TUNNEL_REJECTED ?? 0);
  for (const [code, count] of Object.entries(refused)) assert.equal(count, ended[code]);
}

/** Reads stats() repeatedly and compares; returns a function that stops. */
function watch(tunnel) {
  let goes = true;
  const watching = (async () => {
    for (let before = new Map(); goes; ) {
      const stats = await tunnel.promises.stats();
      assertSound(stats);
      const now = new Map(numbers(stats));
      for (const [path, count] of before) {
        if (!GAUGES.has(path.split('.').at(-1)))
          assert.ok(now.get(path) >= count, `${path}: ${count}, then ${now.get(path)}`);
      }
      before = now;
    }
  })();
  watching.catch(() => {}); // until it is awaited
  return () => ((goes = false), watching);
}

/** The statistics equal the sum of the reports, and no connection is left. */
function assertSums({ connections }, ends) {
  const sum = (member) => ends.reduce((total, end) => total + end[member], 0);
  const count = (holds) => ends.filter(holds).length;
  const codes = new Set(ends.map(({ code }) => code));
  assertIncludes(connections, {
    accepted: ends.length,
    pending: 0,
    open: 0,
    ended: Object.fromEntries([...codes].sort().map((code) => [code, count((end) => end.code === code)])),
    clean: count(({ clean }) => clean),
    closedBy: {
      graceful: count(({ closedBy }) => closedBy === 'graceful'),
      reset: count(({ closedBy }) => closedBy === 'reset'),
    },
    lingerExpired: count(({ lingerExpired }) => lingerExpired),
    ...Object.fromEntries(BYTES.map((member) => [member, sum(member)])),
  });
}

/** Waits until the statistics meet a condition. */
async function counted(tunnel, holds) {
  for (;;) {
    const stats = await tunnel.promises.stats();
    if (holds(stats)) return stats;
  }
}

const ended = ({ connections }) => Object.values(connections.ended).reduce((total, count) => total + count, 0);

for (const sessions of [1, 3]) {
  test(`stats() equals the sum of all reports after every kind of end: ${sessions} sessions`, async (t) => {
    const it = await openTunnel(t, server, behaviors.echo(), { reconnect: SOON, sessions });
    const { tunnel, eventLog } = it;
    const stop = watch(tunnel);
    await Promise.all(Array.from({ length: 5 }, () => transfer(it, MIB)));

    // Reset by the client, closed by the application with data in flight, in time and too late.
    const reset = await it.connect();
    await exchange(reset, 64 * KIB);
    await reset.reset();
    await counted(tunnel, (stats) => stats.connections.accepted === ended(stats));
    const [hard, bounded] = [await it.connect({ read: false }), await it.connect({ read: false })];
    const [hardInfo, boundedInfo] = await listed(tunnel, 2);
    await hardInfo.promises.setLinger(false);
    await boundedInfo.promises.setLingerOption({ l_onoff: 1, l_linger: 1 });
    for (const client of [hard, bounded]) await client.send(MIB);
    // Both clients have the whole echo.
    while (!(await listed(tunnel, 2)).every(({ bytesUp, bytesDown }) => bytesUp === MIB && bytesDown === MIB));
    await Promise.all([hardInfo, boundedInfo].map(({ connectionId }) => tunnel.promises.disconnect(connectionId)));

    const reject = (request) => request.reject();
    tunnel.on('connectionRequest', reject);
    assertIncludes(await (await it.connect()).ended, { end: 'ECONNRESET' });
    tunnel.off('connectionRequest', reject);

    // The sessions are killed, in the middle of something.
    const cut = [await it.connect(), await it.connect()];
    for (const client of cut) await exchange(client, 64 * KIB);
    server.killSessions();
    for (const client of cut) assertIncludes(await client.ended, { end: 'ECONNRESET' });
    await counted(tunnel, (stats) => stats.sessions.losses > 0 && stats.sessions.up > 0);
    await transfer(it, MIB);

    await it.target.stop();
    assertIncludes(await (await it.connect()).ended, { end: 'ECONNRESET' });
    await counted(tunnel, (stats) => stats.connections.accepted === ended(stats));
    await stop();
    await tunnel.promises.shutdown();
    await eventLog.next('close');

    const stats = tunnel.stats();
    assertSound(stats);
    assertSums(stats, eventLog.all('disconnected'));
    const { connections } = stats;
    assertIncludes(connections, {
      accepted: 13,
      rejected: 1,
      refused: { ERR_SSH_OPEN_CONNECT_FAILED: 1 },
      lingerExpired: 1,
    });
    assertIncludes(connections, { opened: eventLog.all('connection').length, clean: 6 });
    assert.equal(connections.ended.ERR_SSH_DISCONNECTED, 2);
    assert.ok(connections.droppedDown > 0);
    const { up, losses, reconnectAttempts } = stats.sessions;
    assert.equal(up, 0);
    assert.ok(losses >= 1 && losses <= sessions);
    assert.equal(reconnectAttempts, eventLog.all('reconnecting').length);
    assert.deepEqual(eventLog.all('error'), []);
  });
}

/** Sends data to the echo and back, and closes cleanly. */
async function transfer(it, size) {
  const client = await it.connect();
  await client.send(size);
  client.end();
  assertIncludes(await client.ended, { bytes: size, end: 'FIN' });
}

test('stats() includes open connections', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  const client = await it.connect();
  await exchange(client, MIB);
  // The kernel may acknowledge later than the client reads.
  const { connections } = await counted(it.tunnel, (stats) => stats.connections.bytesDown === MIB);
  assertIncludes(connections, {
    accepted: 1,
    opened: 1,
    open: 1,
    pending: 0,
    bytesUp: MIB,
    droppedUp: 0,
    droppedDown: 0,
    ended: {},
  });
});

test('bytes buffered in the tunnel or the kernel do not count as delivered', async (t) => {
  const it = await openTunnel(t, server, behaviors.source(8 * MIB, 64 * KIB));
  const client = await it.connect({ read: false });
  const [{ connectionId }] = await listed(it.tunnel, 1);
  await counted(it.tunnel, ({ connections }) => connections.bytesDown > 0);
  const stop = watch(it.tunnel);
  await it.tunnel.promises.connections(); // one turn at least
  client.read();
  await client.received(MIB);
  const closing = it.tunnel.promises.disconnect(connectionId);
  client.end();
  await closing;
  await stop();
  assertSums(await it.tunnel.promises.stats(), it.eventLog.all('disconnected'));
});

test('a closing connection counts with its bytes so far', async (t) => {
  const it = await openTunnel(t, server, behaviors.source(MIB, 64 * KIB));
  const client = await it.connect({ read: false });
  client.end();
  while ((await listed(it.tunnel, 1))[0].state !== 'closing');
  const { connections } = it.tunnel.stats();
  assertIncludes(connections, { open: 1, ended: {}, droppedDown: 0 });
  assert.ok(connections.bytesDown > 0 && connections.bytesDown < MIB);
  const stop = watch(it.tunnel);
  client.read();
  assertIncludes(await client.ended, { bytes: MIB, end: 'FIN' });
  await it.eventLog.next('disconnected');
  await stop();
  const after = it.tunnel.stats();
  assertSums(after, it.eventLog.all('disconnected'));
  assertIncludes(after.connections, { bytesDown: MIB, clean: 1 });
});

test('stats() has the number and duration of connects, and the round-trip time', async (t) => {
  const tunnel = makeTunnel(t, { ...server.login, privateKey: undefined, password: 'wrong' }, 9);
  for (let turn = 1; turn <= 2; turn++) {
    await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_AUTH' });
    const { sessions } = tunnel.stats();
    assert.deepEqual(sessions, { up: 0, logons: 0, logonFailures: turn, losses: 0, reconnectAttempts: 0 });
  }
  const good = makeTunnel(t, server.login, 9);
  for (let turn = 1; turn <= 2; turn++) {
    await good.promises.connect();
    const { sessions } = await counted(good, (stats) => stats.sessions.roundTrip !== undefined);
    assertIncludes(sessions, { up: 1, logons: turn, logonFailures: 0, losses: 0 });
    assert.ok(sessions.roundTrip > 0 && sessions.logonTime > 0);
    await good.promises.shutdown();
    assertIncludes(good.stats().sessions, { up: 0, roundTrip: undefined });
  }
});

test('stats() counts reconnect attempts and failures', async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const { tunnel, eventLog } = await openTunnel(t, own, behaviors.echo(), { reconnect: SOON });
  await own.halt();
  for (let count = 1; count <= 3; count++) await eventLog.next('reconnecting');
  await own.restart();
  await eventLog.next('ready');
  await eventLog.next('ready');
  const { sessions } = tunnel.stats();
  const attempts = eventLog.all('reconnecting').length;
  assertIncludes(sessions, { up: 1, logons: 2, losses: 1, reconnectAttempts: attempts, logonFailures: attempts - 1 });
});

test('counts of a disconnected session remain in the totals of several sessions', async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const it = await openTunnel(t, own, behaviors.echo(), { sessions: 3 });
  const { tunnel, eventLog } = it;
  const clients = [];
  while ((await tunnel.promises.stats()).sessions.up < 3) {
    clients.push(await it.connect());
    await exchange(clients.at(-1));
  }
  for (let count = 0; count < 3; count++) clients.push(await it.connect()); // to each, one
  for (const client of clients) await exchange(client);
  for (const client of clients.slice(-3)) await exchange(client);
  const { sessions } = await counted(tunnel, ({ connections }) => connections.bytesDown === clients.length * 2 * KIB);
  assertIncludes(sessions, { up: 3, logons: 3, losses: 0 });
  const stop = watch(tunnel);
  signal(own.sessions()[0], 'SIGKILL');
  await eventLog.next('sessionError');
  const lost = await counted(tunnel, (stats) => stats.sessions.losses === 1 && ended(stats) > 0);
  assert.equal(lost.sessions.up, 2);
  for (const client of clients) client.end();
  for (const client of clients) await client.ended;
  await tunnel.promises.close();
  await stop();
  assertSums(tunnel.stats(), eventLog.all('disconnected'));
});

for (const sessions of [1, 2]) {
  test(`each forward has its own stats(): ${sessions} sessions`, async (t) => {
    const { tunnel, eventLog, target, connect: own } = await openTunnel(t, server, behaviors.echo(), { sessions });
    const to = { forwardHost: '127.0.0.1', forwardPort: target.port };
    const forwards = [await tunnel.promises.forwardLocal(to), await tunnel.promises.forwardLocal(to)];
    const connect = async (forward) => {
      const client = await connectTo(forward.localPort);
      t.after(() => client.socket.destroy());
      return client;
    };
    const [one, other] = forwards;
    for (let count = 1; count <= 3; count++) await transfer({ connect: () => connect(one) }, count * KIB);
    const open = await connect(other);
    await exchange(open, 3 * KIB);
    await transfer({ connect: own }, 5 * KIB);
    for (let count = 0; count < 4; count++) await eventLog.next('disconnected');
    const ends = (id) => eventLog.all('disconnected').filter(({ forwardId }) => forwardId === id);
    assertSums({ connections: one.stats() }, ends(one.forwardId));
    assertIncludes(await other.promises.stats(), { accepted: 1, open: 1, bytesUp: 3 * KIB, ended: {} });
    assertIncludes(tunnel.stats().connections, { accepted: 5, open: 1, clean: 4, bytesUp: 14 * KIB });

    await other.promises.stop();
    assertIncludes(await new Promise((resolve) => other.stats((error, stats) => resolve(error ?? stats))), { open: 1 });
    await open.reset();
    await eventLog.next('disconnected');
    assertSums({ connections: other.stats() }, ends(other.forwardId));
    assertIncludes(other.stats(), { ended: { ECONNRESET: 1 }, bytesUp: 3 * KIB });
    assertSums({ connections: tunnel.stats().connections }, eventLog.all('disconnected'));
  });
}

test('Unix sockets, SOCKS and dial() connections are counted', async (t) => {
  const { tunnel, eventLog, target } = await openTunnel(t, server, behaviors.echo());
  const { path, remove } = temporaryFolder('stats');
  t.after(remove);
  const unix = await tunnel.promises.forwardLocal({
    localPath: join(path, 'socket'),
    forwardHost: '127.0.0.1',
    forwardPort: target.port,
  });
  const dynamic = await tunnel.promises.forwardDynamic({});
  await transfer({ connect: () => connectTo(unix.localPath) }, KIB);
  const { peer } = await ask5(dynamic.localPort, '127.0.0.1', target.port);
  peer.read();
  await exchange(peer, 2 * KIB);
  peer.end();
  await peer.ended;
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  assertIncludes(tunnel.stats().connections, { accepted: 3, opened: 3 });
  socket.resume().end(Buffer.alloc(3 * KIB));
  await once(socket, 'close');
  for (let count = 0; count < 3; count++) await eventLog.next('disconnected');
  for (const [index, forward] of [unix, dynamic].entries()) {
    assertIncludes(forward.stats(), {
      accepted: 1,
      clean: 1,
      bytesUp: (index + 1) * KIB,
      bytesDown: (index + 1) * KIB,
    });
  }
  assertSums(tunnel.stats(), eventLog.all('disconnected'));
  assertIncludes(tunnel.stats().connections, { accepted: 3, open: 0, bytesUp: 6 * KIB, bytesDown: 6 * KIB });
});

test('the tunnel keeps the counts of stopped forwards', async (t) => {
  const { tunnel, target } = await openTunnel(t, server, behaviors.echo());
  const to = { forwardHost: '127.0.0.1', forwardPort: target.port };
  const first = await tunnel.promises.forwardLocal(to);
  await transfer({ connect: () => connectTo(first.localPort) }, KIB);
  await counted(tunnel, (stats) => ended(stats) === 1);
  await first.promises.stop();
  for (let count = 0; count < 256; count++) await (await tunnel.promises.forwardLocal(to)).promises.stop();
  assertIncludes(await first.promises.stats(), { clean: 1 });
  await tunnel.promises.forwardLocal(to);
  assert.throws(() => first.stats(), { code: 'ERR_TUNNEL_NO_FORWARD' });
  await assert.rejects(first.promises.stats(), { code: 'ERR_TUNNEL_NO_FORWARD' });
  assertIncludes(tunnel.stats().connections, { accepted: 1, clean: 1, bytesUp: KIB, bytesDown: KIB });
});

test('stats() works in every form, before the start and after the end', async (t) => {
  const tunnel = makeTunnel(t, server.login, 9);
  const nothing = tunnel.stats();
  assert.deepEqual(nothing.sessions, { up: 0, logons: 0, logonFailures: 0, losses: 0, reconnectAttempts: 0 });
  assertSums(nothing, []);
  assert.deepEqual(await tunnel.promises.stats(), nothing);
  const given = await new Promise((resolve) => tunnel.stats((...all) => resolve(all)));
  assert.deepEqual(given, [null, nothing]);
  assert.throws(() => tunnel.stats(5), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
});

test('counts last when a tunnel is started again', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  for (let turn = 1; turn <= 2; turn++) {
    await roundTrip(it, KIB);
    await it.tunnel.promises.shutdown();
    assertIncludes(it.tunnel.stats().connections, { accepted: turn, clean: turn, bytesUp: turn * KIB });
    await it.tunnel.promises.startListening();
  }
  assert.equal(it.tunnel.stats().sessions.logons, 3);
});

test('a new tunnel begins with zero counts', () => {
  const tunnel = new SSHTunnel({ ...server.login, forwardHost: 'localhost', forwardPort: 9 });
  assert.equal(tunnel.stats().connections.accepted, 0);
});
