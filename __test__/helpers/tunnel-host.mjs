// A program that has tunnels for a test in another process, which may run on another platform: see remote-tunnel.mjs. It
// connects to the port that it is given, and ends with that connection.

import net from 'node:net';

import { SSHTunnel } from '../../index.js';
import { Messages } from './remote-messages.mjs';

const tunnels = new Map();
const requests = new Map();
let lastRequest = 0;

const socket = net.connect(Number(process.argv[2]), '127.0.0.1');
const messages = new Messages(socket, receive);
socket.on('close', () => process.exit());
socket.on('error', () => process.exit());

const snapshot = ({ localPort, listening }) => ({ localPort, listening, platform: process.platform });

/** The decisions that a test may take about a request of a connection. */
function keep(request) {
  requests.set(++lastRequest, request);
  return { request: lastRequest };
}

const methods = {
  create(id, options) {
    tunnels.set(id, new SSHTunnel(options));
  },
  listen(id, event) {
    const tunnel = tunnels.get(id);
    tunnel.on(event, (payload) => {
      const value = event === 'connectionRequest' ? keep(payload) : payload;
      messages.send({ id, event, value, state: snapshot(tunnel) });
    });
  },
  decide(_id, request, decision) {
    requests.get(request)[decision]();
    requests.delete(request);
  },
  call: (id, method, args) => tunnels.get(id).promises[method](...args),
  close: (id, options) => tunnels.get(id).close(options),
};

async function receive({ id, call, method, args }) {
  const reply = { id, call };
  try {
    reply.result = await methods[method](id, ...args);
  } catch (error) {
    reply.error = { code: error.code, message: error.message };
  }
  messages.send({ ...reply, state: snapshot(tunnels.get(id)) });
}
