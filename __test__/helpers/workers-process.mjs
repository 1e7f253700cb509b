// Tunnels in worker threads that are terminated whatever they do.

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
    terminate: () => Promise.all(workers.map((worker) => worker.terminate())).then(() => {}),
    alive: () => true,
  });
} else {
  const { SSHTunnel } = createRequire(import.meta.url)('../../index.js');
  const tunnel = new SSHTunnel(workerData);
  tunnel.startListening();
  parentPort.postMessage(tunnel.localPort);
}
