// AbortSignals: what a call had begun is undone, and its peers see that.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { KIB, Target, behaviors, exchange, refuses } from '../helpers/peers.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { openTunnel, only, withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** Milliseconds that a session may take, by default. */
const READY_TIMEOUT = 20_000;

const REASON = new Error('the user has closed the window');

/** What an aborted operation fails with. */
const ABORTED = { name: 'AbortError', code: 'ABORT_ERR', message: 'The operation was aborted', cause: REASON };

/** A server that accepts and says nothing. */
async function silentServer(t) {
  const target = await Target.start((peer) => peer.read());
  t.after(() => target.stop());
  const login = { host: '127.0.0.1', port: target.port, username: 'user', password: 'p', strictHostKeyChecking: false };
  return { target, login };
}

/** The calls that may connect, each with the options of an abort. */
const CALLS = {
  connect: (tunnel, options) => tunnel.promises.connect(options),
  startListening: (tunnel, options) => tunnel.promises.startListening(options),
  forwardLocal: (tunnel, options) => tunnel.promises.forwardLocal({ forwardHost: 'h', forwardPort: 1, ...options }),
  forwardDynamic: (tunnel, options) => tunnel.promises.forwardDynamic({ ...options }),
  forwardRemote: (tunnel, options) => tunnel.promises.forwardRemote({ forwardHost: 'h', forwardPort: 1, ...options }),
  dial: (tunnel, options) => tunnel.promises.dial('h', 1, options),
  'dial with options': (tunnel, options) => tunnel.promises.dial({ host: 'h', port: 1, ...options }),
};

for (const [name, call] of Object.entries(CALLS)) {
  test(`${name} that is aborted while it connects disconnects from the server`, async (t) => {
    const { target, login } = await silentServer(t);
    const { tunnel, eventLog } = withoutForward(t, login, { forwardHost: 'h', forwardPort: 1 });
    const controller = new AbortController();
    const called = call(tunnel, { signal: controller.signal });
    const peer = await target.next();
    controller.abort(REASON);
    const began = performance.now();
    await assert.rejects(called, ABORTED);
    assert.notEqual((await peer.ended).end, null);
    assert.ok(performance.now() - began < READY_TIMEOUT, 'not by the time that a session may take');
    assert.deepEqual(tunnel.forwards(), []);
    assert.deepEqual(await tunnel.promises.connections(), []);
    assert.deepEqual(eventLog.all('error'), []);
  });

  test(`${name} by a signal that has aborted before connects to nothing`, async (t) => {
    const { target, login } = await silentServer(t);
    const { tunnel } = withoutForward(t, login, { forwardHost: 'h', forwardPort: 1 });
    await assert.rejects(call(tunnel, { signal: AbortSignal.abort(REASON) }), ABORTED);
    await tunnel.promises.shutdown();
    assert.deepEqual(target.peers, []);
  });

  test(`${name} checks its signal`, async (t) => {
    const { tunnel } = withoutForward(t, server.login, { forwardHost: 'h', forwardPort: 1 });
    for (const signal of [null, 1, 'abort', {}, () => {}]) {
      await assert.rejects(call(tunnel, { signal }), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
    }
  });
}

test('who else waits for the session gets it', async (t) => {
  const { tunnel } = withoutForward(t, server.login);
  const controller = new AbortController();
  const aborted = tunnel.promises.connect({ signal: controller.signal });
  const forwarded = tunnel.promises.forwardLocal({ forwardHost: 'h', forwardPort: 1, signal: controller.signal });
  const connected = tunnel.promises.connect();
  controller.abort(REASON);
  await Promise.all([assert.rejects(aborted, ABORTED), assert.rejects(forwarded, ABORTED)]);
  await connected;
  assert.deepEqual(tunnel.forwards(), []);
});

test('a call that is done keeps its result when its signal aborts', async (t) => {
  const controller = new AbortController();
  const { signal } = controller;
  const { tunnel, connect, eventLog } = await openTunnel(t, server, behaviors.echo());
  await tunnel.promises.startListening({ signal });
  const forward = await tunnel.promises.forwardLocal({ forwardHost: '127.0.0.1', forwardPort: server.port, signal });
  const socket = await tunnel.promises.dial('127.0.0.1', server.port, { signal });
  controller.abort(REASON);
  const client = await connect();
  await exchange(client, KIB);
  assert.deepEqual([tunnel.listening, forward.listening, socket.destroyed], [true, true, false]);
  assert.deepEqual(eventLog.all('close'), []);
  socket.destroy();
});

test('an aborted startListening leaves an earlier one, which binds the port', async (t) => {
  const { tunnel } = withoutForward(t, server.login, { forwardHost: '127.0.0.1', forwardPort: server.port });
  const controller = new AbortController();
  const listening = tunnel.promises.startListening();
  const aborted = tunnel.promises.startListening({ signal: controller.signal });
  controller.abort(REASON);
  await assert.rejects(aborted, ABORTED);
  await listening;
  assert.equal(await refuses(tunnel.localPort), false);
});

test('an aborted forwardRemote is cancelled at the server', async (t) => {
  const asked = [];
  const scripted = await Ssh2Server.start();
  t.after(() => scripted.stop());
  const controller = new AbortController();
  const requests = new EventEmitter();
  const answer = (accept, _reject, name) => {
    asked.push(name);
    if (name === 'cancel-tcpip-forward') accept();
    else requests.emit(name, accept);
  };
  const asking = once(requests, 'tcpip-forward');
  scripted.server.on('connection', (client) => client.on('request', answer));
  const { tunnel } = withoutForward(t, scripted.login);
  await tunnel.promises.connect();
  const aborted = tunnel.promises.forwardRemote({ forwardHost: 'h', forwardPort: 1, signal: controller.signal });
  const [accept] = await asking;
  controller.abort(REASON);
  await assert.rejects(aborted, ABORTED);
  accept(4000);
  while (!asked.includes('cancel-tcpip-forward')) await new Promise(setImmediate);
  assert.deepEqual(tunnel.forwards(), []);
});

test('callbacks of aborted calls come in the order of the calls', async (t) => {
  const { login } = await silentServer(t);
  const { tunnel } = withoutForward(t, login);
  const controller = new AbortController();
  const order = [];
  const settled = new Promise((resolve) => {
    tunnel.connect({ signal: controller.signal }, (error) => order.push(['connect', error.code, error.cause]));
    tunnel.connect({ signal: AbortSignal.abort(REASON) }, (error) => order.push(['aborted', error.code, error.cause]));
    tunnel.getLinger((error, linger) => {
      order.push(['getLinger', error, linger]);
      resolve();
    });
  });
  controller.abort(REASON);
  await settled;
  assert.deepEqual(order, [
    ['connect', 'ABORT_ERR', REASON],
    ['aborted', 'ABORT_ERR', REASON],
    ['getLinger', null, true],
  ]);
});

test('a blocking call fails by a signal that has aborted, and begins nothing', async (t) => {
  const { target, login } = await silentServer(t);
  const { tunnel } = withoutForward(t, login);
  assert.throws(() => tunnel.connect({ signal: AbortSignal.abort(REASON) }), ABORTED);
  await tunnel.promises.shutdown();
  assert.deepEqual(target.peers, []);
});

test('an aborted close() goes on closing, and who waits for it again gets the reports', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client, KIB);
  const controller = new AbortController();
  const aborted = tunnel.close({ signal: controller.signal });
  controller.abort(REASON);
  await assert.rejects(aborted, ABORTED);
  assert.equal((await only(tunnel)).state, 'open');
  const closed = tunnel.close();
  client.end();
  assert.deepEqual(
    (await closed).map(({ clean, bytesUp }) => [clean, bytesUp]),
    [[true, KIB]],
  );
  await eventLog.next('close');
  assert.ok(await refuses(tunnel.localPort || 1));
});

test('the signal of the tunnel ends what waits for its first session, and nothing later', async (t) => {
  const { target, login } = await silentServer(t);
  const controller = new AbortController();
  const { tunnel } = withoutForward(t, login, { signal: controller.signal });
  const called = tunnel.promises.connect();
  const peer = await target.next();
  controller.abort(REASON);
  await assert.rejects(called, ABORTED);
  await peer.ended;
  await assert.rejects(tunnel.promises.connect(), ABORTED);

  const later = new AbortController();
  const up = withoutForward(t, server.login, { signal: later.signal });
  await up.tunnel.promises.connect();
  later.abort(REASON);
  await up.tunnel.promises.forwardLocal({ forwardHost: 'h', forwardPort: 1 });
  assert.throws(() => new SSHTunnel({ ...login, signal: 1 }), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('a signal keeps no listener of a call that is done', async (t) => {
  const { getEventListeners } = await import('node:events');
  const { tunnel } = withoutForward(t, server.login);
  const { signal } = new AbortController();
  await tunnel.promises.connect({ signal });
  const socket = tunnel.dial('127.0.0.1', server.port, { signal });
  await once(socket, 'connect');
  socket.destroy();
  await once(socket, 'close');
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});
