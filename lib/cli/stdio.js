'use strict';

// -W: relays standard input and output to a host behind the server.

const { once } = require('node:events');

/**
 * Relays both directions until both have ended; the end of each is passed on by itself.
 * @param {import('../../index.js').SSHTunnel} tunnel
 * @param {{ host: string, port: number }} target
 * @returns {Promise<void>} rejected if the connection does not open, or is cut
 */
async function relayStdio(tunnel, { host, port }) {
  const socket = tunnel.dial({ host, port, allowHalfOpen: true });
  const { stdin, stdout } = process;
  const failed = new Promise((_, reject) => {
    socket.once('error', reject);
    stdin.once('error', reject);
    // The reader has gone.
    stdout.once('error', reject);
  });
  await Promise.race([once(socket, 'connect'), failed]);
  const closed = once(socket, 'close');
  stdin.pipe(socket);
  socket.pipe(stdout, { end: false });
  await Promise.race([closed, failed]);
  // Everything that was read, and the end of it, is on its way to the remote end.
  await tunnel.close();
  // Standard output may be a socket, which takes its time.
  await Promise.race([new Promise((resolve) => stdout.write('', resolve)), failed]);
}

module.exports = { relayStdio };
