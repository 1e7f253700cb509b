// The command: a whole run of `-W`, from the start of the process to its end.

import { once } from 'node:events';

import { serve } from '../harness/load.mjs';
import { alone } from '../peers/node.mjs';
import { AES256 } from './common.mjs';

const DELAY = 50; // ms each way
const BYTE = Buffer.of(1);

/** One run: a byte and the end of the input, until the process has ended. */
async function run(peer, context, via) {
  const began = performance.now();
  const program = await peer.command(context, { cipher: AES256, target: 'echo', via });
  try {
    const first = once(program.stdout, 'data').then(() => performance.now() - began);
    program.stdin.end(BYTE);
    await program.closed;
    const wall = performance.now() - began;
    if (program.code !== 0) throw new Error(`${peer.name} exited with ${program.code}: ${program.said}`);
    return { wall, ...(peer === alone ? {} : { first: await first }) };
  } finally {
    await program.stop();
  }
}

export const command = {
  name: 'command',
  title: 'The command',
  about: [
    '`sshtunnel -W` and `ssh -W` with the same arguments, from the start of the process to its end: the input is one byte and its end, and the',
    'target echoes both. The key exchange is curve25519-sha256. The command is that of the package, in one file, with its compiled code',
    'of earlier runs. Node.js alone is `node -e 0`: no program for it takes less. Over the long link, a',
    `relay delays everything by ${DELAY} ms in each direction, but not the set-up of TCP; the round trips are the whole time, divided by ${2 * DELAY} ms.`,
  ].join(' '),
  metrics: {
    first: { label: 'first byte ms', compared: true, short: 'first byte' },
    wall: { label: 'whole run ms', compared: true, short: 'whole run' },
    trips: { label: 'round trips' },
  },
  charts: [{ metric: 'wall', title: 'Milliseconds from the start of the process to its end' }],

  cases: () => [
    { name: 'on loopback', peers: ['ours', 'ssh', alone] },
    { name: `over ${2 * DELAY} ms`, peers: ['ours', 'ssh'], delayed: true },
  ],

  async open(peer, { delayed }, context) {
    if (!delayed) return { once: () => run(peer, context), stop: async () => {} };
    const server = await context.server(peer.name);
    const relay = await serve('delay', { to: `127.0.0.1:${server.port}`, ms: DELAY });
    return { once: () => run(peer, context, relay.port), stop: () => relay.program.stop() };
  },

  async measure(opened, { delayed }) {
    const { wall, first } = await opened.once();
    return { wall, ...(first && { first }), ...(delayed && { trips: wall / (2 * DELAY) }) };
  },
};
