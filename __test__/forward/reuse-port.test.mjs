// One local port for several tunnels: of processes, of cluster workers, of threads. docs/processes.md describes the
// results.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, Target, behaviors, connect, exchange, patternHash, refuses } from '../helpers/peers.mjs';
import { Child } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, makeTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const target = await Target.start(behaviors.echo());
after(() => Promise.all([server.stop(), target.stop()]));

const options = (more) => ({ ...server.login, forwardHost: '127.0.0.1', forwardPort: target.port, ...more });
const sharing = (localPort) => options({ localPort, reusePort: true });
const taken = (port) => ({ code: 'EADDRINUSE', syscall: 'listen', address: '127.0.0.1', port });

async function start(t, file) {
  const child = await Child.start(file);
  t.after(() => child.stop());
  return child;
}

/**
 * Connects until each of those who share the port has a connection: which one gets it, the system
 * decides. Gives the clients of each.
 * @param lists gives the connections of each, as tunnels list them
 */
async function connectToAll(t, port, lists) {
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  for (;;) {
    const client = await connect(port);
    clients.push(client);
    await exchange(client); // it was accepted
    const ports = (await lists()).map((list) => list.map(({ remotePort }) => remotePort));
    if (ports.some((list) => list.length === 0)) continue;
    const dealt = ports.map((list) => clients.filter(({ socket }) => list.includes(socket.localPort)));
    assert.equal(dealt.flat().length, clients.length);
    return dealt;
  }
}

/** After one of those sharing the port has ended: its clients are reset, the others are not. */
async function assertGone(port, lost, kept) {
  for (const client of lost)
    assertIncludes(await client.ended, { bytes: KIB, sha256: patternHash(KIB), end: 'ECONNRESET' });
  for (const client of kept) await exchange(client);
  for (let count = 0; count < 20; count++) {
    const client = await connect(port);
    await exchange(client);
    client.socket.destroy();
  }
}

test('a port is not shared unless both tunnels set reusePort', async (t) => {
  const first = makeTunnel(t, server.login, target.port);
  await first.promises.startListening();
  const { localPort } = first;
  for (const reusePort of [false, true]) {
    const second = makeTunnel(t, server.login, target.port, { localPort, reusePort });
    await assert.rejects(second.promises.startListening(), taken(localPort));
  }
  const third = makeTunnel(t, server.login, target.port, { reusePort: true });
  await third.promises.startListening();
  const alone = makeTunnel(t, server.login, target.port, { localPort: third.localPort });
  await assert.rejects(alone.promises.startListening(), taken(third.localPort));
});

test('forwardLocal() and forwardDynamic() share ports with reusePort', async (t) => {
  const [first, second] = [
    makeTunnel(t, server.login, target.port, { reusePort: true }),
    makeTunnel(t, server.login, target.port, { reusePort: true }),
  ];
  for (const [method, options] of [
    ['forwardLocal', { forwardHost: '127.0.0.1', forwardPort: target.port }],
    ['forwardDynamic', {}],
  ]) {
    const { localPort } = await first.promises[method](options);
    const again = await second.promises[method]({ ...options, localPort });
    assert.equal(again.localPort, localPort);
    const alone = makeTunnel(t, server.login, target.port);
    await assert.rejects(alone.promises[method]({ ...options, localPort }), taken(localPort));
  }
});

for (const [how, end] of Object.entries({
  killed: (child) => child.stop(),
  'shut down': (child) => child.ask('shutdown'),
})) {
  test(`two processes share a port, and one continues when the other is ${how}`, async (t) => {
    const children = [await start(t, 'tunnel-process.mjs'), await start(t, 'tunnel-process.mjs')];
    const hard = { linger: false }; // so that both kinds of end look alike
    const port = await children[0].ask('listen', { ...sharing(0), ...hard });
    assert.equal(await children[1].ask('listen', { ...sharing(port), ...hard }), port);
    const lists = () => Promise.all(children.map((child) => child.ask('connections')));
    const [lost, kept] = await connectToAll(t, port, lists);
    await end(children[0]);
    await assertGone(port, lost, kept);
    await children[1].ask('shutdown');
    assert.ok(await refuses(port));
  });
}

test('a reconnecting tunnel keeps accepting its share and holds it until the next session', async (t) => {
  const away = await Sshd.start();
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  const soon = { reconnect: { initialDelay: 20, maxDelay: 100 }, reusePort: true };
  const first = makeTunnel(t, away.login, target.port, soon);
  t.after(() => away.stop()); // after its tunnel
  await first.promises.startListening();
  const port = first.localPort;
  const second = makeTunnel(t, server.login, target.port, { ...soon, localPort: port });
  await second.promises.startListening();
  const lost = once(first, 'reconnecting');
  await away.halt();
  await lost;
  const listed = async (tunnel) => (await tunnel.promises.connections()).map(({ remotePort }) => remotePort);
  let held = [];
  while (held.length === 0) {
    clients.push(await connect(port));
    held = await listed(first); // connections not accepted yet are found in the next round
  }
  await away.restart();
  for (const client of clients) await exchange(client);
  assert.ok((await listed(first)).includes(held[0]));
});

test('workers of a cluster share a port, and a new worker replaces a dead one', async (t) => {
  const primary = await start(t, 'cluster-process.mjs');
  const [first, second] = [await primary.ask('fork'), await primary.ask('fork')];
  const port = await primary.ask('worker', first, 'listen', sharing(0));
  await primary.ask('worker', second, 'listen', sharing(port));
  const listsOf = (workers) => () => Promise.all(workers.map((number) => primary.ask('worker', number, 'connections')));
  const [lost, kept] = await connectToAll(t, port, listsOf([first, second]));
  await primary.ask('kill', first);
  await assertGone(port, lost, kept);
  const third = await primary.ask('fork');
  await primary.ask('worker', third, 'listen', sharing(port));
  await connectToAll(t, port, listsOf([second, third]));
});

test('workers of a cluster do not share a port without reusePort, unlike net.Server', async (t) => {
  const primary = await start(t, 'cluster-process.mjs');
  const [first, second] = [await primary.ask('fork'), await primary.ask('fork')];
  const port = await primary.ask('worker', first, 'listen', options());
  const refused = primary.ask('worker', second, 'listen', options({ localPort: port }));
  await assert.rejects(refused, { code: 'EADDRINUSE' });
});

test('workers of a cluster use the tunnel of the primary', async (t) => {
  const primary = await start(t, 'cluster-process.mjs');
  const port = await primary.ask('listen', options());
  for (let count = 0; count < 2; count++) {
    const worker = await primary.ask('fork');
    const whole = { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' };
    assert.deepEqual(await primary.ask('worker', worker, 'roundTrip', port, MIB), whole);
  }
});

for (const how of ['terminate', 'exit', 'throw']) {
  test(`worker threads share a port, and the others continue when one ends (${how})`, async (t) => {
    // Reserves a port, and releases it when the others listen.
    const finder = makeTunnel(t, server.login, target.port, { reusePort: true });
    await finder.promises.startListening();
    const port = finder.localPort;
    const child = await start(t, 'workers-process.mjs');
    assert.deepEqual(await child.ask('start', 3, sharing(port)), [port, port, port]);
    await finder.promises.stopListening();
    const [lost, ...kept] = await connectToAll(t, port, () => child.ask('connections'));
    await child.ask('end', how);
    await assertGone(port, lost, kept.flat());
    await child.ask('terminate');
    for (const client of kept.flat()) assertIncludes(await client.ended, { end: 'ECONNRESET' });
    assert.ok(await refuses(port));
  });
}
