'use strict';

const { EventEmitter } = require('node:events');

const { fromEnd, fromNative } = require('../errors.js');
const { isOfListener } = require('./server.js');

/** Other methods of an ssh2 Client. */
const ABSENT = `
  exec shell sftp subsys forwardIn unforwardIn forwardOut openssh_noMoreSessions openssh_forwardInStreamLocal
  openssh_unforwardInStreamLocal openssh_forwardOutStreamLocal
`.match(/\S+/g);

const ignore = () => {};

/** The SSH session, with those members of ssh2's Client that users of tunnel-ssh need. */
class TunnelClient extends EventEmitter {
  #tunnel;

  constructor(tunnel) {
    super();
    this.#tunnel = tunnel;
    tunnel.on('ready', () => this.emit('ready'));
    // Only the loss, not each failed attempt to reconnect.
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

  /** No listener is required, as tunnel-ssh has its own. */
  #fail(error) {
    if (this.listenerCount('error') > 0) this.emit('error', error);
  }
}

for (const name of ABSENT) {
  Object.defineProperty(TunnelClient.prototype, name, {
    value() {
      const message = `The client.${name}() method is not implemented: a tunnel only forwards connections`;
      throw fromNative({ code: 'ERR_METHOD_NOT_IMPLEMENTED', message });
    },
    configurable: true,
    writable: true,
  });
}

module.exports = { TunnelClient };
