// Keepalives: an unresponsive server is detected in time.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, behaviors, patternHash } from '../helpers/peers.mjs';
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
