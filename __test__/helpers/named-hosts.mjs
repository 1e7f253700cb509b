// An SSH server that alone knows the names of some hosts, and a home folder of a user whom it authorizes.

import { mkdirSync } from 'node:fs';

import { makeKey, temporaryFolder } from './keys.mjs';
import { REASONS, Ssh2Server } from './ssh2-server.mjs';

export class NamedHosts {
  #server;
  #folder = temporaryFolder('named');
  /** The names that were connected to, with their ports. */
  used = [];

  /** @param {Record<string, number>} ports the local port of each name and port, such as 'db.internal:5432' */
  static async start(ports) {
    const hosts = new NamedHosts();
    mkdirSync(hosts.#folder.at('.ssh'), { mode: 0o700 });
    const key = makeKey(hosts.#folder.at('.ssh/id_ed25519'));
    const onOpen = ({ destIP, destPort, connect, reject }) => {
      const name = `${destIP}:${destPort}`;
      if (ports[name] === undefined) return reject(REASONS.CONNECT_FAILED);
      hosts.used.push(name);
      connect({ host: '127.0.0.1', port: ports[name] });
    };
    hosts.#server = await Ssh2Server.start({ onOpen, publicKey: key.publicKey });
    const [hostKey] = hosts.#server.hostKeys;
    hosts.#folder.write(`[127.0.0.1]:${hosts.port} ${hostKey.public}\n`, '.ssh/known_hosts');
    return hosts;
  }

  get port() {
    return this.#server.port;
  }

  /** The variables of a program that finds the key and the known_hosts file in its home. */
  get environment() {
    return { HOME: this.#folder.path };
  }

  async stop() {
    await this.#server.stop();
    this.#folder.remove();
  }
}
