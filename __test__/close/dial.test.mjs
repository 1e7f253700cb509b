// Ends of dial() sockets, by either side, and by calls of the application.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';
import tls from 'node:tls';

import { test } from '../helpers/bounded.mjs';
import { ending, openDial } from '../helpers/dial.mjs';
import { KIB, MIB, PATTERN, behaviors, settled } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { TLS_CLIENT, TLS_SERVER } from '../helpers/sockets.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const SIZE = PATTERN.length;
/** More than a pair of sockets and libuv buffer. */
const LARGE = 8 * MIB;

test('graceful destroy() delivers every accepted write, then EOF', async (t) => {
  for (const linger of [
    { l_onoff: 0, l_linger: 0 },
    { l_onoff: 1, l_linger: 60 },
  ]) {
    const { tunnel, eventLog, target } = await openDial(t, server, behaviors.sink(), { linger });
    const socket = await tunnel.promises.dial('127.0.0.1', target.port);
    for (let left = LARGE; left > 0; left -= KIB * 64) socket.write(PATTERN.subarray(0, 64 * KIB));
    assert.ok(socket.writableLength > 0);
    const closed = ending(socket);
    socket.destroy();
    assert.equal(socket.destroyed, true);
    socket.write('too late', (error) => assert.equal(error.code, 'ERR_STREAM_DESTROYED'));
    assertIncludes(await (await target.next()).ended, { bytes: LARGE, end: 'FIN' });
    assert.deepEqual(await closed, []);
    assertIncludes(await eventLog.next('disconnected'), { code: 'OK', closedBy: 'graceful', bytesUp: LARGE });
  }
});

test('graceful destroy() completes while the target sends endlessly', async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server, (peer) => {
    peer.read();
    peer.send(Infinity);
  });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  await once(socket, 'readable');
  socket.write(PATTERN);
  const closed = ending(socket);
  let data = 0;
  socket.destroy().on('data', () => (data += 1));
  assert.deepEqual(await closed, []);
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', bytesUp: SIZE });
  assert.equal(data, 0);
});

/** What the SSH server receives: data, and EOF if it came before CLOSE. */
async function toldServer(t, options, close) {
  const heard = [];
  const ssh2 = await Ssh2Server.start({
    onOpen: (open) => {
      const channel = open.accept();
      channel.on('data', (chunk) => heard.push(chunk.length)).on('end', () => heard.push('end'));
    },
  });
  t.after(() => ssh2.stop());
  const { tunnel, eventLog } = await openDial(t, ssh2, undefined, options);
  const socket = await tunnel.promises.dial('h', 1);
  socket.write('hello');
  await until(() => heard.length > 0);
  const gone = ending(socket);
  await close(socket);
  const events = await gone;
  const end = await eventLog.next('disconnected');
  return { heard, end, events };
}

test("hard destroy() and resetAndDestroy() reset before 'close'", async (t) => {
  for (const [options, close] of [
    [{ linger: false }, (socket) => socket.destroy()],
    [{}, (socket) => socket.resetAndDestroy()],
    [
      {},
      async (socket) => {
        await new Promise((resolve) => socket.setLinger(false, resolve));
        await new Promise((resolve) => socket.getLinger((error, linger) => resolve(assert.equal(linger, false))));
        socket.destroy();
      },
    ],
  ]) {
    const { end, events } = await toldServer(t, options, close);
    assert.deepEqual(events, []);
    // A plain close would have ended the stream: 'OK' and clean.
    assertIncludes(end, { code: 'ECONNABORTED', clean: false, closedBy: 'reset', bytesUp: 5 });
  }
});

test('bounded destroy() waits for a stalled target no longer than its linger time', async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server, behaviors.idle(), {
    linger: { l_onoff: 1, l_linger: 1 },
  });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  for (let left = 64 * MIB; left > 0; left -= SIZE) socket.write(PATTERN);
  const closed = ending(socket);
  socket.destroy();
  assert.deepEqual(await closed, []);
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNABORTED', clean: false, closedBy: 'reset' });
});

test('destroy(error) emits the error after delivery', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.sink());
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  socket.write(PATTERN);
  const reason = new Error('mine');
  const events = ending(socket);
  socket.destroy(reason);
  socket.destroy();
  assert.deepEqual(await events, [reason]);
  assertIncludes(await (await target.next()).ended, { bytes: PATTERN.length, end: 'FIN' });
});

test("destroy() before 'connect' cancels the channel", async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server);
  const socket = tunnel.dial('127.0.0.1', target.port);
  socket.write('never sent');
  const events = ending(socket);
  socket.destroy();
  assert.deepEqual(await events, []);
  assertIncludes(await eventLog.next('disconnected'), { connectionId: 1, code: 'ECONNABORTED', bytesUp: 0 });
  assert.equal(target.peers.length, 0);
});

test('a disconnect is ECONNRESET after the delivered bytes, also after end()', async (t) => {
  for (const half of [false, true]) {
    const { tunnel, eventLog, target } = await openDial(t, server, async (peer) => {
      peer.read();
      await peer.send(SIZE);
    });
    const socket = await tunnel.promises.dial({ host: '127.0.0.1', port: target.port, allowHalfOpen: true });
    let bytes = 0;
    if (half) socket.end();
    socket.on('data', (chunk) => (bytes += chunk.length));
    while (bytes < SIZE) await once(socket, 'data');
    const events = ending(socket);
    server.killSessions();
    const [error, ...more] = await events;
    assertIncludes(error, { code: 'ECONNRESET', syscall: 'read' });
    assert.equal(error.cause.code, 'ERR_SSH_DISCONNECTED');
    assert.deepEqual(more, []);
    assertIncludes(await eventLog.next('disconnected'), {
      code: 'ERR_SSH_DISCONNECTED',
      closedBy: 'reset',
      bytesDown: bytes,
    });
    await eventLog.next('close');
  }
});

test('a paused reader gets the delivered bytes, then ECONNRESET', async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server, (peer) => peer.send(SIZE));
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  socket.pause();
  await settled(async () => (await tunnel.promises.connections())[0].bytesDown);
  server.killSessions();
  await eventLog.next('error');
  let bytes = 0;
  const events = ending(socket);
  socket.on('data', (chunk) => (bytes += chunk.length)).resume();
  assert.equal((await events)[0].code, 'ECONNRESET');
  assertIncludes(await eventLog.next('disconnected'), { bytesDown: bytes });
  assert.equal(bytes, SIZE);
});

test('hard: a disconnect is ECONNRESET at once', async (t) => {
  const { tunnel, target } = await openDial(t, server, (peer) => peer.send(Infinity), { linger: false });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  socket.pause();
  const events = ending(socket);
  await once(socket.resume(), 'data');
  socket.pause();
  server.killSessions();
  assert.equal((await events)[0].code, 'ECONNRESET');
});

test('a truncated stream is an error for TLS on top', async (t) => {
  const remoteEnd = tls
    .createServer(TLS_SERVER, (socket) => socket.on('error', () => {}).write('hello'))
    .listen(0, '127.0.0.1');
  await once(remoteEnd, 'listening');
  t.after(() => remoteEnd.close());
  const { tunnel, eventLog } = await openDial(t, server);
  const socket = tunnel.dial('127.0.0.1', remoteEnd.address().port);
  const secure = tls.connect({ ...TLS_CLIENT, socket });
  const [hello] = await once(secure, 'data');
  assert.equal(String(hello), 'hello');
  const events = ending(secure);
  server.killSessions();
  assert.deepEqual(
    (await events).map((event) => event.code ?? event),
    ['ECONNRESET'],
  );
  await eventLog.next('close');
});

test('disconnect() and shutdown() close dial() sockets, and fail in the blocking form', async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server, (peer) => {
    behaviors.sink()(peer);
    peer.send(SIZE);
  });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  assert.throws(() => tunnel.disconnect(socket.connectionId), { code: 'ERR_TUNNEL_WOULD_DEADLOCK' });
  assert.throws(() => tunnel.shutdown(), { code: 'ERR_TUNNEL_WOULD_DEADLOCK' });
  let bytes = 0;
  socket.on('data', (chunk) => (bytes += chunk.length));
  const events = ending(socket);
  await tunnel.promises.disconnect(socket.connectionId);
  assert.deepEqual(await events, ['end']);
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', closedBy: 'graceful', bytesDown: bytes });
  const other = await tunnel.promises.dial('127.0.0.1', target.port);
  const last = ending(other.resume());
  await tunnel.promises.shutdown();
  assert.deepEqual(await last, ['end']);
  tunnel.shutdown();
});

test('hard: disconnect() is ECONNRESET at once', async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server, behaviors.idle(), { linger: false });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  socket.pause();
  await (await target.next()).send(KIB);
  await once(socket, 'readable');
  const events = ending(socket);
  await tunnel.promises.disconnect(socket.connectionId);
  assert.deepEqual(
    (await events).map((event) => event.code ?? event),
    ['ECONNRESET'],
  );
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNABORTED', closedBy: 'reset' });
});
