// dial(): connections through a tunnel without a local port.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { ending, openDial } from '../helpers/dial.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { MIB, PATTERN, Peer, behaviors, patternHash, refusingPort, settled } from '../helpers/peers.mjs';
import { descriptors } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const folder = temporaryFolder('dial-through');
after(async () => {
  await server.stop();
  folder.remove();
});

const SIZE = PATTERN.length;

test('dial() returns a socket at once, which connects with the channel and holds earlier writes', async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server, behaviors.echo());
  const socket = tunnel.dial('127.0.0.1', target.port);
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
    const { tunnel, target } = await openDial(t, server, behaviors.replier(SIZE), { linger });
    const socket = await tunnel.promises.dial({ host: '127.0.0.1', port: target.port, allowHalfOpen: true });
    const peer = new Peer(socket);
    await peer.send(SIZE);
    peer.end();
    assertIncludes(await (await target.next()).ended, { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' });
    await once(socket, 'end');
    assertIncludes(peer.report(), { bytes: SIZE, sha256: patternHash(SIZE) });

    const { tunnel: other, target: source } = await openDial(t, server, behaviors.source(SIZE, SIZE), { linger });
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
  const { tunnel, eventLog } = await openDial(t, server, behaviors.echo(), {}, path);
  const socket = tunnel.dial({ path });
  socket.end('hello');
  assert.equal(String(await buffer(socket)), 'hello');
  assertIncludes(await eventLog.next('connection'), { forwardId: -1, forwardPath: path, forwardHost: undefined });
});

test('a refused channel is an error with its code', async (t) => {
  const refusing = await refusingPort();
  t.after(refusing.stop);
  const { tunnel, eventLog } = await openDial(t, server);
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
  const { tunnel, eventLog } = await openDial(t, server, undefined, { port: refusing.port });
  const dials = [tunnel.promises.dial('h', 1), tunnel.promises.dial('h', 1)];
  for (const it of dials) await assert.rejects(it, { code: 'ECONNREFUSED' });
  assert.deepEqual(eventLog.all('error'), []);
});

test('invalid arguments throw', async (t) => {
  const { tunnel } = await openDial(t, server);
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

test('dial() during shutdown() waits for its end, and a second shutdown() ends the wait', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.echo());
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
  const { tunnel, eventLog, target } = await openDial(t, server, behaviors.echo(), { reconnect: { initialDelay: 1 } });
  await tunnel.promises.connect();
  server.killSessions();
  await eventLog.next('reconnecting');
  const socket = tunnel.dial('127.0.0.1', target.port);
  socket.end('x');
  assert.equal(String(await buffer(socket)), 'x');
});

test('dial() sockets are spread over several sessions', async (t) => {
  const { tunnel, eventLog, target } = await openDial(t, server, behaviors.echo(), { sessions: 2 });
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

test('a stalled target applies backpressure to the writer', async (t) => {
  const { tunnel, target } = await openDial(t, server);
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
  const { tunnel, target } = await openDial(t, server, behaviors.echo());
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
