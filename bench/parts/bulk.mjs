// Many bytes on few connections.

import { complete, measure } from '../harness/load.mjs';
import { metered } from '../harness/processor.mjs';
import { AES256, CIPHERS, GIB, MIB } from './common.mjs';

const LONGEST = 30; // seconds

const TARGETS = { up: 'sink', down: 'source', both: 'any' };

/**
 * The target for a direction: one of its own, or that of all kinds, which both directions share, and
 * which does without ends of streams where a peer does not pass them on.
 */
export const targetOf = (peer, direction) => (peer.losesEnds ? 'any' : TARGETS[direction]);

/** Where the load goes; on a port for all kinds it says what it is for. */
export function ports({ port, losesEnds }, direction) {
  const [up, down] = losesEnds ? ['take', 'give'] : ['sink', 'source'];
  if (direction === 'both') return { portUp: `${port}/${up}`, portDown: `${port}/${down}` };
  if (!losesEnds) return { port };
  return { port: `${port}/${direction === 'up' ? up : down}` };
}

/** Sends so many bytes each way, and weighs it. */
export async function transfer(tunnel, { direction, connections, bytes }) {
  const options = { direction, connections, bytes: Math.round(bytes), ...ports(tunnel, direction), timeout: LONGEST };
  const { result, processor, server } = await metered(tunnel, async () => complete(await measure('bulk', options)));
  const moved = result.bytes / GIB;
  return {
    rate: result.bytes / MIB / result.seconds,
    processor: processor / moved,
    server: server / moved,
    bytes: result.bytes,
  };
}

export const bulk = {
  name: 'bulk',
  title: 'Bulk transfers',
  about:
    "Bytes over 1 and 8 connections at once; `both` uses one set of connections for each direction. Processor time is that of the tunnel's process and of the sshd process of its session, per GiB. tunnel-ssh and dev-tunnels-ssh-tcp do not forward the end of a single direction; with them, both sides know the length in advance.",
  metrics: {
    rate: { label: 'MiB/s', compared: true },
    processor: { label: 'tunnel s/GiB', compared: true },
    server: { label: 'sshd s/GiB' },
  },
  charts: [
    { metric: 'processor', title: 'Processor seconds of the tunnel per GiB', only: / 1$/ },
    { metric: 'rate', title: 'MiB/s', only: / 1$/ },
  ],

  cases() {
    return Object.entries(CIPHERS).flatMap(([name, cipher]) => {
      const everybody = cipher === AES256;
      const directions = everybody ? ['up', 'down', 'both'] : ['up', 'down'];
      return directions.flatMap((direction) =>
        [1, 8].map((connections) => ({
          name: `${name} ${direction} ${connections}`,
          peers: [
            'ours',
            'ssh',
            ...(everybody ? ['tunnel-ssh', 'dev-tunnels', 'loopback'] : []),
            // It relays one connection in one direction.
            ...(connections === 1 && direction !== 'both' ? ['floor'] : []),
          ],
          direction,
          connections,
          cipher,
        })),
      );
    });
  },

  open: (peer, { direction, cipher }, context) =>
    peer.open(context, { cipher, direction, target: targetOf(peer, direction) }),

  measure(tunnel, { direction, connections }, { quick }) {
    const bytes = (quick ? 16 * MIB : 384 * MIB) * tunnel.weight;
    return transfer(tunnel, { direction, connections, bytes });
  },
};
