// dial(): connections through a tunnel without a local port.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after } from 'node:test';
import tls from 'node:tls';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import {
  GIB,
  KIB,
  MIB,
  PATTERN,
  Peer,
  Target,
  behaviours,
  patternHash,
  refusingPort,
  settled,
} from '../helpers/peers.mjs';
import { Child, descriptors, until } from '../helpers/process.mjs';
import { TLS_CLIENT, TLS_SERVER } from '../helpers/sockets.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const folder = temporaryFolder('dial-through');
after(async () => {
  await server.stop();
  folder.remove();
});

const SIZE = PATTERN.length;
/** More than a pair of sockets and libuv buffer. */
const LARGE = 8 * MIB;

async function make(t, behaviour, options, { login } = server, path) {
  const target = await Target.start(behaviour, path);
  const tunnel = new SSHTunnel({ ...login, ...options });
  const eventLog = new EventLog(tunnel);
  t.after(
    async () => {
      await target.stop();
      await tunnel.promises.shutdown();
    },
    { timeout: 10_000 },
  );
  return { tunnel, eventLog, target };
}

/** The events of a socket's end in order, up to 'close'. */
function ending(socket) {
  const events = [];
  socket.on('end', () => events.push('end')).on('error', (error) => events.push(error));
  return new Promise((resolve) => socket.on('close', () => resolve(events)));
}

test('dial() returns a socket at once, which connects with the channel and holds earlier writes', async (t) => {
  const { tunnel, eventLog, target } = await make(t, behaviours.echo());
  const socket = tunnel.dial('127.0.0.1', target.port);
  assert.ok(socket instanceof net.Socket);
  assert.deepEqual(
    [socket.connecting, socket.pending, socket.readyState, socket.connectionId],
    [true, true, 'opening', 1],
  );
  let open = false;
  socket.on('connect', () => (open = true));
  socket.end(PATTERN, () => assert.ok(open));
  const [received] = await Promise.all([buffer(socket), once(socket, 'connect')]);
  assert.ok(received.equals(PATTERN));
  assert.equal(socket.connecting, false);
  const remoteEnd = await target.next();
  assertIncludes(await remoteEnd.ended, { bytes: SIZE, end: 'FIN' });
  assertIncludes(await eventLog.next('connection'), {
    connectionId: 1,
    forwardId: -1,
    forwardHost: '127.0.0.1',
    forwardPort: target.port,
  });
  assertIncludes(await eventLog.next('disconnected'), {
    connectionId: 1,
    forwardId: -1,
    code: 'OK',
    clean: true,
    bytesUp: SIZE,
    bytesDown: SIZE,
  });
  // As after connect(), the session stays.
  assert.deepEqual(eventLog.all('close'), []);
});

for (const linger of [true, false]) {
  test(`one direction stays open after the other has ended: ${linger}`, async (t) => {
    const { tunnel, target } = await make(t, behaviours.replier(SIZE), { linger });
    const socket = await tunnel.promises.dial({ host: '127.0.0.1', port: target.port, allowHalfOpen: true });
    const peer = new Peer(socket);
    await peer.send(SIZE);
    peer.end();
    assertIncludes(await (await target.next()).ended, { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' });
    await once(socket, 'end');
    assertIncludes(peer.report(), { bytes: SIZE, sha256: patternHash(SIZE) });

    const { tunnel: other, target: source } = await make(t, behaviours.source(SIZE, SIZE), { linger });
    const reader = await other.promises.dial({ host: '127.0.0.1', port: source.port, allowHalfOpen: true });
    const read = new Peer(reader);
    await once(reader, 'end');
    assertIncludes(read.report(), { bytes: SIZE, sha256: patternHash(SIZE) });
    assert.ok(reader.writable);
    reader.end('last');
    assertIncludes(await (await source.next()).ended, { bytes: 4, end: 'FIN' });
  });
}

test('dial() connects to a Unix socket of the server', async (t) => {
  const path = join(folder.path, 'remoteEnd.sock');
  const { tunnel, eventLog } = await make(t, behaviours.echo(), {}, server, path);
  const socket = tunnel.dial({ path });
  socket.end('hello');
  assert.equal(String(await buffer(socket)), 'hello');
  assertIncludes(await eventLog.next('connection'), { forwardId: -1, forwardPath: path, forwardHost: undefined });
});

test('a refused channel is an error with its code', async (t) => {
  const refusing = await refusingPort();
  t.after(refusing.stop);
  const { tunnel, eventLog } = await make(t);
  const socket = tunnel.dial('127.0.0.1', refusing.port);
  socket.write('nobody hears this');
  const events = await ending(socket);
  assert.deepEqual(
    events.map(({ code }) => code),
    ['ERR_SSH_OPEN_CONNECT_FAILED'],
  );
  await assert.rejects(tunnel.promises.dial('127.0.0.1', refusing.port), { code: 'ERR_SSH_OPEN_CONNECT_FAILED' });
  assert.deepEqual(eventLog.all('connection'), []);
});

test('a failed connect is the error of pending dial() sockets', async (t) => {
  const refusing = await refusingPort();
  t.after(refusing.stop);
  const { tunnel, eventLog } = await make(t, undefined, { port: refusing.port });
  const dials = [tunnel.promises.dial('h', 1), tunnel.promises.dial('h', 1)];
  for (const it of dials) await assert.rejects(it, { code: 'ECONNREFUSED' });
  assert.deepEqual(eventLog.all('error'), []);
});

test('invalid arguments throw', async (t) => {
  const { tunnel } = await make(t);
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };
  const before = descriptors();
  for (const [args, error] of [
    [[], type],
    [[5], type],
    [[null], type],
    [[[]], type],
    [['h'], type],
    [['', 1], value],
    [['h', '1'], type],
    [['h', 0], range],
    [['h', 65536], range],
    [[{}], type],
    [[{ host: 'h' }], type],
    [[{ path: '' }], value],
    [[{ path: '/x', port: 1 }], value],
    [[{ path: '/x', host: 'h' }], value],
    [[{ path: 'a\0' }], value],
    [[{ host: 'h', port: 1, allowHalfOpen: 1 }], type],
  ]) {
    assert.throws(() => tunnel.dial(...args), error, JSON.stringify(args));
    await assert.rejects(tunnel.promises.dial(...args), error);
  }
  assert.equal(descriptors(), before);
});

test('graceful destroy() delivers every accepted write, then EOF', async (t) => {
  for (const linger of [
    { l_onoff: 0, l_linger: 0 },
    { l_onoff: 1, l_linger: 60 },
  ]) {
    const { tunnel, eventLog, target } = await make(t, behaviours.sink(), { linger });
    const socket = await tunnel.promises.dial('127.0.0.1', target.port);
    for (let left = LARGE; left > 0; left -= KIB * 64) socket.write(PATTERN.subarray(0, 64 * KIB));
    assert.ok(socket.writableLength > 0);
    const closed = ending(socket);
    socket.destroy();
    assert.equal(socket.destroyed, true);
    socket.write('too late', (error) => assert.equal(error.code, 'EPIPE'));
    assertIncludes(await (await target.next()).ended, { bytes: LARGE, end: 'FIN' });
    assert.deepEqual(await closed, []);
    assertIncludes(await eventLog.next('disconnected'), { code: 'OK', closedBy: 'graceful', bytesUp: LARGE });
  }
});

test('graceful destroy() completes while the target sends endlessly', async (t) => {
  const { tunnel, eventLog, target } = await make(t, (peer) => {
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
  const { tunnel, eventLog } = await make(t, undefined, options, ssh2);
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
  const { tunnel, eventLog, target } = await make(t, behaviours.idle(), { linger: { l_onoff: 1, l_linger: 1 } });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  for (let left = 64 * MIB; left > 0; left -= SIZE) socket.write(PATTERN);
  const closed = ending(socket);
  socket.destroy();
  assert.deepEqual(await closed, []);
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNABORTED', clean: false, closedBy: 'reset' });
});

test('destroy(error) emits the error after delivery', async (t) => {
  const { tunnel, target } = await make(t, behaviours.sink());
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
  const { tunnel, eventLog, target } = await make(t);
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
    const { tunnel, eventLog, target } = await make(t, async (peer) => {
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
  const { tunnel, eventLog, target } = await make(t, (peer) => peer.send(SIZE));
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
  const { tunnel, target } = await make(t, (peer) => peer.send(Infinity), { linger: false });
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
  const { tunnel, eventLog } = await make(t);
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
  const { tunnel, eventLog, target } = await make(t, (peer) => {
    behaviours.sink()(peer);
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
  const { tunnel, eventLog, target } = await make(t, behaviours.idle(), { linger: false });
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

test('dial() during shutdown() waits for its end, and a second shutdown() ends the wait', async (t) => {
  const { tunnel, target } = await make(t, behaviours.echo());
  await tunnel.promises.connect();
  const down = tunnel.promises.shutdown();
  const socket = tunnel.dial('127.0.0.1', target.port);
  await down;
  socket.end('x');
  assert.equal(String(await buffer(socket)), 'x');

  const again = tunnel.promises.shutdown();
  const late = tunnel.promises.dial('127.0.0.1', target.port);
  const another = tunnel.promises.shutdown();
  await assert.rejects(late, { code: 'ECONNABORTED' });
  await Promise.all([again, another]);
});

test('dial() waits for the next session with reconnect', async (t) => {
  const { tunnel, eventLog, target } = await make(t, behaviours.echo(), { reconnect: { initialDelay: 1 } });
  await tunnel.promises.connect();
  server.killSessions();
  await eventLog.next('reconnecting');
  const socket = tunnel.dial('127.0.0.1', target.port);
  socket.end('x');
  assert.equal(String(await buffer(socket)), 'x');
});

test('dial() sockets are spread over several sessions', async (t) => {
  const { tunnel, eventLog, target } = await make(t, behaviours.echo(), { sessions: 2 });
  const sockets = Array.from({ length: 10 }, () => tunnel.dial('127.0.0.1', target.port));
  assert.deepEqual(
    sockets.map(({ connectionId }) => connectionId),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  await Promise.all(
    sockets.map(async (socket) => {
      socket.end(PATTERN);
      assert.ok((await buffer(socket)).equals(PATTERN));
    }),
  );
  const held = await tunnel.promises.dial('127.0.0.1', target.port);
  const events = ending(held);
  server.killSessions();
  assert.equal((await events)[0].code, 'ECONNRESET');
  await eventLog.next('close');
});

test('a download of 1 GiB by a pausing reader takes little memory', {
  timeout: 120_000,
}, async (t) => {
  const source = await Target.start(behaviours.source(GIB, MIB));
  t.after(() => source.stop());
  const child = await Child.start('tunnel-process.mjs'); // whose memory is measured
  t.after(() => child.stop());
  // Warm, without a tunnel: what Node.js lets lie between two collections of garbage, some 35 MiB of
  // any socket's pieces, stays with the process.
  const echo = await Target.start(behaviours.echo());
  t.after(() => echo.stop());
  await child.ask('roundTrip', echo.port, 128 * MIB);
  await child.ask('dial', server.login, source.port);
  const peer = await source.next();
  const memory = async () => (await child.ask('resources')).memory;
  const before = await memory();
  let most = 0;
  const look = async () => (most = Math.max(most, (await memory()) - before));
  for (let total = 0; total < GIB; total += 32 * MIB) {
    await child.ask('read', total);
    await look();
    // Until nothing moves: all buffers in between are full.
    const sent = await settled(() => peer.accepted, 100);
    assert.ok(sent - total < 128 * MIB, `${sent / MIB} MiB were sent for one who has read ${total / MIB}`);
    await look();
  }
  assert.deepEqual(await child.ask('readToEnd'), { bytes: GIB, sha256: patternHash(GIB) });
  await look();
  t.diagnostic(`at most ${(most / MIB).toFixed(1)} MiB more`);
  assert.ok(most < 32 * MIB, `${most / MIB} MiB`);
  assert.deepEqual(await child.ask('ended', 1), [{ code: 'OK', clean: true }]);
});

test('a stalled target applies backpressure to the writer', async (t) => {
  const { tunnel, target } = await make(t);
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  let accepted = 0;
  (function write() {
    socket.write(PATTERN, (error) => {
      if (error) return;
      accepted += PATTERN.length;
      write();
    });
  })();
  const before = await settled(() => accepted);
  assert.ok(before < 32 * MIB, `${before / MIB} MiB`);
  const remoteEnd = await target.next();
  remoteEnd.read();
  await remoteEnd.received(2 * before);
  socket.resetAndDestroy();
  await once(socket, 'close');
});

test('dial() sockets leave no descriptors', async (t) => {
  const { tunnel, target } = await make(t, behaviours.echo());
  const one = async (close) => {
    const sockets = await Promise.all(Array.from({ length: 20 }, () => tunnel.promises.dial('127.0.0.1', target.port)));
    await Promise.all(
      sockets.map((socket) => {
        const closed = once(socket.resume(), 'close');
        close(socket);
        return closed;
      }),
    );
    target.forget();
    return settled(descriptors);
  };
  const before = await one((socket) => socket.end());
  for (const close of [(socket) => socket.end(), (socket) => socket.destroy(), (socket) => socket.resetAndDestroy()]) {
    assert.ok((await one(close)) <= before + 1, readFileSync('/proc/self/limits', 'latin1').split('\n')[0]);
  }
});
