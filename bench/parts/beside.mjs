// Requests beside a bulk transfer on the same session.

import { complete, measure } from '../harness/load.mjs';
import { AES256, MIB } from './common.mjs';
import { WARMUP } from './requests.mjs';

/** What the transfer wants of the target of all kinds. */
function kind({ losesEnds }, direction) {
  if (direction === 'up') return losesEnds ? 'take' : 'sink';
  return losesEnds ? 'give' : 'source';
}

export const beside = {
  name: 'beside',
  title: 'Requests during a bulk transfer',
  about:
    'Requests on one connection while another connection of the same session transfers as much as it can, up or down.',
  metrics: {
    p50: { label: 'p50 ms', compared: true },
    p99: { label: 'p99 ms', compared: true },
    rate: { label: 'bulk MiB/s', compared: true },
  },
  charts: [{ metric: 'p99', title: 'Milliseconds of a request during a bulk transfer, 99th percentile' }],

  cases: () =>
    ['up', 'down'].map((direction) => ({
      name: `beside bulk ${direction}`,
      peers: ['ours', 'ssh', 'tunnel-ssh', 'dev-tunnels'],
      direction,
    })),

  open: (peer, one, context) => peer.open(context, { cipher: AES256, target: 'any' }),

  /** The transfer has to last longer than the requests. */
  async measure(tunnel, { direction }, { quick }) {
    const seconds = quick ? 0.2 : 0.8;
    const warmup = quick ? 0.05 : WARMUP;
    const bytes = Math.round((quick ? 64 * MIB : 1536 * MIB) * tunnel.weight);
    const transfer = measure('bulk', {
      timeout: quick ? 5 : 30,
      direction,
      port: `${tunnel.port}/${kind(tunnel, direction)}`,
      connections: 1,
      bytes,
    });
    const [asked, moved] = await Promise.all([
      measure('requests', { timeout: 5, port: `${tunnel.port}/answer`, connections: 1, seconds, warmup }),
      transfer,
    ]);
    const { p50, p99 } = complete(asked);
    complete(moved);
    if (!quick && moved.seconds < seconds + warmup) throw new Error('the transfer ended before the requests');
    return { p50: p50 / 1000, p99: p99 / 1000, rate: moved.bytes / MIB / moved.seconds };
  },
};
