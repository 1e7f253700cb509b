// Sockets of dial() beside sockets of Node.js: members, events and states.

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import net from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { after } from 'node:test';
import tls from 'node:tls';
import { Worker } from 'node:worker_threads';

import { test } from '../helpers/bounded.mjs';
import { openDial } from '../helpers/dial.mjs';
import { KIB, MIB, PATTERN, behaviors, settled } from '../helpers/peers.mjs';
import { ROOT, descriptors, run } from '../helpers/process.mjs';
import { TLS_CLIENT, TLS_SERVER } from '../helpers/sockets.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const { streams } = createRequire(import.meta.url)('../../lib/native/index.js');

const server = await Sshd.start();
after(() => server.stop());

const EVENTS = ['connect', 'ready', 'data', 'end', 'finish', 'timeout', 'error', 'close'];

/** What a socket emits until 'close', with its state at each event. */
async function history(socket) {
  const events = [];
  let last;
  for (const event of EVENTS) {
    socket.on(event, (...args) => {
      const given = event === 'data' ? [] : args.map((arg) => arg?.code ?? arg?.message ?? arg);
      const { connecting, pending, readyState, destroyed, readable, writable } = socket;
      // Data comes in any number of chunks.
      if (event === 'data' && last === 'data') return;
      // A graceful destroy() writes what was accepted, and so finishes.
      if (event === 'finish' && destroyed) return;
      last = event;
      events.push({ event, given, connecting, pending, readyState, destroyed, readable, writable });
    });
  }
  await once(socket, 'close').catch(() => new Promise((resolve) => socket.once('close', resolve)));
  return events;
}

/** Does the same with a socket of Node.js and one of dial(), and returns what both have emitted. */
async function both(t, behavior, options, play) {
  const { tunnel, target } = await openDial(t, server, behavior);
  await tunnel.promises.connect();
  const place = { host: '127.0.0.1', port: target.port, ...options };
  const sockets = [net.connect(place), tunnel.dial(place)];
  return Promise.all(
    sockets.map(async (socket) => {
      const emitted = history(socket);
      await play(socket);
      return emitted;
    }),
  );
}

/** The beginning of a program that has a socket. */
const makeSocket = ({ port }) => `
  const { SSHTunnel } = require(${JSON.stringify(join(ROOT, 'index.js'))});
  const tunnel = new SSHTunnel(${JSON.stringify(server.login)});
  const socket = tunnel.dial('127.0.0.1', ${port});`;

/** Ends its stream when the client has sent a byte. */
const finisher = async (peer) => {
  peer.read();
  await peer.received(1);
  await peer.send(10);
  peer.end();
};

for (const [title, behavior, options, play] of [
  ['the remote end ends first', finisher, {}, (socket) => socket.write('x')],
  [
    'the remote end ends first, and the socket stays open for writing',
    finisher,
    { allowHalfOpen: true },
    async (socket) => {
      socket.resume().write('x');
      await once(socket, 'end');
      assert.equal(socket.readyState, 'writeOnly');
      socket.end('more');
    },
  ],
  ['the socket ends first', behaviors.echo(), {}, (socket) => socket.end('x')],
  ['destroy()', behaviors.sink(), {}, (socket) => once(socket, 'ready').then(() => socket.destroy())],
  [
    'destroy() with an error',
    behaviors.sink(),
    {},
    (socket) => once(socket, 'ready').then(() => socket.destroy(new Error('mine'))),
  ],
  ['destroySoon()', behaviors.sink(), {}, (socket) => once(socket, 'ready').then(() => socket.destroySoon())],
  ['resetAndDestroy()', behaviors.sink(), {}, (socket) => once(socket, 'ready').then(() => socket.resetAndDestroy())],
  [
    'a write after the end of both',
    finisher,
    {},
    async (socket) => {
      socket.resume().write('x');
      await once(socket, 'end');
      socket.end();
      const failed = new Promise((resolve) => socket.write('late', resolve));
      assert.equal((await failed).code, 'EPIPE');
    },
  ],
]) {
  test(`events and states are those of a net.Socket: ${title}`, async (t) => {
    const [node, ours] = await both(t, behavior, options, play);
    assert.deepEqual(ours, node);
  });
}

test('every public member of net.Socket is there, and it is a Duplex without descriptor', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.idle());
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  const names = Object.getOwnPropertyNames(net.Socket.prototype).filter((name) => !name.startsWith('_'));
  for (const name of names) {
    assert.ok(name in socket, name);
    const { value } = Object.getOwnPropertyDescriptor(net.Socket.prototype, name);
    if (typeof value === 'function') assert.equal(typeof socket[name], 'function', name);
  }
  assert.ok(names.length > 20 && socket instanceof Duplex);
  // A driver that looks for the handle of a net.Socket would not find one.
  assert.ok(!(socket instanceof net.Socket) && socket._handle === undefined);
  assert.deepEqual([socket.remoteAddress, socket.remotePort, socket.remoteFamily], ['127.0.0.1', target.port, 'IPv4']);
  assert.deepEqual([socket.address(), socket.localAddress, socket.localPort, socket.localFamily], [{}, ...Array(3)]);
  for (const name of ['setNoDelay', 'setKeepAlive', 'ref', 'unref', 'pause', 'resume', 'setEncoding']) {
    assert.equal(socket[name](), socket, name);
  }
});

test('a connection has no descriptor', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.echo());
  const first = (await tunnel.promises.dial('127.0.0.1', target.port)).resume().end();
  await once(first, 'close');
  const count = streams.size;
  const before = await settled(descriptors);
  const COUNT = 25;
  const open = () => tunnel.promises.dial('127.0.0.1', target.port);
  const sockets = await Promise.all(Array.from({ length: COUNT }, open));
  while (target.peers.length < COUNT + 1) await target.next();
  // Those of the target, which is in this process.
  assert.equal((await settled(descriptors)) - before, COUNT);
  await Promise.all(
    sockets.map((socket) => {
      const closed = once(socket, 'close');
      socket.destroy();
      return closed;
    }),
  );
  // Nor is anything kept of a closed one.
  assert.equal(streams.size, count);
});

test('a thread that ends with open sockets ends their connections', async (t) => {
  const { target } = await openDial(t, server, behaviors.echo());
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
    ${makeSocket(target)}
    socket.on('data', () => parentPort.postMessage('open'));
    setInterval(() => socket.write(Buffer.alloc(100_000)));`,
    { eval: true },
  );
  await once(worker, 'message');
  await worker.terminate();
  assert.notEqual((await (await target.next()).ended).end, undefined);
});

test('bytesRead, bytesWritten and bufferSize count as those of a net.Socket', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.echo());
  const socket = tunnel.dial('127.0.0.1', target.port);
  socket.write('12345');
  socket.write('héé');
  assert.deepEqual([socket.bytesWritten, socket.bufferSize, socket.bytesRead], [10, 10, 0]);
  socket.end(PATTERN);
  const { length } = await buffer(socket);
  assert.deepEqual([socket.bytesWritten, socket.bytesRead], [PATTERN.length + 10, length]);
  if (!socket.destroyed) await once(socket, 'close');
  assert.deepEqual(
    [socket.bytesWritten, socket.bytesRead, socket.bufferSize],
    [PATTERN.length + 10, length, undefined],
  );
});

test('connect() returns the socket and calls back when it is open, now or already', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.echo());
  const socket = tunnel.dial('127.0.0.1', target.port);
  const [early, late] = [[], []];
  const wait = (seen, ...args) =>
    new Promise((resolve) => {
      assert.equal(
        socket.connect(...args, () => resolve(seen.push(socket.readyState))),
        socket,
      );
    });
  // Neither name nor port are looked up.
  await wait(early, 1, 'no.such.host.invalid');
  await wait(late, { port: 1, host: 'no.such.host.invalid' });
  assert.deepEqual([early, late], [['open'], ['open']]);
  assert.equal((await tunnel.promises.connections()).length, 1);
  socket.destroy();
  await once(socket, 'close');
  socket.connect(1, '127.0.0.1');
  assert.equal((await once(socket, 'error').catch((error) => [error]))[0].code, 'ERR_SOCKET_CLOSED');
});

test('invalid arguments of setTimeout() throw what those of a net.Socket throw', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.idle());
  const sockets = [new net.Socket(), await tunnel.promises.dial('127.0.0.1', target.port)];
  for (const args of [['1'], [-1], [Number.NaN], [Infinity], [1, 'f']]) {
    const [node, ours] = sockets.map((socket) => {
      try {
        return socket.setTimeout(...args) && undefined;
      } catch (error) {
        return error;
      }
    });
    assert.deepEqual([ours.name, ours.code], [node.name, node.code], String(args));
  }
});

test("'timeout' follows silence in both directions, once", async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.echo());
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  let count = 0;
  assert.equal(
    socket.setTimeout(200, () => (count += 1)),
    socket,
  );
  assert.equal(socket.timeout, 200);
  await once(socket, 'timeout');
  assert.equal(count, 1);
  // Input begins the time anew, and so does output.
  socket.write('x');
  await once(socket, 'data');
  await once(socket, 'timeout');
  const last = () => assert.fail('it was taken away');
  socket.setTimeout(1, last);
  socket.setTimeout(0, last);
  assert.deepEqual([socket.timeout, socket.listenerCount('timeout')], [0, 0]);
  socket.end();
  await buffer(socket);
});

test('a reader that pauses stops its remote end, and no byte is lost', async (t) => {
  const SIZE = 64 * MIB;
  const { tunnel, target } = await openDial(t, server, async (peer) => {
    await peer.send(SIZE);
    peer.end();
  });
  const socket = await tunnel.promises.dial('127.0.0.1', target.port);
  let bytes = 0;
  socket.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes === chunk.length) socket.pause();
  });
  await once(socket, 'data');
  const before = await settled(async () => (await tunnel.promises.connections())[0].bytesDown);
  // Its buffer, and that of the tunnel.
  assert.ok(socket.readableLength <= 128 * KIB && before <= MIB, `${socket.readableLength}, ${before}`);
  socket.resume();
  await once(socket, 'end');
  assert.equal(bytes, SIZE);
});

test('listeners run in the async context of dial()', async (t) => {
  const { tunnel, target } = await openDial(t, server, behaviors.echo());
  await tunnel.promises.connect();
  const storage = new AsyncLocalStorage();
  const seen = {};
  const socket = storage.run('dial', () => {
    const socket = tunnel.dial('127.0.0.1', target.port);
    for (const event of ['connect', 'data', 'end', 'close']) socket.on(event, () => (seen[event] = storage.getStore()));
    return socket;
  });
  await once(socket, 'connect');
  storage.run('other', () => socket.end(PATTERN));
  await once(socket, 'close');
  assert.deepEqual(seen, { connect: 'dial', data: 'dial', end: 'dial', close: 'dial' });
});

test('unref() lets the process exit, and ref() keeps it running', async (t) => {
  const { target } = await openDial(t, server, behaviors.sink());
  const source = (unref) => `
    ${makeSocket(target)}
    tunnel.unref();
    socket.on('connect', () => {
      console.log('open');
      ${unref};
    });
    setTimeout(() => { console.log('kept'); process.exit(); }, 1500).unref();
  `;
  for (const [unref, expected] of [
    ['socket.unref()', 'open\n'],
    ['socket.unref().ref()', 'open\nkept\n'],
    ['socket.destroy()', 'open\n'],
  ]) {
    const { code, stdout, stderr } = await run(process.execPath, ['-e', source(unref)]);
    assert.deepEqual([code, stdout], [0, expected], stderr);
  }
});

test('a listener that throws does not stop the stream', async (t) => {
  const { target } = await openDial(t, server, behaviors.echo());
  const { code, stdout, stderr } = await run(process.execPath, [
    '-e',
    `${makeSocket(target)}
    process.once('uncaughtException', ({ message }) => console.log(message));
    socket.once('data', () => {
      socket.once('data', (chunk) => process.exit(console.log(String(chunk))));
      setImmediate(() => socket.write('y'));
      throw new Error('of a listener');
    });
    socket.write('x');`,
  ]);
  assert.deepEqual([code, stdout], [0, 'of a listener\ny\n'], stderr);
});

test('TLS runs over a socket that is open, and over one that still connects', async (t) => {
  const remoteEnd = tls.createServer(TLS_SERVER, (socket) => socket.end('hello')).listen(0, '127.0.0.1');
  await once(remoteEnd, 'listening');
  t.after(() => remoteEnd.close());
  const { tunnel } = await openDial(t, server);
  const { port } = remoteEnd.address();
  for (const socket of [tunnel.dial('127.0.0.1', port), await tunnel.promises.dial('127.0.0.1', port)]) {
    assert.equal(await text(tls.connect({ ...TLS_CLIENT, socket })), 'hello');
  }
});

test('HTTP/2 runs over a socket of dial()', async (t) => {
  const remoteEnd = http2.createServer((request, response) => response.end(request.url)).listen(0, '127.0.0.1');
  await once(remoteEnd, 'listening');
  t.after(() => remoteEnd.close());
  const { tunnel } = await openDial(t, server);
  const session = http2.connect('http://h', {
    createConnection: () => tunnel.dial('127.0.0.1', remoteEnd.address().port),
  });
  const answers = ['/a', '/b'].map((path) => text(session.request({ ':path': path })));
  assert.deepEqual(await Promise.all(answers), ['/a', '/b']);
  session.close();
  await once(session, 'close');
});
