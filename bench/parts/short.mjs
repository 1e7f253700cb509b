// Connections that carry one request.

import { complete, measure } from '../harness/load.mjs';
import { metered } from '../harness/processor.mjs';
import { open } from './common.mjs';

const LONGEST = 5; // seconds until a connection that does not end has failed
const LIMIT = 15; // seconds for all of them

export const short = {
  name: 'short',
  title: 'Short connections',
  about:
    'Connect, a request and a response of 1 KiB each, wait for the end, close; 16 and 128 at once. Failed connections are counted, but not included in times.',
  metrics: {
    rate: { label: 'per second', compared: true },
    p50: { label: 'p50 ms' },
    p99: { label: 'p99 ms' },
    processor: { label: 'tunnel us each', compared: true },
    server: { label: 'sshd us each' },
    failures: { label: 'failed' },
  },
  charts: [{ metric: 'processor', title: 'Processor microseconds of the tunnel per connection' }],

  cases: () =>
    [16, 128].map((atOnce) => ({
      name: `${atOnce} at once`,
      peers: ['ours', 'ssh', 'tunnel-ssh', 'dev-tunnels', 'loopback'],
      tunnel: { target: 'close' },
      atOnce,
    })),

  open,

  async measure(tunnel, { atOnce }, { quick }) {
    const count = Math.round((quick ? 400 : 4000) * tunnel.weight);
    const options = { port: tunnel.port, atOnce, count, timeout: quick ? 2 : LONGEST };
    const limit = (quick ? 3 : LIMIT) * 1000;
    const { result, processor, server } = await metered(tunnel, () => measure('short', options, limit));
    const good = result.count;
    if (good === 0) complete(result);
    return {
      rate: good / result.seconds,
      p50: result.p50 / 1000,
      p99: result.p99 / 1000,
      processor: (processor / good) * 1e6,
      server: (server / good) * 1e6,
      failures: result.failures,
    };
  },
};
