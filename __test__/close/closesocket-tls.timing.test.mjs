// closesocket() on TLS and HTTP sockets: close_notify, buffered writes, and resets.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { performance } from 'node:perf_hooks';
import tls from 'node:tls';

import { SO_LINGER, closesocket, promises, setsockopt } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { GRACEFUL, HARD, LARGE, SMALL, bounded, elapsed, watch } from '../helpers/closesocket.mjs';
import { PATTERN, Peer, patternHash } from '../helpers/peers.mjs';
import { descriptors, descriptorsBack } from '../helpers/process.mjs';
import { TLS_CLIENT, httpPair, tlsPair, wrappedPair } from '../helpers/sockets.mjs';

/** A proxy for a local port that records what is sent to it. */
async function relay(port) {
  const chunks = [];
  const server = net.createServer((socket) => {
    const onward = net.connect(port, '127.0.0.1');
    socket.on('data', (chunk) => chunks.push(chunk));
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ]) {
      one.on('error', () => {}).on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: server.address().port, sent: () => Buffer.concat(chunks) };
}

/** The types of the records of TLS in a stream. */
function recordTypes(bytes) {
  const types = [];
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) types.push(bytes[at]);
  return types;
}

const ALERT = 21;

for (const [form, close] of [
  ['asynchronous', promises.closesocket],
  ['blocking', async (socket) => closesocket(socket)],
]) {
  test(`a TLS socket sends close_notify first, ${form}`, async () => {
    for (const [linger, closeNotify] of [
      [bounded(5), true],
      [GRACEFUL, true],
      [HARD, false],
    ]) {
      const before = descriptors();
      const { server, stop } = await tlsPair();
      const way = await relay(server.address().port);
      const client = tls.connect({ ...TLS_CLIENT, port: way.port, host: '127.0.0.1' });
      const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')]);
      const peer = new Peer(accepted);
      client.write(PATTERN.subarray(0, SMALL));
      await peer.received(SMALL);
      setsockopt(client, SO_LINGER, linger);
      const { graceful } = await close(client);
      assert.equal(graceful, closeNotify);
      await peer.closed;
      assert.equal(peer.bytes, SMALL);
      assert.equal(recordTypes(way.sent()).at(-1) === ALERT, closeNotify);
      way.server.close();
      await stop();
      await descriptorsBack(before);
    }
  });
}

test('TLS and HTTP sockets deliver buffered writes', async () => {
  for (const make of [tlsPair, wrappedPair, httpPair]) {
    const before = descriptors();
    const { client, accepted, stop } = await make();
    // What an HTTP server has to close is its req.socket.
    const [socket, other] = make === httpPair ? [accepted, client] : [client, accepted];
    const peer = new Peer(other);
    const seen = watch(socket);
    for (let left = LARGE; left > 0; left -= PATTERN.length) {
      socket.write(left < PATTERN.length ? PATTERN.subarray(0, left) : PATTERN);
    }
    setsockopt(socket, SO_LINGER, bounded(20));
    assert.deepEqual(await promises.closesocket(socket), { graceful: true, unsent: 0 });
    const { bytes, sha256 } = await peer.ended;
    assert.deepEqual({ bytes, sha256 }, { bytes: LARGE, sha256: patternHash(LARGE) });
    await stop();
    assert.deepEqual(seen, { close: 1, error: 0 });
    await descriptorsBack(before);
  }
});

test('TLS and HTTP sockets are reset by an expired linger time and by a hard close', async () => {
  for (const make of [tlsPair, wrappedPair, httpPair]) {
    for (const linger of [bounded(1), HARD]) {
      const { client, accepted, stop } = await make();
      const [socket, other] = make === httpPair ? [accepted, client] : [client, accepted];
      const peer = new Peer(other, { read: false });
      other.pause();
      const seen = watch(socket);
      for (let left = LARGE; left > 0; left -= PATTERN.length) {
        socket.write(left < PATTERN.length ? PATTERN.subarray(0, left) : PATTERN);
      }
      setsockopt(socket, SO_LINGER, linger);
      const since = performance.now();
      const { graceful, unsent } = await promises.closesocket(socket);
      assert.ok(linger === HARD || elapsed(since) >= 999);
      assert.equal(graceful, false);
      const { bytes, end } = await peer.read().ended;
      // It is unknown which part of a TLS record arrived; plain data is counted exactly.
      if (make === httpPair) assert.equal(end, 'ECONNRESET');
      assert.ok(unsent + bytes > LARGE * 0.98 && unsent + bytes < LARGE * 1.02, `${bytes} and ${unsent}`);
      await stop();
      assert.deepEqual(seen, { close: 1, error: 0 });
    }
  }
});
