// Starting and stopping a tunnel, and the events in between.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, behaviors, exchange, refuses, settled } from '../helpers/peers.mjs';
import { descriptors } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, only, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** The kernel's timer of the socket from one port to another of this machine. */
function timerOf(from, to) {
  const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0');
  const ends = `0100007F:${hex(from)} 0100007F:${hex(to)}`;
  const line = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .find((it) => it.includes(ends));
  return Number(line.trim().split(/\s+/)[5].split(':')[0]);
}

test('events are emitted in order', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client);
  const info = await eventLog.next('connection');
  const { port } = client.socket.address();
  assertIncludes(info, {
    remoteAddress: '127.0.0.1',
    remotePort: port,
    localAddress: '127.0.0.1',
    localPort: tunnel.localPort,
    linger: { l_onoff: 0, l_linger: 0 },
  });
  client.end();
  await client.ended;
  const { connectionId } = await eventLog.next('disconnected');
  assert.equal(connectionId, info.connectionId);
  await tunnel.promises.shutdown();
  await eventLog.next('close');
  assert.deepEqual(eventLog.names(), ['ready', 'listening', 'connection', 'disconnected', 'close']);
});

test('connect() authenticates without listening, and startListening() uses that session', async (t) => {
  const ssh2 = await Ssh2Server.start();
  t.after(() => ssh2.stop());
  const tunnel = makeTunnel(t, ssh2.login, 1);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  assert.deepEqual(eventLog.names(), ['ready']);
  assert.equal(tunnel.listening, false);
  await tunnel.promises.startListening();
  assert.equal(tunnel.listening, true);
  assert.equal(ssh2.sessions, 1);
  assert.equal(ssh2.attempts, 1);
});

test('stopListening() keeps open connections', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const port = tunnel.localPort;
  const client = await connect();
  await exchange(client);
  await tunnel.promises.stopListening();
  assert.equal(tunnel.listening, false);
  assert.ok(await refuses(port));
  await exchange(client, MIB);
  client.end();
  assertIncludes(await client.ended, { bytes: MIB + KIB, end: 'FIN' });
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true });
});

test('a tunnel that stopped listening can listen again', async (t) => {
  const { tunnel, connect } = await openTunnel(t, server, behaviors.echo());
  for (let turn = 0; turn < 3; turn++) {
    await exchange(await connect());
    await tunnel.promises.stopListening();
    await tunnel.promises.startListening();
  }
  await exchange(await connect());
});

test('a tunnel that was shut down can start again', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client);
  client.ended.then(() => client.end());
  await tunnel.promises.shutdown();
  await eventLog.next('close');
  await tunnel.promises.startListening();
  await exchange(await connect());
});

test('shutdown() disconnects and leaves no descriptor', async (t) => {
  const before = descriptors();
  const { tunnel, connect, target } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client);
  client.end();
  await client.ended;
  await tunnel.promises.shutdown();
  await target.stop();
  await server.logged(/Received disconnect from|Connection closed by|Disconnected from/);
  // The runtime's own descriptors stay for the next tunnel: a second round must add nothing.
  const between = descriptors();
  const again = await openTunnel(t, server, behaviors.echo());
  const second = await again.connect();
  await exchange(second);
  second.end();
  await second.ended;
  await again.tunnel.promises.shutdown();
  await again.target.stop();
  assert.ok(between >= before);
  assert.equal(descriptors(), between);
});

for (const last of ['shutdown', 'close', 'stopListening']) {
  test(`${last}() after shutdown() takes precedence over calls that shutdown() deferred`, async (t) => {
    const { tunnel } = await openTunnel(t, server, behaviors.echo());
    const { shutdown, startListening, [last]: overtake } = tunnel.promises;
    const outcomes = await Promise.allSettled([shutdown(), startListening(), overtake()]);
    assert.deepEqual(
      outcomes.map(({ reason }) => reason?.code),
      [undefined, 'ERR_TUNNEL_CLOSED', undefined],
    );
    assert.equal(tunnel.listening, false);
    await tunnel.promises.startListening();
    assert.equal(tunnel.listening, true);
  });
}

test('close() waits for connections to end', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const port = tunnel.localPort;
  const client = await connect();
  await exchange(client);
  let closed = false;
  const closing = tunnel.close().then(() => (closed = true));
  await exchange(client, MIB); // it stays open
  assert.equal(closed, false);
  assert.equal(tunnel.listening, false);
  assert.ok(await refuses(port));
  client.end();
  assertIncludes(await client.ended, { bytes: MIB + KIB, end: 'FIN' });
  await closing;
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true });
  assert.equal(eventLog.names().at(-1), 'close');
});

for (const linger of [true, false]) {
  test(`close({ timeout }) closes the remaining connections by their Linger: ${linger}`, async (t) => {
    const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo(), { linger });
    const client = await connect();
    await exchange(client);
    client.ended.then(() => client.end());
    const since = performance.now();
    await tunnel.close({ timeout: 300 });
    const waited = performance.now() - since;
    assert.ok(waited > 250 && waited < 2000, `${waited} ms`);
    assertIncludes(await client.ended, { bytes: KIB, end: linger ? 'FIN' : 'ECONNRESET' });
    assertIncludes(await eventLog.next('disconnected'), {
      code: linger ? 'OK' : 'ECONNABORTED',
      clean: false,
      closedBy: linger ? 'graceful' : 'reset',
    });
  });
}

test('close() called twice gives both callers one outcome, in any state', async (t) => {
  const fresh = makeTunnel(t, server.login, 1);
  const freshDiary = new EventLog(fresh);
  await fresh.close();
  await fresh.close();
  assert.ok(freshDiary.all('close').length <= 1);

  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client);
  const both = Promise.all([tunnel.close(), tunnel.close()]);
  client.end();
  await both;
  await tunnel.close();
  await tunnel.promises.shutdown();
  assert.equal(eventLog.all('close').length, 1);
  assert.equal(eventLog.all('disconnected').length, 1);
});

test('Symbol.asyncDispose closes the tunnel', async (t) => {
  const { tunnel } = await openTunnel(t, server, behaviors.echo());
  const port = tunnel.localPort;
  await tunnel[Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]();
  assert.equal(tunnel.listening, false);
  assert.ok(await refuses(port));
});

test('an accepted connectionRequest opens the connection', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const requests = [];
  tunnel.on('connectionRequest', (request) => {
    requests.push(request);
    setImmediate(() => request.accept());
  });
  const client = await connect();
  await exchange(client);
  const { connectionId } = await eventLog.next('connection');
  assert.equal(requests.length, 1);
  assert.equal(requests[0].connectionId, connectionId);
});

for (const linger of [true, false]) {
  test(`a rejected connectionRequest resets the connection: ${linger}`, async (t) => {
    const { tunnel, eventLog, target, connect } = await openTunnel(t, server, behaviors.echo(), { linger });
    tunnel.on('connectionRequest', (request) => request.reject());
    const client = await connect();
    assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
    assertIncludes(await eventLog.next('disconnected'), {
      code: 'ERR_TUNNEL_REJECTED',
      clean: false,
      closedBy: 'reset',
      bytesUp: 0,
      bytesDown: 0,
    });
    assert.deepEqual(eventLog.all('connection'), []);
    assert.equal(target.peers.length, 0);
    // Without the listener every connection is accepted again.
    tunnel.removeAllListeners('connectionRequest');
    await exchange(await connect());
  });
}

test('disconnect() fails for an unknown connection', async (t) => {
  const { tunnel } = await openTunnel(t, server, behaviors.echo());
  await assert.rejects(tunnel.promises.disconnect(12345), { code: 'ERR_TUNNEL_NO_CONNECTION' });
  for (const wrong of [undefined, '1', null]) {
    await assert.rejects(async () => tunnel.promises.disconnect(wrong), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  await assert.rejects(async () => tunnel.promises.disconnect(1.5), { code: 'ERR_OUT_OF_RANGE' });
});

test('disconnect() resets a connection that is not open yet and reports that', async (t) => {
  const ssh2 = await Ssh2Server.start({ onOpen: () => {} });
  t.after(() => ssh2.stop());
  const { tunnel, eventLog, connect } = await openTunnel(t, ssh2, behaviors.idle(), { linger: true });
  const client = await connect();
  await ssh2.logged(/Inbound: CHANNEL_OPEN/);
  const { connectionId } = await only(tunnel);
  await tunnel.promises.disconnect(connectionId);
  assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
  assertIncludes(await eventLog.next('disconnected'), {
    connectionId,
    code: 'ECONNABORTED',
    clean: false,
    closedBy: 'reset',
    bytesUp: 0,
    bytesDown: 0,
  });
});

test('disconnect() closes only the given connection', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const first = await connect();
  await exchange(first);
  const { connectionId } = await only(tunnel);
  const second = await connect();
  await exchange(second);
  first.ended.then(() => first.end());
  await tunnel.promises.disconnect(connectionId);
  assertIncludes(await first.ended, { bytes: KIB, end: 'FIN' });
  assertIncludes(await eventLog.next('disconnected'), { connectionId, code: 'OK', clean: false });
  await exchange(second, MIB);
});

test('idleTimeout closes an idle connection and not a busy one', async (t) => {
  const options = { idleTimeout: 500 };
  const { eventLog, connect } = await openTunnel(t, server, behaviors.echo(), options);
  const idle = await connect();
  await exchange(idle);
  const busy = await connect();
  await exchange(busy);
  let over = false;
  idle.ended.then(() => {
    over = true;
    idle.end();
  });
  while (!over) await exchange(busy, 100);
  assertIncludes(await idle.ended, { bytes: KIB, end: 'FIN' });
  assert.equal((await eventLog.next('disconnected')).code, 'ETIMEDOUT');
  await exchange(busy);
});

test('idleTimeout starts when a connection is open', async (t) => {
  const opens = [];
  const ssh2 = await Ssh2Server.start({ onOpen: (open) => opens.push(open) });
  t.after(() => ssh2.stop());
  const { eventLog, connect } = await openTunnel(t, ssh2, behaviors.idle(), { idleTimeout: 200 });
  const clients = [await connect(), await connect()];
  for (const client of clients) client.ended.then(() => client.end());
  await ssh2.logged(/Inbound: CHANNEL_OPEN \(s:1/);
  opens[0].accept();
  assert.equal((await eventLog.next('disconnected')).code, 'ETIMEDOUT');
  // The other connection was not open while the first one was idle.
  opens[1].accept();
  assert.equal((await eventLog.next('disconnected')).code, 'ETIMEDOUT');
});

// Less than the 15 s after which ssh2 sends a keepalive that would wake the tunnel.
const SOON = { timeout: 10_000 };
test('messages in the same segment as the end of authentication are processed', SOON, async (t) => {
  const ssh2 = await Ssh2Server.start();
  t.after(() => ssh2.stop());
  ssh2.server.on('connection', (client) => {
    client.prependListener('authentication', () => client._sock.cork());
    client.on('authentication', ({ method }) => {
      if (method === 'password') client._protocol.ping();
      client._sock.uncork();
    });
  });
  const tunnel = makeTunnel(t, ssh2.login, 1, { keepaliveInterval: 0 });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  await ssh2.logged(/Inbound: Received REQUEST_FAILURE/);
  assert.deepEqual(eventLog.all('error'), []);
});

test('a server that does not read many replies is processed again once it reads', { timeout: 120_000 }, async (t) => {
  const ssh2 = await Ssh2Server.start();
  t.after(() => ssh2.stop());
  let client;
  ssh2.server.on('connection', (it) => (client = it));
  const tunnel = makeTunnel(t, ssh2.login, 1, { keepaliveInterval: 0 });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  let questions = 0;
  let answers = 0;
  let done;
  const answered = new Promise((resolve) => (done = resolve));
  client._protocol._handlers.REQUEST_FAILURE = () => ++answers === questions && done();
  client._protocol._debug = undefined; // a line for each would be too much
  client._sock.pause();
  const waiting = () => client._sock.writableLength;
  // Until the tunnel stops reading, because it buffers too many replies.
  do {
    for (let count = 0; count < 1000; count++, questions++) client._protocol.ping();
    await new Promise(setImmediate);
  } while ((waiting() === 0 || (await settled(waiting)) === 0) && !t.signal.aborted);
  client._sock.resume();
  await answered;
  assert.deepEqual(eventLog.all('error'), []);
});

test('keepalives keep a quiet session open', async (t) => {
  const ssh2 = await Ssh2Server.start();
  t.after(() => ssh2.stop());
  // A busy machine may take its time to answer.
  const options = { keepaliveInterval: 200, keepaliveCountMax: 10 };
  const { eventLog, connect } = await openTunnel(t, ssh2, behaviors.echo(), options);
  for (let count = 0; count < 5; count++) {
    await ssh2.logged(/Inbound: GLOBAL_REQUEST \(keepalive@openssh\.com\)/);
    ssh2.lines.length = 0;
  }
  assert.deepEqual(eventLog.all('error'), []);
  await exchange(await connect());
});

test('a disconnect by the server ends the session', async (t) => {
  const ssh2 = await Ssh2Server.start();
  t.after(() => ssh2.stop());
  const { eventLog, connect } = await openTunnel(t, ssh2, behaviors.echo());
  const client = await connect();
  await exchange(client);
  ssh2.dropSessions();
  assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
  assertIncludes(await eventLog.next('disconnected'), { code: 'ERR_SSH_DISCONNECTED', clean: false });
  assert.equal((await eventLog.next('error')).code, 'ERR_SSH_DISCONNECTED');
  await eventLog.next('close');
});

test('setKeepAlive() applies to the sockets of later connections', async (t) => {
  const { tunnel, connect } = await openTunnel(t, server, behaviors.echo(), { keepAlive: true });
  const client = await connect();
  await exchange(client);
  // /proc shows timer 2 for a socket with keepalive and nothing under way.
  assert.equal(timerOf(tunnel.localPort, client.socket.localPort), 2);
  tunnel.setKeepAlive(false);
  const other = await connect();
  await exchange(other);
  assert.equal(timerOf(tunnel.localPort, other.socket.localPort), 0);
});
