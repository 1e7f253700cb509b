// Between two sessions: which connections wait, which calls are allowed, and what ends reconnecting.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, behaviors, exchange, refuses } from '../helpers/peers.mjs';
import { descriptors } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, listed, makeTunnel, only, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const SOON = { initialDelay: 20, maxDelay: 100 };
/** Nothing happens by itself during a test. */
const LATE = { initialDelay: 600_000 };
const RESET = { bytes: 0, end: 'ECONNRESET' };

/** A listening tunnel whose server has stopped. */
async function disconnectedTunnel(t, reconnect, options) {
  const opened = await openTunnel(t, server, behaviors.echo(), { reconnect, ...options });
  await opened.eventLog.next('ready');
  await server.halt();
  t.after(() => server.restart());
  await opened.eventLog.next('reconnecting');
  return opened;
}

/** Clients that have sent data and wait, all accepted by the tunnel. */
async function waiting({ tunnel, connect }, count) {
  const clients = await Promise.all(Array.from({ length: count }, () => connect()));
  for (const client of clients) await client.send(KIB);
  await listed(tunnel, count);
  return clients;
}

/** The number of connections to the server since its start. */
const visits = () => server.log().match(/^Connection from/gm)?.length ?? 0;

test('100 connections wait for the next session and are all served', async (t) => {
  const it = await disconnectedTunnel(t, SOON);
  const clients = await waiting(it, 100);
  for (const { state, bytesUp } of await it.tunnel.promises.connections()) {
    assert.deepEqual([state, bytesUp], ['opening', 0]);
  }
  await server.restart();
  await Promise.all(clients.map((client) => client.received(KIB)));
  for (let count = 0; count < 100; count++) await it.eventLog.next('connection');
  assert.deepEqual(it.eventLog.all('disconnected'), []);
});

test('a connection that waits longer than readyTimeout is reset, others are not', async (t) => {
  const it = await disconnectedTunnel(t, SOON, { readyTimeout: 4000 });
  const [early] = await waiting(it, 1);
  assertIncludes(await early.ended, RESET);
  assertIncludes(await it.eventLog.next('disconnected'), {
    code: 'ETIMEDOUT',
    reason: 'no SSH session within readyTimeout',
    closedBy: 'reset',
    clean: false,
    bytesUp: 0,
    droppedUp: KIB,
  });
  const [late] = await waiting(it, 1);
  await server.restart();
  await late.received(KIB);
  assert.equal(it.eventLog.all('disconnected').length, 1);
});

test('a connection whose channel was not open at the disconnect waits too', async (t) => {
  let silent = true;
  const ssh2 = await Ssh2Server.start({ onOpen: (open) => silent || open.connect() });
  t.after(() => ssh2.stop());
  const it = await openTunnel(t, ssh2, behaviors.echo(), { reconnect: SOON });
  const [client] = await waiting(it, 1);
  await ssh2.logged(/Inbound: CHANNEL_OPEN/);
  silent = false;
  ssh2.dropSessions();
  await client.received(KIB);
  assert.deepEqual(it.eventLog.all('disconnected'), []);
});

test('connections beyond the limit wait in the backlog', async (t) => {
  const it = await disconnectedTunnel(t, LATE);
  const before = descriptors();
  const clients = await Promise.all(Array.from({ length: 1030 }, () => it.connect()));
  await listed(it.tunnel, 1024);
  assert.equal((await it.tunnel.promises.connections()).length, 1024);
  await it.tunnel.promises.shutdown();
  for (const client of clients) assertIncludes(await client.ended, RESET);
  await Promise.all(clients.map((client) => client.closed));
  assert.ok(descriptors() <= before);
});

test('a connectionRequest can be answered between sessions', async (t) => {
  const it = await disconnectedTunnel(t, LATE);
  const requests = [];
  it.tunnel.on('connectionRequest', (request) => requests.push(request));
  const clients = await waiting(it, 3);
  const portOf = new Map(clients.map((client) => [client, client.socket.localPort]));
  while (requests.length < 3) await listed(it.tunnel, 3);
  requests[0].reject();
  requests[1].accept();
  assert.equal((await it.eventLog.next('disconnected')).code, 'ERR_TUNNEL_REJECTED');
  await server.restart();
  await it.tunnel.promises.connect();
  await it.eventLog.next('connection');
  requests[2].accept();
  await it.eventLog.next('connection');
  const accepted = clients.filter((client) => portOf.get(client) !== requests[0].remotePort);
  assert.equal(accepted.length, 2);
  await Promise.all(accepted.map((client) => client.received(KIB)));
});

const ENDS = {
  stopListening: 'closed by stopListening()',
  shutdown: 'closed by shutdown()',
  close: 'closed by close()',
};
for (const [method, reason] of Object.entries(ENDS)) {
  test(`${method}() ends waiting connections at once`, async (t) => {
    const it = await disconnectedTunnel(t, LATE);
    const port = it.tunnel.localPort;
    const [client] = await waiting(it, 1);
    await it.tunnel.promises[method]();
    assertIncludes(await client.ended, RESET);
    assertIncludes(await it.eventLog.next('disconnected'), { code: 'ECONNABORTED', reason, droppedUp: KIB });
    await it.eventLog.next('close');
    assert.deepEqual(it.eventLog.all('error'), []);
    assert.equal(it.tunnel.listening, false);
    assert.ok(await refuses(port));
  });
}

test('stopListening() keeps reconnecting a session that connect() made', async (t) => {
  const tunnel = makeTunnel(t, server.login, 1, { reconnect: SOON });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  await tunnel.promises.connect();
  await eventLog.next('ready');
  await server.halt();
  await eventLog.next('reconnecting');
  await tunnel.promises.stopListening();
  await eventLog.next('reconnecting');
  await server.restart();
  await eventLog.next('ready');
  assert.deepEqual(eventLog.all('close'), []);
});

test('stopListening() cancels a pending reconnect attempt', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo(), { reconnect: SOON });
  server.freeze();
  t.after(() => server.thaw());
  server.killSessions();
  await it.eventLog.next('reconnecting');
  const joined = assert.rejects(it.tunnel.promises.startListening(), { code: 'ERR_TUNNEL_CLOSED' });
  await it.tunnel.promises.stopListening();
  await joined;
  await it.eventLog.next('close');
});

test('disconnect() resets a waiting connection', async (t) => {
  const it = await disconnectedTunnel(t, LATE);
  const [client] = await waiting(it, 1);
  await it.tunnel.promises.disconnect((await only(it.tunnel)).connectionId);
  assertIncludes(await client.ended, RESET);
  assertIncludes(await it.eventLog.next('disconnected'), { code: 'ECONNABORTED', droppedUp: KIB });
});

for (const method of ['connect', 'startListening']) {
  test(`${method}() joins the current attempt and returns its result`, async (t) => {
    const it = await disconnectedTunnel(t, LATE);
    const [client] = await waiting(it, 1);
    await assert.rejects(it.tunnel.promises[method](), { code: 'ECONNREFUSED' });
    assertIncludes(await it.eventLog.next('reconnecting'), { attempt: 2 });
    await server.restart();
    await Promise.all([it.tunnel.promises[method](), it.tunnel.promises[method]()]);
    await it.eventLog.next('ready');
    await client.received(KIB);
    assert.equal(visits(), 1);
    assert.deepEqual(it.eventLog.all('error'), []);
  });
}

test('the blocking form joins the current attempt', async (t) => {
  const it = await disconnectedTunnel(t, LATE);
  await server.restart();
  it.tunnel.connect();
  it.tunnel.startListening();
  await exchange(await it.connect());
});

test('hostVerifier is called for each session, and never during a blocking call', async (t) => {
  const { hostKey, ...login } = server.login;
  const answers = [true, true, false];
  const tunnel = makeTunnel(t, login, 1, { hostVerifier: () => answers.shift(), reconnect: LATE });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  server.killSessions();
  await eventLog.next('reconnecting');
  assert.throws(() => tunnel.connect(), { code: 'ERR_TUNNEL_WOULD_DEADLOCK' });
  await tunnel.promises.connect();
  assert.equal(answers.length, 1);
  server.killSessions();
  await eventLog.next('reconnecting');
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_HOST_KEY' });
  assert.equal((await eventLog.next('error')).code, 'ERR_SSH_HOST_KEY');
  await eventLog.next('close');
});

/** Reconnecting has ended with this error, after one attempt. */
async function assertOver({ tunnel, eventLog }, port, code) {
  assert.equal((await eventLog.next('error')).code, code);
  await eventLog.next('close');
  assert.equal(eventLog.all('error').length, 1);
  assert.equal(tunnel.listening, false);
  assert.ok(await refuses(port));
}

test('a changed host key ends reconnecting', async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const it = await openTunnel(t, own, behaviors.echo(), { reconnect: SOON });
  const port = it.tunnel.localPort;
  await own.halt();
  const [client] = await waiting(it, 1);
  own.changeHostKeys();
  await own.restart();
  await assertOver(it, port, 'ERR_SSH_HOST_KEY');
  assertIncludes(await client.ended, RESET);
  assertIncludes(await it.eventLog.next('disconnected'), { code: 'ERR_SSH_DISCONNECTED', droppedUp: KIB });
  assert.equal(own.log().match(/^Connection from/gm).length, 1);
});

test('an authentication failure ends reconnecting', async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const it = await openTunnel(t, own, behaviors.echo(), { reconnect: SOON });
  const port = it.tunnel.localPort;
  await own.halt();
  own.authorizeNobody();
  await own.restart();
  await assertOver(it, port, 'ERR_SSH_AUTH');
  assert.equal(own.log().match(/^Connection from/gm).length, 1);
});

test('the last allowed attempt ends reconnecting, and the tunnel can start again', async (t) => {
  const it = await disconnectedTunnel(t, { ...SOON, maxAttempts: 3 });
  const port = it.tunnel.localPort;
  const [client] = await waiting(it, 1);
  await assertOver(it, port, 'ECONNREFUSED');
  assert.deepEqual(
    it.eventLog.all('reconnecting').map(({ attempt }) => attempt),
    [1, 2, 3],
  );
  assertIncludes(await client.ended, RESET);
  await server.restart();
  await it.tunnel.promises.startListening();
  await exchange(await it.connect());
});

test('a failed first connect is not retried', async (t) => {
  await server.halt();
  t.after(() => server.restart());
  const tunnel = makeTunnel(t, server.login, 1, { reconnect: SOON });
  const eventLog = new EventLog(tunnel);
  await assert.rejects(tunnel.promises.startListening(), { code: 'ECONNREFUSED' });
  await tunnel.promises.shutdown();
  assert.deepEqual(eventLog.entries, []);
});
