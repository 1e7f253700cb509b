// Three Redis servers that form a cluster, and tell clients names in place of addresses.

import { createClient } from 'redis';

import { freePort } from './daemon.mjs';
import { until } from './process.mjs';
import { Redis } from './services.mjs';

const SLOTS = 16_384;

export class RedisCluster {
  #nodes;

  /** @param {string[]} names what the nodes call themselves, each with port 6379 */
  static async start(names, password) {
    const cluster = new RedisCluster();
    cluster.#nodes = await Promise.all(
      names.map(async (name) => {
        const bus = await freePort();
        const settings = [
          'cluster-enabled yes',
          `cluster-port ${bus}`,
          `cluster-announce-hostname ${name}`,
          'cluster-preferred-endpoint-type hostname',
          'cluster-announce-port 6379',
          `cluster-announce-bus-port ${bus}`,
          `requirepass ${password}`,
        ];
        return Object.assign(await Redis.start(settings), { name, bus });
      }),
    );
    await cluster.#join(password);
    return cluster;
  }

  async #join(password) {
    const nodes = this.#nodes;
    const clients = nodes.map(({ port }) => createClient({ socket: { host: '127.0.0.1', port }, password }));
    await Promise.all(clients.map((client) => client.connect()));
    const share = Math.ceil(SLOTS / nodes.length);
    for (const [at, client] of clients.entries()) {
      const last = Math.min(SLOTS, (at + 1) * share) - 1;
      await client.sendCommand(['CLUSTER', 'ADDSLOTSRANGE', String(at * share), String(last)]);
      const { port, bus } = nodes[0];
      if (at > 0) await client.sendCommand(['CLUSTER', 'MEET', '127.0.0.1', String(port), String(bus)]);
    }
    for (const client of clients) {
      await until(async () => {
        const state = String(await client.sendCommand(['CLUSTER', 'INFO']));
        const listed = JSON.stringify(await client.sendCommand(['CLUSTER', 'SLOTS']));
        return state.includes('cluster_state:ok') && nodes.every(({ name }) => listed.includes(name));
      });
      await client.close();
    }
  }

  /** The port of each node by its name. */
  get ports() {
    return Object.fromEntries(this.#nodes.map(({ name, port }) => [`${name}:6379`, port]));
  }

  stop() {
    return Promise.all(this.#nodes.map((node) => node.stop()));
  }
}
