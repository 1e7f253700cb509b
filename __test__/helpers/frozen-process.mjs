// A program with a tunnel that its parent freezes with SIGSTOP, and that reports what it saw.

import { once } from 'node:events';
import net from 'node:net';

import { PATTERN } from './peers.mjs';
import { answer } from './process.mjs';
import { SO_LINGER, SSHTunnel, promises, setsockopt } from '../../index.js';

let tunnel;
let connecting;
let closing;
const seen = { errors: [], ends: [], opened: 0, losses: [], sessions: 0 };
const approvals = [];

function write(socket, size) {
  for (let left = size; left > 0; left -= PATTERN.length) socket.write(PATTERN.subarray(0, left));
}

answer({
  /** @param approves whether connections wait for `approve()` */
  async listen(options, { approves = false, dynamic = false } = {}) {
    tunnel = new SSHTunnel(options);
    tunnel.on('error', ({ code, message }) => seen.errors.push({ code, message }));
    tunnel.on('connection', () => seen.opened++);
    tunnel.on('reconnecting', ({ error: { code, lossReason, message } }) =>
      seen.losses.push({ code, lossReason, message }),
    );
    tunnel.on('ready', () => seen.sessions++);
    tunnel.on('disconnected', ({ code, reason, clean, lingerExpired }) =>
      seen.ends.push({ code, reason, clean, lingerExpired }),
    );
    if (approves) tunnel.on('connectionRequest', (request) => approvals.push(request));
    if (dynamic) return (await tunnel.promises.forwardDynamic({})).localPort;
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },
  /** Starts to connect without waiting. */
  begin(options) {
    tunnel = new SSHTunnel(options);
    tunnel.on('error', ({ code, message }) => seen.errors.push({ code, message }));
    connecting = tunnel.promises.connect();
    connecting.catch(() => {});
  },
  /** How that ended. */
  connected: () => connecting,
  async approvals(count) {
    while (approvals.length < count) await once(tunnel, 'connectionRequest');
  },
  approve: () => approvals.shift().accept(),
  states: async () => (await tunnel.promises.connections()).map(({ state }) => state),
  /** Waits until the only connection is there, and its socket has accepted this many bytes for the local client. */
  async taken(size) {
    for (let taken = 0; taken < size; ) {
      const [connection] = await tunnel.promises.connections();
      taken = connection?.bytesDown ?? 0;
    }
  },
  /** Closes the only connection without waiting. */
  async disconnect() {
    const [{ connectionId }] = await tunnel.promises.connections();
    tunnel.promises.disconnect(connectionId).catch(() => {});
  },
  close(timeout) {
    tunnel.promises.close({ timeout }).catch(() => {});
  },
  /** Begins to close a socket by `linger` that has written so much to a port of this machine. */
  async closesocket(port, linger, size) {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    write(socket, size);
    setsockopt(socket, SO_LINGER, linger);
    closing = promises.closesocket(socket);
    closing.catch(() => {});
  },
  /** Likewise a socket of dial(), by the tunnel's Linger. */
  async destroy(port, size) {
    const socket = await tunnel.promises.dial('127.0.0.1', port);
    write(socket, size);
    closing = once(socket, 'close');
    socket.destroy();
  },
  /** Its result. */
  closed: () => closing,
  /** The events of the tunnel, once this many connections have ended. */
  async seen(ends = 0) {
    while (seen.ends.length < ends) await once(tunnel, 'disconnected');
    return seen;
  },
  /** The events of the tunnel, once it has had this many sessions. */
  async reconnected(sessions) {
    while (seen.sessions < sessions) await once(tunnel, 'ready');
    return seen;
  },
  /** The events of the tunnel, once its session is disconnected. */
  async lost() {
    while (seen.errors.length === 0) await once(tunnel, 'error');
    return seen;
  },
});
