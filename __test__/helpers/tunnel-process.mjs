// A program with a tunnel and nothing else, for tests of its lifetime, memory or descriptors.

import { once } from 'node:events';

import { Peer, connect } from './peers.mjs';
import { answer, descriptors, memory } from './process.mjs';
import { SSHTunnel } from '../../index.js';

let tunnel;
/** The one socket of dial(). */
let dialed;
const ends = [];

/** A tunnel whose reports are recorded. */
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
  /** Dials a port of the server's machine, and reads only on request. */
  async dial(options, port) {
    make(options);
    const socket = await tunnel.promises.dial({ host: '127.0.0.1', port, allowHalfOpen: true });
    dialed = new Peer(socket, { read: false }).stall();
  },
  /** Reads until this many bytes have arrived in total. */
  async read(total) {
    await dialed.read().received(total);
    dialed.stall();
  },
  /** Reads to the end, and ends too; returns what was read. */
  async readToEnd() {
    const ended = once(dialed.socket, 'end');
    dialed.read();
    await ended;
    dialed.end();
    const { bytes, sha256 } = dialed.report();
    return { bytes, sha256 };
  },
  shutdown: () => tunnel.promises.shutdown(),
  /** The reports of this many connections. */
  async ended(count) {
    while (ends.length < count) await once(tunnel, 'disconnected');
    return ends.splice(0, count);
  },
  connections: () => tunnel.promises.connections(),
  /** Sends data to an echo behind a local port; returns how the stream ended. */
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
  /** From now on the channel to the parent does not keep this process alive. */
  letGo: () => process.channel.unref(),
});
