// The client's side of the stand-in: sends a remote command through a forward of a Unix socket, and relays its streams.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, watch } from 'node:fs';
import net from 'node:net';
import { basename, join } from 'node:path';

/** The connections of a command: its control connection, and its streams. */
const STREAMS = [undefined, 'stdin', 'stdout', 'stderr'];
export const CONNECTIONS = STREAMS.length;

/** Milliseconds between attempts to connect to a socket that is bound and does not listen yet. */
const INTERVAL = 5;

/** Connects to a socket that is about to listen. */
export async function connect(path) {
  for (;;) {
    const socket = net.connect({ path, allowHalfOpen: true });
    const error = await once(socket, 'connect').then(
      () => undefined,
      (reason) => reason,
    );
    if (error === undefined) return socket.on('error', () => {});
    if (error.code !== 'ECONNREFUSED') throw error;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

/** Resolves when a path is there. */
async function appears(folder, path) {
  const watcher = watch(folder, { persistent: false });
  await new Promise((resolve) => {
    const look = () => existsSync(path) && resolve();
    watcher.on('change', look);
    look();
  });
  watcher.close();
}

/**
 * A way to the stand-in: a forward, and the connections through it once it is there.
 * @typedef {{ folder: string, flags: string[], open: () => Promise<net.Socket[]> }} Route
 */

/** By a local forward, to the stand-in's socket. @param {string} root of the script @returns {Route} */
function localRoute(root) {
  const folder = mkdtempSync(join(root, 'own-'));
  const own = join(folder, 's');
  const open = async () => {
    await appears(folder, own);
    return Promise.all(STREAMS.map(() => connect(own)));
  };
  return { folder, flags: ['-L', `${own}:${join(root, 'stand-in')}`], open };
}

/**
 * By a remote forward, whose socket the stand-in sees and connects to: for scripts in which the server forbids local
 * forwards. @param {string} root of the script @returns {Route}
 */
function remoteRoute(root) {
  const folder = mkdtempSync(join(root, 'own-'));
  const own = join(folder, 's');
  const sockets = [];
  const server = net.createServer({ allowHalfOpen: true });
  const complete = new Promise((resolve) => {
    server.on('connection', (socket) => sockets.push(socket.on('error', () => {})) === CONNECTIONS && resolve(sockets));
  });
  server.listen(own).unref();
  return { folder, flags: ['-R', `${join(root, 'far', basename(folder))}:${own}`], open: () => complete };
}

/** @param {string} root of the script @param {string} [kind] of the forward @returns {Route} */
export const route = (root, kind) => (kind === 'remote' ? remoteRoute : localRoute)(root);

/** What a socket sends until it ends; then our end of it ends, too. */
async function text(socket) {
  let all = '';
  for await (const chunk of socket.setEncoding('utf8')) all += chunk;
  socket.end();
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
 * Has a command run by the stand-in.
 * @param {Route} route
 * @param {string} command
 * @param {{ input?: import('node:stream').Readable }} options input: standard input; empty if there is none
 * @returns {Promise<number>} the exit status: 255 if a signal ended it, as for ssh, or if nothing ran
 */
export async function runBehind({ open }, command, { input } = {}) {
  try {
    const id = randomUUID();
    const sockets = await open();
    for (const [at, stream] of STREAMS.entries())
      sockets[at].write(`${JSON.stringify(stream === undefined ? { id, command } : { id, stream })}\n`);
    const [control, stdin, stdout, stderr] = sockets;
    if (input === undefined) stdin.end();
    else input.on('error', () => stdin.end()).pipe(stdin);
    const outputs = Promise.all([drain(stdout, process.stdout), drain(stderr, process.stderr)]);
    const [line] = await Promise.all([text(control), outputs]);
    return JSON.parse(line).code ?? 255;
  } catch {
    return 255;
  }
}
