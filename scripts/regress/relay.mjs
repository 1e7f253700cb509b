// The client's side of the stand-in: sends a remote command through a forwarded Unix socket, and relays its streams.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

/** Milliseconds between attempts to connect to a socket that is bound and does not listen yet. */
const INTERVAL = 5;

async function connect(path, first) {
  for (;;) {
    const socket = net.connect({ path, allowHalfOpen: true });
    const error = await once(socket, 'connect').then(
      () => undefined,
      (reason) => reason,
    );
    if (error === undefined) {
      socket.on('error', () => {});
      socket.write(`${JSON.stringify(first)}\n`);
      return socket;
    }
    if (error.code !== 'ECONNREFUSED') throw error;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

/** What a socket sends until it ends. */
async function text(socket) {
  let all = '';
  for await (const chunk of socket.setEncoding('utf8')) all += chunk;
  return all;
}

/** Passes everything on; when the reader goes, so does the writer. */
function drain(socket, output) {
  return new Promise((resolve) => {
    const left = () => (socket.destroy(), resolve());
    output.on('error', left);
    socket.on('close', resolve).on('end', () => (socket.end(), resolve()));
    socket.pipe(output, { end: false });
  });
}

/**
 * Has a command run behind a socket.
 * @param {string} path of the socket
 * @param {string} command
 * @param {{ input?: import('node:stream').Readable }} options input: standard input; empty if there is none
 * @returns {Promise<number>} the exit status: 255 if a signal ended it, as for ssh, or if nothing ran
 */
export async function runBehind(path, command, { input } = {}) {
  try {
    const id = randomUUID();
    const [stdin, stdout, stderr] = await Promise.all(
      ['stdin', 'stdout', 'stderr'].map((stream) => connect(path, { id, stream })),
    );
    const control = await connect(path, { id, command });
    if (input === undefined) stdin.end();
    else input.on('error', () => stdin.end()).pipe(stdin);
    const outputs = Promise.all([drain(stdout, process.stdout), drain(stderr, process.stderr)]);
    const [line] = await Promise.all([text(control), outputs]);
    return JSON.parse(line).code ?? 255;
  } catch {
    return 255;
  }
}
