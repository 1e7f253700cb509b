'use strict';

// -O: asks the command that serves the control socket, with the messages and the exit status of ssh.

const net = require('node:net');

const { formatForwarding } = require('../../ssh-config/forwardings.js');
const { shorten } = require('../../errors.js');
const { systemWords } = require('../output/messages.js');
const { plain } = require('../output/text.js');
const { FAILED } = require('../status.js');
const { readObjects, writeObject } = require('./lines.js');

/** The server of the socket does not answer as it should, or not at all. */
class ControlError extends Error {}

/** @param {string} path @returns {Promise<net.Socket>} */
function connect(path) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ path }, () => resolve(socket));
    socket.once('error', (error) => reject(new ControlError(`Control socket connect(${path}): ${systemWords(error)}`)));
  });
}

/** Sends a request, and waits for the reply. @param {net.Socket} socket @returns {Promise<any>} */
function ask(socket, request) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new ControlError('the control socket is not one of sshtunnel, or it has ended'));
    readObjects(socket, resolve, fail);
    socket.once('close', fail);
    socket.on('error', () => {});
    writeObject(socket, request);
  });
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
  const socket = await connect(path);
  try {
    const reply = await ask(socket, request);
    if (reply.ok !== true) throw new ControlError(`the master refused: ${shorten(String(reply.message))}`);
    return reply;
  } finally {
    socket.destroy();
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
  const print = (text) => process.stderr.write(`${plain(text)}\n`);
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

module.exports = { control };
