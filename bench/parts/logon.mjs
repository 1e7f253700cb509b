// To a session, and to the first byte through it.

import { once } from 'node:events';
import net from 'node:net';
import { setTimeout } from 'node:timers/promises';

import { complete, measure } from '../harness/load.mjs';
import { Meter } from '../harness/processor.mjs';
import { median } from '../harness/statistics.mjs';
import { AES256, open } from './common.mjs';

const BYTE = Buffer.of(1);
// ms without traffic: as long as no acknowledgement is held back by either kernel, which is where the
// first byte may wait.
const QUIET = 100;

/** Sends a byte and waits until it is back. */
async function echoed(writable, readable) {
  writable.write(BYTE);
  await once(readable, 'data');
}

/** A Node program that runs already opens a tunnel; then the first byte through its port. */
async function inProcess(tunnel) {
  await tunnel.ask('close');
  const meter = new Meter(tunnel.pids);
  const began = performance.now();
  const port = await tunnel.ask('open', tunnel.options);
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  try {
    await echoed(socket, socket);
    return { wall: performance.now() - began, processor: meter.read() * 1000 };
  } finally {
    socket.destroy();
  }
}

/** A process from its start to the first byte through it: `ssh -W`. */
async function byProcess({ peer, context }) {
  const pids = [];
  const meter = new Meter(() => pids); // counts whole what begins after it
  const began = performance.now();
  const program = await peer.direct(context, { cipher: AES256, target: 'echo' });
  pids.push(program.pid);
  try {
    const ended = program.closed.then(() => Promise.reject(new Error('ssh -W ended')));
    await Promise.race([echoed(program.stdin, program.stdout), ended]);
    return { wall: performance.now() - began, processor: meter.read() * 1000 };
  } finally {
    await program.stop();
  }
}

/** Milliseconds from connect() to the first byte, each time on a session that was quiet. */
async function firstByte(port, speaker, count) {
  const times = [];
  while (times.length < count) {
    await setTimeout(QUIET);
    times.push(complete(await measure('first', { port, speaker })).first / 1000);
  }
  return median(times);
}

/** The mean of so many in a row. */
async function mean(count, once) {
  const sum = { wall: 0, processor: 0 };
  for (let done = 0; done < count; done++) {
    const { wall, processor } = await once();
    sum.wall += wall / count;
    sum.processor += processor / count;
  }
  return sum;
}

const PEERS = ['ours', 'ssh', 'tunnel-ssh', 'dev-tunnels'];
const CASES = [
  { name: 'first byte of the target', peers: PEERS, tunnel: { target: 'greet' }, speaker: 'target' },
  { name: 'first byte echoed', peers: PEERS, tunnel: { target: 'echo' }, speaker: 'client' },
  { name: 'logon', peers: PEERS, tunnel: { target: 'echo' } },
];

export const logon = {
  name: 'logon',
  title: 'Connecting',
  about: [
    'First byte: on a tunnel that is up and was idle for 100 ms, from the call of connect() to the first byte, of a target that speaks first or of an echo.',
    'Logon: with the same key, key exchange (curve25519-sha256; ecdh-sha2-nistp256 for dev-tunnels, which does not have it) and cipher, to the',
    'first byte through a new session. For the Node packages, a running program gets a request by IPC, creates a tunnel,',
    'listens, connects to it, and echoes a byte; the processor time is that of this process meanwhile. For OpenSSH it is `ssh -W` from the',
    'start of the process, with one byte of input and one of output; the processor time is all that it used until then.',
  ].join(' '),
  metrics: {
    first: { label: 'first byte ms', compared: true, short: 'first byte' },
    wall: { label: 'logon ms', compared: true, short: 'logon' },
    processor: { label: 'processor ms', compared: true, short: 'processor' },
  },
  charts: [
    { metric: 'wall', title: 'Milliseconds from nothing to the first byte through a new session', only: /logon/ },
    { metric: 'first', title: 'Milliseconds from connect() to the first byte', only: /first/ },
  ],

  cases: () => CASES,

  async open(peer, one, context) {
    if (one.speaker) return open(peer, one, context);
    const tunnel = await open(peer, one, context);
    const once = peer.direct ? () => byProcess({ peer, context }) : () => inProcess(tunnel);
    return { ...tunnel, once };
  },

  async measure(tunnel, { speaker }, { quick }) {
    if (speaker) return { first: await firstByte(tunnel.port, speaker, quick ? 3 : 10) };
    return mean(quick ? 2 : 5, tunnel.once);
  },
};
