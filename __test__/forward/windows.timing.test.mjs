// Receive windows: they grow on a high-latency path, within the limits of the options.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Distance } from '../helpers/latency.mjs';
import { KIB, MIB, behaviors, connect, settled } from '../helpers/peers.mjs';
import { Child } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { openTunnel } from '../helpers/tunnels.mjs';
import { SSHTunnel } from '../../index.js';

const ONE_WAY = 50; // ms: 2 MiB in a round trip are 20 MiB/s
const server = await Sshd.start();
const targets = await Child.start('peer-process.mjs');
after(() => Promise.all([server.stop(), targets.stop()]));

/** A server that sends on its channels on request, and exposes their windows. */
async function open(t, way, options) {
  const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
  t.after(() => ssh2.stop());
  const port = await way(ssh2.port);
  return { ssh2, ...(await openTunnel(t, ssh2, behaviors.idle(), { port, ...options })) };
}

test('a window grows to windowLimit on a high-latency path', async (t) => {
  const remoteEnd = async (port) => {
    const distance = await Distance.start(port, ONE_WAY);
    t.after(() => distance.stop());
    return distance.port;
  };
  const { ssh2, connect: through } = await open(t, remoteEnd, { windowLimit: 5 * MIB });
  const client = await through();
  const channel = await ssh2.nextChannel();
  assert.equal(channel.outgoing.window, 2 * MIB);
  for (let sent = 0; sent < 80 * MIB; sent += MIB) {
    await new Promise((done) => channel.write(Buffer.alloc(MIB), done));
    assert.ok(channel.outgoing.window <= 5 * MIB);
  }
  await client.received(80 * MIB);
  // The window was adjusted for all but one portion.
  const window = await settled(() => channel.outgoing.window);
  assert.ok(window > 4 * MIB && window <= 5 * MIB, `${window} bytes`);
});

test('a window starts no larger than windowLimit', async (t) => {
  const { ssh2, connect: through } = await open(t, (port) => port, { windowLimit: 128 * KIB });
  const client = await through();
  const channel = await ssh2.nextChannel();
  assert.equal(channel.outgoing.window, 128 * KIB);
  channel.write(Buffer.alloc(8 * MIB));
  await client.received(8 * MIB);
});

test('connections share memoryLimit, and none starves', async (t) => {
  const { ssh2, tunnel, connect: through } = await open(t, (port) => port, { memoryLimit: 5 * MIB });
  const clients = [];
  const channels = [];
  for (let count = 0; count < 4; count++) {
    clients.push(await through());
    channels.push(await ssh2.nextChannel());
  }
  const windows = channels.map((channel) => channel.outgoing.window);
  assert.deepEqual(windows, [2 * MIB, 2 * MIB, 128 * KIB, 128 * KIB]);
  channels[3].write(Buffer.alloc(8 * MIB));
  await clients[3].received(8 * MIB);
  // A closed connection releases its memory.
  const [first] = await tunnel.promises.connections();
  channels[0].end();
  clients[0].end();
  await tunnel.promises.disconnect(first.connectionId).catch(() => {});
  await settled(async () => (await tunnel.promises.connections()).length);
  await through();
  assert.equal((await ssh2.nextChannel()).outgoing.window, 2 * MIB);
});

test('a client that stalls after a fast start costs at most windowLimit', async (t) => {
  const distance = await Distance.start(server.port, ONE_WAY);
  t.after(() => distance.stop());
  const forwardPort = await targets.ask('behavior', 'endless', 256 * KIB);
  // In a process of its own, so that the clients' memory is not measured.
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const windowLimit = 8 * MIB;
  const options = { port: distance.port, windowLimit, forwardHost: '127.0.0.1', forwardPort };
  const port = await child.ask('listen', { ...server.login, ...options });
  const memory = async () => (await child.ask('resources')).memory;
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  // Warm-up, which allocates every buffer of the session.
  clients.push(await connect(port));
  await clients[0].received(64 * MIB);
  clients[0].stall();
  const before = await settled(memory, 1000);
  clients[0].socket.destroy();
  for (let count = 0; count < 3; count++) {
    const client = await connect(port);
    clients.push(client);
    await client.received(64 * MIB);
    client.stall();
  }
  const grown = (await settled(memory, 1000)) - before;
  t.diagnostic(`memory ${(grown / MIB).toFixed(1)} MiB more`);
  assert.ok(grown < 3 * windowLimit, `${grown} bytes more`);
  // They continue where they stopped.
  for (const client of clients.slice(1)) await client.read().received(client.bytes + 16 * MIB);
});

test('invalid limits throw', () => {
  const make = (options) => new SSHTunnel({ ...server.login, forwardHost: 'db', forwardPort: 1, ...options });
  const refused = (options, message) =>
    assert.throws(() => make(options), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE', message });
  const least = 128 * KIB;
  make({ windowLimit: least, memoryLimit: least });
  make({ windowLimit: 2 ** 30 });
  make({ memoryLimit: least });
  make({ memoryLimit: Number.MAX_SAFE_INTEGER });
  refused({ windowLimit: least - 1 }, /"options\.windowLimit".* >= 131072 && <= 1073741824\. Received 131_?071/);
  refused({ windowLimit: 2 ** 30 + 1 }, /"options\.windowLimit"/);
  refused({ windowLimit: 1e6 + 0.5 }, /"options\.windowLimit".* an integer/);
  refused({ windowLimit: 4 * MIB, memoryLimit: 4 * MIB - 1 }, /"options\.memoryLimit".* >= 4194304 /);
  refused({ memoryLimit: 1 }, /"options\.memoryLimit".* >= 131072 /);
  for (const name of ['windowLimit', 'memoryLimit']) {
    for (const value of ['1', null, 5n]) {
      assert.throws(() => make({ [name]: value }), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
    }
  }
});
