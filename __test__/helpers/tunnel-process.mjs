// A program with a tunnel and nothing else, for tests of its lifetime, memory or descriptors.

import { once } from 'node:events';

import { Peer, connect } from './peers.mjs';
import { answer, descriptors, memory } from './process.mjs';
import { SSHTunnel } from '../../index.js';

let tunnel;
/** The one socket of dial(). */
let dialled;
const ends = [];

/** A tunnel whose ends are written down. */
function make(options) {
  tunnel = new SSHTunnel(options);
  tunnel.on('disconnected', ({ code, clean }) => ends.push({ code, clean }));
}

answer({
  async listen(options) {
    make(options);
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },
  /** Dials a port of the server's machine, and reads nothing before it is told to. */
  async dial(options, port) {
    make(options);
    const socket = await tunnel.promises.dial({ host: '127.0.0.1', port, allowHalfOpen: true });
    dialled = new Peer(socket, { read: false }).stall();
  },
  /** Reads until so many bytes have come in all, and then nothing. */
  async read(total) {
    await dialled.read().received(total);
    dialled.stall();
  },
  /** Reads to the end and ends, too: what has come. */
  async readToEnd() {
    const ended = once(dialled.socket, 'end');
    dialled.read();
    await ended;
    dialled.end();
    const { bytes, sha256 } = dialled.report();
    return { bytes, sha256 };
  },
  shutdown: () => tunnel.promises.shutdown(),
  /** How so many connections ended, once they have. */
  async ended(count) {
    while (ends.length < count) await once(tunnel, 'disconnected');
    return ends.splice(0, count);
  },
  connections: () => tunnel.promises.connections(),
  /** Sends so much to an echo behind a port of this machine: how it ended. */
  async roundTrip(port, size) {
    const client = await connect(port);
    await client.send(size);
    client.end();
    const { bytes, sha256, end } = await client.ended;
    return { bytes, sha256, end };
  },
  resources: () => ({ descriptors: descriptors(), memory: memory() }),
  ref: () => void tunnel.ref(),
  unref: () => void tunnel.unref(),
  exit: (code) => process.exit(code),
  /** From now on the channel to the parent does not keep this process. */
  letGo: () => process.channel.unref(),
});
