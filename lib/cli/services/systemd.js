'use strict';

// Reports the state to the service manager: READY=1 when everything listens, STATUS=, STOPPING=1, and WATCHDOG=1 from the
// event loop, while it turns.

const { fromNative } = require('../../errors.js');
const { binding } = require('../../native/index.js');

/** Milliseconds until what the manager had no room for is sent again. */
const RETRY = 100;

/** Datagrams to the service manager. */
class Notifier {
  #address;
  #messages;
  /** Assignments that are not sent yet, the latest of each name. */
  #unsent = {};
  #timer;

  /** @param {string} address @param {import('../output/messages.js').Messages} messages */
  constructor(address, messages) {
    this.#address = address;
    this.#messages = messages;
  }

  /** @param {Record<string, string | number>} assignments */
  send(assignments) {
    clearTimeout(this.#timer);
    this.#unsent = { ...this.#unsent, ...assignments };
    const lines = Object.entries(this.#unsent).map(([name, value]) => `${name}=${value}`);
    const failure = binding.sendDatagram(this.#address, lines.join('\n'));
    const error = failure === null ? undefined : fromNative(failure);
    if (error?.code === 'EAGAIN' || error?.code === 'ENOBUFS') {
      this.#timer = setTimeout(() => this.send({}), RETRY).unref();
      return;
    }
    this.#unsent = {};
    if (error !== undefined) this.#messages.verbose(`NOTIFY_SOCKET ${this.#address}: ${error.message}`);
  }
}

/** The state of a run, in words. @param {import('../monitor.js').Monitor} monitor */
function status({ destination, closing, session: { state, attempt, nextAttempt } }) {
  const server = destination || 'the server';
  if (closing) return 'Closing: connections may finish';
  switch (state) {
    case 'connecting':
      return `Connecting to ${server}`;
    case 'connected':
      return `Connected to ${server}`;
    case 'reconnecting':
      return `Reconnecting to ${server}: attempt ${attempt} at ${new Date(nextAttempt).toISOString()}`;
    default:
      return `Disconnected from ${server}`;
  }
}

/**
 * @param {import('../service-manager.js').ServiceManager} manager
 * @param {import('./index.js').Context} context
 * @returns {Promise<import('./index.js').Service>}
 */
async function start({ notifySocket, watchdog }, { monitor, messages }) {
  const notifier = new Notifier(notifySocket, messages);
  const send = (assignments) => notifier.send({ ...assignments, STATUS: status(monitor) });
  const report = () => send({});
  const alive = () => notifier.send({ WATCHDOG: 1 });
  const timer = watchdog === undefined ? undefined : setInterval(alive, watchdog / 2).unref();
  let isStopping = false;
  const stopping = () => {
    if (!isStopping) send({ STOPPING: 1 });
    isStopping = true;
  };
  monitor.watchers.add(report);
  report();
  return {
    ready: () => send({ READY: 1 }),
    closing: stopping,
    stop: () => {
      monitor.watchers.delete(report);
      clearInterval(timer);
      stopping();
    },
  };
}

module.exports = { start };
