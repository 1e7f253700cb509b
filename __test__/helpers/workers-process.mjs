// Tunnels in worker threads that are terminated at any moment.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { answer } from './process.mjs';

if (isMainThread) {
  let workers = [];
  answer({
    async start(count, options) {
      const self = new URL(import.meta.url);
      workers = Array.from({ length: count }, () => new Worker(self, { workerData: options }));
      const answers = await Promise.all(workers.map((worker) => once(worker, 'message')));
      return answers.map(([port]) => port);
    },
    /** The connections of each worker's tunnel. */
    connections: () =>
      Promise.all(
        workers.map(async (worker) => {
          worker.postMessage('connections');
          return (await once(worker, 'message'))[0];
        }),
      ),
    terminate: () => Promise.all(workers.splice(0).map((worker) => worker.terminate())).then(() => {}),
    /** Ends the first worker, by `terminate`, `exit` or `throw`. */
    async end(how) {
      const worker = workers.shift();
      worker.on('error', () => {});
      const ended = new Promise((resolve) => worker.on('exit', resolve));
      if (how === 'terminate') worker.terminate();
      else worker.postMessage(how);
      await ended;
    },
    alive: () => true,
  });
} else {
  const { SSHTunnel } = createRequire(import.meta.url)('../../index.js');
  const tunnel = new SSHTunnel(workerData);
  tunnel.startListening();
  parentPort.postMessage(tunnel.localPort);
  parentPort.on('message', async (wish) => {
    if (wish === 'exit') process.exit();
    if (wish === 'throw') process.nextTick(() => assert.fail('as was wished'));
    const connections = await tunnel.promises.connections();
    parentPort.postMessage(connections.map(({ remotePort }) => ({ remotePort })));
  });
}
