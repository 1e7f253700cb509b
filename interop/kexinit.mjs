// The algorithms that both sides of a session offer, read from their KEXINIT messages (RFC 4253 section 7.1).

import { once } from 'node:events';
import net from 'node:net';

import { SSHTunnel } from '../index.js';

const KEXINIT = 20;
const KINDS = ['kex', 'serverHostKey', 'cipher', 'cipherDown', 'hmac', 'hmacDown', 'compress'];

/** The name lists in the first packet after the identification. */
async function read(socket) {
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk]);
    const packet = bytes.indexOf('\r\n') + 2;
    if (packet < 2 || bytes.length < packet + 4) continue;
    if (bytes.length < packet + 4 + bytes.readUInt32BE(packet)) continue;
    if (bytes[packet + 5] !== KEXINIT) throw new Error(`message ${bytes[packet + 5]} came first`);
    let at = packet + 6 + 16; // the cookie stands before the lists
    const lists = KINDS.map((kind) => {
      const length = bytes.readUInt32BE(at);
      const names = bytes.toString('latin1', at + 4, at + 4 + length).split(',');
      at += 4 + length;
      return [kind, names];
    });
    return Object.fromEntries(lists);
  }
  throw new Error('the connection ended before KEXINIT');
}

/** The offer of the server on a local port. */
export async function serverOffer(port) {
  const socket = net.connect(port, '127.0.0.1');
  socket.write('SSH-2.0-probe\r\n');
  try {
    return await read(socket);
  } finally {
    socket.destroy();
  }
}

/** The offer of a tunnel with these options. */
export async function clientOffer(options) {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  const tunnel = new SSHTunnel({ host: '127.0.0.1', port, forwardHost: 'unused', forwardPort: 1, ...options });
  const arrival = once(server, 'connection');
  const logon = tunnel.promises.connect().catch(() => {}); // cut short below
  const [socket] = await arrival;
  socket.write('SSH-2.0-probe\r\n');
  try {
    return await read(socket);
  } finally {
    socket.destroy();
    server.close();
    await logon;
  }
}

/** The common names of one kind, in the order of the client. */
export function common(kind, client, server) {
  const both = (ours, theirs) => ours.filter((name) => theirs.includes(name));
  const names = both(client[kind], server[kind]);
  const down = { cipher: 'cipherDown', hmac: 'hmacDown' }[kind];
  return down ? both(names, server[down]) : names;
}
