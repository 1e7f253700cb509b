// Calls in unusual states: twice, too early, too late, after a disconnect.

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, behaviors, connect, exchange } from '../helpers/peers.mjs';
import { Child, runModule } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

test('startListening() twice gives the same port and session', async (t) => {
  const tunnel = makeTunnel(t, server.login, 1);
  const eventLog = new EventLog(tunnel);
  await Promise.all([tunnel.promises.startListening(), tunnel.promises.startListening()]);
  const port = tunnel.localPort;
  await tunnel.promises.startListening();
  tunnel.startListening();
  assert.equal(tunnel.localPort, port);
  assert.deepEqual(eventLog.names(), ['ready', 'listening']);
});

test('stopListening() without connections ends the session that startListening() made', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client);
  await tunnel.promises.stopListening();
  await exchange(client);
  assert.deepEqual(eventLog.all('close'), []);
  client.end();
  await client.ended;
  await eventLog.next('close');
  assert.deepEqual(eventLog.names(), ['ready', 'listening', 'connection', 'disconnected', 'close']);
});

test('stopListening() keeps a session that connect() made', async (t) => {
  const ssh2 = await Ssh2Server.start();
  t.after(() => ssh2.stop());
  const tunnel = makeTunnel(t, ssh2.login, 1);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  await tunnel.promises.connect(); // it is ready already; from now on it is kept
  await tunnel.promises.stopListening();
  await tunnel.promises.startListening();
  await tunnel.promises.stopListening();
  assert.equal(ssh2.attempts, 1);
  assert.equal(ssh2.sessions, 1);
  assert.deepEqual(eventLog.names(), ['ready', 'listening', 'listening']);
  await tunnel.promises.shutdown();
  await eventLog.next('close');
});

test('a session is ended when its port cannot be bound', async (t) => {
  const { tunnel: first } = await openTunnel(t, server, behaviors.echo());
  const tunnel = makeTunnel(t, server.login, 1, { localPort: first.localPort });
  const eventLog = new EventLog(tunnel);
  await assert.rejects(tunnel.promises.startListening(), { code: 'EADDRINUSE' });
  await eventLog.next('close');
  assert.deepEqual(eventLog.names(), ['ready', 'close']);
});

test("startListening() works again after a disconnect, from the 'error' event on", async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  for (const moment of ['error', 'close']) {
    const client = await connect();
    await exchange(client);
    const started = new Promise((resolve) => {
      tunnel.once(moment, () => tunnel.startListening(resolve));
    });
    server.killSessions();
    assert.equal(await started, null);
    assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
    await exchange(await connect());
    assert.equal((await eventLog.next('error')).code, 'ERR_SSH_DISCONNECTED');
  }
});

test('stopListening() and shutdown() cancel a pending startListening()', async (t) => {
  for (const method of ['stopListening', 'shutdown', 'close']) {
    const tunnel = makeTunnel(t, server.login, 1);
    const started = tunnel.promises.startListening();
    const stopped = tunnel.promises[method]();
    await assert.rejects(started, { code: 'ERR_TUNNEL_CLOSED' });
    await stopped;
    assert.equal(tunnel.listening, false);
  }
});

test('the earliest deadline of several close() calls wins, and shutdown() ends the wait', async (t) => {
  const { tunnel, connect } = await openTunnel(t, server, behaviors.echo(), { linger: false });
  const client = await connect();
  await exchange(client);
  const since = performance.now();
  await Promise.all([tunnel.close(), tunnel.close({ timeout: 200 }), tunnel.close({ timeout: 9000 })]);
  const waited = performance.now() - since;
  assert.ok(waited > 150 && waited < 2000, `${waited} ms`);
  assert.equal((await client.ended).end, 'ECONNRESET');

  await tunnel.promises.startListening();
  const other = await connect();
  await exchange(other);
  await Promise.all([tunnel.close(), tunnel.promises.shutdown()]);
  assert.equal((await other.ended).end, 'ECONNRESET');
});

test('disconnect() twice: both calls wait for the same end', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client);
  const { connectionId } = await eventLog.next('connection');
  client.ended.then(() => client.end());
  const { promises } = tunnel;
  await Promise.all([promises.disconnect(connectionId), promises.disconnect(connectionId)]);
  assert.equal(eventLog.all('disconnected').length, 1);
  await assert.rejects(promises.disconnect(connectionId), { code: 'ERR_TUNNEL_NO_CONNECTION' });
});

for (const linger of [true, false]) {
  test(`disconnect() resets a connection that is not open yet: ${linger}`, async (t) => {
    const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo(), { linger });
    const asked = new Promise((resolve) => tunnel.on('connectionRequest', resolve));
    const client = await connect();
    await client.send(KIB);
    const request = await asked;
    assert.equal((await tunnel.promises.connections())[0].state, 'requested');
    await tunnel.promises.disconnect(request.connectionId);
    assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
    assertIncludes(await eventLog.next('disconnected'), {
      code: 'ECONNABORTED',
      clean: false,
      closedBy: 'reset',
      bytesUp: 0,
      droppedUp: KIB,
    });
    request.accept(); // too late, and without effect
  });
}

test('an unanswered connectionRequest is reset after readyTimeout', async (t) => {
  const options = { readyTimeout: 1000 };
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo(), options);
  tunnel.on('connectionRequest', () => {});
  const client = await connect();
  assert.equal((await client.ended).end, 'ECONNRESET');
  assert.equal((await eventLog.next('disconnected')).code, 'ETIMEDOUT');
});

test('a once() listener for connectionRequest decides about one connection', async (t) => {
  const { tunnel, connect } = await openTunnel(t, server, behaviors.echo());
  tunnel.once('connectionRequest', (request) => {
    request.accept();
    request.reject(); // only the first answer counts
  });
  await exchange(await connect());
  await exchange(await connect());
});

test('events run in the async context of the constructor, callbacks in that of the call', async (t) => {
  const storage = new AsyncLocalStorage();
  const tunnel = storage.run('constructor', () => makeTunnel(t, server.login, 1));
  const seen = [];
  storage.run('on', () => tunnel.on('listening', () => seen.push(storage.getStore())));
  await new Promise((resolve) => {
    storage.run('call', () => {
      tunnel.startListening(() => resolve(seen.push(storage.getStore())));
    });
  });
  assert.deepEqual(seen, ['constructor', 'call']);
});

/** Runs a program with a tunnel whose session is lost once a connection goes through it. */
async function lose(program) {
  const own = await Ssh2Server.start({ onOpen: (open) => open.accept() });
  const options = { ...own.login, forwardHost: '127.0.0.1', forwardPort: 1 };
  const running = runModule(`
    import net from 'node:net';
    import { SSHTunnel } from './index.js';
    const tunnel = new SSHTunnel(${JSON.stringify(options)});
    ${program}
    await tunnel.promises.startListening();
    net.connect(tunnel.localPort, '127.0.0.1').on('error', () => {});
  `);
  await own.nextChannel();
  own.dropSessions();
  const result = await running;
  await own.stop();
  return result;
}

test("an 'error' event without a listener is thrown, as with every EventEmitter", async () => {
  const { code, stderr } = await lose('');
  assert.match(stderr, /ERR_SSH_DISCONNECTED/);
  assert.equal(code, 1);
});

test("'close' follows a handled 'error', and the process exits", async () => {
  const { code, stdout, stderr } = await lose(`
    tunnel.on('error', ({ code }) => console.log(code)).on('close', () => console.log('close'));
  `);
  assert.deepEqual([code, stdout, stderr], [0, 'ERR_SSH_DISCONNECTED\nclose\n', '']);
});

test('a killed process resets its connections, whatever their Linger', async (t) => {
  const others = await Child.start('peer-process.mjs');
  t.after(() => others.stop());
  const forwardPort = await others.ask('behavior', 'echo');
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const port = await child.ask('listen', {
    ...server.login,
    forwardHost: '127.0.0.1',
    forwardPort,
    linger: true,
  });
  const client = await connect(port);
  await exchange(client);
  process.kill(child.pid, 'SIGKILL');
  assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
  client.socket.destroy();
});
