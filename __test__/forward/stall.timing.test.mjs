// Connections that stop reading delay no other and cost one window each.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, behaviors, connect, settled } from '../helpers/peers.mjs';
import { Child } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { makeTunnel, openTunnel } from '../helpers/tunnels.mjs';

const WINDOW = 2 * MIB;
const server = await Sshd.start();
// The targets run in another process, so that this one measures only the echo's delays.
const targets = await Child.start('peer-process.mjs');
after(() => Promise.all([server.stop(), targets.stop()]));

/** The delays of this many echoes in milliseconds, sorted. */
async function echo(client, count) {
  const delays = [];
  for (let turn = 0; turn < count; turn++) {
    const since = performance.now();
    client.send(64);
    await client.received(client.bytes + 64);
    delays.push(performance.now() - since);
  }
  return delays.sort((a, b) => a - b);
}

test('eight stalled connections do not delay an echo', async (t) => {
  const ports = {
    fast: await targets.ask('behavior', 'endless', 256 * KIB),
    slow: await targets.ask('behavior', 'endless', 50),
    echo: await targets.ask('behavior', 'echo'),
  };
  // One session for all: the target's port is chosen by a small dispatcher of its own.
  const dispatcher = await targets.ask('dispatcher', ports);
  // In a process of its own, so that the clients' memory is not measured.
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const port = await child.ask('listen', { ...server.login, forwardHost: '127.0.0.1', forwardPort: dispatcher });
  const memory = async () => (await child.ask('resources')).memory;
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  const open = async (name, how) => {
    const client = await connect(port, how);
    clients.push(client);
    client.socket.write(`${name}\n`);
    return client;
  };

  const ninth = await open('echo');
  // Warm-up, which also allocates the buffers of the session.
  await ninth.send(16 * MIB);
  await ninth.received(16 * MIB);
  await echo(ninth, 100);
  const before = await memory();
  for (let count = 0; count < 4; count++) await open('fast', { read: false });
  for (let count = 0; count < 4; count++) await open('slow', { read: false });
  const sent = async () => {
    const reports = await targets.ask('reports', dispatcher);
    return reports.reduce((sum, report) => sum + report.sent, 0);
  };
  await settled(sent, 500);

  const delays = await echo(ninth, 300);
  const median = delays[150];
  const grown = (await memory()) - before;
  t.diagnostic(`echo median ${median.toFixed(2)} ms, p99 ${delays[297].toFixed(2)} ms`);
  t.diagnostic(`memory ${(grown / MIB).toFixed(1)} MiB more`);
  assert.ok(median < 5, `median ${median} ms`);
  assert.ok(grown < 8 * WINDOW, `${grown} bytes more`);
  assert.equal((await child.ask('connections')).length, 9);

  // They continue where they stopped.
  for (const client of clients.slice(1)) await client.read().received(client.bytes + 4 * MIB);
});

test('a stalled connection holds one window of 2 MiB at most', async (t) => {
  const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
  t.after(() => ssh2.stop());
  const { connect: through } = await openTunnel(t, ssh2, behaviors.idle());
  const client = await through({ read: false });
  const channel = await ssh2.nextChannel();
  assert.equal(channel.outgoing.window, WINDOW);
  channel.write(Buffer.alloc(32 * MIB));
  await settled(() => channel._chunk?.length ?? -1, 500);
  assert.equal(channel.outgoing.window, 0);
  // Beyond the window, only what the kernels buffer was accepted, and the window was adjusted for nothing else.
  const taken = 32 * MIB - channel._chunk.length;
  assert.ok(taken >= WINDOW && taken < 32 * MIB - WINDOW, `${taken} bytes taken`);
  await client.read().received(32 * MIB);
});

test('a stalled target delays no other connection', async (t) => {
  const ports = {
    deaf: await targets.ask('behavior', 'idle'),
    echo: await targets.ask('behavior', 'echo'),
  };
  const dispatcher = await targets.ask('dispatcher', ports);
  // Hard, because a graceful shutdown would wait for targets that never read.
  const tunnel = makeTunnel(t, server.login, dispatcher, { linger: false });
  await tunnel.promises.startListening();
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  for (let count = 0; count < 4; count++) {
    const client = await connect(tunnel.localPort);
    clients.push(client);
    client.socket.write('deaf\n');
    client.send(64 * MIB);
  }
  await settled(() => clients.reduce((sum, client) => sum + client.accepted, 0));
  const other = await connect(tunnel.localPort);
  clients.push(other);
  other.socket.write('echo\n');
  const delays = await echo(other, 300);
  assert.ok(delays[150] < 5, `median ${delays[150]} ms`);
});
