// Tunnels under test: opened, logged and cleaned up.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';

import { SSHTunnel } from '../../index.js';
import { KIB, Target, behaviors, connect, patternHash } from './peers.mjs';
import { RemoteTunnel } from './remote-tunnel.mjs';
import { Ssh2Server } from './ssh2-server.mjs';

const EVENTS = ['listening', 'connection', 'disconnected', 'ready', 'reconnecting', 'sessionError', 'error', 'close'];

/** Records the events of a tunnel in order. */
export class EventLog {
  entries = [];
  #read = new Map();
  #news = new EventEmitter().setMaxListeners(0);

  constructor(tunnel) {
    for (const name of EVENTS) {
      tunnel.on(name, (payload) => {
        this.entries.push({ name, payload });
        this.#news.emit('entry');
      });
    }
  }

  /** The payload of the next event of that name. Each event is returned once, and none is missed. */
  async next(name) {
    const from = this.#read.get(name) ?? 0;
    for (let at = from; ; at++) {
      while (at >= this.entries.length) await once(this.#news, 'entry');
      if (this.entries[at].name !== name) continue;
      this.#read.set(name, at + 1);
      return this.entries[at].payload;
    }
  }

  /** Forgets all entries: long tests would measure the memory of the log. */
  forget() {
    this.entries.length = 0;
    this.#read.clear();
  }

  names() {
    return this.entries.map(({ name }) => name);
  }

  all(name) {
    return this.entries.filter((entry) => entry.name === name).map(({ payload }) => payload);
  }
}

/** Tunnels of this process, or of another platform's. */
const Tunnel = process.env.TUNNEL_HOST ? RemoteTunnel : SSHTunnel;

/** A tunnel that is not started; shut down after the test. */
export function makeTunnel(t, login, forwardPort, options) {
  const tunnel = new Tunnel({ ...login, forwardHost: '127.0.0.1', forwardPort, ...options });
  t.after(() => tunnel.promises.shutdown(), { timeout: 10_000 });
  return tunnel;
}

/**
 * A target, a listening tunnel to it, its event log, and a function that connects through it. After the
 * test, clients and target are closed first, so that the shutdown has nothing to wait for.
 */
export async function openTunnel(t, server, behavior, options) {
  const target = await Target.start(behavior);
  const clients = [];
  t.after(async () => {
    for (const { socket } of clients) socket.destroy();
    await target.stop();
  });
  const tunnel = makeTunnel(t, server.login, target.port, options);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  const connectThrough = async (how) => {
    const client = await connect(how?.port ?? tunnel.localPort, how);
    clients.push(client);
    return client;
  };
  return { tunnel, eventLog, target, connect: connectThrough };
}

/** A tunnel without the constructor's forward, and its event log. */
export function withoutForward(t, login, options) {
  const tunnel = makeTunnel(t, login, undefined, { forwardHost: undefined, ...options });
  return { tunnel, eventLog: new EventLog(tunnel) };
}

/** A tunnel with only a dynamic forward. */
export async function openDynamic(t, { login }, options, forwardOptions = {}) {
  const { tunnel, eventLog } = withoutForward(t, login, options);
  const forward = await tunnel.promises.forwardDynamic(forwardOptions);
  return { tunnel, eventLog, forward, port: forward.localPort };
}

/** A tunnel through an ssh2 server, and a client that has connected. */
export async function openScripted(t, { onOpen = (open) => open.accept(), options, how } = {}) {
  const ssh2 = await Ssh2Server.start({ onOpen });
  t.after(() => ssh2.stop());
  const opened = await openTunnel(t, ssh2, behaviors.idle(), options);
  return { ...opened, ssh2, client: await opened.connect(how) };
}

/**
 * A local target, a tunnel without the constructor's forward, a remote forward to the
 * target, and a function that connects to it at the server, which is this machine. After the test, clients
 * and target are closed first.
 * @param options.path of a Unix socket for the target, in place of a port
 */
export async function openRemote(t, server, behavior, { options, remote, path } = {}) {
  const target = await Target.start(behavior, path);
  const clients = [];
  t.after(async () => {
    for (const { socket } of clients) socket.destroy();
    await target.stop();
  });
  const tunnel = makeTunnel(t, server.login, undefined, { forwardHost: undefined, ...options });
  const eventLog = new EventLog(tunnel);
  const to = path === undefined ? { forwardHost: '127.0.0.1', forwardPort: target.port } : { forwardPath: path };
  // Of a port that it chooses for localhost, sshd may get one family only, and another process has the other.
  const where = remote?.remotePort === undefined ? { remoteHost: '127.0.0.1' } : {};
  const forward = await tunnel.promises.forwardRemote({ ...where, ...to, ...remote });
  const connectThrough = async (how) => {
    const client = await connect(forward.remotePort, how);
    clients.push(client);
    return client;
  };
  return { tunnel, eventLog, target, forward, connect: connectThrough };
}

/** Sends data through an open tunnel to an echo, and checks both ends and the report. */
export async function roundTrip({ eventLog, target, connect }, size = KIB) {
  const client = await connect();
  await client.send(size);
  client.end();
  const whole = { bytes: size, sha256: patternHash(size), end: 'FIN' };
  assertIncludes(await client.ended, whole);
  assertIncludes(await (await target.next()).ended, whole);
  const counts = { bytesUp: size, bytesDown: size };
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true, ...counts });
}

/** Sends data through an open connection to an echo, and ends it. */
export async function assertEcho(peer, size = KIB) {
  peer.read();
  await peer.send(size);
  peer.end();
  assertIncludes(await peer.ended, { bytes: size, sha256: patternHash(size), end: 'FIN' });
}

/** Compares the members that `expected` names. */
export function assertIncludes(actual, expected) {
  const named = Object.keys(expected).map((name) => [name, actual[name]]);
  assert.deepEqual(Object.fromEntries(named), expected);
}

/** The one connection that a tunnel has. */
export async function only(tunnel) {
  const connections = await tunnel.promises.connections();
  assert.equal(connections.length, 1);
  return connections[0];
}

/** Waits until the tunnel has accepted this many connections, and returns them. A client is connected before that. */
export async function listed(tunnel, count) {
  for (;;) {
    const connections = await tunnel.promises.connections();
    if (connections.length >= count) return connections;
  }
}
