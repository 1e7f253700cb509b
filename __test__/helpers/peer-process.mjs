// Targets, clients and servers in a process of their own, for tests that block their event loop or measure memory or
// delays. Started with `Child.start('peer-process.mjs')`.

import net from 'node:net';

import { Target, behaviors, connect, fakeServers } from './peers.mjs';
import { answer, moment } from './process.mjs';
import { Ssh2Server } from './ssh2-server.mjs';

const started = new Map();
const stalled = [];

function keep(server) {
  started.set(server.port, server);
  return server.port;
}

/** Waits for the reset of a client that does not read, which it notices only when it writes. */
function reset({ socket }) {
  const { localPort: port } = socket;
  const look = setInterval(() => socket.write('?'), 50);
  return new Promise((resolve) => {
    socket.once('error', ({ code }) => {
      clearInterval(look);
      resolve({ port, code, at: moment() });
    });
  });
}

/** Reads a name and a line feed, and joins the rest of the stream to that target. */
function dispatch(socket, ports) {
  let name = '';
  const read = () => {
    for (let byte; (byte = socket.read(1)); name += byte) {
      if (String(byte) !== '\n') continue;
      socket.off('readable', read);
      const target = net.connect({ port: ports[name], host: '127.0.0.1', allowHalfOpen: true });
      target.setNoDelay();
      target.on('error', () => socket.destroy());
      socket.on('error', () => target.destroy());
      socket.pipe(target).pipe(socket);
      return;
    }
  };
  socket.on('readable', read);
}

answer({
  async behavior(name, ...args) {
    return keep(await Target.start(behaviors[name](...args)));
  },
  /** A target that becomes one of these after the first line: their ports by their names. */
  async dispatcher(ports) {
    return keep(await Target.start((peer) => dispatch(peer.socket, ports)));
  },
  async impostor(name) {
    return keep(await Target.start(fakeServers[name]()));
  },
  async ssh2(options) {
    const server = await Ssh2Server.start(options);
    keep(server);
    return server.login;
  },
  /** What each connection of a target has read and sent. */
  reports(port) {
    return started.get(port).peers.map((peer) => ({ ...peer.report(), sent: peer.accepted }));
  },
  /** Waits for the end of a connection. */
  async ended(port, index) {
    return started.get(port).peers[index].ended;
  },
  /** Connects clients that send data and read nothing. */
  async stall(port, count, size) {
    for (let turn = 0; turn < count; turn++) {
      const client = await connect(port, { read: false });
      stalled.push(client);
      await client.send(size);
    }
  },
  /** Waits until each of these was reset: by which code, and when. */
  resets: () => Promise.all(stalled.map(reset)),
  forget: (port) => started.get(port).forget(),
  stop: (port) => started.get(port).stop(),
  /** The number of authentication attempts at an SSH server. */
  attempts: (port) => started.get(port).attempts,
  sawAuthentication: (port) => started.get(port).sawAuthentication(),
  logged: (port, pattern) => started.get(port).logged(new RegExp(pattern)),
});
