'use strict';

// Follows the events of a tunnel: as messages, as JSON lines, and in the monitor.

const { connectionMembers, errorMembers } = require('./json-lines.js');
const { connectFailure, lossMessage, openFailure } = require('./messages.js');
const { clientOf, targetOf } = require('./text.js');

/** Codes of ends that the application or a peer asked for. */
const REQUESTED = ['OK', 'ECONNRESET', 'ECONNABORTED'];

/** The bytes of a connection that were not delivered; of some, not every system tells. */
function losses({ droppedUp, droppedDown, unconfirmedDown }) {
  const unknown = unconfirmedDown > 0 ? ` (${unconfirmedDown} more are not known to be)` : '';
  return `${droppedUp} up, ${droppedDown} down${unknown}`;
}

class EventLog {
  #messages;
  #json;
  #monitor;
  #server;

  /**
   * @param {{ messages: import('./messages.js').Messages, json?: import('./json-lines.js').JsonLines,
   *   monitor: import('../monitor.js').Monitor }} outputs
   */
  constructor({ messages, json, monitor }) {
    this.#messages = messages;
    this.#json = json;
    this.#monitor = monitor;
  }

  /** @param {{ host: string, port: number, username: string }} server that the session is with */
  follow(tunnel, server) {
    this.#server = server;
    tunnel.on('ready', () => this.ready());
    tunnel.on('reconnecting', (next) => this.#reconnecting(next));
    tunnel.on('sessionError', (error) => this.#failed('sessionError', error, error.message));
    tunnel.on('forwardError', (error, forwardId) => this.#failed('forwardError', error, error.message, { forwardId }));
    tunnel.on('error', (error) => {
      this.#failed('error', error, this.#sessionMessage(error));
      this.#monitor.setSession('lost');
    });
    tunnel.on('close', () => this.#json?.write('close'));
    // Each connection costs the event loop something where somebody listens for it.
    if (this.#json !== undefined || this.#messages.shows('DEBUG1'))
      tunnel.on('connection', (info) => this.#opened(info));
    tunnel.on('disconnected', (end) => this.#ended(end));
  }

  ready() {
    const { host, port } = this.#server;
    this.#messages.debug(1, `Authenticated to ${host} port ${port}.`);
    this.#monitor.setSession('connected');
    this.#json?.write('ready', { host, port });
  }

  #reconnecting({ attempt, delay, error }) {
    this.#messages.info(attempt === 1 ? lossMessage(error, this.#server) : connectFailure(error, this.#server));
    if (error.lossReason === 'unidentified') this.#messages.hint({ step: 'connect', error });
    this.#messages.verbose(`Attempt ${attempt} to reconnect in ${delay} ms.`);
    this.#monitor.setSession('reconnecting', { attempt, delay });
    this.#json?.write('reconnecting', { attempt, delay, error: errorMembers(error) });
  }

  #failed(event, error, text, members = {}) {
    this.#messages.error(text);
    this.#json?.write(event, { ...errorMembers(error), ...members });
  }

  #sessionMessage(error) {
    return error.code === 'ERR_SSH_DISCONNECTED'
      ? lossMessage(error, this.#server)
      : connectFailure(error, this.#server);
  }

  #opened(info) {
    this.#messages.debug(1, `channel ${info.connectionId}: open: ${clientOf(info)} to ${targetOf(info)}`);
    this.#json?.write('connection', connectionMembers(info));
  }

  #ended(end) {
    this.#monitor.ended(end);
    this.#json?.write('disconnected', end);
    const { connectionId, code, reason, closedBy, bytesUp, bytesDown, clean } = end;
    const failure = openFailure(end);
    const lost = end.droppedUp + end.droppedDown + end.unconfirmedDown;
    if (failure !== undefined) {
      this.#messages.info(`channel ${connectionId}: ${failure}`);
      this.#messages.hint({ step: 'open', error: end });
    } else if (!REQUESTED.includes(code) && (lost > 0 || code === 'ETIMEDOUT')) {
      this.#messages.info(`channel ${connectionId}: ${reason}; bytes not delivered: ${losses(end)}`);
    } else {
      this.#messages.debug(1, `channel ${connectionId}: ${clean ? 'free' : reason} (${code}, ${closedBy})`);
    }
    this.#messages.debug(
      2,
      `channel ${connectionId}: ${bytesUp} bytes up, ${bytesDown} down, not delivered: ${losses(end)}`,
    );
  }
}

module.exports = { EventLog };
