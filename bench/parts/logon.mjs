// To a session, and to the first byte through it.

import { once } from 'node:events';
import net from 'node:net';

import { complete, measure } from '../harness/load.mjs';
import { Meter } from '../harness/processor.mjs';
import { AES256, open } from './common.mjs';

const BYTE = Buffer.of(1);

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
async function byProcess(peer, context) {
  const began = performance.now();
  const program = await peer.direct(context, { cipher: AES256, target: 'echo' });
  try {
    await Promise.race([
      echoed(program.stdin, program.stdout),
      program.closed.then(() => Promise.reject(new Error('ssh -W ended'))),
    ]);
    // All of it: nothing was counted before it began.
    return { wall: performance.now() - began, processor: processorTime(program.pid) };
  } finally {
    await program.stop();
  }
}
