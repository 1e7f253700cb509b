// What a runtime does with a tunnel, part by part: the test runs it in Node.js, in other runtimes and on other platforms,
// and compares. Each part prints a line of JSON with its name and its result or error. It is given a JSON object: the
// login, ports, and the Node.js that runs a proxyCommand.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { SO_LINGER, SSHTunnel, closesocket, getsockopt, setsockopt } from '../../index.js';

const revive = (_, value) => (value?.type === 'Buffer' ? Buffer.from(value.data) : value);
/** Ports. echo and sink: end when their peers do; refusing: nobody listens there. */
const { login, echo, sink, refusing, node } = JSON.parse(process.argv[2], revive);
const SIZE = 1024 * 1024;
const host = '127.0.0.1';

const tunnel = new SSHTunnel({ ...login, forwardHost: host, forwardPort: echo });
const events = [];
for (const event of ['ready', 'listening', 'connection', 'disconnected', 'close']) {
  tunnel.on(event, (payload) => events.push([event, payload?.code ?? payload?.forwardId]));
}

/** What comes back when this is sent and the stream ended. */
function exchange(socket, data) {
  socket.end(data);
  return text(socket);
}

const outcomeOf = ({ code, clean, closedBy, bytesUp, bytesDown }) => ({ code, clean, closedBy, bytesUp, bytesDown });

async function nextEnd(of = tunnel) {
  const [end] = await once(of, 'disconnected');
  return outcomeOf(end);
}

/** The error that a callback or a call gives. */
async function errorOf(work) {
  try {
    await work();
  } catch (error) {
    return { name: error.name, code: error.code, syscall: error.syscall };
  }
  return 'none';
}

/** What comes back through a session that reaches the server by these options. */
async function through(options) {
  const far = new SSHTunnel({ ...login, ...options, forwardHost: host, forwardPort: echo });
  await far.promises.startListening();
  const answer = await exchange(net.connect({ port: far.localPort, host }), 'hello');
  await far.promises.shutdown();
  return answer;
}

const parts = {
  'blocking calls': () => {
    tunnel.connect();
    tunnel.setLinger(false);
    const hard = tunnel.getLingerOption();
    tunnel.setLinger(true);
    tunnel.startListening();
    return [hard, tunnel.getLinger(), tunnel.listening, tunnel.localPort > 0, tunnel.stats().connections.accepted];
  },

  'callbacks in the order of the calls': async () => {
    const order = [];
    const call = (method, ...args) =>
      new Promise((resolve) => tunnel[method](...args, () => resolve(order.push(method))));
    await Promise.all([call('connections'), call('setKeepAlive', true), call('getLinger'), call('stats')]);
    return order;
  },

  'a local forward': async () => {
    const ended = nextEnd();
    return [await exchange(net.connect({ port: tunnel.localPort, host }), 'hello'), await ended];
  },

  'a remote forward': async () => {
    const forward = await tunnel.promises.forwardRemote({ remoteHost: host, forwardHost: host, forwardPort: echo });
    const ended = nextEnd();
    const answer = await exchange(net.connect({ port: forward.remotePort, host }), 'hello');
    const end = await ended;
    await forward.promises.stop();
    return [answer, end, forward.listening];
  },

  'dial()': async () => {
    const ended = nextEnd();
    const socket = tunnel.dial(host, echo);
    const answer = await exchange(socket, 'x'.repeat(SIZE));
    if (!socket.destroyed) await once(socket, 'close');
    return [answer.length, await ended, socket.readyState, socket.bytesRead, socket.bytesWritten];
  },

  'dial(): half-close': async () => {
    const socket = await tunnel.promises.dial({ host, port: echo, allowHalfOpen: true });
    const ended = nextEnd();
    socket.end('last');
    const answer = await text(socket);
    return [answer, await ended];
  },

  'dial(): graceful destroy()': async () => {
    const socket = await tunnel.promises.dial(host, sink);
    const ended = nextEnd();
    socket.write('x'.repeat(SIZE));
    socket.destroy();
    const { bytesUp, code } = await ended;
    return [bytesUp, code, socket.destroyed, socket.writable];
  },

  'dial(): reset': async () => {
    const socket = await tunnel.promises.dial(host, sink);
    const ended = nextEnd();
    socket.resetAndDestroy();
    await once(socket, 'close');
    return ended;
  },

  'dial(): refused': async () => {
    const socket = tunnel.dial(host, refusing);
    const errors = [];
    socket.on('error', ({ code }) => errors.push(code));
    await once(socket, 'close').catch(() => once(socket, 'close'));
    return errors;
  },

  'httpAgent()': async () => {
    const server = http.createServer((request, response) => response.end(`${request.url} ${request.headers.host}`));
    server.listen(0, host);
    await once(server, 'listening');
    const { port } = server.address();
    const agent = tunnel.httpAgent({ keepAlive: true, maxSockets: 1 });
    const get = (path) =>
      new Promise((resolve, reject) => {
        http.get({ host: 'localhost', port, path, agent }, (response) => resolve(text(response))).on('error', reject);
      });
    const before = tunnel.stats().connections.accepted;
    const answers = [await get('/a'), await get('/b')].map((answer) => answer.replace(port, 'port'));
    const used = tunnel.stats().connections.accepted - before;
    const ended = nextEnd();
    agent.destroy();
    server.close();
    server.closeAllConnections?.();
    await ended;
    return [answers, used > 0];
  },

  'a dynamic forward': async () => {
    const forward = await tunnel.promises.forwardDynamic({ localPort: 0 });
    const ended = nextEnd();
    const socket = net.connect({ port: forward.localPort, host });
    socket.write(Buffer.of(5, 1, 0)); // SOCKS 5, without a password
    const [method] = await once(socket, 'data');
    socket.write(Buffer.of(5, 1, 0, 1, 127, 0, 0, 1, echo >> 8, echo & 255));
    const [reply] = await once(socket, 'data');
    const answer = await exchange(socket, 'hello');
    const end = await ended;
    await forward.promises.stop();
    return [[...method], [...reply.subarray(0, 4)], answer, end];
  },

  'two jump hosts': () => through({ jump: [login, login] }),

  'a command in place of the connection': () => {
    const program = process.platform === 'win32' ? process.execPath : node;
    const relay = fileURLToPath(new URL('stdio-relay.mjs', import.meta.url));
    return through({ proxyCommand: `"${program}" "${relay}" %h %p` });
  },

  'a session over a stream of the application': async () => {
    const far = new SSHTunnel({ ...login, sock: tunnel.dial(login.host, login.port) });
    await far.promises.connect();
    const answer = await exchange(far.dial(host, echo), 'hello');
    await far.promises.shutdown();
    return answer;
  },

  'questions to the application': async () => {
    const { hostKey, knownHosts, ...rest } = login;
    const asked = [];
    const far = new SSHTunnel({ ...rest, hostVerifier: async ({ fingerprint }) => Boolean(asked.push(fingerprint)) });
    await far.promises.connect();
    await far.promises.shutdown();
    return asked.map((fingerprint) => fingerprint.split(':')[0]);
  },

  errors: async () => [
    await errorOf(() => tunnel.dial(5, 'x')),
    await errorOf(() => tunnel.promises.disconnect(12_345)),
    await errorOf(() => new SSHTunnel({ ...login, port: refusing }).promises.connect()),
  ],

  'options of a socket of the runtime': async () => {
    const socket = net.connect({ port: sink, host });
    await once(socket, 'connect');
    const results = [];
    const attempt = async (work) => {
      try {
        results.push(await work());
      } catch ({ code, syscall }) {
        results.push({ code, syscall });
      }
    };
    await attempt(() => getsockopt(socket, SO_LINGER));
    await attempt(() => setsockopt(socket, SO_LINGER, { l_onoff: 1, l_linger: 0 }));
    await attempt(() => getsockopt(socket, SO_LINGER));
    await attempt(
      () =>
        new Promise((resolve, reject) => closesocket(socket, (error, end) => (error ? reject(error) : resolve(end)))),
    );
    socket.destroy();
    const server = net.createServer().listen(0, host);
    await once(server, 'listening');
    await attempt(() => getsockopt(server, SO_LINGER));
    server.close();
    return results;
  },

  'shutdown()': async () => {
    await tunnel.promises.shutdown();
    return [tunnel.listening, events.map(([event, value]) => `${event} ${value}`)];
  },
};

/** Milliseconds for a part. */
const LIMIT = 20_000;

function within(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('it did not end'), { code: 'LATE' })), LIMIT);
  });
  return Promise.race([Promise.resolve().then(work), late]).finally(() => clearTimeout(timer));
}

for (const [part, work] of Object.entries(parts)) {
  let line;
  try {
    line = { part, result: await within(work) };
  } catch (error) {
    line = { part, error: `${error.code} ${error.message}` };
  }
  console.log(JSON.stringify(line));
}
// The process ends by itself, unless a part was late.
