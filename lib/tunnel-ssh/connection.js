'use strict';

const { EventEmitter } = require('node:events');
const net = require('node:net');

const { fromEnd } = require('../errors.js');

const ignore = () => {};

/**
 * A connection to the local port, for the event 'connection' of a server. It is not a stream: its bytes do not pass
 * through JavaScript.
 */
class TunnelConnection extends EventEmitter {
  #tunnel;
  #request;
  #decided = false;

  constructor(tunnel, request) {
    super();
    const { connectionId, remoteAddress, remotePort } = request;
    this.connectionId = connectionId;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.remoteFamily = `IPv${net.isIP(remoteAddress)}`;
    this.localPort = tunnel.localPort;
    this.destroyed = false;
    this.#tunnel = tunnel;
    this.#request = request;
  }

  /** Accepts the connection, unless a listener has destroyed it. */
  decide() {
    this.#decided = true;
    if (this.destroyed) this.#request.reject();
    else this.#request.accept();
  }

  /** The connection has ended. An error is emitted only if there is a listener. */
  finish(end) {
    const failed = end.code !== 'OK' && !this.destroyed;
    this.destroyed = true;
    if (failed && this.listenerCount('error') > 0) this.emit('error', fromEnd(end));
    this.emit('close', failed, end);
  }

  end() {
    if (!this.destroyed) this.#tunnel.disconnect(this.connectionId, ignore);
    return this;
  }

  destroy() {
    if (this.destroyed) return this;
    this.destroyed = true;
    if (this.#decided) this.#reset();
    return this;
  }

  resetAndDestroy() {
    return this.destroy();
  }

  #reset() {
    this.#tunnel.connections((_, connections = []) => {
      const connection = connections.find(({ connectionId }) => connectionId === this.connectionId);
      if (connection === undefined) return;
      connection.setLinger(false, ignore);
      this.#tunnel.disconnect(this.connectionId, ignore);
    });
  }
}

module.exports = { TunnelConnection };
