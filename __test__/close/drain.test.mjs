// close(): which connections finish, which are closed, and what is reported of them.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, PATTERN, behaviors, connect as connectTo, patternHash, refuses } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const GRACEFUL = { l_onoff: 0, l_linger: 0 };
const HARD = { l_onoff: 1, l_linger: 0 };
const BOUNDED = { l_onoff: 1, l_linger: 1 };

const SIZE = 2 * PATTERN.length;
const FINISHED = {
  code: 'OK',
  clean: true,
  closedBy: 'graceful',
  bytesDown: SIZE,
  droppedDown: 0,
  droppedUp: 0,
  lingerExpired: false,
};

/** Connections of all kinds, and their ends: in time, or closed by their Linger. */
const KINDS = [
  ...[GRACEFUL, HARD, BOUNDED].map((linger) => ({ linger, finishes: true, end: FINISHED })),
  { linger: GRACEFUL, end: { code: 'OK', clean: false, closedBy: 'graceful', droppedDown: 0, lingerExpired: false } },
  { linger: HARD, stalls: true, end: { code: 'ECONNABORTED', clean: false, closedBy: 'reset', lingerExpired: false } },
  {
    linger: BOUNDED,
    stalls: true,
    end: { code: 'ECONNABORTED', clean: false, closedBy: 'reset', lingerExpired: true },
  },
];

test('close({ timeout }) completes the transfers that end in time and closes the others by their Linger', async (t) => {
  let goOn;
  const word = new Promise((resolve) => (goOn = resolve));
  let kind;
  const behavior = async (peer) => {
    const { finishes, stalls } = kind;
    await peer.send(stalls ? Infinity : SIZE / 2);
    await word;
    if (!finishes) return;
    await peer.send(SIZE / 2);
    peer.end();
  };
  const { tunnel, eventLog, target, connect } = await openTunnel(t, server, behavior);
  const port = tunnel.localPort;
  const connections = [];
  for (let count = 0; count < 50; count++) {
    kind = KINDS[count % KINDS.length];
    tunnel.setLingerOption(kind.linger);
    const client = await connect({ read: !kind.stalls });
    const { connectionId } = await eventLog.next('connection');
    await target.next();
    client.ended.then(() => client.end());
    connections.push({ kind, client, connectionId });
  }
  for (const { kind, client } of connections) if (!kind.stalls) await client.received(SIZE / 2);

  const closing = tunnel.close({ timeout: 8000 }); // enough for 25 MiB on a busy machine
  goOn();
  for (const { kind, client } of connections) {
    if (kind.finishes) assertIncludes(await client.ended, { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' });
  }
  const ends = await closing;
  assert.ok(await refuses(port));
  assert.deepEqual(ends, eventLog.all('disconnected'));
  assert.equal(ends.length, connections.length);
  for (const { kind, client, connectionId } of connections) {
    const end = ends.find((it) => it.connectionId === connectionId);
    assertIncludes(end, { ...kind.end, linger: kind.linger });
    if (kind.stalls) assert.ok(end.droppedDown > 0);
    const { bytes, end: seen } = await client.read().ended;
    assert.equal(bytes, end.bytesDown);
    assert.equal(seen, end.closedBy === 'graceful' ? 'FIN' : 'ECONNRESET');
  }
});

test('a second close() joins the first and gets the same list of remaining connections', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const [first, second] = [await connect(), await connect()];
  for (const client of [first, second]) {
    await client.send(KIB);
    await client.received(KIB);
  }
  const both = tunnel.close();
  first.end();
  await first.ended;
  const end = await eventLog.next('disconnected');
  const left = new Promise((resolve, reject) => {
    tunnel.close({ timeout: 60_000 }, (error, ends) => (error ? reject(error) : resolve(ends)));
  });
  second.end();
  const last = await eventLog.next('disconnected');
  assert.deepEqual(await both, [end, last]);
  assert.deepEqual(await left, [last]);
  assert.equal((await both)[0], end, 'the object that the event brought');
});

test('close() lists connections that were still pending', async (t) => {
  const { tunnel, target } = await openTunnel(t, server, behaviors.echo());
  const requests = [];
  let asked;
  const both = new Promise((resolve) => (asked = resolve));
  tunnel.on('connectionRequest', (request) => requests.push(request) === 2 && asked());
  const clients = [await connectTo(tunnel.localPort), await connectTo(tunnel.localPort)];
  await both;
  const closing = tunnel.close();
  for (const request of requests) request[request.remotePort === clients[0].socket.localPort ? 'accept' : 'reject']();
  await clients[0].send(KIB);
  clients[0].end();
  assertIncludes(await clients[0].ended, { bytes: KIB, end: 'FIN' });
  assertIncludes(await clients[1].ended, { bytes: 0, end: 'ECONNRESET' });
  assert.deepEqual((await closing).map(({ code }) => code).sort(), ['ERR_TUNNEL_REJECTED', 'OK']);
  assert.equal(target.peers.length, 1);
});
