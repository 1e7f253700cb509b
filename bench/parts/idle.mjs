// What an open connection weighs that carries nothing.

import { complete, measure, serve } from '../harness/load.mjs';
import { resident } from '../harness/processor.mjs';
import { open } from './common.mjs';

const LIMIT = 30_000; // ms that all of them together may take to open, and then to echo
const MOST = 10_000;

/** Opens so many on a new tunnel, and weighs its process before and after. */
export async function weigh(tunnel, connections) {
  const [pid] = tunnel.pids();
  // What a tunnel needs for its first connection, it needs once.
  complete(await measure('first', { port: tunnel.port, count: 20 }));
  const before = resident(pid);
  const idle = await serve('idle', { port: tunnel.port, connections }, LIMIT);
  try {
    complete(idle);
    const after = resident(pid);
    const { seconds, ...echo } = await idle.program.ask('echo', LIMIT);
    complete(echo);
    return {
      rss: (after.rss - before.rss) / connections,
      anonymous: (after.anonymous - before.anonymous) / connections,
      echo: seconds,
    };
  } finally {
    await idle.program.stop();
  }
}

export const idle = {
  name: 'idle',
  title: 'Idle connections',
  about:
    "Growth of the resident memory of the tunnel's process for each open connection that has echoed one byte, starting from a new tunnel that has had 20 connections; and the time until one more byte, sent on all of them at once, has been echoed on all. The npm packages are left out of the largest number, because it takes too long.",
  metrics: {
    rss: { label: 'resident bytes each', compared: true },
    anonymous: { label: 'of it anonymous' },
    echo: { label: 'echo on all, s', compared: true },
  },
  charts: [{ metric: 'rss', title: 'Resident bytes per idle connection' }],
  fresh: true,
  cold: true,

  cases: ({ quick }) =>
    (quick ? [20, 50, 100] : [100, 1000, MOST]).map((connections) => ({
      name: connections.toLocaleString('en-US'),
      peers: ['ours', 'ssh', ...(connections < MOST ? ['tunnel-ssh', 'dev-tunnels'] : [])],
      tunnel: { target: 'echo' },
      connections,
    })),
  open,
  measure: (tunnel, { connections }) => weigh(tunnel, connections),
};
