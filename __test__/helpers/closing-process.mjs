// A program that closes sockets and measures its own event loop. Started with `Child.start('closing-process.mjs')`: its
// peers run in another process, so that it does not block them.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { performance } from 'node:perf_hooks';

import { SO_LINGER, closesocket, promises, setsockopt } from '../../index.js';
import { PATTERN } from './peers.mjs';
import { answer } from './process.mjs';

/** Milliseconds for which this thread was runnable but not running. */
function crowdedOut() {
  return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[1]) / 1e6;
}

/**
 * Notes the longest time for which the event loop did not come round, apart from what a busy machine
 * adds to that.
 */
class Heartbeat {
  longest = 0;
  #last = performance.now() - crowdedOut();
  #timer = setInterval(() => this.#beat(), 1);

  #beat() {
    const now = performance.now() - crowdedOut();
    this.longest = Math.max(this.longest, now - this.#last);
    this.#last = now;
  }

  stop() {
    clearInterval(this.#timer);
    this.#beat();
    return this.longest;
  }
}

/** A connection with full kernel buffers towards a peer that does not read. */
async function fullSocket(port, linger) {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(PATTERN);
  while (socket.write(PATTERN.subarray(0, 65_536))) await new Promise(setImmediate);
  setsockopt(socket, SO_LINGER, linger);
  return socket;
}

const ways = {
  destroy: async (socket) => {
    socket.destroy();
    await once(socket, 'close');
  },
  closesocket: promises.closesocket,
};

answer({
  /** Closes a socket in the given way; returns the duration and the longest pause of the loop. */
  async close(way, port, linger) {
    const socket = await fullSocket(port, linger);
    await new Promise(setImmediate);
    const heartbeat = new Heartbeat();
    const since = performance.now();
    const result = await ways[way](socket);
    const took = performance.now() - since;
    return { took, pause: heartbeat.stop(), result };
  },
  /** Closes with the blocking form, for which nothing may wait in JavaScript. */
  async block(port, linger, size) {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    await new Promise((done) => socket.write(PATTERN.subarray(0, size), done));
    setsockopt(socket, SO_LINGER, linger);
    const closed = once(socket, 'close');
    const heartbeat = new Heartbeat();
    const since = performance.now();
    const result = closesocket(socket);
    const took = performance.now() - since;
    await closed;
    return { took, pause: heartbeat.stop(), result };
  },
});
