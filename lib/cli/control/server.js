'use strict';

// The control socket of -M: a Unix socket by which -O asks and steers a command that runs. docs/control.md describes
// its requests.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const { readObjects, writeObject } = require('./lines.js');

/** Clients at a time. */
const MAX_CLIENTS = 16;
/** Milliseconds that a client may be silent. */
const MAX_SILENCE = 10_000;
/** The permissions of the socket: for this user only. */
const MASK = 0o177;

/** The version of the requests and replies. */
const VERSION = 1;

/**
 * What the server does for its requests.
 * @typedef {object} Actions
 * @property {() => void} exit ends the command
 * @property {(kind: string, spec: string) => Promise<object>} forward opens a forwarding
 * @property {(kind: string, spec: string) => Promise<object>} cancel closes a forwarding
 */

/** A socket of this path exists, and a process listens on it. */
class InUse extends Error {}

/** Whether a process listens on a Unix socket. @returns {Promise<boolean>} */
function isServed(name) {
  return new Promise((resolve) => {
    const socket = net.connect({ path: name });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Any other error does not show that no process listens.
    socket.once('error', (/** @type {NodeJS.ErrnoException} */ { code }) => resolve(code !== 'ECONNREFUSED'));
  });
}

/** Removes the socket of a process that has ended. @returns {Promise<boolean>} whether there was one */
async function removeStale(name) {
  if (!fs.lstatSync(name, { throwIfNoEntry: false })?.isSocket() || (await isServed(name))) return false;
  fs.rmSync(name, { force: true });
  return true;
}

class ControlServer {
  #server;
  #actions;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#server = net.createServer((socket) => this.#serve(socket));
    this.#server.maxConnections = MAX_CLIENTS;
  }

  /**
   * Listens on a path, in place of a socket that nothing listens on any more.
   * @param {string} name its path
   */
  async listen(name) {
    try {
      await this.#bind(name);
    } catch (error) {
      // libuv has EACCES for a folder that does not exist, too.
      if (error.code === 'EACCES' && !fs.existsSync(path.dirname(name)))
        throw Object.assign(error, { code: 'ENOENT', errno: -os.constants.errno.ENOENT });
      if (error.code !== 'EADDRINUSE') throw error;
      if (!(await removeStale(name))) throw new InUse(name);
      await this.#bind(name);
    }
    // Accepting fails where no descriptor is free; the next client may succeed.
    this.#server.on('error', () => {});
  }

  /** @returns {Promise<void>} */
  #bind(name) {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      // The socket is made at once, so that it never has other permissions.
      const mask = process.umask(MASK);
      try {
        this.#server.listen({ path: name }, () => {
          this.#server.off('error', reject);
          resolve();
        });
      } finally {
        process.umask(mask);
      }
    });
  }

  /** Stops listening, and removes the socket. */
  close() {
    this.#server.close();
  }

  /** @param {net.Socket} socket */
  #serve(socket) {
    socket.setTimeout(MAX_SILENCE, () => socket.destroy());
    socket.on('error', () => {});
    let last = Promise.resolve();
    const next = (work) => (last = last.then(work));
    readObjects(
      socket,
      (request) => next(() => this.#answer(socket, request)),
      () => next(() => socket.end(`${JSON.stringify({ ok: false, message: 'not a request' })}\n`)),
    );
  }

  async #answer(socket, request) {
    // What it asks for may take its time.
    socket.setTimeout(0);
    const { reply, after } = await this.#run(request);
    if (socket.destroyed) return after?.();
    socket.setTimeout(MAX_SILENCE);
    writeObject(socket, reply, after);
  }

  /** @returns {Promise<{ reply: object, after?: () => void }>} after: what is done once the reply is sent */
  async #run({ command, kind, spec }) {
    const done = { ok: true, version: VERSION, pid: process.pid };
    switch (command) {
      case 'check':
        return { reply: done };
      case 'exit':
        return { reply: done, after: () => this.#actions.exit() };
      case 'stop':
        this.close();
        return { reply: done };
      case 'forward':
      case 'cancel':
        try {
          return { reply: { ...done, ...(await this.#actions[command](kind, spec)) } };
        } catch (error) {
          return { reply: { ok: false, message: error.message } };
        }
      default:
        return { reply: { ok: false, message: 'unknown command' } };
    }
  }
}

module.exports = { ControlServer, InUse };
