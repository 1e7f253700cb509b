'use strict';

// The client of control sockets; and -O, which asks the command that serves one, with the messages and the exit status
// of ssh.

const net = require('node:net');

const { formatForwarding } = require('../../ssh-config/forwardings.js');
const { shorten } = require('../../errors.js');
const { systemWords } = require('../output/messages.js');
const { writeError } = require('../output/standard-error.js');
const { plain } = require('../output/text.js');
const { FAILED } = require('../status.js');
const { readObjects, writeObject } = require('./lines.js');

/** The server of the socket does not answer as it should, or not at all. */
class ControlError extends Error {
  /** That of the system, if the connection failed. @type {string | undefined} */
  code;
}

/** A connection to a control socket. */
class ControlClient {
  #socket;
  /** Who waits for a reply, in the order of the requests. @type {{ resolve: (reply: any) => void, reject: (error: Error) => void }[]} */
  #waiting = [];
  #fault = new ControlError('the control socket is not one of sshtunnel, or it has ended');
  #ended = false;

  /**
   * @param {net.Socket} socket
   * @param {number} [maxLine] bytes of a reply
   */
  constructor(socket, maxLine) {
    this.#socket = socket;
    readObjects(
      socket,
      (reply) => this.#waiting.shift()?.resolve(reply),
      () => this.close(),
      maxLine,
    );
    socket.on('error', () => {});
    socket.once('close', () => this.close());
  }

  /**
   * @param {string} path
   * @param {{ maxLine?: number }} [options]
   * @returns {Promise<ControlClient>} rejected with a ControlError that has the code of the system
   */
  static open(path, { maxLine } = {}) {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ path }, () => resolve(new ControlClient(socket, maxLine)));
      socket.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
        const text = `Control socket connect(${path}): ${systemWords(error)}`;
        reject(Object.assign(new ControlError(text), { code: error.code }));
      });
    });
  }

  /** Sends a request, and waits for the reply. @param {object} request @returns {Promise<any>} */
  ask(request) {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#fault);
        return;
      }
      this.#waiting.push({ resolve, reject });
      writeObject(this.#socket, request);
    });
  }

  close() {
    this.#ended = true;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(this.#fault);
  }
}

/**
 * The requests of a command of the command line.
 * @param {string} command
 * @param {import('../settings.js').Settings} settings
 */
function requestsOf(command, { forwardings }) {
  if (command !== 'forward' && command !== 'cancel') return [{ command }];
  if (forwardings.length === 0) throw new ControlError(`-O ${command} needs a forwarding: -L, -D or -R`);
  return forwardings.map((value) => ({ command, kind: value.kind, spec: formatForwarding(value) }));
}

/** What is said on standard error once a command was obeyed. */
const DONE = {
  check: ({ pid }) => `Master running (pid=${Number(pid)})`,
  exit: () => 'Exit request sent.',
  stop: () => 'Stop listening request sent.',
};

/** Sends one request over a connection of its own. @returns {Promise<any>} the reply */
async function request(path, request) {
  const client = await ControlClient.open(path);
  try {
    const reply = await client.ask(request);
    if (reply.ok !== true) throw new ControlError(`the master refused: ${shorten(String(reply.message))}`);
    return reply;
  } finally {
    client.close();
  }
}

/**
 * Runs a command of -O.
 * @param {string} command
 * @param {import('../settings.js').Settings} settings
 * @returns {Promise<number>} the exit status
 */
async function control(command, settings) {
  const { controlPath, logLevel } = settings;
  const print = (text) => writeError(`${plain(text)}\n`);
  if (controlPath === undefined) {
    print('No ControlPath specified for "-O" command');
    return FAILED;
  }
  try {
    for (const each of requestsOf(command, settings)) {
      const reply = await request(controlPath, each);
      if (Object.hasOwn(DONE, command) && (command === 'check' || logLevel !== 'QUIET')) print(DONE[command](reply));
      // As ssh, which prints the port of a forwarding that asked for any.
      if (reply.port !== undefined) process.stdout.write(`${Number(reply.port)}\n`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    print(error.message);
    return FAILED;
  }
}

module.exports = { ControlClient, ControlError, control };
