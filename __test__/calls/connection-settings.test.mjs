// The settings of one connection: idle timeout and keep-alive.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { behaviors } from '../helpers/peers.mjs';
import { portName } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** An open connection, with its client. */
async function openConnection(it) {
  const client = await it.connect();
  const info = await it.eventLog.next('connection');
  return { client, connection: info };
}

test('an idle timeout of one connection closes that one', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  const first = await openConnection(it);
  const second = await openConnection(it);
  await second.connection.promises.setIdleTimeout(50);
  assertIncludes(await it.eventLog.next('disconnected'), {
    connectionId: second.connection.connectionId,
    code: 'ETIMEDOUT',
  });
  assertIncludes(await second.client.ended, { end: 'FIN' });
  const [left] = await it.tunnel.promises.connections();
  assertIncludes(left, { connectionId: first.connection.connectionId, state: 'open' });
});

test('an idle timeout of 0 keeps a connection that the timeout of the tunnel would close', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo(), { idleTimeout: 200 });
  const first = await openConnection(it);
  first.connection.setIdleTimeout(0);
  const second = await openConnection(it);
  // The second one has begun later: the time of the first is over when it ends.
  assertIncludes(await it.eventLog.next('disconnected'), { connectionId: second.connection.connectionId });
  const [left] = await it.tunnel.promises.connections();
  assertIncludes(left, { connectionId: first.connection.connectionId, state: 'open' });
});

const skip = process.platform === 'linux' ? false : 'it reads /proc/net/tcp';

/** The timer of the tunnel's socket: its kind, 2 for keep-alive, and the seconds until it is over. */
function timerOf({ localPort, remotePort }) {
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/));
  const found = fields.find(
    ([, local, remote]) => local?.endsWith(portName(localPort)) && remote?.endsWith(portName(remotePort)),
  );
  const [kind, ticks] = found[5].split(':').map((text) => parseInt(text, 16));
  return { kind, seconds: ticks / 100 };
}

test('keep-alive of one connection is that of its local socket', { skip }, async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  const { connection } = await openConnection(it);
  assert.notEqual(timerOf(connection).kind, 2);
  connection.setKeepAlive(true, 60_000);
  const { kind, seconds } = timerOf(connection);
  assert.equal(kind, 2);
  assert.ok(seconds > 50 && seconds <= 60.1, `${seconds} s`);
  await connection.promises.setKeepAlive(false);
  assert.notEqual(timerOf(connection).kind, 2);
  await new Promise((resolve, reject) => connection.setKeepAlive(true, (error) => (error ? reject(error) : resolve())));
  assert.equal(timerOf(connection).kind, 2);
});

test('bad values are refused', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  const { client, connection } = await openConnection(it);
  assert.throws(() => connection.setIdleTimeout(-1), { code: 'ERR_OUT_OF_RANGE', message: /idleTimeout/ });
  assert.throws(() => connection.setKeepAlive(1), { code: 'ERR_INVALID_ARG_TYPE', message: /enable/ });
  assert.throws(() => connection.setKeepAlive(true, '1'), { code: 'ERR_INVALID_ARG_TYPE', message: /initialDelay/ });
  client.reset();
  await it.eventLog.next('disconnected');
  for (const call of [
    () => connection.setIdleTimeout(1),
    () => connection.setKeepAlive(true),
    () => connection.setMaxRate(1),
    () => connection.getMaxRate(),
  ])
    assert.throws(call, { code: 'ERR_TUNNEL_NO_CONNECTION' });
});
