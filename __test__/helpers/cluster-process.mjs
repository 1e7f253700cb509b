// The primary of a cluster, which has a tunnel of its own, and workers that have one each.

import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';

import { SSHTunnel } from '../../index.js';
import { Child, answer } from './process.mjs';

cluster.setupPrimary({ exec: fileURLToPath(new URL('tunnel-process.mjs', import.meta.url)) });
const workers = [];

answer({
  async listen(options) {
    const tunnel = new SSHTunnel(options);
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },
  async fork() {
    workers.push(await Child.of(cluster.fork().process, 'a worker'));
    return workers.length - 1;
  },
  worker: (number, method, ...args) => workers[number].ask(method, ...args),
  kill: (number) => workers[number].stop(),
});
