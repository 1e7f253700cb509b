// SSH agents: OpenSSH's own, a proxy that misbehaves, and one with security keys.

import { execFileSync, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';

import { findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';
import { signal } from './process.mjs';

/** Message numbers of the agent protocol. */
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
const FAILURE = 5;
const EXTENSION = 27;

/** A real ssh-agent. */
export class Agent {
  #folder = temporaryFolder('agent');
  #process;

  /** @param env of the agent, such as the program that asks its user */
  static async start(env = {}) {
    const agent = new Agent();
    agent.path = join(agent.#folder.path, 'socket');
    agent.#process = spawn(findProgram('ssh-agent'), ['-D', '-a', agent.path], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    process.on('exit', agent.#kill);
    await once(agent.#process.stdout, 'data'); // it says where it listens
    // That of a test that is over already, by its time limit, must not keep the suite alive.
    agent.#process.unref();
    agent.#process.stdout.unref();
    return agent;
  }

  /** Adds a private key file, and the certificate beside it, if there is one. */
  add(file, ...options) {
    this.run('-q', ...options, file);
  }

  /** Runs ssh-add, and returns its output. */
  run(...args) {
    const env = { ...process.env, SSH_AUTH_SOCK: this.path };
    return execFileSync(findProgram('ssh-add'), args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** The keys that it holds: `length fingerprint comment (type)` each. */
  list() {
    try {
      return this.run('-l').split('\n').filter(Boolean);
    } catch (error) {
      if (error.stdout.startsWith('The agent has no identities')) return [];
      throw error;
    }
  }

  #kill = () => signal(this.#process.pid, 'SIGKILL');

  async stop() {
    process.off('exit', this.#kill);
    this.#process.ref();
    const ended = once(this.#process, 'exit');
    this.#kill();
    await ended;
    this.#folder.remove();
  }
}

/** A proxy for a real agent; with `onSign`, it handles requests for signatures itself. */
export class AgentProxy {
  #folder = temporaryFolder('agent-proxy');
  #sockets = new Set();
  /** Handles extensions; without it, the real agent does. */
  onExtension;
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
    for (const [one, other] of [
      [socket, real],
      [real, socket],
    ]) {
      this.#sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    real.pipe(socket);
    onRequest(socket, (request) => {
      const number = request[4];
      this.requests.push(number);
      if (number === EXTENSION && this.onExtension !== undefined) this.onExtension(socket);
      else if (onSign && number === SIGN_REQUEST) onSign(socket, this);
      else real.write(request);
    });
  }

  /** The number of requests for signatures. */
  get signatures() {
    return this.requests.filter((number) => number === SIGN_REQUEST).length;
  }

  /** Closes everything, as if the process was killed. */
  die() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  stop() {
    this.die();
    this.#folder.remove();
  }
}

/** Calls `take` with every request, its length in front. */
function onRequest(socket, take) {
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE()) {
      const length = 4 + bytes.readUInt32BE();
      take(bytes.subarray(0, length));
      bytes = bytes.subarray(length);
    }
  });
}

const uint32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const string = (value) => Buffer.concat([uint32(Buffer.byteLength(value)), Buffer.from(value)]);
const sha256 = (data) => createHash('sha256').update(data).digest();

/** A non-negative number, as big-endian bytes, as an mpint. */
function mpint(bytes) {
  const digits = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
  return string(digits[0] & 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits);
}

/** What a security key signs for: its "relying party". */
const APPLICATION = 'ssh:';
/** The user has touched it. */
const USER_PRESENT = 1;

/**
 * A security key (FIDO2) in software, with an agent in front that speaks for it. What it signs is
 * what hardware signs: the application, flags, a counter, and the digest of the message.
 */
export class SecurityKeyAgent {
  #folder = temporaryFolder('security-key');
  #sockets = new Set();
  #counter = 0;

  /** @param {'ed25519' | 'ecdsa'} type */
  static async start(type) {
    const agent = new SecurityKeyAgent();
    agent.#make(type);
    agent.path = join(agent.#folder.path, 'socket');
    agent.server = net.createServer((socket) => {
      agent.#sockets.add(socket);
      socket.on('error', () => {});
      onRequest(socket, (request) => socket.write(string(agent.#answer(request.subarray(4)))));
    });
    agent.server.listen(agent.path);
    await once(agent.server, 'listening');
    return agent;
  }

  #make(type) {
    if (type === 'ed25519') {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519');
      const point = Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url');
      this.type = 'sk-ssh-ed25519@openssh.com';
      this.blob = Buffer.concat([this.type, point, APPLICATION].map(string));
      this.sign = (data) => string(sign(null, data, privateKey));
    } else {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const { x, y } = publicKey.export({ format: 'jwk' });
      const point = Buffer.concat([Buffer.of(4), ...[x, y].map((part) => Buffer.from(part, 'base64url'))]);
      this.type = 'sk-ecdsa-sha2-nistp256@openssh.com';
      this.blob = Buffer.concat([this.type, 'nistp256', point, APPLICATION].map(string));
      this.sign = (data) => {
        const pair = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
        return string(Buffer.concat([mpint(pair.subarray(0, 32)), mpint(pair.subarray(32))]));
      };
    }
  }

  /** Its line for authorized_keys. */
  get publicKey() {
    return `${this.type} ${this.blob.toString('base64')} security key`;
  }

  #answer(request) {
    if (request[0] === REQUEST_IDENTITIES) {
      return Buffer.concat([Buffer.of(IDENTITIES_ANSWER), uint32(1), string(this.blob), string('security key')]);
    }
    if (request[0] !== SIGN_REQUEST) return Buffer.of(FAILURE);
    const message = request.subarray(1 + 4 + request.readUInt32BE(1));
    const data = message.subarray(4, 4 + message.readUInt32BE());
    return Buffer.concat([Buffer.of(SIGN_RESPONSE), string(this.signed(data))]);
  }

  /** A signature in the encoding of SSH. */
  signed(data) {
    this.#counter += 1;
    const tail = Buffer.concat([Buffer.of(USER_PRESENT), uint32(this.#counter)]);
    const signature = this.sign(Buffer.concat([sha256(APPLICATION), tail, sha256(data)]));
    return Buffer.concat([string(this.type), signature, tail]);
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#folder.remove();
  }
}
