// Limits of the rate: that they count and can be changed, and what they leave as it is. How exact they are is tested in
// src/net/rate/tests.rs, with a clock of its own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, behaviors, patternHash } from '../helpers/peers.mjs';
import { moment } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertEcho, assertIncludes, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** At this rate, nothing is done before a test is over. */
const SLOW = KIB;

const whole = (bytes) => ({ bytes, sha256: patternHash(bytes), end: 'FIN' });

/** Waits until a connection has moved something. */
async function whenMoving(tunnel) {
  for (;;) {
    const [connection] = await tunnel.promises.connections();
    if (connection?.bytesDown > 0) return connection;
  }
}

for (const direction of ['up', 'down']) {
  test(`${direction}: 2 MiB at 2 MiB a second take a second, and arrive whole`, async (t) => {
    const behavior = direction === 'up' ? behaviors.sink() : behaviors.source(2 * MIB);
    const it = await openTunnel(t, server, behavior, { maxRate: { [direction]: 2 * MIB } });
    assert.deepEqual(it.tunnel.getMaxRate(), { up: 0, down: 0, [direction]: 2 * MIB });
    const client = await it.connect();
    const begun = moment();
    if (direction === 'up') await client.send(2 * MIB);
    client.end();
    const target = await it.target.next();
    assertIncludes(await (direction === 'up' ? target : client).ended, whole(2 * MIB));
    const report = await it.eventLog.next('disconnected');
    const bytes = { bytesUp: 0, bytesDown: 0, [direction === 'up' ? 'bytesUp' : 'bytesDown']: 2 * MIB };
    assertIncludes(report, { code: 'OK', clean: true, droppedUp: 0, droppedDown: 0, ...bytes });
    // A limit cannot be faster; how much slower a busy machine is does not matter here.
    assert.ok(moment() - begun > 900, `${moment() - begun} ms`);
  });
}

/** Who has a limit of its own: the options of the tunnel, and of the forward, and what changes it. */
const SCOPES = {
  tunnel: { options: { maxRate: SLOW }, of: ({ tunnel }) => tunnel },
  'tunnel with several sessions': { options: { maxRate: SLOW, sessions: 2 }, of: ({ tunnel }) => tunnel },
  forward: { forward: { maxRate: { down: SLOW } }, of: ({ forward }) => forward },
  connection: { of: async ({ tunnel }) => (await tunnel.promises.connections())[0] },
};

for (const [name, { options, forward: forwardOptions, of }] of Object.entries(SCOPES)) {
  test(`${name}: a connection that waits goes on when its limit is changed`, async (t) => {
    const it = await openTunnel(t, server, behaviors.source(MIB), options);
    const forward = await it.tunnel.promises.forwardLocal({
      forwardHost: '127.0.0.1',
      forwardPort: it.target.port,
      ...forwardOptions,
    });
    const opened = once(it.tunnel, 'connection');
    const client = await it.connect({ port: forward.localPort });
    await opened;
    const scope = await of({ ...it, forward });
    if (name === 'connection') await scope.promises.setMaxRate({ down: SLOW });
    await whenMoving(it.tunnel);
    assert.equal((await scope.promises.getMaxRate()).down, SLOW);
    // In every form, and to another limit that is as slow first.
    scope.setMaxRate({ up: 5, down: SLOW + 1 });
    assert.deepEqual(scope.getMaxRate(), { up: 5, down: SLOW + 1 });
    await new Promise((resolve, reject) =>
      scope.setMaxRate({ down: SLOW }, (error) => (error ? reject(error) : resolve())),
    );
    await scope.promises.setMaxRate(0);
    client.end();
    assertIncludes(await client.ended, whole(MIB));
    assertIncludes(await it.eventLog.next('disconnected'), { code: 'OK', clean: true, bytesDown: MIB });
  });
}

test('connections of one forward get equal parts', async (t) => {
  const it = await openTunnel(t, server, behaviors.endless(64 * KIB), { maxRate: { down: 4 * MIB } });
  const clients = [await it.connect(), await it.connect(), await it.connect()];
  // The first one gets its second MiB: all have been there for most of the time.
  await clients[0].received(2 * MIB);
  const infos = await it.tunnel.promises.connections();
  const moved = infos.map(({ bytesDown }) => bytesDown);
  assert.ok(Math.min(...moved) > Math.max(...moved) / 3, moved.join(' '));
  for (const { connectionId } of infos) it.tunnel.disconnect(connectionId, () => {});
  await it.tunnel.promises.setLinger(false);
  await it.tunnel.promises.shutdown({ force: true });
});

test('a connection at its limit does not slow others', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  const slow = await it.connect();
  await it.eventLog.next('connection');
  const [connection] = await it.tunnel.promises.connections();
  await connection.promises.setMaxRate(SLOW);
  slow.send(4 * MIB).catch(() => {});
  for (let round = 0; round < 3; round++) await assertEcho(await it.connect(), 4 * MIB);
  const left = (await it.tunnel.promises.connections()).find(({ connectionId }) => connectionId === 1);
  assert.ok(left.bytesUp < MIB, `${left.bytesUp} bytes`);
  await connection.promises.reset();
});

test('hard: a connection that waits for its turn is reset at once, and what is left is counted', async (t) => {
  const it = await openTunnel(t, server, behaviors.source(MIB), { maxRate: SLOW, linger: false });
  const client = await it.connect();
  const { connectionId } = await whenMoving(it.tunnel);
  await it.tunnel.promises.disconnect(connectionId);
  const report = await it.eventLog.next('disconnected');
  assertIncludes(report, { clean: false, closedBy: 'reset' });
  assert.ok(report.bytesDown < MIB && report.droppedDown > 0, JSON.stringify(report));
  assertIncludes(await client.ended, { end: 'ECONNRESET' });
});

test('bounded: what the rate does not move within the linger time is dropped and counted', async (t) => {
  const linger = { l_onoff: 1, l_linger: 1 };
  const it = await openTunnel(t, server, behaviors.source(MIB), { maxRate: 64 * KIB, linger });
  const client = await it.connect();
  // Both sides have ended, so that everything has arrived, and the close delivers the rest.
  client.end();
  let connection;
  do [connection] = await it.tunnel.promises.connections();
  while (connection?.state !== 'closing');
  await connection.promises.setLingerOption(linger);
  const report = await it.eventLog.next('disconnected');
  assertIncludes(report, { clean: false, closedBy: 'reset', lingerExpired: true });
  assert.equal(report.bytesDown + report.droppedDown, MIB);
  assert.ok(report.bytesDown > 0 && report.bytesDown < MIB / 2, JSON.stringify(report));
  assertIncludes(await client.ended, { end: 'ECONNRESET' });
});

test('graceful: a close delivers the rest within the limit', async (t) => {
  const it = await openTunnel(t, server, behaviors.source(MIB), { maxRate: { down: MIB } });
  const begun = moment();
  const client = await it.connect();
  const { connectionId } = await whenMoving(it.tunnel);
  await it.tunnel.promises.disconnect(connectionId);
  const report = await it.eventLog.next('disconnected');
  assert.equal(report.droppedDown, 0);
  assertIncludes(await client.ended, { bytes: report.bytesDown, end: 'FIN' });
  assert.ok(
    moment() - begun > 1000 * (report.bytesDown / MIB - 0.1),
    `${moment() - begun} ms for ${report.bytesDown} bytes`,
  );
});

test('an end of stream and a reset do not wait for the rate', async (t) => {
  const it = await openTunnel(t, server, behaviors.sink(), { maxRate: 1 });
  // The first byte uses up the second.
  const client = await it.connect();
  client.socket.write('x');
  client.end();
  assertIncludes(await (await it.target.next()).ended, { bytes: 1, end: 'FIN' });
  assertIncludes(await client.ended, { bytes: 0, end: 'FIN' });
  const other = await it.connect();
  const target = await it.target.next();
  other.reset();
  await target.ended;
  assertIncludes((await it.eventLog.next('disconnected'), await it.eventLog.next('disconnected')), {
    code: 'ECONNRESET',
  });
});

test('a connection that waits for its turn is not idle', async (t) => {
  const options = { maxRate: { down: 1000 }, idleTimeout: 300 };
  const it = await openTunnel(t, server, behaviors.source(3000, 1000), options);
  const client = await it.connect();
  client.end();
  assertIncludes(await client.ended, { bytes: 3000, end: 'FIN' });
  assertIncludes(await it.eventLog.next('disconnected'), { code: 'OK', clean: true });
});

test('dial() is within the limits of the tunnel', async (t) => {
  const it = await openTunnel(t, server, behaviors.source(MIB), { maxRate: { down: SLOW } });
  const socket = it.tunnel.dial('127.0.0.1', it.target.port);
  await once(socket, 'data');
  assert.ok(socket.bytesRead < MIB / 2);
  await it.tunnel.promises.setMaxRate(undefined);
  socket.resume();
  await once(socket, 'end');
  assert.equal(socket.bytesRead, MIB);
  socket.end();
});

test('bad limits are refused, and unknown names are warned of', async (t) => {
  const { tunnel } = await openTunnel(t, server, behaviors.idle());
  for (const [value, code] of [
    [-1, 'ERR_OUT_OF_RANGE'],
    [1.5, 'ERR_OUT_OF_RANGE'],
    [{ up: 2 ** 53 }, 'ERR_OUT_OF_RANGE'],
    ['10', 'ERR_INVALID_ARG_TYPE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
    [[1], 'ERR_INVALID_ARG_TYPE'],
    [{ down: null }, 'ERR_INVALID_ARG_TYPE'],
  ])
    assert.throws(() => tunnel.setMaxRate(value), { code, message: /maxRate/ });
  assert.deepEqual(tunnel.getMaxRate(), { up: 0, down: 0 });
  const warned = once(process, 'warning');
  tunnel.setMaxRate({ upp: 1 });
  assert.match((await warned)[0].message, /upp.*up/);
});
