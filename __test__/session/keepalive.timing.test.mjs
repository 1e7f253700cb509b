// Keepalives: an unresponsive server is detected in time.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, behaviors, patternHash } from '../helpers/peers.mjs';
import { READABLE, Relay } from '../helpers/relay.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

test('keepalives detect an unresponsive server in time', async (t) => {
  const keepaliveInterval = 200;
  const keepaliveCountMax = 2;
  const options = { keepaliveInterval, keepaliveCountMax };
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo(), options);
  const client = await connect();
  await client.send(KIB);
  await client.received(KIB);
  server.freezeSessions();
  const since = performance.now();
  const end = await eventLog.next('disconnected');
  const waited = performance.now() - since;
  const limit = keepaliveInterval * (keepaliveCountMax + 1);
  assert.ok(waited <= limit + 300, `${waited} ms, not ${limit}`);
  assertIncludes(end, { code: 'ERR_SSH_DISCONNECTED', clean: false, closedBy: 'reset' });
  assertIncludes(await client.ended, { bytes: KIB, sha256: patternHash(KIB), end: 'ECONNRESET' });
  assert.equal((await eventLog.next('error')).code, 'ERR_SSH_DISCONNECTED');
  await eventLog.next('close');
  assert.equal(tunnel.listening, false);
});

// The server replies to keepalives, and the replies disappear in the packet.
test('a packet with a damaged length, which never ends, does not keep the session', async (t) => {
  let damage = false;
  const relay = await Relay.start(server.port, ({ bytes }) => {
    if (damage) bytes.writeUInt32BE(0x30000);
    damage = false;
    return bytes;
  });
  t.after(() => relay.stop());
  const login = { ...server.login, port: relay.port };
  const options = { keepaliveInterval: 200, keepaliveCountMax: 2, algorithms: READABLE };
  const { eventLog, connect } = await openTunnel(t, { login }, behaviors.echo(), options);
  const client = await connect();
  await client.send(KIB);
  await client.received(KIB);
  const { fromServer } = relay;
  damage = true;
  await client.send(KIB);
  assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
  assertIncludes(await eventLog.next('error'), { code: 'ERR_SSH_DISCONNECTED', lossReason: 'silent' });
  assert.ok(relay.fromServer > fromServer + KIB, 'the server was alive');
});
