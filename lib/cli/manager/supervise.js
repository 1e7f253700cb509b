'use strict';

// `sshtunnel supervise`: runs the supervisor. The subcommand `up` starts it in the background.

const path = require('node:path');

const { InUse } = require('../control/server.js');
const { writeError } = require('../output/standard-error.js');
const { plain } = require('../output/text.js');
const { FAILED } = require('../status.js');
const { Supervisor } = require('./supervisor.js');

/** Signals that end it. The tunnels close by themselves then, and are still wanted. @type {NodeJS.Signals[]} */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Tells the process that has started this one, if it waits, and lets it end. @returns {Promise<void>} */
function tell(message) {
  return new Promise((resolve) => {
    if (!process.connected) {
      resolve();
      return;
    }
    process.send(message, () => {
      if (process.connected) process.disconnect();
      resolve();
    });
  });
}

/** @returns {Promise<number>} the exit status */
async function run() {
  let isIdle = () => {};
  /** @type {Promise<void>} */
  const idle = new Promise((resolve) => (isIdle = resolve));
  const supervisor = new Supervisor(() => isIdle());
  try {
    await supervisor.listen();
  } catch (error) {
    const isDone = error instanceof InUse;
    await tell(isDone ? {} : { error: error.message });
    if (isDone) return 0;
    writeError(`sshtunnel: ${plain(error.message)}\n`);
    return FAILED;
  }
  // No folder stays in use because of it.
  process.chdir(path.parse(process.cwd()).root);
  const signal = new Promise((resolve) => {
    for (const name of SIGNALS) process.once(name, resolve);
  });
  await tell({});
  await Promise.race([idle, signal]);
  await supervisor.close();
  process.exit(0);
}

module.exports = { run };
