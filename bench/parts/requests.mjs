// Requests on connections that are kept.

import { complete, measure } from '../harness/load.mjs';
import { metered } from '../harness/processor.mjs';
import { open } from './common.mjs';

export const WARMUP = 0.3; // seconds at the start of each measurement that do not count

/** Asks on each connection for a time, and measures it. With a pause, each asks again that many milliseconds after an answer. */
export async function ask(tunnel, connections, seconds, warmup = WARMUP, pause = 0) {
  const options = { port: tunnel.port, connections, seconds, warmup, pause };
  const { result, processor, server } = await metered(tunnel, async () => complete(await measure('requests', options)));
  if (result.count === 0) throw new Error(`no answer within ${seconds} s`);
  // The processor worked for the requests before the clock ran, too, at the same pace.
  const all = result.count * (1 + warmup / result.seconds);
  return {
    rate: result.count / result.seconds,
    p50: result.p50 / 1000,
    p99: result.p99 / 1000,
    processor: (processor / all) * 1e6,
    server: (server / all) * 1e6,
    count: result.count,
  };
}

export const requests = {
  name: 'requests',
  title: 'Requests',
  about: 'A request and a response of 1 KiB each, one at a time on each of 1, 64 and 512 connections that stay open.',
  metrics: {
    rate: { label: 'per second', compared: true },
    p50: { label: 'p50 ms' },
    p99: { label: 'p99 ms', compared: true },
    processor: { label: 'tunnel us each', compared: true },
    server: { label: 'sshd us each' },
  },
  charts: [
    { metric: 'processor', title: 'Processor microseconds of the tunnel per request' },
    { metric: 'rate', title: 'Requests per second' },
  ],

  cases: () =>
    [1, 64, 512].map((connections) => ({
      name: `${connections} ${connections === 1 ? 'connection' : 'connections'}`,
      peers: ['ours', 'ssh', 'tunnel-ssh', 'dev-tunnels', 'loopback'],
      tunnel: { target: 'answer' },
      connections,
    })),
  open,
  measure: (tunnel, { connections }, { quick }) => ask(tunnel, connections, quick ? 0.5 : 0.7, quick ? 0.1 : WARMUP),
};
