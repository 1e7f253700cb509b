// A bounded close ends in time and delays no other connection.

import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, connect } from '../helpers/peers.mjs';
import { Child, moment, waits } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel } from '../helpers/tunnels.mjs';

const COUNT = 200;
/** More than the kernel buffers for a client that does not read; the tunnel buffers the rest. */
const SIZE = 512 * KIB;
const LINGER = { l_onoff: 1, l_linger: 2 };
/** Milliseconds between two looks at the event loop's delay, which are part of what is measured. */
const RESOLUTION = 5;

const server = await Sshd.start();
// This process measures only the tunnel's delays.
const peers = await Child.start('peer-process.mjs');
after(() => Promise.all([server.stop(), peers.stop()]));

const milliseconds = (count) => new Promise((resolve) => setTimeout(resolve, count));

/** Sends an echo at intervals until the end; returns the median delay in milliseconds. */
async function echo(client, until) {
  const delays = [];
  let over = false;
  until.then(() => (over = true));
  while (!over) {
    const since = performance.now();
    client.send(64);
    await client.received(client.bytes + 64);
    delays.push(performance.now() - since);
    await milliseconds(2);
  }
  return delays.sort((a, b) => a - b)[delays.length >> 1];
}

test(`a bounded close resets ${COUNT} stalled clients in time and does not delay an echo beside them`, async (t) => {
  const target = await peers.ask('behavior', 'echo');
  const tunnel = makeTunnel(t, server.login, target, { linger: LINGER });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  const busy = await connect(tunnel.localPort);
  t.after(() => busy.socket.destroy());
  const { connectionId: own } = await eventLog.next('connection');
  await peers.ask('stall', tunnel.localPort, COUNT, SIZE);
  let stalled;
  do stalled = (await tunnel.promises.connections()).filter(({ connectionId }) => connectionId !== own);
  while (stalled.length < COUNT || stalled.some(({ bytesDown }) => bytesDown < SIZE));

  const idle = await echo(busy, milliseconds(1000));
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION });
  loop.enable();
  const seen = new Set();
  const look = setInterval(() => waits('sshtunnel').forEach((place) => seen.add(place)), 100);
  const calls = new Map();
  const closed = stalled.map(({ connectionId, remotePort }) => {
    calls.set(remotePort, moment());
    return tunnel.promises.disconnect(connectionId);
  });
  const resets = peers.ask('resets');
  const median = await echo(busy, Promise.all(closed));
  loop.disable();
  clearInterval(look);
  const p99 = loop.percentile(99) / 1e6 - RESOLUTION;

  const took = (await resets).map(({ port, code, at }) => {
    assert.equal(code, 'ECONNRESET');
    return at - calls.get(port);
  });
  const [least, most] = [Math.min(...took), Math.max(...took)];
  t.diagnostic(`reset ${least.toFixed(0)} to ${most.toFixed(0)} ms after the close`);
  t.diagnostic(`echo median ${idle.toFixed(2)} ms before, ${median.toFixed(2)} ms meanwhile`);
  t.diagnostic(`event loop delay p99 ${p99.toFixed(1)} ms; threads waited in ${[...seen].join(', ')}`);
  assert.equal(took.length, COUNT);
  assert.ok(least >= 2000 && most <= 2600, `${least} to ${most} ms`);
  assert.ok(median <= 2 * idle, `${median} ms, not ${idle}`);
  assert.ok(p99 < 20, `${p99} ms`);
  // The wait channel of a blocking close() has another name.
  for (const place of seen) assert.match(place, /^0$|epoll|futex/);

  const ends = eventLog.all('disconnected');
  assert.equal(ends.length, COUNT);
  for (const end of ends) {
    assertIncludes(end, { code: 'ECONNABORTED', closedBy: 'reset', linger: LINGER, lingerExpired: true });
    assert.ok(end.droppedDown > 0);
    assert.ok(end.bytesDown + end.droppedDown >= SIZE);
  }
});
