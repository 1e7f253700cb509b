'use strict';

// The connection to the supervisor, which is started if there is none.

const { spawn } = require('node:child_process');
const fs = require('node:fs');

const { ControlClient, ControlError } = require('../control/client.js');
const { VERSION } = require('../control/server.js');
const { FILE, ManagerError, socketPath, stateFile } = require('./places.js');

/** Bytes of a reply. */
const MAX_REPLY = 16 * 1024 * 1024;
/** Starts of a supervisor, which may end while it is asked. */
const MAX_STARTS = 5;
/** Bytes of the file that has what supervisors print when they crash. */
const MAX_CRASHES = 1024 * 1024;

/** Codes if no process listens. */
const ABSENT = ['ENOENT', 'ECONNREFUSED'];

class SupervisorClient {
  #client;

  /** @param {ControlClient} client */
  constructor(client) {
    this.#client = client;
  }

  /** @param {string} command @param {object} [members] @returns {Promise<any>} the reply */
  async ask(command, members = {}) {
    const reply = await this.#client.ask({ command, ...members });
    if (reply.ok !== true) throw new ManagerError(`the supervisor refused: ${String(reply.message)}`);
    return reply;
  }

  close() {
    this.#client.close();
  }
}

/** @returns {Promise<SupervisorClient | undefined>} undefined if there is no supervisor */
async function connect() {
  let client;
  try {
    client = await ControlClient.open(socketPath(), { maxLine: MAX_REPLY });
    const { pid, version } = await client.ask({ command: 'check' });
    if (version !== VERSION)
      throw new ManagerError(`the supervisor, process ${Number(pid)}, is that of another version: end it first`);
    return new SupervisorClient(client);
  } catch (error) {
    client?.close();
    // It may have ended since it was connected to.
    if (error instanceof ControlError && (error.code === undefined || ABSENT.includes(error.code))) return undefined;
    throw error;
  }
}

/** Where a supervisor writes what it says of its own crash. */
function openCrashes() {
  const file = stateFile('supervisor.log');
  const { size = 0 } = fs.statSync(file, { throwIfNoEntry: false }) ?? {};
  return { file, descriptor: fs.openSync(file, size > MAX_CRASHES ? 'w' : 'a', FILE) };
}

/** Starts a supervisor, in a session of its own, and waits until it, or another one, listens. @returns {Promise<void>} */
function startSupervisor() {
  const { file, descriptor } = openCrashes();
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1], 'supervise'], {
    detached: true,
    stdio: ['ignore', descriptor, descriptor, 'ipc'],
    windowsHide: true,
  });
  fs.closeSync(descriptor);
  return new Promise((resolve, reject) => {
    child.once('message', (/** @type {any} */ { error }) => {
      child.unref();
      if (error === undefined) resolve();
      else reject(new ManagerError(error));
    });
    // Messages come before it.
    child.once('disconnect', () => reject(new ManagerError(`the supervisor has ended at once: ${file} may say why`)));
    child.once('error', reject);
  });
}

/** The supervisor, which is started if there is none. @returns {Promise<SupervisorClient>} */
async function connectOrStart() {
  for (let starts = 0; ; starts++) {
    const client = await connect();
    if (client !== undefined) return client;
    if (starts === MAX_STARTS) throw new ManagerError('the supervisor does not answer');
    await startSupervisor();
  }
}

module.exports = { connect, connectOrStart };
