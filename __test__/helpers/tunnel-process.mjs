// A program with a tunnel and nothing else, whose life, memory or descriptors are the question.

import { once } from 'node:events';

import { connect } from './peers.mjs';
import { answer, descriptors, memory } from './process.mjs';
import { SSHTunnel } from '../../index.js';

let tunnel;
const ends = [];

answer({
  async listen(options) {
    tunnel = new SSHTunnel(options);
    tunnel.on('disconnected', ({ code, clean }) => ends.push({ code, clean }));
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },
  shutdown: () => tunnel.promises.shutdown(),
  /** How so many connections ended, once they have. */
  async ended(count) {
    while (ends.length < count) await once(tunnel, 'disconnected');
    return ends.splice(0, count);
  },
  connections: () => tunnel.promises.connections(),
  /** Sends so much to an echo behind a port of this machine: how it ended. */
  async thereAndBack(port, size) {
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
