// A tunnel in a process of another platform, with the methods that the closing table needs. Both of its ends and the SSH
// server stay in this process and on this system, which tell FIN from RST. scripts/platforms.mjs sets TUNNEL_HOST.

import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';

import { Messages } from './remote-messages.mjs';

/** The command that runs tunnel-host.mjs, as an array in JSON; its last argument, a port, is added. */
const { TUNNEL_HOST } = process.env;

let host;
let lastTunnel = 0;
let lastCall = 0;
const tunnels = new Map();
const calls = new Map();

function receive({ id, call, event, value, result, error, state }) {
  tunnels.get(id).update(state);
  if (event !== undefined) return tunnels.get(id).receive(event, value);
  const { resolve, reject } = calls.get(call);
  calls.delete(call);
  return error ? reject(Object.assign(new Error(error.message), { code: error.code })) : resolve(result);
}

/** Starts the process; resolves when it can be talked to. */
async function start() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const [command, ...args] = JSON.parse(TUNNEL_HOST);
  const child = spawn(command, [...args, String(server.address().port)], { stdio: ['ignore', 'ignore', 'inherit'] });
  const failed = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`the tunnel's process ended: ${signal ?? code}`);
  });
  const [socket] = await Promise.race([once(server, 'connection'), failed]);
  server.close();
  failed.catch((error) => {
    for (const { reject } of calls.values()) reject(error);
  });
  // The process ends with this one, and keeps it alive for calls only.
  for (const handle of [child, socket]) handle.unref();
  return new Messages(socket, receive);
}

// It may take longer than a test.
if (TUNNEL_HOST) host = await start();

async function ask(id, method, ...args) {
  const call = ++lastCall;
  const replied = new Promise((resolve, reject) => calls.set(call, { resolve, reject }));
  host.send({ id, call, method, args });
  return replied;
}

/** What a listener of 'connectionRequest' is given. */
const decider = (id, { request }) => ({
  accept: () => ask(id, 'decide', request, 'accept'),
  reject: () => ask(id, 'decide', request, 'reject'),
});

export class RemoteTunnel extends EventEmitter {
  #id = ++lastTunnel;
  localPort;
  listening;
  platform;

  promises = Object.fromEntries(
    ['startListening', 'shutdown', 'disconnect', 'connections'].map((method) => [
      method,
      (...args) => ask(this.#id, 'call', method, args),
    ]),
  );

  constructor(options) {
    super();
    tunnels.set(this.#id, this);
    this.#ask('create', options);
    this.on('newListener', (event) => {
      if (event !== 'newListener' && this.listenerCount(event) === 0) this.#ask('listen', event);
    });
  }

  /** Calls in the order of their making; what fails here fails the test by its other calls. */
  #ask(method, ...args) {
    ask(this.#id, method, ...args).catch((error) => this.emit('error', error));
  }

  close(options) {
    return ask(this.#id, 'close', options);
  }

  /** What the tunnel's properties were when its process sent a message. */
  update({ localPort, listening, platform }) {
    Object.assign(this, { localPort, listening, platform });
  }

  receive(event, value) {
    this.emit(event, event === 'connectionRequest' ? decider(this.#id, value) : value);
  }
}
