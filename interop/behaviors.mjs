// Behaviors of a server apart from its algorithms. Each case throws if it fails.

import assert from 'node:assert/strict';

import { MIB, behaviors, patternHash, refuses } from '../__test__/helpers/peers.mjs';
import { freePort } from '../__test__/helpers/daemon.mjs';
import { assertIncludes, openRemote, openTunnel } from '../__test__/helpers/tunnels.mjs';

/** Sent each way by default. */
const SIZE = 8 * MIB;

/** Sends data to an echo target and receives all of it before the stream ends. */
export async function exchange({ connect, target }, size) {
  const client = await connect();
  await Promise.all([client.send(size), client.received(size)]);
  const remote = await target.next();
  const whole = { bytes: size, sha256: patternHash(size), end: null };
  assertIncludes(client.report(), whole);
  assertIncludes(remote.report(), whole);
  return { client, remote };
}

/** The report of a connection that both ends ended. */
const BOTH_ENDED = { code: 'OK', clean: true, closedBy: 'graceful', droppedUp: 0, droppedDown: 0 };

/** The local client ends its direction before the reply starts. */
async function halfClose(t, login) {
  const open = await openTunnel(t, { login }, behaviors.replier(SIZE));
  const client = await open.connect();
  await client.send(MIB);
  client.end();
  assertIncludes(await client.ended, { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' });
  assertIncludes(await (await open.target.next()).ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  assertIncludes(await open.eventLog.next('disconnected'), { ...BOTH_ENDED, bytesUp: MIB, bytesDown: SIZE });
}

/** The target ends first; data that the local client sends afterwards still arrives. */
async function remoteHalfClose(t, login) {
  const open = await openTunnel(t, { login }, async (peer) => {
    peer.read();
    await peer.send(MIB);
    peer.end();
  });
  const client = await open.connect();
  assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  await client.send(SIZE);
  client.end();
  assertIncludes(await (await open.target.next()).ended, { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' });
  assertIncludes(await open.eventLog.next('disconnected'), { ...BOTH_ENDED, bytesUp: SIZE, bytesDown: MIB });
}

/** A remote forward. */
async function remoteForward(t, login, remotePort) {
  const open = await openRemote(t, { login }, behaviors.echo(), { remote: { remoteHost: '127.0.0.1', remotePort } });
  if (remotePort !== 0) assert.equal(open.forward.remotePort, remotePort);
  await exchange(open, SIZE);
  return open;
}

/** A stopped remote forward; its connections stay open. */
async function cancel(t, login) {
  const open = await remoteForward(t, login, await freePort());
  const client = await open.connect();
  await client.send(MIB);
  await client.received(MIB);
  await open.forward.promises.stop();
  assert.ok(await refuses(open.forward.remotePort), 'the server goes on to listen');
  await client.send(MIB);
  await client.received(2 * MIB);
}

/** Both directions at once, while only the server rekeys. */
async function rekeyByServer(t, login, { rekeyingPort, rekeys }) {
  const open = await openTunnel(t, { login: { ...login, port: rekeyingPort } }, behaviors.echo());
  const before = rekeys();
  await exchange(open, SIZE);
  // One key exchange belongs to the connect. The number of further ones depends on the speed of the server.
  assert.ok(rekeys() - before >= 2, `keys were changed ${rekeys() - before} times`);
}

/** The server dies during transfers both ways. */
async function killed(t, login, { kill }) {
  const open = await openTunnel(t, { login }, (peer) => {
    peer.read();
    peer.send(Infinity);
  });
  const client = await open.connect();
  await client.send(MIB);
  const remote = await open.target.next();
  await remote.received(MIB);
  await client.received(SIZE);
  kill();
  const { bytes, sha256, end } = await client.ended;
  assert.equal(end, 'ECONNRESET');
  assert.equal(sha256, patternHash(bytes), 'what was delivered is what was sent');
  const counts = { bytesUp: MIB, droppedUp: 0, bytesDown: bytes, droppedDown: 0 };
  assertIncludes(await open.eventLog.next('disconnected'), {
    code: 'ERR_SSH_DISCONNECTED',
    clean: false,
    closedBy: 'reset',
    ...counts,
  });
}

/**
 * By name; each gets the test context, the options of a tunnel that connects, and a server. `fatal` ones
 * have a server of their own.
 */
export const BEHAVIORS = {
  'half-close by the local client': { run: halfClose },
  'half-close by the target': { run: remoteHalfClose },
  'remote forward': { run: async (t, login) => remoteForward(t, login, await freePort()) },
  'remote forward, port 0': { run: (t, login) => remoteForward(t, login, 0) },
  'remote forward, cancelled': { run: cancel },
  'rekey by the server during a transfer': { run: rekeyByServer },
  'server killed during a transfer': { run: killed, fatal: true },
};
