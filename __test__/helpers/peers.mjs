// The two ends of a forwarded connection: the local client, and the target behind the SSH server. Each counts and
// hashes what it reads and reports how its stream ended.

import { createCipheriv, createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readSync } from 'node:fs';
import net from 'node:net';
import { Worker } from 'node:worker_threads';

import { freePort } from './daemon.mjs';
import { IGNORE, KEXINIT, clearPacket, message } from './messages.mjs';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/**
 * The repeated pattern that is sent. The same in every process; its length is a prime, so that no
 * exchange of packets goes unnoticed in the hash.
 */
export const PATTERN = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(
  Buffer.alloc(1_048_573),
);

/** The SHA-256 of the first `total` bytes of the repeated pattern. */
export function patternHash(total) {
  const hash = createHash('sha256');
  let left = total;
  for (; left > PATTERN.length; left -= PATTERN.length) hash.update(PATTERN);
  return hash.update(PATTERN.subarray(0, left)).digest('hex');
}

/**
 * How a stream ended after 'end'. Node may be wrong: if it finds the last bytes and
 * a reset together, libuv takes the hang-up after a short read for the end of the stream. The
 * kernel still tells with the next read(2): 0 bytes after FIN, ECONNRESET after a reset.
 */
function endOf(socket) {
  try {
    const left = readSync(socket._handle.fd, Buffer.alloc(1));
    return left === 0 ? 'FIN' : 'data after the end';
  } catch (error) {
    return error.code;
  }
}

/** One end of a TCP connection. */
export class Peer {
  bytes = 0;
  error = null;
  #hash = createHash('sha256');
  #progress = new EventEmitter().setMaxListeners(0);
  #end = null;
  #sending = false;

  /** @param read false: not one byte is read before `read()` is called */
  constructor(socket, { read = true } = {}) {
    this.socket = socket;
    this.ended = new Promise((resolve) => {
      const finish = (end) => {
        this.#end ??= end;
        this.#progress.emit('progress');
        resolve(this.report());
      };
      socket.on('end', () => finish(endOf(socket)));
      socket.on('error', (error) => {
        this.error = error;
        finish(error.code);
      });
      socket.on('close', () => finish('closed here'));
    });
    this.closed = new Promise((resolve) => socket.on('close', resolve));
    if (read) this.read();
  }

  /** Starts or resumes reading. */
  read() {
    this.socket.off('data', this.#take).on('data', this.#take);
    this.socket.resume();
    return this;
  }

  #take = (chunk) => {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    this.#progress.emit('progress');
  };

  /** Stops reading until `read()`. */
  stall() {
    this.socket.pause();
    return this;
  }

  /** What was read so far, and how the stream ended: FIN, ECONNRESET, or null while it is open. */
  report() {
    const sha256 = this.#hash.copy().digest('hex');
    return { bytes: this.bytes, sha256, end: this.#end, error: this.error };
  }

  /** Waits until this many bytes were read in total. */
  async received(count) {
    while (this.bytes < count) {
      if (this.#end) throw new Error(`${this.#end} after ${this.bytes} of ${count} bytes`);
      await once(this.#progress, 'progress');
    }
  }

  /**
   * Sends this much of the pattern, from its start, and returns how much the kernel took: less
   * than asked only when the connection broke, or after `stopSending()`.
   */
  async send(total, piece = PATTERN) {
    const before = this.accepted;
    this.#sending = true;
    for (let left = total; left > 0 && this.socket.writable && this.#sending; left -= piece.length) {
      const part = left < piece.length ? piece.subarray(0, left) : piece;
      await new Promise((done) => {
        this.socket.once('close', done);
        this.socket.write(part, () => {
          this.socket.off('close', done);
          done();
        });
      });
    }
    return this.accepted - before;
  }

  /** Sends no further piece; the one that is being sent still goes out. */
  stopSending() {
    this.#sending = false;
  }

  /** Bytes that the kernel has accepted so far. */
  get accepted() {
    return (this.socket.bytesWritten ?? 0) - this.socket.writableLength;
  }

  /** Ends our direction with FIN; the other stays open. */
  end() {
    this.socket.end();
  }

  /** Resets the connection; resolves when the descriptor is gone. */
  reset() {
    this.socket.resetAndDestroy();
    return this.closed;
  }
}

/** Connects to a port of this machine, or to the path of a Unix socket. A reset right after the connect counts as an end. */
export async function connect(place, { read = true, host = '127.0.0.1', localPort = undefined } = {}) {
  const socket = new net.Socket({ allowHalfOpen: true });
  socket.pause(); // else Node reads the first 64 KiB by itself
  const peer = new Peer(socket, { read });
  socket.connect(typeof place === 'string' ? { path: place } : { port: place, host, localPort });
  await Promise.race([new Promise((done) => socket.once('connect', done)), peer.ended]);
  if (peer.error && peer.error.code !== 'ECONNRESET') throw peer.error;
  socket.setNoDelay();
  return peer;
}

/** Sends data to an echo, and waits until it has come back. */
export async function exchange(client, count = KIB) {
  const before = client.bytes;
  await client.send(count);
  await client.received(before + count);
}

/** Whether there is no listener on a port of this machine. */
export async function refuses(port, host) {
  try {
    (await connect(port, { host })).socket.destroy();
    return false;
  } catch (error) {
    if (error.code !== 'ECONNREFUSED') throw error;
    return true;
  }
}

/** A server on a free port of this machine, or a Unix socket, that treats every connection alike. */
export class Target {
  peers = [];
  #server;
  #sockets = new Set();
  #taken = 0;
  #arrivals = new EventEmitter();

  /**
   * @param behavior called with each `Peer`, which does not read until told to
   * @param path of a Unix socket, in place of a port
   */
  static async start(behavior = () => {}, path) {
    const target = new Target();
    target.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    target.#server.on('connection', (socket) => {
      const peer = new Peer(socket, { read: false });
      target.peers.push(peer);
      target.#sockets.add(socket);
      socket.on('close', () => target.#sockets.delete(socket));
      behavior(peer);
      target.#arrivals.emit('peer');
    });
    target.#server.listen({ ...(path === undefined ? { port: 0, host: '127.0.0.1' } : { path }), backlog: 4096 });
    await once(target.#server, 'listening');
    target.port = target.#server.address().port;
    return target;
  }

  /** The next connection, in the order of their arrival. */
  async next() {
    while (this.peers.length <= this.#taken) await once(this.#arrivals, 'peer');
    return this.peers[this.#taken++];
  }

  /** Forgets the connections so far without closing them. */
  forget() {
    this.peers.length = 0;
    this.#taken = 0;
  }

  async stop() {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** Behaviors of targets. */
export const behaviors = {
  /** Echoes, and ends when the peer does. */
  echo: () => (peer) => {
    peer.read();
    peer.socket.pipe(peer.socket);
  },
  /** Reads, and ends when the peer does. */
  sink: () => async (peer) => {
    const { end } = await peer.read().ended;
    if (end === 'FIN') peer.end();
  },
  /** Sends `total` bytes in pieces of `size`, ends, and continues to read. */
  source: (total, size) => async (peer) => {
    peer.read();
    await peer.send(total, PATTERN.subarray(0, size));
    peer.end();
  },
  /** Sends endlessly and reads nothing. */
  endless: (size) => (peer) => peer.send(Infinity, PATTERN.subarray(0, size)),
  /** Reads to the end, then sends `total` bytes and ends: works only with half-close. */
  replier: (total) => async (peer) => {
    const { end } = await peer.read().ended;
    if (end !== 'FIN') return;
    await peer.send(total);
    peer.end();
  },
  /** Sends `total` bytes, then resets. */
  resetter: (total) => async (peer) => {
    peer.read();
    await peer.send(total);
    peer.reset();
  },
  /** Neither reads nor sends. */
  idle: () => () => {},
};

/** Servers of other protocols, and broken SSH servers. */
export const fakeServers = {
  /** Sends bytes that are neither a line of text nor a packet. */
  noise: () => (peer) => peer.read().send(256 * KIB, Buffer.alloc(8 * KIB, 0xfe)),
  /** Sends a valid identification, then noise. */
  noisePackets: () => (peer) => {
    peer.read().socket.write('SSH-2.0-impostor\r\n');
    peer.send(256 * KIB, Buffer.alloc(8 * KIB, 0xfe));
  },
  /** Ends the stream at once. */
  leaver: () => (peer) => peer.read().end(),
  /** Sends its identification and ends the stream. */
  lateLeaver: () => (peer) => peer.read().socket.end('SSH-2.0-impostor\r\n'),
  /** Sends nothing. */
  mute: () => (peer) => peer.read(),
  /** Sends its identification and nothing more. */
  introducedMute: () => (peer) => peer.read().socket.write('SSH-2.0-impostor\r\n'),
  /** Sends endless lines before its identification. */
  chatterbox: () => (peer) => peer.read().send(Infinity, Buffer.from('Welcome!\r\n'.repeat(500))),
  /** Sends one endless line. */
  endlessLine: () => (peer) => peer.read().send(Infinity, Buffer.alloc(8 * KIB, 'x')),
  /** Announces a packet of 4 GB and starts to send it. */
  giant: () => (peer) => {
    peer.read().socket.write('SSH-2.0-impostor\r\n');
    peer.socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 4, 20]));
    peer.send(Infinity, Buffer.alloc(64 * KIB));
  },
  /** Starts a key exchange, then sends endless IGNORE messages. */
  flooder: () => (peer) => {
    const aead = 'aes256-gcm@openssh.com';
    const lists = ['curve25519-sha256', 'ecdsa-sha2-nistp256', aead, aead, '', '', 'none', 'none', '', ''];
    peer.read().socket.write('SSH-2.0-impostor\r\n');
    peer.socket.write(clearPacket(message(KEXINIT, Buffer.alloc(16), ...lists, Buffer.alloc(5))));
    peer.send(Infinity, Buffer.concat(Array(2000).fill(clearPacket(message(IGNORE, 'noise')))));
  },
  /** Supports only protocol version 1. */
  ancient: () => (peer) => peer.read().socket.write('SSH-1.5-ancient\r\n'),
};

/**
 * A port of this machine that surely refuses connections while it is held: a connected socket
 * owns it, so that no other process can listen on it. It is none of the ports that the kernel chooses: a connect
 * from the port to itself would succeed.
 */
export async function refusingPort() {
  const target = await Target.start();
  const holder = await connect(target.port, { localPort: await freePort() });
  const stop = async () => {
    holder.socket.destroy();
    await target.stop();
  };
  return { port: holder.socket.localPort, stop };
}

/** A thread that listens and never accepts. */
const LISTENER = `
  const { parentPort } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;

/** A local port where a connect is neither accepted nor refused, because its backlog is full. */
export async function silentPort() {
  const listener = new Worker(LISTENER, { eval: true });
  const [port] = await once(listener, 'message');
  // A backlog holds one more than its length.
  const holders = [await connect(port), await connect(port)];
  const stop = async () => {
    for (const { socket } of holders) socket.destroy();
    await listener.terminate();
  };
  return { port, stop };
}

/** Waits until a number stays the same for a while: for "nothing moves any more" there is no event. */
export async function settled(read, quiet = 300) {
  let value = await read();
  for (let since = Date.now(); Date.now() - since < quiet; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = await read();
    if (now !== value) since = Date.now();
    value = now;
  }
  return value;
}
