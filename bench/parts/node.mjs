// What a tunnel leaves of the main thread of the Node program that it is in.

import { AES256, MIB } from './common.mjs';
import { targetOf, transfer } from './bulk.mjs';
import { ask } from './requests.mjs';

const WORKS = {
  'bulk up 1': {
    direction: 'up',
    work: (tunnel, bytes) => transfer(tunnel, { direction: 'up', connections: 1, bytes }),
  },
  'bulk down 1': {
    direction: 'down',
    work: (tunnel, bytes) => transfer(tunnel, { direction: 'down', connections: 1, bytes }),
  },
  'requests 512': { work: (tunnel, bytes, seconds) => ask(tunnel, 512, seconds) },
};

export const node = {
  name: 'node',
  title: 'The event loop',
  about:
    'Measured with perf_hooks in the Node.js program of the tunnel: utilization of its event loop while one connection transfers as much as it can, and during requests on 512; then, in a second run, how late a timer is that is due every millisecond.',
  metrics: {
    utilization: { label: 'utilization %' },
    p50: { label: 'delay p50 ms' },
    p99: { label: 'p99 ms' },
    max: { label: 'max ms' },
  },
  charts: [{ metric: 'utilization', title: 'Utilization of the event loop in percent' }],

  cases: () =>
    Object.entries(WORKS).map(([name, { direction, work }]) => ({
      name,
      peers: ['ours', 'tunnel-ssh', 'dev-tunnels'],
      direction,
      work,
    })),

  open: (peer, { direction }, context) =>
    peer.open(context, { cipher: AES256, target: direction ? targetOf(peer, direction) : 'answer' }),

  async measure(tunnel, { work }, { quick }) {
    const bytes = (quick ? 16 * MIB : 384 * MIB) * tunnel.weight;
    const seconds = quick ? 0.2 : 0.7;
    await tunnel.ask('watch', 'utilization');
    await work(tunnel, bytes, seconds);
    const utilization = 100 * (await tunnel.ask('utilization'));
    await tunnel.ask('watch', 'delay');
    await work(tunnel, bytes, seconds);
    return { utilization, ...(await tunnel.ask('delay')) };
  },
};
