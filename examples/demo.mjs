// A tunnel from end to end: data with its hash checked, and a graceful and a hard close, as the local client
// sees them.

import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readSync } from 'node:fs';
import net from 'node:net';
import { SSHTunnel } from 'sshtunnel-native/promises';

const MIB = 2 ** 20;
const DOWNLOAD = 128 * MIB;
const IN_FLIGHT = 2 * MIB; // one window: what a tunnel receives for a client that does not read

const far = fork(new URL('demo-server.mjs', import.meta.url));
const [{ sshPort, sourcePort, hostKey }] = await once(far, 'message');

const tunnel = new SSHTunnel({
  host: '127.0.0.1',
  port: sshPort,
  username: 'demo',
  password: 'demo',
  hostKey,
  forwardHost: '127.0.0.1',
  forwardPort: sourcePort,
});
await tunnel.startListening();

console.log(`
An SSH tunnel
  local port   127.0.0.1:${tunnel.localPort}
  SSH server   127.0.0.1:${sshPort}  (ssh2, in another process)
  target       127.0.0.1:${sourcePort}  (behind that server)
`);

const faults = [await download()];
console.log(`
Closing a connection with ${size(IN_FLIGHT)} in flight to a client that is slow to read

  Linger      sent       the client read   then        disconnect() took`);
faults.push(await close(true), await close(false));
console.log(`
  setLinger(true), the default: everything is delivered, then the stream ends.
  setLinger(false): the connection is reset, and data in flight is dropped.
`);

await tunnel.close();
far.disconnect();
const found = faults.filter(Boolean);
for (const fault of found) console.error(`Failed: ${fault}`);
process.exitCode = found.length > 0 ? 1 : 0;

/** Transfers data and checks its hash; returns what went wrong. */
async function download() {
  const ended = once(tunnel, 'disconnected');
  const socket = net.connect(tunnel.localPort, '127.0.0.1');
  const report = once(far, 'message');
  const hash = createHash('sha256');
  const since = performance.now();
  const progress = new Progress(DOWNLOAD);
  let bytes = 0;
  socket.write(`${DOWNLOAD} end\n`);
  for await (const chunk of socket) {
    hash.update(chunk);
    bytes += chunk.length;
    progress.show(bytes);
  }
  const seconds = (performance.now() - since) / 1000;
  progress.end();
  const [{ sha256 }] = await report;
  const same = hash.digest('hex') === sha256;
  const rate = (bytes / MIB / seconds).toFixed(0);
  await ended;
  console.log(`  ${size(bytes)} in ${seconds.toFixed(2)} s, ${rate} MiB/s (ssh2 sets the pace)`);
  console.log(`  SHA-256 at both ends ${same ? 'is the same' : 'DIFFERS'}: ${sha256.slice(0, 16)}...`);
  return !same && 'the received data differs from the sent data';
}

/** Closes a connection with data in flight; returns what went wrong. */
async function close(linger) {
  await tunnel.setLinger(linger);
  const opened = once(tunnel, 'connection');
  const ended = once(tunnel, 'disconnected');
  const sent = once(far, 'message');
  const socket = new net.Socket();
  socket.pause(); // nothing is read before the close
  socket.connect(tunnel.localPort, '127.0.0.1', () => socket.write(`${IN_FLIGHT} stay\n`));
  let bytes = 0;
  let end = '';
  socket.on('data', (chunk) => (bytes += chunk.length));
  socket.on('end', () => (end = endOf(socket)));
  socket.on('error', (error) => (end = error.code));
  socket.pause();
  const [{ connectionId }] = await opened;
  await sent;
  await receivedAll(connectionId);

  const since = performance.now();
  const disconnected = tunnel.disconnect(connectionId);
  if (linger) socket.resume(); // a graceful close waits for this, a hard one does not
  await disconnected;
  const took = performance.now() - since;
  socket.resume();
  // Not once(), which rejects when the reset is reported before the close.
  if (!socket.closed) await new Promise((closed) => socket.once('close', closed));
  const [report] = await ended;

  const row = [linger ? 'graceful' : 'hard', size(IN_FLIGHT), size(bytes), end, `${took.toFixed(1)} ms`];
  const widths = [12, 11, 18, 12, 0];
  console.log(`  ${row.map((cell, at) => cell.padEnd(widths[at])).join('')}`);
  const { bytesDown, droppedDown, unconfirmedDown } = report;
  // Before version 1703 of Windows 10, the system does not tell.
  const unknown = unconfirmedDown === 0 ? '' : `, ${unconfirmedDown} delivered or dropped`;
  console.log(`              the tunnel's report: ${bytesDown} bytes delivered, ${droppedDown} dropped${unknown}`);

  if (bytes < bytesDown || bytes > bytesDown + unconfirmedDown)
    return `the tunnel reports ${bytesDown} bytes, the client read ${bytes}`;
  if (linger) return (bytes !== IN_FLIGHT || end !== 'FIN') && 'a graceful close lost data';
  return end !== 'ECONNRESET' && `a hard close ended with ${end}`;
}

/**
 * Returns how the stream ended. Node.js emits 'end' if it finds the last bytes and a reset together; one more
 * read(2) returns nothing after FIN, and fails with ECONNRESET after a reset.
 */
function endOf(socket) {
  if (process.platform === 'win32') return 'FIN'; // there is no descriptor to read from
  try {
    readSync(socket._handle.fd, Buffer.alloc(1));
    return 'FIN';
  } catch (error) {
    return error.code;
  }
}

/** Waits until no more data arrives without being read. */
async function receivedAll(connectionId) {
  for (let last = -1, quiet = 0; quiet < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const connections = await tunnel.connections();
    const { bytesDown } = connections.find((it) => it.connectionId === connectionId);
    quiet = bytesDown === last ? quiet + 1 : 0;
    last = bytesDown;
  }
}

function size(bytes) {
  return `${(bytes / MIB).toFixed(2)} MiB`;
}

/** Progress bar: redrawn in place on a terminal, one line per quarter elsewhere. */
function Progress(total) {
  const terminal = process.stdout.isTTY;
  let shown = -1;
  this.show = (bytes) => {
    const step = Math.floor((bytes / total) * (terminal ? 40 : 4));
    if (step === shown) return;
    shown = step;
    const percent = `${Math.floor((bytes / total) * 100)} %`.padStart(5);
    if (terminal) process.stdout.write(`\r  [${'#'.repeat(step).padEnd(40)}] ${percent}`);
    else console.log(`  ${percent}  ${size(bytes)}`);
  };
  this.end = () => terminal && console.log();
}
