// Ends of a connection with several events at once; single events are in closing-table.test.mjs.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, behaviors, patternHash, refuses, settled } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, only, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

for (const linger of [true, false]) {
  test(`a target that resets ends the client's stream: ${linger}`, async (t) => {
    // OpenSSH reports a reset as EOF. The client gets what was sent.
    const { eventLog, connect } = await openTunnel(t, server, behaviors.resetter(64 * KIB), { linger });
    const client = await connect();
    const { bytes, end } = await client.ended;
    client.end();
    const ended = await eventLog.next('disconnected');
    assert.equal(ended.bytesDown, bytes);
    assert.equal(ended.closedBy, end === 'FIN' ? 'graceful' : 'reset');
  });
}

/** A client that resets while neither side reads and all buffers are full. */
async function resetWhileStuck(t, behavior) {
  const tunnel = await openTunnel(t, server, behavior, { linger: true });
  const client = await tunnel.connect({ read: false });
  const remoteEnd = await tunnel.target.next();
  client.send(64 * MIB);
  await settled(() => client.accepted);
  await settled(async () => (await only(tunnel.tunnel)).bytesDown);
  await client.reset();
  return { ...tunnel, remoteEnd };
}

test('graceful: a connection ends when its client resets and its stalled target dies', async (t) => {
  const sender = (peer) => peer.send(12 * MIB);
  const { eventLog, remoteEnd } = await resetWhileStuck(t, sender);
  // What the client had sent waits for the target, which then vanishes.
  await settled(() => remoteEnd.accepted);
  assert.deepEqual(eventLog.all('disconnected'), []);
  await remoteEnd.reset();
  const end = await eventLog.next('disconnected');
  assertIncludes(end, { code: 'ECONNRESET', clean: false, closedBy: 'reset' });
  assert.ok(end.droppedUp > 0);
  assert.ok(end.droppedDown > 0);
});

test('graceful: a client reset ends the connection while the target only sends', async (t) => {
  const { eventLog } = await resetWhileStuck(t, behaviors.endless());
  const end = await eventLog.next('disconnected');
  assertIncludes(end, { code: 'ECONNRESET', clean: false, closedBy: 'reset' });
  assert.ok(end.droppedUp > 0);
  assert.ok(end.droppedDown > 16 * MIB);
});

for (const linger of [
  { l_onoff: 0, l_linger: 0 },
  { l_onoff: 1, l_linger: 60 },
]) {
  test(`disconnect() and then a client reset deliver what had arrived, then EOF: ${linger.l_linger} s`, async (t) => {
    const { tunnel, eventLog, target, connect } = await openTunnel(t, server, behaviors.idle(), { linger });
    const client = await connect();
    const remoteEnd = await target.next();
    client.send(64 * MIB); // the target does not read, so the data fills all buffers
    await settled(() => client.accepted);
    const { connectionId } = await only(tunnel);
    const disconnected = tunnel.promises.disconnect(connectionId);
    await tunnel.promises.connections(); // the disconnect has begun
    await client.reset();
    remoteEnd.read(); // and does not end its own direction
    await disconnected;
    const end = await eventLog.next('disconnected');
    assertIncludes(end, { connectionId, code: 'ECONNRESET', clean: false });
    const { bytes, sha256 } = await remoteEnd.ended;
    assert.equal(bytes, end.bytesUp);
    assert.equal(sha256, patternHash(bytes));
  });
}

test('graceful disconnect() after EOF from the target reports a client that had not ended as not clean', async (t) => {
  const { tunnel, eventLog, target, connect } = await openTunnel(t, server, behaviors.source(KIB), {
    linger: true,
  });
  const client = await connect();
  assertIncludes(await client.ended, { bytes: KIB, end: 'FIN' });
  const remoteEnd = await target.next();
  await client.send(KIB);
  await remoteEnd.received(KIB);
  const { connectionId } = await only(tunnel);
  const disconnected = tunnel.promises.disconnect(connectionId);
  assertIncludes(await remoteEnd.ended, { bytes: KIB, end: 'FIN' });
  await client.send(KIB); // too late
  client.end();
  await disconnected;
  assertIncludes(await eventLog.next('disconnected'), {
    connectionId,
    code: 'OK',
    clean: false,
    closedBy: 'graceful',
    bytesUp: KIB,
    droppedUp: KIB,
    bytesDown: KIB,
    droppedDown: 0,
  });
});

test('shutdown() closes each connection by its own Linger', async (t) => {
  const sender = (peer) => peer.read().send(MIB);
  const { tunnel, eventLog, target, connect } = await openTunnel(t, server, sender);
  const port = tunnel.localPort;
  const clients = [];
  for (const [structure, end] of [
    [{ l_onoff: 0, l_linger: 0 }, 'FIN'],
    [{ l_onoff: 1, l_linger: 0 }, 'ECONNRESET'],
    [{ l_onoff: 1, l_linger: 60 }, 'FIN'],
  ]) {
    tunnel.setLingerOption(structure);
    const client = await connect();
    const { connectionId } = await eventLog.next('connection');
    await client.received(MIB);
    client.ended.then(() => client.end());
    clients.push({ client, structure, end, connectionId });
  }
  await tunnel.promises.shutdown();
  const ends = eventLog.all('disconnected');
  assert.equal(ends.length, clients.length);
  for (const { client, structure, end, connectionId } of clients) {
    assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end });
    assertIncludes(
      ends.find((it) => it.connectionId === connectionId),
      {
        code: end === 'FIN' ? 'OK' : 'ECONNABORTED',
        closedBy: end === 'FIN' ? 'graceful' : 'reset',
        bytesDown: MIB,
        linger: structure,
        lingerExpired: false,
      },
    );
    await (await target.next()).ended;
  }
  await eventLog.next('close');
  assert.equal(eventLog.names().at(-1), 'close');
  assert.ok(await refuses(port));
});
