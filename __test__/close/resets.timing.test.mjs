// Clients that reset during a transfer leave nothing behind.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, connect } from '../helpers/peers.mjs';
import { Child, descriptors } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, makeTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const targets = await Child.start('peer-process.mjs');
after(() => Promise.all([server.stop(), targets.stop()]));

test('2,000 clients that reset during a transfer leave nothing behind', { timeout: 90_000 }, async (t) => {
  const source = await targets.ask('behavior', 'endless', 4 * KIB);
  // In a process of its own, so that the clients' memory is not measured.
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const options = { ...server.login, forwardHost: '127.0.0.1', forwardPort: source };
  const port = await child.ask('listen', options);

  const one = async () => {
    const client = await connect(port);
    await client.received(64 * KIB);
    await client.reset();
  };
  const round = async (total, lanes) => {
    const lane = async () => {
      for (let turn = 0; turn < total / lanes; turn++) await one();
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    for (const end of await child.ask('ended', total)) {
      assert.deepEqual(end, { code: 'ECONNRESET', clean: false });
    }
    await targets.ask('forget', source);
    return child.ask('resources');
  };

  for (let turn = 0; turn < 2; turn++) await round(1000, 20);
  const before = await round(1000, 20); // what grows only once has grown
  const after = await round(2000, 20);
  assert.deepEqual(await child.ask('connections'), []);
  const grown = after.memory - before.memory;
  t.diagnostic(`memory ${(grown / MIB).toFixed(1)} MiB more`);
  assert.equal(after.descriptors, before.descriptors);
  assert.ok(grown < 4 * MIB, `${grown} bytes more`);

  // The session still works.
  const client = await connect(port);
  await client.received(8 * MIB);
  await client.reset();
});

test('clients that reset before their channel opens leave nothing behind', async (t) => {
  const echo = await targets.ask('behavior', 'echo');
  const tunnel = makeTunnel(t, server.login, echo);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  const before = descriptors();
  server.freezeSessions(); // no channel open is answered now
  for (let count = 0; count < 100; count++) {
    const client = await connect(tunnel.localPort);
    await client.send(KIB);
    await client.reset();
  }
  server.thawSessions();
  for (let count = 0; count < 100; count++) {
    assert.equal((await eventLog.next('disconnected')).code, 'ECONNRESET');
  }
  assert.deepEqual(await tunnel.promises.connections(), []);
  assert.equal(descriptors(), before);
  const client = await connect(tunnel.localPort);
  t.after(() => client.socket.destroy());
  await client.send(KIB);
  await client.received(KIB);
});
