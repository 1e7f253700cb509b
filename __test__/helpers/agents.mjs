// Agents that hold keys: OpenSSH's own, and one in between that misbehaves.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';

import { findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';
import { signal } from './process.mjs';

/** Numbers of the agent's messages. */
const SIGN_REQUEST = 13;

/** A real ssh-agent. */
export class Agent {
  #folder = temporaryFolder('agent');
  #process;

  static async start() {
    const agent = new Agent();
    agent.path = join(agent.#folder.path, 'socket');
    agent.#process = spawn(findProgram('ssh-agent'), ['-D', '-a', agent.path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    process.on('exit', agent.#kill);
    await once(agent.#process.stdout, 'data'); // it says where it listens
    return agent;
  }

  /** Adds a private key file, and the certificate beside it, if there is one. */
  add(file) {
    const env = { ...process.env, SSH_AUTH_SOCK: this.path };
    execFileSync(findProgram('ssh-add'), ['-q', file], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  }

  #kill = () => signal(this.#process.pid, 'SIGKILL');

  async stop() {
    process.off('exit', this.#kill);
    const ended = once(this.#process, 'exit');
    this.#kill();
    await ended;
    this.#folder.remove();
  }
}

/** Passes requests on to a real agent, except those for signatures where `onSign` is given. */
export class AgentProxy {
  #folder = temporaryFolder('agent-proxy');
  #sockets = new Set();
  /** The numbers of all requests, in order. */
  requests = [];

  /** @param onSign gets the socket of the client and the proxy, and answers as it likes */
  static async start(agent, onSign) {
    const proxy = new AgentProxy();
    proxy.path = join(proxy.#folder.path, 'socket');
    proxy.server = net.createServer((socket) => proxy.#serve(socket, agent, onSign));
    proxy.server.listen(proxy.path);
    await once(proxy.server, 'listening');
    return proxy;
  }

  #serve(socket, agent, onSign) {
    const real = net.connect(agent.path);
    for (const [one, other] of [[socket, real], [real, socket]]) {
      this.#sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    real.pipe(socket);
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE()) {
        const length = 4 + bytes.readUInt32BE();
        const number = bytes[4];
        this.requests.push(number);
        if (onSign && number === SIGN_REQUEST) onSign(socket, this);
        else real.write(bytes.subarray(0, length));
        bytes = bytes.subarray(length);
      }
    });
  }

  /** How often it was asked to sign. */
  get signatures() {
    return this.requests.filter((number) => number === SIGN_REQUEST).length;
  }

  /** Vanishes as a process that is killed. */
  die() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  stop() {
    this.die();
    this.#folder.remove();
  }
}
