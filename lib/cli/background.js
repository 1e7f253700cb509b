'use strict';

// -f: the command starts itself anew, as a child that authenticates at the terminal and then leaves it. Node.js cannot
// fork.

const { spawn } = require('node:child_process');

const { fromNative } = require('../errors.js');
const { FAILED } = require('./status.js');

/** Tells the child that it is one. */
const VARIABLE = 'SSHTUNNEL_BACKGROUND';

/** Signals that the parent passes on. @type {NodeJS.Signals[]} */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** This process, if it is the child: it goes to the background when it is ready. */
class Background {
  #keepsErrors;
  #isReady = false;

  /** @param {boolean} keepsErrors whether standard error stays, for debug messages */
  constructor(keepsErrors) {
    this.#keepsErrors = keepsErrors;
    // The parent has ended before the session was up.
    process.once('disconnect', () => this.#isReady || process.exit(FAILED));
  }

  /** Leaves the terminal, and lets the parent end. */
  ready() {
    // With the rest: only this loads the addon.
    const { binding } = require('../native/index.js');
    this.#isReady = true;
    const failure = binding.detach(!this.#keepsErrors);
    if (failure !== null) throw fromNative(failure);
    process.send('ready', () => process.connected && process.disconnect());
  }
}

/** Whether this process is the child. */
function isChild() {
  const is = process.env[VARIABLE] !== undefined && process.connected;
  delete process.env[VARIABLE];
  return is;
}

/**
 * Starts the child, and waits until it is ready.
 * @param {string[]} argv
 * @returns {Promise<number | NodeJS.Signals>} the status or the signal to end with
 */
function runChild(argv) {
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1], ...argv], {
    env: { ...process.env, [VARIABLE]: '1' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  for (const name of SIGNALS) process.on(name, () => child.kill(name));
  return new Promise((resolve, reject) => {
    child.once('message', () => resolve(0));
    child.once('exit', (status, signal) => resolve(signal === null ? status : signal));
    child.once('error', reject);
  });
}

/** Runs the command in the background: ends this process. */
async function runInBackground(argv) {
  const end = await runChild(argv);
  if (typeof end === 'number') process.exit(end);
  process.removeAllListeners(end);
  process.kill(process.pid, end);
}

module.exports = { Background, isChild, runInBackground };
