'use strict';

// In the process of a tunnel: tells the supervisor what happens, by further events on standard output, answers it, and
// closes the tunnel when the supervisor has gone.

const { SUPERVISED, UsageError } = require('../arguments.js');

/** Milliseconds that connections may go on without a supervisor. */
const ORPHAN_TIMEOUT = 10_000;
/** Connections, ends and messages in a reply. */
const MAX_LISTED = 50;
const MAX_FORWARDINGS = 500;

/**
 * The members of a snapshot that a reply has room for.
 * @param {ReturnType<import('../monitor.js').Monitor['snapshot']>} snapshot
 */
function shortened({ forwardings, connections, ends, messages, ...rest }) {
  return {
    ...rest,
    forwardings: forwardings.slice(0, MAX_FORWARDINGS),
    open: connections.length,
    connections: connections.slice(0, MAX_LISTED),
    ends: ends.slice(0, MAX_LISTED),
    messages: messages.slice(-MAX_LISTED),
  };
}

/** What was added to totals since then. */
function difference(now, before) {
  return Object.fromEntries(Object.entries(now).map(([name, count]) => [name, count - before[name]]));
}

/** Closes the tunnel once, and resets it once, as signals do. */
class Ending {
  #monitor;
  #isReset = false;

  constructor(monitor) {
    this.#monitor = monitor;
  }

  close() {
    if (!this.#monitor.closing) process.emit('SIGTERM', 'SIGTERM');
  }

  reset() {
    if (this.#isReset) return;
    this.#isReset = true;
    this.close();
    process.emit('SIGTERM', 'SIGTERM');
  }
}

/**
 * @param {object} _address
 * @param {import('../services/index.js').Context} context
 * @returns {Promise<import('../services/index.js').Service>}
 */
async function start(_address, { monitor, messages, json }) {
  if (!process.connected || json === undefined)
    throw new UsageError(`${SUPERVISED} is for processes of the supervisor: use sshtunnel up`);
  const { observer } = messages;
  messages.observer = (level, text) => {
    observer?.(level, text);
    json.write('message', { level, text });
  };
  // They have their levels there, and would come twice.
  messages.show = () => {};
  const ending = new Ending(monitor);
  process.on('message', async (/** @type {any} */ { command }) => {
    if (command === 'close') ending.close();
    else if (command === 'reset') ending.reset();
    else await reply(monitor);
  });
  process.once('disconnect', () => {
    ending.close();
    setTimeout(() => ending.reset(), ORPHAN_TIMEOUT);
  });
  let before = { ...monitor.totals };
  let isStopped = false;
  return {
    ready() {
      const { destination, forwardings } = monitor.snapshot();
      const listed = forwardings.slice(0, MAX_FORWARDINGS);
      json.write('started', {
        destination,
        forwardings: listed.map(({ kind, name, from, to, failed }) => ({ kind, name, from, to, failed })),
      });
    },
    closing() {
      before = { ...monitor.totals };
    },
    stop() {
      if (isStopped) return;
      isStopped = true;
      json.write('summary', { totals: { ...monitor.totals }, closing: difference(monitor.totals, before) });
    },
  };
}

/** @param {import('../monitor.js').Monitor} monitor */
async function reply(monitor) {
  await monitor.refresh();
  // The supervisor's socket is for the user, as the terminal is.
  if (process.connected) process.send({ snapshot: { ...shortened(monitor.snapshot()), page: monitor.page } });
}

module.exports = { start };
