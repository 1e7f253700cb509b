// reconnect: { initial: true }: a program that starts before its server.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, Target, behaviors, connect, exchange } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** A port that leads to the server from its `from`th connection on, and resets those before. */
async function lateServer(t, from) {
  const late = { connections: 0 };
  const listener = net.createServer((socket) => {
    late.connections += 1;
    socket.on('error', () => {});
    if (late.connections < from) {
      socket.resetAndDestroy();
      return;
    }
    const onward = net.connect(server.port, '127.0.0.1').on('error', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  t.after(() => listener.close());
  late.port = listener.address().port;
  return late;
}

function waitingTunnel(t, port, reconnect, options) {
  const { tunnel, eventLog } = withoutForward(
    t,
    { ...server.login, port },
    {
      reconnect: { initial: true, initialDelay: 20, maxDelay: 50, ...reconnect },
      ...options,
    },
  );
  const attempts = [];
  tunnel.on('reconnecting', ({ attempt, error }) => attempts.push([attempt, error.code]));
  return { tunnel, eventLog, attempts };
}

test('whatever waits for the first session gets it', async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const late = await lateServer(t, 4);
  const to = { forwardHost: '127.0.0.1', forwardPort: target.port };
  const { tunnel, eventLog, attempts } = waitingTunnel(t, late.port, {}, to);
  const socket = tunnel.dial('127.0.0.1', target.port);
  const [, , forward] = await Promise.all([
    tunnel.promises.connect(),
    tunnel.promises.startListening(),
    tunnel.promises.forwardLocal(to),
    once(socket, 'connect'),
  ]);
  assert.deepEqual(
    attempts.map(([attempt]) => attempt),
    [1, 2, 3],
  );
  assert.equal(late.connections, 4);
  assert.equal(tunnel.state, 'ready');
  for (const port of [tunnel.localPort, forward.localPort]) {
    const client = await connect(port);
    await exchange(client, KIB);
    client.socket.destroy();
  }
  socket.destroy();
  assert.deepEqual(eventLog.all('error'), []);
});

test('the last error is that of the call once the attempts are used up, and the next call has them anew', async (t) => {
  const late = await lateServer(t, Infinity);
  const { tunnel, eventLog, attempts } = waitingTunnel(t, late.port, { maxAttempts: 2 });
  for (const round of [1, 2]) {
    await assert.rejects(tunnel.promises.connect(), ({ code }) =>
      ['ECONNRESET', 'ERR_SSH_DISCONNECTED'].includes(code),
    );
    assert.equal(late.connections, round * 3);
    assert.equal(attempts.length, round * 2);
    await tunnel.promises.connections();
    assert.equal(tunnel.state, 'idle');
  }
  assert.deepEqual(eventLog.all('error'), []);
});

test('an error that another attempt would meet again is final', async (t) => {
  const { tunnel, attempts } = waitingTunnel(t, server.port, {}, { username: 'nobody-of-this-name' });
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_AUTH' });
  assert.deepEqual(attempts, []);
});

test('a signal and a shutdown end the waiting', async (t) => {
  const late = await lateServer(t, Infinity);
  const { tunnel } = waitingTunnel(t, late.port, { initialDelay: 60_000, maxDelay: 60_000 });
  const controller = new AbortController();
  const waiting = once(tunnel, 'reconnecting');
  const aborted = tunnel.promises.connect({ signal: controller.signal });
  await waiting;
  assert.equal(tunnel.state, 'connecting');
  controller.abort();
  await assert.rejects(aborted, { code: 'ABORT_ERR' });
  await tunnel.promises.connections();
  assert.equal(tunnel.state, 'idle');
  const again = once(tunnel, 'reconnecting');
  const closed = assert.rejects(tunnel.promises.connect(), { code: 'ERR_TUNNEL_CLOSED' });
  await again;
  await tunnel.promises.shutdown();
  await closed;
  assert.equal(late.connections, 2);
});

test('a forward that is stopped leaves the others waiting', async (t) => {
  const late = await lateServer(t, 3);
  const { tunnel } = waitingTunnel(t, late.port, { initialDelay: 300, maxDelay: 300 });
  const controller = new AbortController();
  const connected = tunnel.promises.connect();
  const stopped = tunnel.promises.forwardLocal({ forwardHost: 'h', forwardPort: 1, signal: controller.signal });
  await once(tunnel, 'reconnecting');
  controller.abort();
  await assert.rejects(stopped, { code: 'ABORT_ERR' });
  await connected;
  assert.equal(tunnel.state, 'ready');
});

test('a session that was up is restored as without it, and its final loss is an error', async (t) => {
  const lost = await Sshd.start();
  t.after(() => lost.stop());
  const { tunnel, eventLog, attempts } = waitingTunnel(t, lost.port, { maxAttempts: 1 }, lost.login);
  await tunnel.promises.connect();
  const closed = eventLog.next('close');
  await lost.stop();
  await closed;
  assert.deepEqual(
    attempts.map(([attempt]) => attempt),
    [1],
  );
  assert.equal(eventLog.all('error').length, 1);
});

test('initial is a boolean', (t) => {
  assert.throws(() => withoutForward(t, server.login, { reconnect: { initial: 1 } }), {
    name: 'TypeError',
    code: 'ERR_INVALID_ARG_TYPE',
  });
});
