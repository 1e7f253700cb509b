'use strict';

// A control socket: a Unix socket by which other processes of the user ask and steer this one. That of -M serves -O, and
// that of the supervisor the subcommands of the manager. docs/control.md describes the requests.

const { createHash, randomBytes } = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout } = require('node:timers/promises');

const { readObjects, writeObject } = require('./lines.js');

/** Clients at a time. */
const MAX_CLIENTS = 16;
/** Requests of a client that may wait. */
const MAX_WAITING = 16;
/** Milliseconds that a client may be silent. */
const MAX_SILENCE = 10_000;
/** Milliseconds after which what was to be there for a moment was left behind; and between two looks at it. */
const MAX_CLAIM = 10_000;
const CLAIM_PAUSE = 10;
/** The permissions of the socket: for this user only. */
const MASK = 0o177;

/** The version of the requests and replies. */
const VERSION = 1;

/**
 * What a request makes: members of the reply, and what is done once it is sent.
 * @typedef {{ reply?: object, after?: () => void }} Outcome
 */

/**
 * Does what a request asks for. The message of what it throws is that of the reply.
 * @typedef {(request: any, gone: AbortSignal) => Outcome | Promise<Outcome>} Command gone: aborted with the connection
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

/** What tells a socket from the next one of the same path, which may get the number of its inode. */
const identity = (name) => {
  const { dev, ino, mtimeNs } = fs.lstatSync(name, { bigint: true });
  return [dev, ino, mtimeNs].join();
};

/**
 * Removes the socket of a process that has ended.
 * @param {string} name
 * @returns {Promise<boolean>} false: there is another file, or a process that listens
 */
async function removeStale(name) {
  try {
    if (!fs.lstatSync(name).isSocket()) return false;
    const stale = identity(name);
    if (await isServed(name)) return false;
    await unlinkIf(name, stale);
    return true;
  } catch (error) {
    if (error.code === 'ENOENT') return true;
    throw error;
  }
}

/**
 * Removes a socket, unless it has been replaced. Of several processes only the one that has made the second link does.
 * @param {string} name
 * @param {string} stale its identity
 */
async function unlinkIf(name, stale) {
  const claim = path.join(path.dirname(name), `.${createHash('sha256').update(stale).digest('hex').slice(0, 16)}`);
  try {
    fs.linkSync(name, claim);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    // It is there for a moment, unless its process was killed in it.
    if (Date.now() - fs.lstatSync(claim).ctimeMs > MAX_CLAIM) fs.rmSync(claim, { force: true });
    await setTimeout(CLAIM_PAUSE);
    return;
  }
  try {
    if (identity(claim) === stale) fs.rmSync(name);
  } finally {
    fs.rmSync(claim);
  }
}

/** Gives a file a second name, unless there is a file of this name. */
function linked(file, name) {
  try {
    fs.linkSync(file, name);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

class ControlServer {
  #server;
  /** The path of the socket, while it listens. @type {string | undefined} */
  #name;
  /** @type {Record<string, Command>} */
  #commands;
  #maxLine;
  #idle;
  #clients = 0;

  /**
   * @param {Record<string, Command>} commands by their names; `check` is there in any case
   * @param {{ maxClients?: number, maxLine?: number, idle?: () => void }} [options] maxLine: bytes of a request;
   *   idle: called when the last client has gone
   */
  constructor(commands, { maxClients = MAX_CLIENTS, maxLine, idle = () => {} } = {}) {
    this.#commands = { check: () => ({}), ...commands };
    this.#maxLine = maxLine;
    this.#idle = idle;
    this.#server = net.createServer((socket) => this.#serve(socket));
    this.#server.maxConnections = maxClients;
  }

  /** The number of clients at this moment. */
  get clients() {
    return this.#clients;
  }

  /**
   * Listens on a path, in place of a socket that nothing listens on any more.
   * @param {string} name its path
   */
  async listen(name) {
    if (process.platform === 'win32') {
      await this.#bind(name).catch((error) => {
        throw error.code === 'EADDRINUSE' ? new InUse(name) : error;
      });
    } else {
      await this.#listenAside(name);
    }
    // Accepting fails where no descriptor is free; the next client may succeed.
    this.#server.on('error', () => {});
  }

  /**
   * Listens under another name first, as ssh does: the path never leads to a socket that is bound and does not listen yet,
   * which others would take for that of a process that has ended.
   */
  async #listenAside(name) {
    const aside = path.join(path.dirname(name), `.${randomBytes(4).toString('hex')}`);
    try {
      await this.#bind(aside);
    } catch (error) {
      // libuv has EACCES for a folder that does not exist, too.
      if (error.code === 'EACCES' && !fs.existsSync(path.dirname(name)))
        throw Object.assign(error, { code: 'ENOENT', errno: -os.constants.errno.ENOENT });
      throw error;
    }
    try {
      while (!linked(aside, name)) if (!(await removeStale(name))) throw new InUse(name);
      this.#name = name;
    } catch (error) {
      this.close();
      throw error;
    } finally {
      fs.rmSync(aside, { force: true });
    }
  }

  /** @returns {Promise<void>} */
  #bind(name) {
    // Node.js takes a name such as 4711 or .123 for a number, and refuses it as a path.
    const place = path.isAbsolute(name) ? name : `.${path.sep}${name}`;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      // The socket is made at once, so that it never has other permissions.
      const mask = process.umask(MASK);
      try {
        this.#server.listen({ path: place }, () => {
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
    // Nothing replaces it while this process listens.
    if (this.#name !== undefined) fs.rmSync(this.#name, { force: true });
    this.#name = undefined;
    this.#server.close();
  }

  /** @param {net.Socket} socket */
  #serve(socket) {
    const gone = new AbortController();
    this.#clients += 1;
    socket.once('close', () => {
      gone.abort();
      this.#clients -= 1;
      if (this.#clients === 0) this.#idle();
    });
    socket.setTimeout(MAX_SILENCE, () => socket.destroy());
    socket.on('error', () => {});
    let last = Promise.resolve();
    let waiting = 0;
    const next = (work) => {
      // A socket that is not read does not tell of its end, so the first requests do not stop it.
      if (++waiting === MAX_WAITING) socket.pause();
      last = last.then(work).then(() => {
        if (--waiting === 0) socket.resume();
      });
    };
    readObjects(
      socket,
      (request) => next(() => this.#answer(socket, request, gone.signal)),
      () => next(() => socket.end(`${JSON.stringify({ ok: false, message: 'not a request' })}\n`)),
      this.#maxLine,
    );
  }

  async #answer(socket, request, gone) {
    // What it asks for may take its time.
    socket.setTimeout(0);
    const { reply, after } = await this.#run(request, gone);
    if (socket.destroyed) return after?.();
    socket.setTimeout(MAX_SILENCE);
    // The next one waits until the client has taken this one.
    await new Promise((resolve) => writeObject(socket, reply, () => resolve(undefined)));
    return after?.();
  }

  /** @returns {Promise<Outcome>} */
  async #run(request, gone) {
    const { command } = request;
    if (typeof command !== 'string' || !Object.hasOwn(this.#commands, command))
      return { reply: { ok: false, message: 'unknown command' } };
    try {
      const { reply, after } = await this.#commands[command](request, gone);
      return { reply: { ok: true, version: VERSION, pid: process.pid, ...reply }, after };
    } catch (error) {
      return { reply: { ok: false, message: error.message } };
    }
  }
}

module.exports = { ControlServer, InUse, VERSION };
