// Many bytes on few connections.

import { complete, measure } from '../harness/load.mjs';
import { metered } from '../harness/processor.mjs';
import { AES256, CIPHERS, GIB, MIB } from './common.mjs';

const TARGETS = { up: 'sink', down: 'source', both: 'any' };

/** Where the load goes: both directions share one port, and say on it what they are for. */
function ports(direction, port) {
  if (direction !== 'both') return { port };
  return { portUp: `${port}/sink`, portDown: `${port}/source` };
}

/** Sends so many bytes each way, and weighs it. */
export async function transfer(tunnel, { direction, connections, bytes }) {
  const options = { direction, connections, bytes: Math.round(bytes), ...ports(direction, tunnel.port) };
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
  title: 'Bulk',
  about: 'Bytes over 1 and 8 connections at once; `both` is one set of connections for each direction. Processor time is that of the tunnel\'s process and of the sshd process that serves its session, per GiB moved.',
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
      return directions.flatMap((direction) => [1, 8].map((connections) => ({
        name: `${name} ${direction} ${connections}`,
        peers: [
          'ours', 'ssh',
          ...(everybody ? ['tunnel-ssh', 'dev-tunnels', 'loopback'] : []),
          // It relays one connection in one direction.
          ...(connections === 1 && direction !== 'both' ? ['floor'] : []),
        ],
        direction,
        connections,
        cipher,
      })));
    });
  },

  async open(peer, { direction, cipher }, context) {
    const tunnel = await peer.open(context, { cipher, direction, target: TARGETS[direction] });
    return { ...tunnel, weight: peer.weight };
  },

  measure(tunnel, { direction, connections }, { quick }) {
    const bytes = (quick ? 16 * MIB : 512 * MIB) * tunnel.weight;
    return transfer(tunnel, { direction, connections, bytes });
  },
};
