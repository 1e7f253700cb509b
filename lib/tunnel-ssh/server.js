'use strict';

const { EventEmitter } = require('node:events');
const net = require('node:net');

const { fromNative } = require('../errors.js');
const { TunnelConnection } = require('./connection.js');

/** The system calls of a listener: their errors are the server's, all others the client's. */
const OF_LISTENER = new Set(['bind', 'listen', 'accept']);

const isOfListener = (error) => OF_LISTENER.has(error.syscall);
const ignore = () => {};

/** The local port, with as much of net.Server as is used of the one that tunnel-ssh gives. */
class TunnelServer extends EventEmitter {
  #tunnel;
  #host;
  #signal;
  /** Connections that somebody was told of, by their number. @type {Map<number, TunnelConnection>} */
  #connections = new Map();
  #following = false;
  #closing = false;
  #closed = false;
  #abort = () => this.close();

  constructor(tunnel, host, { autoClose, signal }) {
    super();
    this.#tunnel = tunnel;
    this.#host = host;
    this.#signal = signal;
    tunnel.on('listening', () => this.emit('listening'));
    tunnel.on('disconnected', (end) => {
      this.#connections.get(end.connectionId)?.finish(end);
      this.#connections.delete(end.connectionId);
      if (autoClose) this.#closeIfUnused();
    });
    tunnel.on('error', (error) => {
      if (isOfListener(error) && this.listenerCount('error') > 0) this.emit('error', error);
    });
    tunnel.on('close', () => {
      this.#closed = true;
      signal?.removeEventListener('abort', this.#abort);
      this.emit('close');
    });
  }

  /** From now on the signal closes what listens. */
  heed() {
    if (this.#signal?.aborted) this.close();
    else this.#signal?.addEventListener('abort', this.#abort, { once: true });
  }

  get listening() {
    return !this.#closing && this.#tunnel.listening;
  }

  address() {
    if (!this.listening) return null;
    return { address: this.#host, family: `IPv${net.isIP(this.#host)}`, port: this.#tunnel.localPort };
  }

  getConnections(callback) {
    this.#tunnel.connections((error, connections) => callback(error, connections?.length));
    return this;
  }

  close(callback) {
    const first = !this.#closing;
    this.#closing = true;
    if (typeof callback === 'function') {
      // That the session has ended, and the port with it, is no reason for an error here.
      const call = first ? () => callback() : () => callback(notRunning());
      if (this.#closed) process.nextTick(call);
      else this.once('close', call);
    }
    if (first && !this.#closed) this.#tunnel.close(ignore);
    return this;
  }

  ref() {
    this.#tunnel.ref();
    return this;
  }

  unref() {
    this.#tunnel.unref();
    return this;
  }

  // A connection waits for us only where somebody wants to be told of it.
  on(event, listener) {
    super.on(event, listener);
    return this.#follow(event);
  }

  addListener(event, listener) {
    super.addListener(event, listener);
    return this.#follow(event);
  }

  prependListener(event, listener) {
    super.prependListener(event, listener);
    return this.#follow(event);
  }

  #follow(event) {
    if (event === 'connection' && !this.#following) {
      this.#following = true;
      this.#tunnel.on('connectionRequest', (request) => this.#arrived(request));
    }
    return this;
  }

  #arrived(request) {
    const connection = new TunnelConnection(this.#tunnel, request);
    this.#connections.set(request.connectionId, connection);
    try {
      this.emit('connection', connection);
    } finally {
      connection.decide();
    }
  }

  #closeIfUnused() {
    if (this.#closing) return;
    this.#tunnel.connections((error, connections) => {
      if (error === null && connections.length === 0) this.close();
    });
  }
}

if (Symbol.asyncDispose !== undefined) {
  Object.defineProperty(TunnelServer.prototype, Symbol.asyncDispose, {
    value() {
      return new Promise((resolve) => this.close(() => resolve()));
    },
    configurable: true,
    writable: true,
  });
}

function notRunning() {
  return fromNative({ code: 'ERR_SERVER_NOT_RUNNING', message: 'Server is not running.' });
}

module.exports = { TunnelServer, isOfListener };
