// Large transfers and many connections: every byte arrives in order.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { GIB, KIB, behaviors, patternHash } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const CLEAN = { code: 'OK', clean: true, closedBy: 'graceful', droppedUp: 0, droppedDown: 0 };
const hashOfGib = patternHash(GIB);

test('1 GiB up arrives intact', { timeout: 60_000 }, async (t) => {
  const { eventLog, target, connect } = await openTunnel(t, server, behaviors.sink());
  const client = await connect();
  assert.equal(await client.send(GIB), GIB);
  client.end();
  const remoteEnd = await (await target.next()).ended;
  assertIncludes(remoteEnd, { bytes: GIB, sha256: hashOfGib, end: 'FIN' });
  assertIncludes(await client.ended, { bytes: 0, end: 'FIN' });
  assertIncludes(await eventLog.next('disconnected'), { ...CLEAN, bytesUp: GIB, bytesDown: 0 });
});

test('1 GiB down arrives intact', { timeout: 60_000 }, async (t) => {
  const { eventLog, target, connect } = await openTunnel(t, server, behaviors.source(GIB));
  const client = await connect();
  assertIncludes(await client.ended, { bytes: GIB, sha256: hashOfGib, end: 'FIN' });
  client.end();
  assertIncludes(await (await target.next()).ended, { bytes: 0, end: 'FIN' });
  assertIncludes(await eventLog.next('disconnected'), { ...CLEAN, bytesUp: 0, bytesDown: GIB });
});

test('2,000 short connections succeed, 20 at a time', { timeout: 60_000 }, async (t) => {
  const lanes = 20;
  const turns = 100;
  const { eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const sha256 = patternHash(KIB);
  const lane = async () => {
    for (let turn = 0; turn < turns; turn++) {
      const client = await connect();
      await client.send(KIB);
      client.end();
      assertIncludes(await client.ended, { bytes: KIB, sha256, end: 'FIN' });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  for (let count = 0; count < lanes * turns; count++) {
    const end = await eventLog.next('disconnected');
    assertIncludes(end, { ...CLEAN, bytesUp: KIB, bytesDown: KIB });
  }
});

test('100 simultaneous connections succeed', async (t) => {
  const size = 256 * KIB;
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const clients = await Promise.all(Array.from({ length: 100 }, () => connect()));
  for (const _ of clients) await eventLog.next('connection');
  const connections = await tunnel.promises.connections();
  assert.equal(connections.length, 100);
  assert.equal(new Set(connections.map(({ connectionId }) => connectionId)).size, 100);
  const sha256 = patternHash(size);
  await Promise.all(
    clients.map(async (client) => {
      await client.send(size);
      await client.received(size);
      assertIncludes(client.report(), { bytes: size, sha256, end: null });
    }),
  );
  for (const client of clients) client.end();
  for (const client of clients) assertIncludes(await client.ended, { bytes: size, end: 'FIN' });
  for (const _ of clients) {
    const end = await eventLog.next('disconnected');
    assertIncludes(end, { ...CLEAN, bytesUp: size, bytesDown: size });
  }
  assert.deepEqual(await tunnel.promises.connections(), []);
});

test('data and FIN sent before the channel opens arrive', async (t) => {
  const { target, connect } = await openTunnel(t, server, behaviors.replier(100));
  server.freezeSessions(); // no channel can be opened now
  const client = await connect();
  await client.send(64 * KIB);
  client.end();
  server.thawSessions();
  const remoteEnd = await (await target.next()).ended;
  assertIncludes(remoteEnd, { bytes: 64 * KIB, sha256: patternHash(64 * KIB), end: 'FIN' });
  assertIncludes(await client.ended, { bytes: 100, end: 'FIN' });
});
