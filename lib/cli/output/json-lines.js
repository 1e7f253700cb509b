'use strict';

// Events as lines of JSON on standard output.

const fs = require('node:fs');

const { Deadline } = require('../../deadline.js');

/** Bytes that may wait for the reader. Further events are omitted, and counted. */
const MAX_WAITING = 1024 * 1024;

class JsonLines {
  #stream;
  #omitted = 0;

  /** @param {(error: Error) => void} broken the reader has gone */
  constructor(broken) {
    // Unlike process.stdout, it writes on another thread: this one does not wait for the reader.
    this.#stream = fs.createWriteStream(null, { fd: 1, autoClose: false });
    this.#stream.on('error', broken);
  }

  /** @param {object} error why there is no session */
  error(error) {
    this.write('error', errorMembers(error));
  }

  /** @param {object} forward one that listens */
  listening(forward) {
    this.write('listening', forwardMembers(forward));
  }

  /**
   * @param {string} event its name
   * @param {object} members
   */
  write(event, members = {}) {
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    if (this.#stream.writableLength > MAX_WAITING) {
      this.#omitted += 1;
      return;
    }
    if (this.#omitted > 0) {
      this.#line('omitted', { count: this.#omitted });
      this.#omitted = 0;
    }
    this.#line(event, members);
  }

  #line(event, members) {
    this.#stream.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...members })}\n`);
  }

  /**
   * Done when everything is written, or the reader has gone.
   * @param {number} limit milliseconds that it may take
   */
  async end(limit) {
    if (this.#stream.destroyed) return;
    /** @type {Promise<void>} */
    const written = new Promise((resolve) => {
      const deadline = new Deadline(limit, resolve);
      this.#stream.on('close', resolve).end(() => {
        deadline.clear();
        resolve();
      });
    });
    await written;
  }
}

/** Picks members of an object; JSON leaves out undefined ones. */
const pick = (names) => (object) => Object.fromEntries(names.map((name) => [name, object[name]]));

const TARGET = ['forwardHost', 'forwardPort', 'forwardPath'];
const LOCAL = ['localPort', 'localPath'];

const errorMembers = pick([
  'code',
  'message',
  'hop',
  'hostKey',
  'proxy',
  'acceptedMethods',
  'triedMethods',
  'lossReason',
]);

const forwardMembers = pick([
  'forwardId',
  'kind',
  'localHost',
  ...LOCAL,
  'remoteHost',
  'remotePort',
  'remotePath',
  ...TARGET,
]);

const connectionMembers = pick([
  'connectionId',
  'forwardId',
  'remoteAddress',
  'remotePort',
  'localAddress',
  ...LOCAL,
  ...TARGET,
]);

module.exports = { JsonLines, connectionMembers, errorMembers };
