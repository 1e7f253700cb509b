// A program that uses tunnel-ssh, or this package in its place, without any error handling but that of createTunnel(),
// while something fails. Its arguments are the name of the package and the failure; at its end it prints what it saw.

import { once } from 'node:events';
import net from 'node:net';

import { makeKey, temporaryFolder } from './keys.mjs';
import { Target, behaviors, connect } from './peers.mjs';
import { Ssh2Server } from './ssh2-server.mjs';

const [name, scenario] = process.argv.slice(2);
const { createTunnel } = await import(name);

const target = await Target.start(behaviors.echo());

/** An SSH server, and the options of a tunnel through it. */
async function prepare({ ssh, login, port, ...tunnel } = {}) {
  const server = await Ssh2Server.start(ssh);
  const forward = { dstAddr: '127.0.0.1', dstPort: target.port };
  return { server, options: [tunnel, { host: '127.0.0.1', port }, { ...server.login, ...login }, forward] };
}

/** Connects, sends a word, and prints the echo or how the stream ended. */
async function exchange(port, word = 'word') {
  const socket = net.connect(port, '127.0.0.1');
  const seen = new Promise((resolve) => {
    socket.on('data', (data) => resolve(data.toString()));
    socket.on('error', ({ code }) => resolve(code));
    socket.on('end', () => resolve('end'));
  });
  socket.write(word);
  return { socket, seen: await seen };
}

/** The reason of a rejected promise. */
const rejection = (promise) =>
  promise.then(
    () => undefined,
    ({ code, message }) => ({ code, message }),
  );

/** Until a client knows that its session is lost: with reconnectOnError ours is not closed then. */
const loss = (client) => new Promise((resolve) => client.once('error', resolve).once('close', resolve));

/** The outcome of a connection after the end of the session. */
async function afterwards(tunnelOptions) {
  const { server: ssh, options } = await prepare(tunnelOptions);
  const [server, client] = await createTunnel(...options);
  const { port } = server.address();
  const lost = loss(client);
  ssh.dropSessions();
  await lost;
  return { next: (await exchange(port)).seen };
}

const scenarios = {
  /** A client resets its connection. */
  async reset() {
    const { options } = await prepare();
    const [server] = await createTunnel(...options);
    const { port } = server.address();
    const { socket, seen } = await exchange(port);
    socket.resetAndDestroy();
    return { seen, next: (await exchange(port)).seen };
  },

  /** The server cannot reach the target at first. */
  async refused() {
    let attempts = 0;
    const onOpen = (open) => (++attempts === 1 ? open.reject() : open.connect());
    const { options } = await prepare({ ssh: { onOpen } });
    const [server, client] = await createTunnel(...options);
    const { port } = server.address();
    const failed = once(client, 'error');
    const first = exchange(port);
    const [{ code, message }] = await failed;
    const { listening } = server;
    const next = (await exchange(port)).seen;
    // A tunnel that continues tells the first client how its connection ended.
    const told = first.then((outcome) => outcome.seen);
    const seen = await (listening ? told : Promise.race([told, 'nothing']));
    return { code, message, listening, seen, next };
  },

  /** The session ends while a client is connected. */
  async cut() {
    const { server: ssh, options } = await prepare();
    const [server] = await createTunnel(...options);
    const peer = await connect(server.address().port);
    await peer.send(4);
    await peer.received(4);
    ssh.dropSessions();
    return { end: (await peer.ended).end };
  },

  /** The session ends without a client; a client connects later. */
  gone: () => afterwards(),

  /** The same with reconnectOnError. */
  back: () => afterwards({ reconnectOnError: true }),

  /** The key is encrypted. */
  async passphrase() {
    const folder = temporaryFolder('passphrase');
    const { privateKey } = makeKey(`${folder.path}/key`, { passphrase: 'secret' });
    const { options } = await prepare({ login: { privateKey, password: undefined } });
    return rejection(createTunnel(...options));
  },

  /** The port is in use. */
  async taken() {
    const { server: ssh, options } = await prepare({ port: target.port });
    const { code } = await rejection(createTunnel(...options));
    return { code, sessions: ssh.sessions, swallowers: process.listenerCount('uncaughtException') };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
process.exit();
