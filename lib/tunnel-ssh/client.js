'use strict';

const { EventEmitter } = require('node:events');

const { fromEnd, fromNative } = require('../errors.js');
const { isOfListener } = require('./server.js');

/** What else a client of ssh2 can do. */
const ABSENT = [
  'exec',
  'shell',
  'sftp',
  'subsys',
  'forwardIn',
  'unforwardIn',
  'forwardOut',
  'openssh_noMoreSessions',
  'openssh_forwardInStreamLocal',
  'openssh_unforwardInStreamLocal',
  'openssh_forwardOutStreamLocal',
];

const ignore = () => {};

/** The SSH session, with as much of ssh2's Client as is used of the one that tunnel-ssh gives. */
class TunnelClient extends EventEmitter {
  #tunnel;

  constructor(tunnel) {
    super();
    this.#tunnel = tunnel;
    tunnel.on('ready', () => this.emit('ready'));
    // The loss counts, not each attempt that fails after it.
    tunnel.on('reconnecting', ({ attempt, error }) => {
      if (attempt === 1) this.#fail(error);
    });
    tunnel.on('error', (error) => {
      if (!isOfListener(error)) this.#fail(error);
    });
    tunnel.on('disconnected', (end) => {
      if (end.code.startsWith('ERR_SSH_OPEN_')) this.#fail(fromEnd(end));
    });
    tunnel.on('close', () => {
      this.emit('end');
      this.emit('close');
    });
  }

  end() {
    this.#tunnel.shutdown(ignore);
    return this;
  }

  destroy() {
    const tunnel = this.#tunnel;
    tunnel.setLinger(false, ignore);
    tunnel.connections((_, connections = []) => {
      for (const connection of connections) connection.setLinger(false, ignore);
      tunnel.shutdown(ignore);
    });
    return this;
  }

  /** Nobody has to listen: tunnel-ssh itself does, with the one that it gives. */
  #fail(error) {
    if (this.listenerCount('error') > 0) this.emit('error', error);
  }
}

for (const name of ABSENT) {
  Object.defineProperty(TunnelClient.prototype, name, {
    value() {
      const message = `The client.${name}() method is not implemented: a tunnel carries connections and nothing else`;
      throw fromNative({ code: 'ERR_METHOD_NOT_IMPLEMENTED', message });
    },
    configurable: true,
    writable: true,
  });
}

module.exports = { TunnelClient };
