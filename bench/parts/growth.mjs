// How it grows: each kind of work over more connections, and over more SSH sessions.

import { AES256, MIB } from './common.mjs';
import { transfer } from './bulk.mjs';
import { weigh } from './idle.mjs';
import { ask } from './requests.mjs';

const SESSIONS = [1, 2, 4, 8];

/** Whether a tunnel can have several sessions: unknown options are ignored, known ones checked. */
async function knowsSessions() {
  const { SSHTunnel } = await import('../../index.js');
  try {
    new SSHTunnel({ host: '127.0.0.1', forwardHost: '127.0.0.1', forwardPort: 1, sessions: 'several' });
    return false;
  } catch {
    return true;
  }
}

/** A part whose cases are numbers of connections, and numbers of sessions with the same connections. */
function growth({ kind, target, connections, quickConnections, fixed, quickFixed, measure, ...rest }) {
  const plural = (count, word) => `${count.toLocaleString('en-US')} ${word}${count === 1 ? '' : 's'}`;
  return {
    ...rest,
    name: `growth-${kind}`,
    group: 'growth',

    async cases({ quick }) {
      const wide = quick ? quickFixed : fixed;
      const over = (quick ? quickConnections : connections).map((count) => ({
        name: plural(count, 'connection'),
        peers: ['ours', 'ssh'],
        connections: count,
      }));
      const counts = (await knowsSessions()) ? SESSIONS : [];
      const across = (quick ? counts.slice(0, 2) : counts).map((sessions) => ({
        name: `${plural(wide, 'connection')}, ${plural(sessions, 'session')}`,
        peers: ['ours'],
        connections: wide,
        sessions,
      }));
      return [...over, ...across];
    },
    open: (peer, { sessions }, context) => peer.open(context, { cipher: AES256, target, sessions }),
    measure: (tunnel, { connections: count }, context) => measure(tunnel, count, context),
  };
}

const bulk = (direction) =>
  growth({
    kind: direction,
    target: direction === 'up' ? 'sink' : 'source',
    title: `Growth: bulk ${direction}`,
    about: 'AES-256-GCM, over the given number of connections; with several sessions, over 8 connections.',
    metrics: {
      rate: { label: 'MiB/s', compared: true },
      processor: { label: 'tunnel s/GiB', compared: true },
      server: { label: 'sshd s/GiB' },
    },
    charts: [{ metric: 'rate', title: `MiB/s ${direction}` }],
    connections: [1, 2, 4, 8, 16, 32],
    quickConnections: [1, 2],
    fixed: 8,
    quickFixed: 8,
    measure: (tunnel, connections, { quick }) =>
      transfer(tunnel, { direction, connections, bytes: (quick ? 8 : 256) * MIB }),
  });

const requests = growth({
  kind: 'requests',
  target: 'answer',
  title: 'Growth: requests',
  about: 'A request and a response of 1 KiB each, on the given number of connections; with several sessions, on 64.',
  metrics: {
    rate: { label: 'per second', compared: true },
    p99: { label: 'p99 ms', compared: true },
    processor: { label: 'tunnel us each', compared: true },
  },
  charts: [{ metric: 'processor', title: 'Processor microseconds of the tunnel per request' }],
  connections: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
  quickConnections: [1, 2],
  fixed: 64,
  quickFixed: 8,
  measure: (tunnel, connections, { quick }) => ask(tunnel, connections, quick ? 0.1 : 0.3, 0.1),
});

const idle = growth({
  kind: 'idle',
  target: 'echo',
  title: 'Growth: idle connections',
  about: 'As for idle connections; with several sessions, 1,000 of them.',
  metrics: {
    rss: { label: 'resident bytes each', compared: true },
    echo: { label: 'echo on all, s', compared: true },
  },
  charts: [{ metric: 'rss', title: 'Resident bytes per idle connection', only: /\d\d/ }],
  connections: [1, 4, 16, 64, 256, 1024],
  quickConnections: [1, 4],
  fixed: 1000,
  quickFixed: 20,
  fresh: true,
  cold: true,
  measure: weigh,
});

export const growths = [bulk('up'), bulk('down'), requests, idle];
