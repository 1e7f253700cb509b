'use strict';

// Follows what becomes of a tunnel and tells it on: as messages, as reports, to the view.

const { loss, openRefusal, refusal } = require('./messages.js');
const { connectionMembers, errorMembers } = require('./json-lines.js');
const { place } = require('./text.js');

/** Ends that somebody wanted, here or at the far side. */
const WANTED = ['OK', 'ECONNRESET', 'ECONNABORTED'];

class Witness {
  #messages;
  #reports;
  #tally;
  #server;

  /**
   * @param {{ messages: import('./messages.js').Messages, reports?: import('./json-lines.js').Reports,
   *   tally?: import('./traffic.js').Tally }} listeners
   */
  constructor({ messages, reports, tally }) {
    this.#messages = messages;
    this.#reports = reports;
    this.#tally = tally;
  }

  /** @param {{ host: string, port: number, username: string }} server that the session is with */
  follow(tunnel, server) {
    this.#server = server;
    tunnel.on('ready', () => this.ready());
    tunnel.on('reconnecting', (next) => this.#reconnecting(next));
    tunnel.on('sessionError', (error) => this.#broken('sessionError', error));
    tunnel.on('forwardError', (error, forwardId) => this.#broken('forwardError', error, { forwardId }));
    tunnel.on('error', (error) => this.#broken('error', error));
    tunnel.on('close', () => this.#reports?.write('close'));
    // Each connection costs the event loop something where somebody listens for it.
    if (this.#reports !== undefined || this.#messages.shows('DEBUG1'))
      tunnel.on('connection', (info) => this.#opened(info));
    if (this.#reports !== undefined || this.#tally !== undefined || this.#messages.shows('INFO')) {
      tunnel.on('disconnected', (end) => this.#ended(end));
    }
  }

  ready() {
    const { host, port } = this.#server;
    this.#messages.debug(1, `Authenticated to ${host} port ${port}.`);
    this.#tally?.state('connected');
    this.#reports?.write('ready', { host, port });
  }

  #reconnecting({ attempt, delay, error }) {
    const first = attempt === 1;
    this.#messages.info(first ? loss(error, this.#server) : refusal(error, this.#server));
    this.#messages.verbose(`Attempt ${attempt} to reconnect in ${delay} ms.`);
    this.#tally?.state(`reconnecting, attempt ${attempt},`);
    this.#reports?.write('reconnecting', { attempt, delay, error: errorMembers(error) });
  }

  #broken(event, error, members = {}) {
    const text = event === 'error' ? this.#lost(error) : error.message;
    this.#messages.error(text);
    this.#reports?.write(event, { ...errorMembers(error), ...members });
    if (event === 'error') this.#tally?.state('lost');
  }

  #lost(error) {
    return error.code === 'ERR_SSH_DISCONNECTED' ? loss(error, this.#server) : refusal(error, this.#server);
  }

  #opened(info) {
    const { connectionId, remoteAddress, remotePort, forwardHost, forwardPort, forwardPath } = info;
    const from = remoteAddress ? place(remoteAddress, remotePort) : 'a local program';
    const to = forwardPath ?? place(forwardHost ?? '', forwardPort);
    this.#messages.debug(1, `channel ${connectionId}: open: ${from} to ${to}`);
    this.#reports?.write('connection', connectionMembers(info));
  }

  #ended(end) {
    this.#tally?.ended(end);
    this.#reports?.write('disconnected', end);
    const { connectionId, code, reason, closedBy, bytesUp, bytesDown, droppedUp, droppedDown, clean } = end;
    const refused = openRefusal({ code, message: reason });
    const lost = droppedUp + droppedDown;
    if (refused !== undefined) {
      this.#messages.info(`channel ${connectionId}: ${refused}`);
    } else if (!WANTED.includes(code) && (lost > 0 || code === 'ETIMEDOUT')) {
      this.#messages.info(
        `channel ${connectionId}: ${reason}; bytes not delivered: ${droppedUp} up, ${droppedDown} down`,
      );
    } else {
      this.#messages.debug(1, `channel ${connectionId}: ${clean ? 'free' : reason} (${code}, ${closedBy})`);
    }
    this.#messages.debug(
      2,
      `channel ${connectionId}: ${bytesUp} bytes up, ${bytesDown} down, not delivered: ${droppedUp} up, ${droppedDown} down`,
    );
  }
}

module.exports = { Witness };
