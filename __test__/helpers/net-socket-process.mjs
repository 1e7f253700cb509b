// Compares sockets of dial() with sockets of node:net, member by member, and prints the differences as JSON. It runs in
// several versions of Node.js.

import { once } from 'node:events';
import net from 'node:net';

import { SSHTunnel } from '../../index.js';

const { login, port } = JSON.parse(process.argv[2]);
const tunnel = new SSHTunnel(login);
await tunnel.promises.connect();

const sockets = (options) => {
  const place = { host: '127.0.0.1', port, ...options };
  return [net.connect(place), tunnel.dial(place)];
};

/** The names on the prototypes of net.Socket, without Node's own, which begin with an underscore. */
function memberNames() {
  const names = new Set();
  for (let at = net.Socket.prototype; at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const name of Object.getOwnPropertyNames(at)) if (!name.startsWith('_')) names.add(name);
  return [...names, 'allowHalfOpen', 'connecting', 'timeout', 'autoSelectFamilyAttemptedAddresses'].filter(
    (name) => name !== 'constructor',
  );
}

/** 'close', whether 'error' comes before it or not. */
const closed = (socket) => new Promise((resolve) => socket.once('close', resolve));
const opened = (socket) => (socket.connecting ? once(socket, 'connect') : undefined);

const STATES = {
  connecting: () => {},
  'connecting, with a write': (socket) => socket.write('abc'),
  open: opened,
  'open, after data': async (socket) => {
    socket.write('abc');
    await once(socket, 'data');
  },
  'open, with text': async (socket) => {
    socket.setEncoding('utf8').write('abc');
    await once(socket, 'data');
  },
  paused: async (socket) => {
    await opened(socket);
    socket.pause();
  },
  corked: async (socket) => {
    await opened(socket);
    socket.cork();
    socket.write('abc');
  },
  'with a timeout': async (socket) => {
    await opened(socket);
    socket.setTimeout(10_000);
  },
  'ended by this side': async (socket) => {
    await opened(socket);
    socket.end('abc');
  },
  'ended by both': async (socket) => {
    socket.resume().end('abc');
    await closed(socket);
  },
  'destroyed before connect': (socket) => socket.destroy(),
  'destroyed with an error': async (socket) => {
    await opened(socket);
    socket.destroy(new Error('mine'));
  },
  destroyed: async (socket) => {
    await opened(socket);
    socket.destroy();
  },
  'destroyed, after data': async (socket) => {
    socket.write('abc');
    await once(socket, 'data');
    socket.destroy();
  },
  'destroyed and closed': async (socket) => {
    await opened(socket);
    socket.destroy();
    await closed(socket);
  },
  'being reset': async (socket) => {
    await opened(socket);
    socket.resetAndDestroy();
  },
  'reset and closed': async (socket) => {
    await opened(socket);
    socket.resetAndDestroy();
    await closed(socket);
  },
};

/** A value that can be compared as JSON. */
function plain(value, socket) {
  if (value === socket) return 'the socket';
  if (value === undefined) return 'undefined';
  if (typeof value === 'function') return 'a function';
  if (value instanceof Error) return { error: value.code ?? value.message };
  if (Buffer.isBuffer(value)) return { buffer: value.toString('hex') };
  // Port and address of Node's own end differ from run to run.
  return value;
}

function attempt(socket, work) {
  try {
    return plain(work(), socket);
  } catch ({ name, code }) {
    return { thrown: `${name} ${code}` };
  }
}

const nothing = () => {};
const bytes = new Uint8Array([97]);

/** Calls of each method; those with a callback are told what it was called with. */
const CALLS = {
  address: [[]],
  cork: [[]],
  destroy: [[], [new Error('mine')]],
  destroySoon: [[]],
  end: [[], ['x'], ['x', 'latin1'], [bytes], [nothing], ['x', nothing], [null], [5], ['x', 'no encoding']],
  getTypeOfService: [[]],
  isPaused: [[]],
  pause: [[]],
  read: [[], [0], [5]],
  ref: [[]],
  resetAndDestroy: [[]],
  resume: [[]],
  setDefaultEncoding: [['latin1'], ['no encoding']],
  setEncoding: [[], ['utf8'], ['no encoding']],
  setKeepAlive: [[], [true], [true, 1000], [true, 'x'], [false], ['x']],
  setNoDelay: [[], [true], [false], ['x']],
  setTimeout: [
    [0],
    [1000],
    [0, nothing],
    [1000, nothing],
    [],
    ['1'],
    [-1],
    [Number.NaN],
    [Infinity],
    [1, 'f'],
    [2 ** 40],
  ],
  setTypeOfService: [[0], [255], [256], [-1], [1.5], ['x'], []],
  uncork: [[]],
  unref: [[]],
  write: [['x'], ['x', 'latin1'], [bytes], ['x', nothing], [''], [null], [5], [{}], ['x', 'no encoding']],
};

/** The states in which each method is called. */
const AT = ['connecting', 'open', 'paused', 'ended by this side', 'destroyed before connect', 'destroyed and closed'];

/** The same in a socket of either kind: differences are printed. */
async function compare(what, prepare, look) {
  const found = await Promise.all(
    sockets().map(async (socket) => {
      // Errors are compared, and no state may need a listener for them.
      const errors = [];
      socket.on('error', (error) => errors.push(plain(error)));
      await prepare(socket);
      const result = await look(socket, errors);
      if (!socket.closed) {
        const end = closed(socket);
        socket.destroy();
        await end;
      }
      return result;
    }),
  );
  const [node, ours] = found;
  const keys = typeof node === 'object' ? Object.keys(node) : [];
  for (const key of keys) {
    if (JSON.stringify(node[key]) !== JSON.stringify(ours[key]))
      console.log(JSON.stringify({ what: `${what}: ${key}`, node: node[key], ours: ours[key] }));
  }
  return keys.length;
}

const names = memberNames();
let count = 0;
for (const [state, prepare] of Object.entries(STATES)) {
  count += await compare(state, prepare, (socket) =>
    Object.fromEntries(names.map((name) => [name, plain(socket[name], socket)])),
  );
}
for (const [method, calls] of Object.entries(CALLS)) {
  if (typeof net.Socket.prototype[method] !== 'function') continue;
  for (const state of AT) {
    // Node.js cannot reset a socket that is shutting down: it fails with EINVAL, and the process does not exit any more.
    if (method === 'resetAndDestroy' && state === 'ended by this side') continue;
    for (const args of calls) {
      const given = args.map((arg) => (typeof arg === 'function' ? 'f' : String(plain(arg)))).join(', ');
      count += await compare(`${state}: ${method}(${given})`, STATES[state], async (socket, errors) => {
        const calledBack = [];
        // A callback of its own for each socket.
        const own = args.map((arg) => (arg === nothing ? (error) => calledBack.push(plain(error ?? null)) : arg));
        const returned = attempt(socket, () => socket[method](...own));
        // What follows from the call: errors, and the callback of a write.
        if (socket.writableEnded || socket.destroyed) {
          socket.resume();
          if (!socket.closed) await closed(socket);
        }
        await new Promise(setImmediate);
        return { returned, errors, timeout: plain(socket.timeout), calledBack: method === 'end' ? calledBack : [] };
      });
    }
  }
}
console.log(JSON.stringify({ members: names, count }));
await tunnel.promises.shutdown({ force: true });
