'use strict';

// Events as lines of JSON on standard output.

const fs = require('node:fs');

const { Deadline } = require('../../deadline.js');

/** Bytes that may wait for whoever reads. Behind them reports are left out, and counted. */
const MOST = 1024 * 1024;

class Reports {
  #stream;
  #omitted = 0;

  /** @param {(error: Error) => void} broken nobody reads any more */
  constructor(broken) {
    // No wait for a reader on this thread: other than process.stdout, it writes on another one.
    this.#stream = fs.createWriteStream(null, { fd: 1, autoClose: false });
    this.#stream.on('error', broken);
  }

  /**
   * @param {string} event its name
   * @param {object} members what is told about it
   */
  write(event, members = {}) {
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    if (this.#stream.writableLength > MOST) {
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
   * When everything is written, or nobody reads it.
   * @param {number} limit milliseconds that the last of them may take
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

/** What is told of an error. */
function errorMembers({ code, message }) {
  return { code, message };
}

/** What is told of a forward. */
function forwardMembers({
  forwardId,
  kind,
  localHost,
  localPort,
  localPath,
  remoteHost,
  remotePort,
  remotePath,
  forwardHost,
  forwardPort,
  forwardPath,
}) {
  return {
    forwardId,
    kind,
    localHost,
    localPort,
    localPath,
    remoteHost,
    remotePort,
    remotePath,
    forwardHost,
    forwardPort,
    forwardPath,
  };
}

/** What is told of a connection that has opened. */
function connectionMembers({
  connectionId,
  forwardId,
  remoteAddress,
  remotePort,
  localAddress,
  localPort,
  localPath,
  forwardHost,
  forwardPort,
  forwardPath,
}) {
  return {
    connectionId,
    forwardId,
    remoteAddress,
    remotePort,
    localAddress,
    localPort,
    localPath,
    forwardHost,
    forwardPort,
    forwardPath,
  };
}

module.exports = { Reports, connectionMembers, errorMembers, forwardMembers };
