// tunnel.state, at each step and in each event.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, Target, behaviors, exchange } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { openTunnel, only, withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** Records the state in which each event finds its tunnel. */
function states(tunnel) {
  const seen = [];
  for (const event of ['ready', 'reconnecting', 'error', 'close'])
    tunnel.on(event, () => seen.push([event, tunnel.state]));
  return seen;
}

test('a tunnel is idle, connecting, ready, closing and closed, and begins again', async (t) => {
  const { tunnel } = withoutForward(t, server.login);
  const seen = states(tunnel);
  assert.equal(tunnel.state, 'idle');
  for (const expected of [1, 2]) {
    const connected = tunnel.promises.connect();
    assert.equal(tunnel.state, 'connecting');
    await connected;
    assert.equal(tunnel.state, 'ready');
    await tunnel.promises.shutdown();
    assert.equal(tunnel.state, 'closed');
    assert.deepEqual(seen.slice(-2), [
      ['ready', 'ready'],
      ['close', 'closed'],
    ]);
    assert.equal(seen.length, 2 * expected);
  }
});

test('a tunnel whose connections still end is closing', async (t) => {
  const { tunnel, connect } = await openTunnel(t, server, behaviors.echo());
  const client = await connect();
  await exchange(client, KIB);
  const closed = tunnel.close();
  await only(tunnel);
  assert.equal(tunnel.state, 'closing');
  client.end();
  await closed;
  assert.equal(tunnel.state, 'closed');
});

test('a tunnel that could not connect is idle', async (t) => {
  const { tunnel } = withoutForward(t, { ...server.login, username: 'nobody-of-this-name' });
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_AUTH' });
  await tunnel.promises.connections();
  assert.equal(tunnel.state, 'idle');
});

test('a tunnel whose connect() is aborted is idle', async (t) => {
  const silent = await Target.start((peer) => peer.read());
  t.after(() => silent.stop());
  const { tunnel } = withoutForward(t, { ...server.login, port: silent.port });
  const controller = new AbortController();
  const connected = tunnel.promises.connect({ signal: controller.signal });
  await silent.next();
  assert.equal(tunnel.state, 'connecting');
  controller.abort();
  await assert.rejects(connected, { code: 'ABORT_ERR' });
  await tunnel.promises.connections();
  assert.equal(tunnel.state, 'idle');
});

test('a tunnel that restores its session is reconnecting', async (t) => {
  const restarted = await Sshd.start();
  t.after(() => restarted.stop());
  // Longer than anything may take that comes between the event and its listener.
  const { tunnel } = withoutForward(t, restarted.login, { reconnect: { initialDelay: 60_000 } });
  await tunnel.promises.connect();
  const lost = once(tunnel, 'reconnecting');
  restarted.killSessions();
  await lost;
  assert.equal(tunnel.state, 'reconnecting');
  await tunnel.promises.shutdown();
});

test('a tunnel whose session is restored is ready', async (t) => {
  const restarted = await Sshd.start();
  t.after(() => restarted.stop());
  const { tunnel } = withoutForward(t, restarted.login, { reconnect: { initialDelay: 50 } });
  const seen = states(tunnel);
  await tunnel.promises.connect();
  const restored = new Promise((resolve) => tunnel.once('ready', resolve));
  restarted.killSessions();
  await restored;
  assert.deepEqual(seen.at(-1), ['ready', 'ready']);
});

test('a tunnel whose session is lost for good is closed', async (t) => {
  const lost = await Sshd.start();
  t.after(() => lost.stop());
  const { tunnel } = withoutForward(t, lost.login);
  const seen = states(tunnel);
  await tunnel.promises.connect();
  lost.killSessions();
  await new Promise((resolve) => tunnel.once('close', resolve));
  assert.deepEqual(seen, [
    ['ready', 'ready'],
    ['error', 'closed'],
    ['close', 'closed'],
  ]);
});
