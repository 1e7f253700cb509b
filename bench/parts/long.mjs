// A long fat link: 50 ms each way between client and server, as fast as the machine.

import { serve } from '../harness/load.mjs';
import { targetOf, transfer } from './bulk.mjs';
import { AES256, MIB } from './common.mjs';

const DELAY = 50; // ms each way

export const long = {
  name: 'long',
  title: 'A long link',
  about: `A relay between the tunnel and the SSH server delays everything by ${DELAY} ms in each direction, without other limits. There is one connection; the server's own receive window limits uploads.`,
  metrics: { rate: { label: 'MiB/s', compared: true } },
  charts: [{ metric: 'rate', title: `MiB/s on one connection with ${2 * DELAY} ms round trip` }],

  cases: () =>
    ['down', 'up'].map((direction) => ({
      name: direction,
      peers: ['ours', 'ssh', 'tunnel-ssh', 'dev-tunnels'],
      direction,
    })),

  async open(peer, { direction }, context) {
    const server = await context.server(peer.name, peer.keys);
    const relay = await serve('delay', { to: `127.0.0.1:${server.port}`, ms: DELAY });
    const stopRelay = () => relay.program.stop();
    try {
      const target = targetOf(peer, direction);
      const tunnel = await peer.open(context, { cipher: AES256, target, via: relay.port });
      const stop = () => tunnel.stop().then(stopRelay);
      return { ...tunnel, stop };
    } catch (error) {
      await stopRelay();
      throw error;
    }
  },

  async measure(tunnel, { direction }, { quick }) {
    const bytes = (quick ? 4 : direction === 'up' ? 64 : 128) * MIB * tunnel.weight;
    const { rate } = await transfer(tunnel, { direction, connections: 1, bytes });
    return { rate };
  },
};
