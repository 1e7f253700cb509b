'use strict';

// -W: relays standard input and output to a host behind the server.

const { once } = require('node:events');

/** Makes the streams of standard input and output, and reads nothing yet. */
function openStreams() {
  const { stdin, stdout } = process;
  return { stdin, stdout };
}

/** The one connection of -W, and the relay between it and standard input and output. */
class StdioRelay {
  #tunnel;
  #socket;
  #connected;
  #closed;
  #failed;

  /**
   * Dials the target. The tunnel need not be connected yet: the connection is opened as soon as there is a session.
   * @param {import('../../index.js').SSHTunnel} tunnel
   * @param {{ host: string, port: number }} target
   */
  constructor(tunnel, { host, port }) {
    this.#tunnel = tunnel;
    this.#socket = tunnel.dial({ host, port, allowHalfOpen: true });
    this.#failed = new Promise((_, reject) => this.#socket.once('error', reject));
    this.#connected = Promise.race([once(this.#socket, 'connect'), this.#failed]);
    this.#closed = Promise.race([once(this.#socket, 'close'), this.#failed]);
    // If the tunnel does not connect, nobody asks for these.
    for (const promise of [this.#connected, this.#closed, this.#failed]) promise.catch(() => {});
  }

  /**
   * Relays both directions until both have ended; the end of each is passed on by itself.
   * @returns {Promise<void>} rejected if the connection does not open, or is cut
   */
  async run() {
    await this.#connected;
    const { stdin, stdout } = openStreams();
    const failed = new Promise((_, reject) => {
      stdin.once('error', reject);
      // The reader has gone.
      stdout.once('error', reject);
    });
    stdin.pipe(this.#socket);
    this.#socket.pipe(stdout, { end: false });
    await Promise.race([this.#closed, failed]);
    // Everything that was read, and the end of it, is on its way to the remote end.
    await this.#tunnel.close();
    // Standard output may be a socket, which takes its time.
    await Promise.race([new Promise((resolve) => stdout.write('', resolve)), failed]);
  }
}

module.exports = { StdioRelay, openStreams };
