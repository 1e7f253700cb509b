// Sockets for closesocket(): with data that their peers have not read.

import { SO_LINGER, promises, setsockopt } from '../../index.js';
import { KIB, MIB, PATTERN, Peer } from './peers.mjs';
import { netPair } from './sockets.mjs';

export const HARD = { l_onoff: 1, l_linger: 0 };
export const GRACEFUL = { l_onoff: 0, l_linger: 0 };
export const bounded = (seconds) => ({ l_onoff: 1, l_linger: seconds });

/** Counts the events of a socket's end. */
export function watch(socket) {
  const seen = { close: 0, error: 0 };
  for (const name of Object.keys(seen)) socket.on(name, () => (seen[name] += 1));
  return seen;
}

export const elapsed = (since) => performance.now() - since;

/** A connection with this much of the pattern written to it, and its peer, which does not read. */
export async function loaded(size, linger) {
  const pair = await netPair();
  const peer = new Peer(pair.accepted, { read: false });
  for (let left = size; left > 0; left -= PATTERN.length) {
    pair.client.write(left < PATTERN.length ? PATTERN.subarray(0, left) : PATTERN);
  }
  setsockopt(pair.client, SO_LINGER, linger);
  return { ...pair, peer };
}

// Starts the addon's threads, which have descriptors too.
const first = await netPair();
await promises.closesocket(first.client);
await first.stop();

/** More than the buffers of both kernels hold for one connection. */
export const LARGE = 16 * MIB;
/** Less than these buffers. */
export const SMALL = 64 * KIB;
