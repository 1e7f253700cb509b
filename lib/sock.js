'use strict';

// The option `sock`: streams of the application that lead to the server, one for each session.

const { joinStream } = require('./native/index.js');
const { invalidArgValue } = require('./errors.js');
const { checkDuplex } = require('./validate/index.js');

/** Streams that are the `sock` of a tunnel: each carries one session, of one tunnel. */
const usedSocks = new WeakSet();

function checkUnused(sock, name) {
  if (usedSocks.has(sock))
    throw invalidArgValue(name, 'was given to another tunnel or session', sock, { secret: true });
}

class Socks {
  #given;
  /** Whether a session has got the only stream. */
  #isUsed = false;
  #isWatched = false;
  /** Joined streams. @type {Set<{ error?: Error, end: () => void }>} */
  #carried = new Set();
  /** The error of the stream that has closed last. */
  #failed;

  /** @param {import('node:stream').Duplex | Function} given a stream, or a function that gives one for each session */
  constructor(given) {
    this.#given = given;
    checkUnused(given, 'options.sock');
  }

  /** The tunnel exists: no other one may use the stream. */
  claim() {
    if (typeof this.#given !== 'function') usedSocks.add(this.#given);
  }

  /** The tunnel begins to connect: an error of the only stream has to find a listener. */
  watch() {
    if (this.#isWatched || typeof this.#given === 'function') return;
    this.#isWatched = true;
    this.#given.on('error', (error) => (this.#failed ??= error));
  }

  /**
   * Resolves with the stream for a session, or with undefined if the only one was used. Rejects with what the function
   * throws, or with the error of something else that it gives.
   * @returns {Promise<any>}
   */
  async next() {
    if (typeof this.#given !== 'function') {
      if (this.#isUsed) return undefined;
      this.#isUsed = true;
      return this.#given;
    }
    const sock = await this.#given();
    checkDuplex(sock, 'sock()');
    checkUnused(sock, 'sock()');
    usedSocks.add(sock);
    return sock;
  }

  /**
   * Joins a stream to the addon's.
   * @param {any} sock
   * @param {number} stream of the addon
   */
  carry(sock, stream) {
    const state = joinStream(sock, stream);
    this.#carried.add(state);
    const over = () => {
      this.#failed = state.error ?? (typeof this.#given === 'function' ? undefined : this.#failed);
      this.#carried.delete(state);
    };
    if (sock.closed) over();
    else sock.once('close', over);
  }

  /** Adds to the error of a disconnected session that of its stream. @param {any} error */
  explain(error) {
    if (error.code !== 'ERR_SSH_DISCONNECTED') return;
    const failed = [...this.#carried].find((state) => state.error !== undefined)?.error ?? this.#failed;
    if (failed !== undefined) error.cause = failed;
  }

  /** Destroys the streams. */
  end() {
    for (const state of this.#carried) state.end();
  }
}

module.exports = { Socks };
