// Pairs of connected sockets of every kind that Node has, in this process.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';

/** TLS without certificates: both ends know a key. */
const PSK = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' };
const KEY = Buffer.alloc(32, 7);
export const TLS_SERVER = { ...PSK, pskCallback: () => KEY };
export const TLS_CLIENT = {
  ...PSK,
  pskCallback: () => ({ psk: KEY, identity: 'test' }),
  checkServerIdentity: () => undefined,
};

async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** A listening server and one connection to it: both of its ends. */
export async function netPair() {
  const server = await listen(net.createServer({ allowHalfOpen: true }));
  const client = net.connect({ port: server.address().port, host: '127.0.0.1', allowHalfOpen: true });
  const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
  return closable({ server, client, accepted });
}

export async function tlsPair() {
  const server = await listen(tls.createServer(TLS_SERVER));
  const client = tls.connect({ ...TLS_CLIENT, port: server.address().port, host: '127.0.0.1' });
  const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')]);
  return closable({ server, client, accepted });
}

/** TLS over a socket that the program has connected by itself. */
export async function wrappedPair() {
  const server = await listen(tls.createServer(TLS_SERVER));
  const inner = net.connect(server.address().port, '127.0.0.1');
  await once(inner, 'connect');
  const client = tls.connect({ ...TLS_CLIENT, socket: inner });
  const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')]);
  return closable({ server, client, accepted });
}

/** A request that has come and is not answered: `accepted` is its `req.socket`. */
export async function httpPair() {
  const server = await listen(http.createServer());
  const client = net.connect(server.address().port, '127.0.0.1');
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [[{ socket: accepted }]] = await Promise.all([once(server, 'request'), once(client, 'connect')]);
  return closable({ server, client, accepted });
}

function closable(pair) {
  const sockets = [pair.client, pair.accepted];
  for (const socket of sockets) socket.on('error', () => {});
  pair.server.on('connection', (socket) => sockets.push(socket));
  const stop = async () => {
    for (const socket of sockets) socket.destroy();
    if (!pair.server.listening) return;
    const closed = once(pair.server, 'close');
    pair.server.close();
    await closed;
  };
  return { ...pair, stop };
}
