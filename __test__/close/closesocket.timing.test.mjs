// closesocket(): what the peer reads, what is reported, and when, without blocking the event loop.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { performance } from 'node:perf_hooks';

import { SO_LINGER, closesocket, getsockopt, promises, setsockopt } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { GRACEFUL, HARD, LARGE, SMALL, bounded, elapsed, loaded, watch } from '../helpers/closesocket.mjs';
import { KIB, MIB, PATTERN, Peer, Target, behaviors, patternHash, refuses } from '../helpers/peers.mjs';
import { Child, ROOT, descriptors, descriptorsBack, run } from '../helpers/process.mjs';
import { netPair } from '../helpers/sockets.mjs';

test('socket.destroy() with a positive linger time blocks the event loop', async (t) => {
  const target = await Target.start(behaviors.idle());
  t.after(() => target.stop());
  const child = await Child.start('closing-process.mjs');
  t.after(() => child.stop());
  const { pause } = await child.ask('close', 'destroy', target.port, bounded(2));
  assert.ok(pause > 1900, `only ${pause} ms`);
});

test('closesocket() with a positive linger time does not block, and resets after it', async (t) => {
  const target = await Target.start(behaviors.idle());
  t.after(() => target.stop());
  const child = await Child.start('closing-process.mjs');
  t.after(() => child.stop());
  const pauses = [];
  for (let turn = 0; turn < 3; turn++) {
    const { took, pause, result } = await child.ask('close', 'closesocket', target.port, bounded(2));
    pauses.push(pause);
    assert.ok(took >= 1999 && took < 2600, `after ${took} ms`);
    assert.equal(result.graceful, false);
    const peer = await target.next();
    const { bytes, end } = await peer.read().ended;
    assert.equal(end, 'ECONNRESET');
    assert.ok(bytes > 0 && result.unsent > 0);
  }
  // A garbage collection may pause the loop once; a blocking close would pause it each time.
  assert.ok(Math.min(...pauses) < 20, `${pauses} ms`);
});

test('closesocket() completes when a slow peer has acknowledged every byte', async () => {
  const before = descriptors();
  const { client, peer, stop } = await loaded(LARGE, bounded(8));
  const seen = watch(client);
  const since = performance.now();
  const closing = promises.closesocket(client);
  setTimeout(() => peer.read(), 1000);
  const result = await closing;
  const took = elapsed(since);
  assert.deepEqual(result, { graceful: true, unsent: 0 });
  assert.ok(took >= 999 && took < 4000, `after ${took} ms`);
  const { bytes, sha256, end } = await peer.ended;
  assert.deepEqual({ bytes, sha256, end }, { bytes: LARGE, sha256: patternHash(LARGE), end: 'FIN' });
  assert.deepEqual(seen, { close: 1, error: 0 });
  await stop();
  await descriptorsBack(before);
});

test('an expired linger time counts unacknowledged bytes, with buffered writes', async () => {
  const before = descriptors();
  const { client, peer, stop } = await loaded(LARGE, bounded(1));
  const seen = watch(client);
  const { graceful, unsent } = await promises.closesocket(client);
  assert.equal(graceful, false);
  const { bytes, end } = await peer.read().ended;
  assert.deepEqual([bytes + unsent, end], [LARGE, 'ECONNRESET']);
  assert.deepEqual(seen, { close: 1, error: 0 });
  await stop();
  await descriptorsBack(before);
});

test('a hard close resets at once and drops buffered writes', async () => {
  for (const size of [SMALL, LARGE]) {
    const before = descriptors();
    const { client, peer, stop } = await loaded(size, HARD);
    const seen = watch(client);
    const { graceful, unsent } = await promises.closesocket(client);
    assert.equal(graceful, false);
    const { bytes, end } = await peer.read().ended;
    assert.equal(end, 'ECONNRESET');
    // Data that has just arrived need not be acknowledged yet.
    assert.ok(unsent <= size && bytes + unsent >= size, `${bytes} and ${unsent} of ${size}`);
    await stop();
    assert.deepEqual(seen, { close: 1, error: 0 });
    await descriptorsBack(before);
  }
});

test('a graceful close returns at once and delivers in the background', async () => {
  const before = descriptors();
  const { client, accepted, peer, stop } = await loaded(1 * MIB, GRACEFUL);
  const seen = watch(client);
  // Unread input, which makes a reset of every close() in the kernel.
  accepted.write('never read');
  await once(client, 'readable');
  client.removeAllListeners('readable');
  const { graceful, unsent } = await promises.closesocket(client);
  assert.equal(graceful, true);
  assert.ok(unsent > 0 && unsent <= 1 * MIB, `${unsent}`);
  assert.equal(peer.bytes, 0, 'nothing was read when it returned');
  accepted.write('nor this');
  const { bytes, sha256, end } = await peer.read().ended;
  assert.deepEqual({ bytes, sha256, end }, { bytes: 1 * MIB, sha256: patternHash(1 * MIB), end: 'FIN' });
  assert.deepEqual(seen, { close: 1, error: 0 });
  await stop();
  await descriptorsBack(before);
});

test('a graceful close delivers after the process has exited', async () => {
  const target = await Target.start();
  const { code, stderr } = await run(process.execPath, [
    '-e',
    `
    const { SO_LINGER, closesocket, setsockopt } = require(${JSON.stringify(ROOT)});
    const socket = require('node:net').connect(${target.port}, '127.0.0.1', () => {
      socket.write(Buffer.alloc(${SMALL}, 'x'), () => {
        setsockopt(socket, SO_LINGER, { l_onoff: 0, l_linger: 0 });
        closesocket(socket);
        process.exit();
      });
    });
  `,
  ]);
  assert.equal(code, 0, stderr);
  const peer = await target.next();
  const { bytes, end } = await peer.read().ended;
  assert.deepEqual([bytes, end], [SMALL, 'FIN']);
  await target.stop();
});

test('a reset by the peer is reported and not thrown', async () => {
  for (const linger of [GRACEFUL, bounded(20)]) {
    const { client, accepted, stop } = await loaded(LARGE, linger);
    client.removeAllListeners('error');
    const seen = { close: 0 };
    client.on('close', () => (seen.close += 1));
    const closing = promises.closesocket(client);
    accepted.resetAndDestroy();
    const { graceful, unsent } = await closing;
    assert.equal(graceful, false);
    assert.ok(unsent > 0 && unsent < LARGE, `${unsent}`);
    await stop();
    assert.deepEqual(seen, { close: 1 });
  }
});

test('closesocket() closes a connection that was already reset', async () => {
  for (const linger of [GRACEFUL, HARD, bounded(5)]) {
    const { client, accepted, stop } = await loaded(SMALL, linger);
    client.pause();
    accepted.resetAndDestroy();
    await once(accepted, 'close');
    assert.equal((await promises.closesocket(client)).graceful, false);
    await stop();
  }
});

test('closing a server stops listening and keeps accepted connections', async () => {
  for (const form of [promises.closesocket, async (server) => closesocket(server)]) {
    const { server, client, accepted, stop } = await netPair();
    const { port } = server.address();
    setsockopt(server, SO_LINGER, HARD);
    let closed = 0;
    server.on('close', () => (closed += 1));
    assert.deepEqual(await form(server), { graceful: true, unsent: 0 });
    assert.equal(await refuses(port), true);
    const peer = new Peer(accepted);
    client.end('alive');
    const { bytes, end } = await peer.ended;
    assert.deepEqual([bytes, end], [5, 'FIN']);
    accepted.destroy();
    await once(server, 'close');
    assert.equal(closed, 1);
    await stop();
  }
});

/** Runs a program that has `socket` as its descriptor 3 and is the only one to have it. */
function inherit(socket, program) {
  const source = `const { SO_LINGER, closesocket, promises, setsockopt } = require(${JSON.stringify(ROOT)}); ${program}`;
  const child = run(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'pipe', socket._handle.fd] });
  socket.destroy();
  return child;
}

test('closesocket() accepts a file descriptor', async () => {
  for (const [linger, end, graceful] of [
    [GRACEFUL, 'FIN', true],
    [HARD, 'ECONNRESET', false],
    [bounded(5), 'FIN', true],
  ]) {
    for (const form of ['closesocket', 'await promises.closesocket']) {
      const { client, accepted, stop } = await netPair();
      const peer = new Peer(accepted);
      const { stdout, stderr } = await inherit(
        client,
        `(async () => {
        setsockopt(3, SO_LINGER, ${JSON.stringify(linger)});
        require('node:fs').writeSync(3, 'from the child');
        console.log((${form}(3)).graceful);
      })()`,
      );
      assert.equal(stdout, `${graceful}\n`, stderr);
      const { bytes, end: seen } = await peer.ended;
      assert.equal(seen, end);
      if (end === 'FIN') assert.equal(bytes, 14);
      await stop();
    }
  }
});

test('the blocking form returns the same result', async (t) => {
  const target = await Target.start(behaviors.idle());
  t.after(() => target.stop());
  const child = await Child.start('closing-process.mjs');
  t.after(() => child.stop());
  const size = PATTERN.length; // which the kernel buffers at once
  const close = async (linger) => ({
    ...(await child.ask('block', target.port, linger, size)),
    peer: await target.next(),
  });

  const late = await close(bounded(1));
  assert.ok(late.took >= 999 && late.pause > 800, `${late.took} ms, ${late.pause} ms`);
  assert.equal(late.result.graceful, false);
  const cut = await late.peer.read().ended;
  assert.deepEqual([cut.end, cut.bytes + late.result.unsent], ['ECONNRESET', size]);

  const hard = await close(HARD);
  assert.equal(hard.result.graceful, false);
  assert.ok(hard.took < 900, `${hard.took} ms`);
  assert.equal((await hard.peer.read().ended).end, 'ECONNRESET');

  const graceful = await close(GRACEFUL);
  assert.equal(graceful.result.graceful, true);
  assert.ok(graceful.took < 900 && graceful.result.unsent > 0, `${graceful.took} ms`);
  const { bytes, end, sha256 } = await graceful.peer.read().ended;
  assert.deepEqual([end, bytes, sha256], ['FIN', size, patternHash(size)]);
});

test('the blocking form fails while writes wait for the event loop', async () => {
  for (const linger of [GRACEFUL, bounded(5)]) {
    const { client, peer, stop } = await loaded(LARGE, linger);
    assert.throws(() => closesocket(client), { name: 'Error', code: 'ERR_TUNNEL_WOULD_DEADLOCK' });
    assert.deepEqual(getsockopt(client, SO_LINGER), linger, 'nothing has changed');
    peer.read();
    client.end();
    const { bytes, end } = await peer.ended;
    assert.deepEqual([bytes, end], [LARGE, 'FIN']);
    await stop();
  }
});

test('calls after a close fail, and call back after it', async () => {
  const { client, peer, stop } = await loaded(LARGE, bounded(1));
  const order = [];
  const note = (name) => (error) => order.push([name, error?.code]);
  closesocket(client, note('close'));
  getsockopt(client, SO_LINGER, note('get'));
  closesocket(client, note('again'));
  assert.throws(() => closesocket(client), { code: 'EBADF' });
  await new Promise((resolve) => setsockopt(client, SO_LINGER, GRACEFUL, resolve));
  assert.deepEqual(order, [
    ['close', undefined],
    ['get', 'EBADF'],
    ['again', 'EBADF'],
  ]);
  assert.equal((await peer.read().ended).end, 'ECONNRESET');
  await stop();
});

test('a pending close keeps the process alive until it is reported', async () => {
  const target = await Target.start(behaviors.idle());
  const { stdout, stderr } = await run(process.execPath, [
    '-e',
    `
    const { SO_LINGER, closesocket, setsockopt } = require(${JSON.stringify(ROOT)});
    const socket = require('node:net').connect(${target.port}, '127.0.0.1', () => {
      socket.write(Buffer.alloc(${LARGE}));
      socket.unref();
      setsockopt(socket, SO_LINGER, { l_onoff: 1, l_linger: 1 });
      closesocket(socket, (error, { graceful }) => console.log(error, graceful));
    });
  `,
  ]);
  assert.equal(stdout, 'null false\n', stderr);
  await target.stop();
});

test('1000 simultaneous closes do not delay each other or the event loop', async (t) => {
  const peers = await Child.start('peer-process.mjs');
  t.after(() => peers.stop());
  const [idle, sink] = [await peers.ask('behavior', 'idle'), await peers.ask('behavior', 'sink')];
  const before = descriptors();
  const size = 256 * KIB;
  const open = async (port, linger) => {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(PATTERN.subarray(0, size));
    setsockopt(socket, SO_LINGER, linger);
    return socket;
  };
  const stuck = await Promise.all(Array.from({ length: 999 }, () => open(idle, bounded(3))));
  const reader = await open(sink, bounded(20));
  const since = performance.now();
  const closings = stuck.map((socket) => promises.closesocket(socket));
  assert.deepEqual(await promises.closesocket(reader), { graceful: true, unsent: 0 });
  assert.ok(elapsed(since) < 2999, 'before any of the others');
  for (const { graceful, unsent } of await Promise.all(closings)) {
    assert.equal(graceful, false);
    assert.ok(unsent > 0 && unsent <= size);
  }
  assert.ok(elapsed(since) >= 2999 && elapsed(since) < 6000, `${elapsed(since)} ms`);
  await descriptorsBack(before);
});
