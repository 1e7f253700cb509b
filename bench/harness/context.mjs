// What all parts of a run share: targets, SSH servers, keys, and who takes part.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeKey, temporaryFolder } from '../../__test__/helpers/keys.mjs';
import { Sshd } from '../../__test__/helpers/sshd.mjs';
import { stageCommand } from './command.mjs';
import { serve } from './load.mjs';
import { startRussh } from './russh.mjs';

/** The method of key exchange of everybody who knows it. */
const KEX = 'curve25519-sha256';

/**
 * A server for each peer, so that their sessions can be told apart. One for those that do not know
 * Ed25519 has keys of another type, and lets a key in that their library can read.
 */
async function startServer(type, folder, name) {
  if (type === 'ed25519') return Sshd.start({ logLevel: 'INFO' });
  const server = await Sshd.start({ hostKeyTypes: [type], logLevel: 'INFO' });
  server.key = makeKey(join(folder, name), { type, format: 'PKCS8' });
  server.authorize(server.key.publicKey);
  return server;
}

export class Context {
  kex = KEX;
  #folder = temporaryFolder('bench');
  #servers = new Map();
  #known = new Map();
  #command;

  /** @param options { rounds, quick, peers: those that take part } */
  static async start({ rounds, quick, peers }) {
    const context = new Context();
    context.rounds = rounds;
    context.quick = quick;
    context.warmup = !quick;
    context.peers = new Map(peers.map((peer) => [peer.name, peer]));
    const { program, ...targets } = await serve('serve', {});
    context.targets = targets;
    context.stop = async () => {
      for (const server of context.#servers.values()) await (await server).stop();
      await program.stop();
      context.#folder.remove();
    };
    return context;
  }

  /** The SSH server of a peer. */
  server(name, type = 'ed25519') {
    if (!this.#servers.has(name)) this.#servers.set(name, startServer(type, this.#folder.path, name));
    return this.#servers.get(name);
  }

  /** The server made of russh. */
  russh() {
    if (!this.#servers.has('russh')) this.#servers.set('russh', startRussh(this.#folder.path, this));
    return this.#servers.get('russh');
  }

  /** The command of the package: its file, and the environment to run it with. */
  command() {
    return (this.#command ??= stageCommand(join(this.#folder.path, 'command')));
  }

  /** A file of known hosts that has a server by this name. */
  knownHosts(name, server) {
    if (!this.#known.has(server)) {
      const file = join(this.#folder.path, `known_hosts-${server.port}`);
      writeFileSync(file, `${name} ${server.hostKeys[0].publicKey}\n`);
      this.#known.set(server, file);
    }
    return this.#known.get(server);
  }
}
