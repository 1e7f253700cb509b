'use strict';

// -W: standard input and output lead to a host behind the server.

const { once } = require('node:events');

/**
 * Carries bytes both ways until both have ended. The end of either direction is passed on by itself.
 * @param {import('../../index.js').SSHTunnel} tunnel
 * @param {{ host: string, port: number }} target
 * @returns {Promise<void>} fails where the connection does not open, or is cut
 */
async function carry(tunnel, { host, port }) {
  const socket = tunnel.dial({ host, port, allowHalfOpen: true });
  const { stdin, stdout } = process;
  const failed = new Promise((_, reject) => {
    socket.once('error', reject);
    stdin.once('error', reject);
    // Nobody reads any more: there is nobody to carry for.
    stdout.once('error', reject);
  });
  await Promise.race([once(socket, 'connect'), failed]);
  const closed = once(socket, 'close');
  stdin.pipe(socket);
  socket.pipe(stdout, { end: false });
  await Promise.race([closed, failed]);
  // What was read is on its way to the far side, and the end of it.
  await tunnel.close();
  // Standard output may be a socket, which takes its time.
  await Promise.race([new Promise((resolve) => stdout.write('', resolve)), failed]);
}

module.exports = { carry };
