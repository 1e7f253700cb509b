// Connections of a dynamic forward during their SOCKS handshake: listed, closed, configured, and kept across a reconnect.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, Target, behaviors, refuses } from '../helpers/peers.mjs';
import { GRANTED, ask5, connectSocks, greeting, request5, take, reply5 } from '../helpers/socks.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertEcho, assertIncludes, listed, openDynamic } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());
const echo = await Target.start(behaviors.echo());
after(() => echo.stop());
async function openSsh2(t, onOpen) {
  const ssh2 = await Ssh2Server.start({ onOpen });
  t.after(() => ssh2.stop());
  return ssh2;
}

test('connections during the handshake are listed and can be closed', async (t) => {
  const { tunnel, eventLog, forward, port } = await openDynamic(t, server);
  const peer = await connectSocks(port);
  peer.read();
  const [info] = await listed(tunnel, 1);
  const { forwardId } = forward;
  assertIncludes(info, {
    forwardId,
    state: 'negotiating',
    forwardHost: undefined,
    forwardPort: undefined,
    bytesUp: 0,
    bytesDown: 0,
  });
  await tunnel.promises.disconnect(info.connectionId);
  assert.equal((await peer.ended).end, 'ECONNRESET');
  assertIncludes(await eventLog.next('disconnected'), { forwardId, code: 'ECONNABORTED', closedBy: 'reset' });

  const last = await connectSocks(port);
  last.read();
  await listed(tunnel, 1);
  await tunnel.promises.shutdown();
  assert.equal((await last.ended).end, 'ECONNRESET');
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNABORTED' });
});

test('disconnect() while the channel opens resets without a reply', async (t) => {
  const ssh2 = await openSsh2(t, () => {}); // never answers
  const { tunnel, eventLog, port } = await openDynamic(t, ssh2);
  for (const close of [
    ({ connectionId }) => tunnel.promises.disconnect(connectionId),
    () => tunnel.promises.shutdown(),
  ]) {
    const peer = await connectSocks(port);
    peer.socket.write(Buffer.concat([greeting(0), request5('remoteEnd', 80)]));
    await take(peer, 2);
    let [connection] = await listed(tunnel, 1);
    while (connection.state !== 'opening') [connection] = await listed(tunnel, 1);
    peer.read();
    await close(connection);
    assertIncludes(await peer.ended, { bytes: 0, end: 'ECONNRESET' });
    assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNABORTED', closedBy: 'reset' });
  }
});

test('settings made during the handshake apply to the open connection', async (t) => {
  const { tunnel, eventLog, port } = await openDynamic(t, server);
  const peer = await connectSocks(port);
  const [connection] = await listed(tunnel, 1);
  await connection.promises.setLinger(false);
  assert.equal(await connection.promises.getLinger(), false);
  peer.socket.write(Buffer.concat([greeting(0), request5('127.0.0.1', echo.port)]));
  await take(peer, 2);
  assert.equal(await reply5(peer), GRANTED);
  const { connectionId, linger } = await eventLog.next('connection');
  assert.deepEqual([connectionId, linger], [connection.connectionId, { l_onoff: 1, l_linger: 0 }]);
  await assertEcho(peer);
});

test('a final disconnect ends pending handshakes', async (t) => {
  const ssh2 = await openSsh2(t);
  const { tunnel, eventLog, forward, port } = await openDynamic(t, ssh2);
  const peer = await connectSocks(port);
  peer.read();
  await listed(tunnel, 1);
  ssh2.dropSessions();
  assert.equal((await peer.ended).end, 'ECONNRESET');
  assertIncludes(await eventLog.next('disconnected'), { code: 'ERR_SSH_DISCONNECTED', closedBy: 'reset' });
  await eventLog.next('close');
  assert.equal(forward.listening, false);
});

test('stop() closes the port and keeps open connections and pending handshakes', async (t) => {
  const { tunnel, forward, port } = await openDynamic(t, server);
  const { peer, code } = await ask5(port, '127.0.0.1', echo.port);
  assert.equal(code, GRANTED);
  const late = await connectSocks(port);
  await listed(tunnel, 2);
  await forward.promises.stop();
  assert.equal(forward.listening, false);
  assert.deepEqual(tunnel.forwards(), []);
  assert.equal(await refuses(port), true);
  late.socket.write(Buffer.concat([greeting(0), request5('127.0.0.1', echo.port)]));
  await take(late, 2);
  assert.equal(await reply5(late), GRANTED);
  await assertEcho(late);
  await assertEcho(peer);
});

test('close() waits for pending handshakes', async (t) => {
  const { tunnel, port } = await openDynamic(t, server);
  const peer = await connectSocks(port);
  await listed(tunnel, 1);
  const closed = tunnel.close();
  peer.socket.write(Buffer.concat([greeting(0), request5('127.0.0.1', echo.port)]));
  await take(peer, 2);
  assert.equal(await reply5(peer), GRANTED);
  await assertEcho(peer);
  await closed;
});

test('the port and pending requests survive a reconnect', async (t) => {
  const { tunnel, eventLog, forward, port } = await openDynamic(t, server, {
    reconnect: { initialDelay: 20, maxDelay: 100 },
  });
  const { peer } = await ask5(port, '127.0.0.1', echo.port);
  await peer.read().send(KIB);
  await peer.received(KIB);
  await server.halt();
  assertIncludes(await peer.ended, { bytes: KIB, end: 'ECONNRESET' });
  await eventLog.next('reconnecting');
  const asking = ask5(port, '127.0.0.1', echo.port);
  await listed(tunnel, 1);
  await server.restart();
  const { peer: next, code } = await asking;
  assert.equal(code, GRANTED);
  await assertEcho(next);
  assert.deepEqual([forward.listening, forward.localPort], [true, port]);
  for (const never of ['error', 'close']) assert.deepEqual(eventLog.all(never), []);
});
