// One tunnel with several sessions: connections are spread over them, and a disconnect affects only one.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, behaviors, exchange, patternHash, refuses } from '../helpers/peers.mjs';
import { signal } from '../helpers/process.mjs';
import { leave, logons, open, openSessions, sessionOf, transfer } from '../helpers/sessions.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, listed, openTunnel } from '../helpers/tunnels.mjs';

const CUT = { code: 'ERR_SSH_DISCONNECTED', clean: false, closedBy: 'reset' };

async function start(t, options) {
  const server = await Sshd.start(options);
  t.after(() => server.stop());
  return server;
}

const server = await Sshd.start();
after(() => server.stop());

test('further sessions start when each has a connection, and connections are spread', async (t) => {
  const own = await start(t);
  const it = { server: own, ...(await openTunnel(t, own, behaviors.echo(), { sessions: 3 })) };
  for (let turn = 0; turn < 5; turn++) await leave(it, await open(it));
  assert.equal(logons(own), 1);
  const { found } = await openSessions(t, own, 3);
  assert.equal(logons(own), 4);
  assert.equal(new Set(found.map(({ session }) => session)).size, 3);
});

test('connections go to the session with the fewest', async (t) => {
  const it = await openSessions(t, server, 3);
  const counts = new Map(it.found.map(({ session }) => [session, 1]));
  for (let count = 0; count < 9; count++) {
    const { session } = await open(it);
    counts.set(session, counts.get(session) + 1);
  }
  assert.equal(counts.size, 3);
  // Earlier traffic counts a little too.
  for (const count of counts.values()) assert.ok(count >= 3 && count <= 5, `${count} of 12`);
});

test('one busy connection counts more than many idle ones', async (t) => {
  const it = await openSessions(t, server, 2);
  const [busy, idle] = it.found;
  const sending = busy.client.send(Infinity);
  await busy.client.received(8 * MIB);
  for (let count = 0; count < 4; count++) assert.equal((await open(it)).session, idle.session);
  await busy.client.reset();
  await sending;
});

test('each session checks the host key', async (t) => {
  let asked = 0;
  const hostVerifier = () => {
    asked++;
    return true;
  };
  await openSessions(t, server, 2, { hostKey: undefined, knownHosts: [], hostVerifier });
  assert.equal(asked, 2);
});

for (const linger of [true, false]) {
  test(`a disconnect of one session ends only its connections: ${linger}`, async (t) => {
    const it = await openSessions(t, server, 3, { linger });
    const [one, lost, other] = it.found;
    await exchange(lost.client, 64 * KIB);
    const transfers = [one, other].map(({ client }) => transfer(client, 16 * MIB));
    await one.client.received(MIB);
    signal(lost.session, 'SIGKILL');
    const whole = { bytes: 64 * KIB, sha256: patternHash(64 * KIB) };
    assertIncludes(await lost.client.ended, { ...whole, end: 'ECONNRESET' });
    const error = await it.eventLog.next('sessionError');
    assert.ok(error instanceof Error);
    assert.equal(error.code, CUT.code);
    await Promise.all(transfers);
    const later = await open(it);
    assert.notEqual(later.session, lost.session);
    await transfer(later.client, MIB);
    while (it.eventLog.all('disconnected').filter(({ code }) => code === 'OK').length < 3)
      await it.eventLog.next('disconnected');
    const cut = it.eventLog.all('disconnected').filter(({ code }) => code !== 'OK');
    assert.equal(cut.length, 1);
    const counts = { bytesUp: 64 * KIB, bytesDown: 64 * KIB, droppedUp: 0, droppedDown: 0 };
    assertIncludes(cut[0], { ...CUT, ...counts, connectionId: lost.id });
    assert.equal(it.tunnel.listening, true);
    for (const name of ['error', 'close', 'reconnecting']) assert.deepEqual(it.eventLog.all(name), []);
    assert.equal(it.eventLog.all('ready').length, 1);
    assert.equal(it.eventLog.all('sessionError').length, 1);
  });
}

test('a connection whose channel is not open moves to another session', async (t) => {
  const it = await openSessions(t, server, 2);
  const [one, silent] = it.found;
  const { session } = await open(it);
  const [busy, lost] = session === one.session ? [one, silent] : [silent, one];
  signal(lost.session, 'SIGSTOP');
  const client = await it.connect();
  const infos = await listed(it.tunnel, 4);
  assert.deepEqual(
    infos.slice(-2).map(({ state }) => state),
    ['open', 'opening'],
  );
  const { connectionId } = infos.at(-1);
  await infos.at(-1).promises.setLinger(false);
  signal(lost.session, 'SIGKILL');
  await it.eventLog.next('sessionError');
  await exchange(client);
  const peer = await it.target.next();
  assert.equal(sessionOf(server, peer), busy.session);
  const { connectionId: opened, linger } = await it.eventLog.next('connection');
  assert.deepEqual([opened, linger], [connectionId, { l_onoff: 1, l_linger: 0 }]);
  assertIncludes(await lost.client.ended, { end: 'ECONNRESET' });
  await transfer(busy.client, MIB);
  await it.tunnel.promises.disconnect(connectionId);
  assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
});

test('a disconnect of the last session closes the tunnel', async (t) => {
  const it = await openSessions(t, server, 2);
  const { localPort } = it.tunnel;
  signal(it.found[0].session, 'SIGKILL');
  await it.eventLog.next('sessionError');
  await transfer(it.found[1].client, KIB);
  signal((await open(it)).session, 'SIGKILL');
  assert.equal((await it.eventLog.next('error')).code, CUT.code);
  await it.eventLog.next('close');
  const names = it.eventLog.names();
  assert.equal(names.at(-1), 'close');
  assert.equal(it.eventLog.all('disconnected').length, it.eventLog.all('connection').length);
  assert.equal(await refuses(localPort), true);
  assert.equal(it.eventLog.all('sessionError').length, 1);
  await it.tunnel.promises.startListening();
  await transfer(await it.connect(), KIB);
});

test('with reconnect the port stays after the last session disconnects', async (t) => {
  const it = await openSessions(t, server, 2, { reconnect: { initialDelay: 20, maxDelay: 100 } });
  const { localPort } = it.tunnel;
  for (const { session } of it.found) signal(session, 'SIGKILL');
  for (const { client } of it.found) assertIncludes(await client.ended, { end: 'ECONNRESET' });
  assertIncludes(await it.eventLog.next('reconnecting'), { attempt: 1 });
  for (let count = 0; count < 2; count++) await it.eventLog.next('ready');
  assert.equal(it.tunnel.localPort, localPort);
  await transfer(await it.connect(), MIB);
  for (const name of ['error', 'close']) assert.deepEqual(it.eventLog.all(name), []);
  assert.equal(it.eventLog.all('sessionError').length, 1);
});

test('calls find a connection in any session', async (t) => {
  const it = await openSessions(t, server, 3);
  for (const { client } of it.found) await exchange(client);
  const ids = it.found.map(({ id }) => id);
  const infos = await it.tunnel.promises.connections();
  assert.deepEqual(
    infos.map(({ connectionId }) => connectionId),
    ids,
  );
  for (const info of infos) assertIncludes(info, { state: 'open', bytesUp: KIB, bytesDown: KIB });
  assert.deepEqual(
    it.tunnel.connections().map(({ connectionId }) => connectionId),
    ids,
  );
  await infos[1].promises.setLinger(false);
  assert.deepEqual(await Promise.all(infos.map((info) => info.promises.getLinger())), [true, false, true]);
  for (const [index, end] of [
    [2, 'FIN'],
    [1, 'ECONNRESET'],
  ]) {
    const disconnected = it.tunnel.promises.disconnect(ids[index]);
    // It ends afterwards: otherwise the echo would end, and then the connection by itself.
    assertIncludes(await it.found[index].client.ended, { bytes: KIB, end });
    it.found[index].client.end();
    await disconnected;
    assertIncludes(it.eventLog.all('disconnected').at(-1), { connectionId: ids[index] });
    const gone = { code: 'ERR_TUNNEL_NO_CONNECTION' };
    await assert.rejects(it.tunnel.promises.disconnect(ids[index]), gone);
    await assert.rejects(infos[index].promises.setLinger(true), gone);
  }
  assert.deepEqual(
    (await it.tunnel.promises.connections()).map(({ connectionId }) => connectionId),
    [ids[0]],
  );
  it.found[0].client.end();
  assertIncludes(await it.found[0].client.ended, { bytes: KIB, end: 'FIN' });
});

test('shutdown() closes the connections of all sessions and disconnects them', async (t) => {
  const own = await start(t);
  const it = await openSessions(t, own, 3);
  for (const { client } of it.found) await exchange(client);
  const done = it.tunnel.promises.shutdown();
  for (const { client } of it.found) {
    assertIncludes(await client.ended, { bytes: KIB, end: 'FIN' });
    client.end();
  }
  await done;
  assert.equal(it.eventLog.all('disconnected').length, it.eventLog.all('connection').length);
  await it.eventLog.next('close');
  assert.equal(it.eventLog.names().at(-1), 'close');
  await own.logged(/(^Received disconnect from [^]*){3}/m);
  for (const name of ['error', 'sessionError']) assert.deepEqual(it.eventLog.all(name), []);
  await it.tunnel.promises.startListening();
  await transfer(await it.connect(), MIB);
});

test('shutdown() ends a tunnel whose further sessions are connecting', async (t) => {
  const server = await start(t);
  const { tunnel, connect } = await openTunnel(t, server, behaviors.echo(), { sessions: 4, linger: false });
  for (let round = 0; round < 30; round++) {
    await tunnel.promises.startListening();
    const clients = await Promise.all(Array.from({ length: 4 }, () => connect()));
    await exchange(clients[0]);
    // These connections have started sessions, which come up meanwhile; each round waits longer.
    const stop = performance.now() + 3 * round;
    while (performance.now() < stop) await new Promise(setImmediate);
    await tunnel.promises.shutdown();
    for (const client of clients) assertIncludes(await client.ended, { end: 'ECONNRESET' });
  }
});

test('close() waits for the connections of all sessions and resets them after the timeout', async (t) => {
  const it = await openSessions(t, server, 3, { linger: false });
  const [one, ...others] = it.found;
  const closing = it.tunnel.promises.close({ timeout: 500 });
  await transfer(one.client, MIB);
  const ends = await closing;
  assert.deepEqual(new Set(ends.map(({ connectionId }) => connectionId)), new Set(it.found.map(({ id }) => id)));
  assertIncludes(ends[0], { code: 'OK', connectionId: one.id });
  for (const { client } of others) assertIncludes(await client.ended, { end: 'ECONNRESET' });
  for (const { reason } of ends.slice(1)) assert.match(reason, /close/);
  assert.deepEqual(await it.tunnel.promises.connections(), []);
});

test('stopListening() keeps connections, and sessions until their last connection ends', async (t) => {
  const it = await openSessions(t, server, 2);
  await it.tunnel.promises.stopListening();
  assert.deepEqual(it.eventLog.all('close'), []);
  for (const { client } of it.found) await transfer(client, MIB);
  await it.eventLog.next('close');
});

test('connect() keeps a session without a port', async (t) => {
  const it = await openSessions(t, server, 2);
  await it.tunnel.promises.connect();
  await it.tunnel.promises.stopListening();
  for (const { client } of it.found) await transfer(client, KIB);
  await it.tunnel.promises.startListening();
  await transfer(await it.connect(), KIB);
  assert.equal(it.eventLog.all('ready').length, 1);
});

test('a refused further session is reported once, and the tunnel works', async (t) => {
  const own = await start(t);
  const it = { server: own, ...(await openTunnel(t, own, behaviors.echo(), { sessions: 4 })) };
  own.authorizeNobody();
  const first = await open(it);
  const second = await open(it);
  assert.equal((await it.eventLog.next('sessionError')).code, 'ERR_SSH_AUTH');
  for (let count = 0; count < 4; count++) assert.equal((await open(it)).session, first.session);
  assert.equal(second.session, first.session);
  await transfer(second.client, MIB);
  assert.equal(logons(own), 1);
  assert.equal(it.eventLog.all('sessionError').length, 1);
  assert.deepEqual(it.eventLog.all('error'), []);
});

test('connectionRequest is answered before a session is chosen', async (t) => {
  const it = { server, ...(await openTunnel(t, server, behaviors.echo(), { sessions: 2 })) };
  const answers = [true, false, true];
  it.tunnel.on('connectionRequest', (request) => (answers.shift() ? request.accept() : request.reject()));
  const accepted = await open(it);
  const rejected = await it.connect();
  assertIncludes(await rejected.ended, { end: 'ECONNRESET' });
  await transfer(accepted.client, KIB);
  await transfer((await open(it)).client, KIB);
});

test('a tunnel has one session by default', async (t) => {
  const own = await start(t);
  const it = { server: own, ...(await openTunnel(t, own, behaviors.echo())) };
  for (let count = 0; count < 8; count++) await open(it);
  assert.equal(logons(own), 1);
});
