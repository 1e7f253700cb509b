'use strict';

const { EventEmitter } = require('node:events');
const net = require('node:net');

const { fromNative } = require('../errors.js');
const { defineDispose } = require('../native/index.js');
const { TunnelConnection } = require('./connection.js');

/** The system calls of a listener: their errors are emitted by the server, all others by the client. */
const OF_LISTENER = new Set(['bind', 'listen', 'accept']);

const isOfListener = (error) => OF_LISTENER.has(error.syscall);
const ignore = () => {};

/** The local port, with those members of net.Server that users of tunnel-ssh need. */
class TunnelServer extends EventEmitter {
  #tunnel;
  #host;
  #signal;
  /** Connections that were emitted, by their id. @type {Map<number, TunnelConnection>} */
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

  /** Closes the server when the signal is aborted. */
  followSignal() {
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
      // No error if the session has ended, and the port with it.
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

  // Connections wait for an answer only if there is a listener.
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
      this.#tunnel.on('connectionRequest', (request) => this.#requested(request));
    }
    return this;
  }

  #requested(request) {
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

defineDispose(TunnelServer, (server) => new Promise((resolve) => server.close(() => resolve())));

function notRunning() {
  return fromNative({ code: 'ERR_SERVER_NOT_RUNNING', message: 'Server is not running.' });
}

module.exports = { TunnelServer, isOfListener };
