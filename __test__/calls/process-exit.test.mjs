// How long a process with a tunnel lives, and what it leaves behind.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { MIB, Target, behaviors, connect, patternHash, refuses } from '../helpers/peers.mjs';
import { Child, runModule } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const endless = await Target.start(behaviors.endless());
after(() => Promise.all([server.stop(), endless.stop()]));

const options = (more) =>
  JSON.stringify({ ...server.login, forwardHost: '127.0.0.1', forwardPort: endless.port, ...more });

/** Runs a program that must exit by itself, with 0. */
async function ends(source) {
  const result = await runModule(source, { timeout: 10_000 });
  assert.deepEqual(
    { code: result.code, signal: result.signal, late: result.late, stderr: result.stderr },
    { code: 0, signal: null, late: false, stderr: '' },
  );
  return result.stdout;
}

test('a process that only loads the package exits', async () => {
  await ends("import './index.js'");
});

test('a process with an unused tunnel exits', async () => {
  await ends(`
    import { SSHTunnel } from './index.js';
    const tunnel = new SSHTunnel(${options()});
    tunnel.on('error', () => {});
    tunnel.setLinger(false, () => console.log('set'));
  `);
});

test('a pending callback keeps the process alive', async () => {
  const printed = await ends(`
    import { SSHTunnel } from './index.js';
    const tunnel = new SSHTunnel(${options()});
    tunnel.getLinger((error, linger) => console.log(error, linger));
  `);
  assert.equal(printed, 'null true\n');
});

test('a listening tunnel keeps the process alive', async (t) => {
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const port = await child.ask('listen', JSON.parse(options()));
  // From now on only the tunnel can keep the process alive.
  await child.ask('letGo');
  const client = await connect(port);
  await client.received(MIB);
  await client.reset();
  assert.equal(child.exited, null);
  assert.equal(await refuses(port), false);
});

for (const [name, call] of Object.entries({
  'close()': 'await tunnel.close();',
  'shutdown()': 'tunnel.shutdown();',
  'shutdown() with a callback': 'tunnel.shutdown(() => {});',
  'stopListening()': 'tunnel.stopListening();',
  'unref()': 'tunnel.unref();',
})) {
  test(`the process exits after ${name}`, async () => {
    const printed = await ends(`
      import { SSHTunnel } from './index.js';
      const tunnel = new SSHTunnel(${options()});
      tunnel.startListening();
      console.log(tunnel.localPort);
      ${call}
    `);
    assert.ok(await refuses(Number(printed)));
  });
}

test('ref() undoes unref()', async (t) => {
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  await child.ask('listen', JSON.parse(options()));
  await child.ask('unref');
  await child.ask('ref');
  await child.ask('letGo');
  await assert.rejects(child.ended(300), { code: 'ETIMEDOUT' });
});

test('process.exit() during a transfer is not delayed', async (t) => {
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const port = await child.ask('listen', JSON.parse(options()));
  const client = await connect(port);
  await client.received(4 * MIB);
  const since = performance.now();
  child.ask('exit', 7).catch(() => {});
  assert.equal(await child.ended(5000), 7);
  assert.ok(performance.now() - since < 2000);
  // A truncated stream does not look complete, even with graceful Linger.
  const { bytes, sha256, end } = await client.ended;
  assert.equal(end, 'ECONNRESET');
  assert.equal(sha256, patternHash(bytes));
  assert.ok(await refuses(port));
});

test('an exception in a user callback is an uncaughtException', async () => {
  const printed = await ends(`
    import { SSHTunnel } from './index.js';
    const tunnel = new SSHTunnel(${options()});
    const mine = new Error('mine');
    process.once('uncaughtException', (error) => console.log(error === mine));
    tunnel.getLinger(() => { throw mine; });
  `);
  assert.equal(printed, 'true\n');
});

test('four worker threads are terminated during transfers', async (t) => {
  const child = await Child.start('workers-process.mjs');
  t.after(() => child.stop());
  for (let round = 0; round < 3; round++) {
    const ports = await child.ask('start', 4, JSON.parse(options()));
    assert.equal(new Set(ports).size, 4);
    const clients = await Promise.all(ports.map((port) => connect(port)));
    for (const client of clients) await client.received(4 * MIB);
    await child.ask('terminate');
    for (const client of clients) {
      const { bytes, sha256, end } = await client.ended;
      assert.equal(end, 'ECONNRESET');
      assert.equal(sha256, patternHash(bytes));
      client.socket.destroy();
    }
    for (const port of ports) assert.ok(await refuses(port), `port ${port} is still open`);
  }
  assert.equal(await child.ask('alive'), true);
});

test('a worker that exits frees its port', async () => {
  const worker = `
    const { SSHTunnel } = require('./index.js');
    const { parentPort, workerData } = require('node:worker_threads');
    const tunnel = new SSHTunnel(workerData);
    tunnel.startListening();
    parentPort.postMessage(tunnel.localPort);
    tunnel.unref();
  `;
  const printed = await ends(`
    import { Worker } from 'node:worker_threads';
    const settings = { eval: true, execArgv: [], workerData: ${options()} };
    new Worker(${JSON.stringify(worker)}, settings).on('message', (port) => console.log(port));
  `);
  assert.ok(await refuses(Number(printed)));
});
