// The SSH sessions of a tunnel, as the server sees them.

import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';

import { behaviors, exchange, patternHash } from './peers.mjs';
import { hasSocket, portName, tcpSockets } from './process.mjs';
import { assertIncludes, openTunnel } from './tunnels.mjs';

/** The number of authentications. */
export const logons = (server) => server.log().match(/^Accepted publickey/gm)?.length ?? 0;

/** The sshd process that has the socket of a connection to the target. */
export function sessionOf(server, { socket }) {
  const [near, remoteEnd] = [socket.remotePort, socket.localPort].map(portName);
  const { inode } = tcpSockets().find(({ local, remote }) => local.endsWith(near) && remote.endsWith(remoteEnd));
  return server.sessions().find((pid) => hasSocket(pid, inode));
}

/** A connection, its end at the target, and its session. */
export async function open(it) {
  const client = await it.connect();
  const peer = await it.target.next();
  const { connectionId: id } = await it.eventLog.next('connection');
  return { client, peer, id, session: sessionOf(it.server, peer) };
}

/** Ends a connection and waits for its report. */
export async function leave(it, { client }) {
  client.end();
  await client.ended;
  await it.eventLog.next('disconnected');
  await it.tunnel.promises.connections();
}

/** Waits for this many authentications in total. */
export function loggedOn(server, count) {
  return server.logged(
    new RegExp(`(?:^Accepted publickey[^\\n]*\\n(?:(?!Accepted publickey)[^\\n]*\\n)*){${count}}`, 'm'),
  );
}

/** A tunnel with one connection through each of this many sessions. There is no event for a further session. */
export async function openSessions(t, server, sessions, options) {
  const before = logons(server);
  const it = { server, ...(await openTunnel(t, server, behaviors.echo(), { sessions, ...options })) };
  const found = [];
  while (found.length < sessions) {
    const one = await open(it);
    assert.notEqual(one.session, undefined);
    if (found.some(({ session }) => session === one.session)) {
      await leave(it, one);
      await loggedOn(server, before + found.length + 1); // this one makes the tunnel start the next session
    } else {
      found.push(one);
    }
  }
  return { ...it, found };
}

/** A tunnel to an echo with as many sessions as it needs. */
export async function openAuto(t, server, options) {
  return { server, ...(await openTunnel(t, server, behaviors.echo(), { sessions: 'auto', ...options })) };
}

/** Connections that have each got an answer. */
export async function openMany(it, count) {
  const clients = await Promise.all(Array.from({ length: count }, () => it.connect()));
  await Promise.all(clients.map((client) => exchange(client, 1)));
  return clients;
}

/** Sends data to the echo and back, and ends. */
export async function transfer(client, size) {
  await client.send(size);
  client.end();
  assertIncludes(await client.ended, { bytes: size, sha256: patternHash(size), end: 'FIN' });
}

/** The number of connections to a target by the sshd process that has them. */
export function countBySession(server, { port }) {
  const remote = portName(port);
  const sockets = tcpSockets().filter((socket) => !socket.listens && socket.remote.endsWith(remote));
  const names = new Set(sockets.map(({ inode }) => `socket:[${inode}]`));
  const counts = server.sessions().map((pid) => [pid, descriptors(pid).filter((name) => names.has(name)).length]);
  return new Map(counts.filter(([, count]) => count > 0));
}

/** What the descriptors of a process are; either may have gone since it was listed. */
function descriptors(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return '';
      }
    });
  } catch {
    return [];
  }
}
