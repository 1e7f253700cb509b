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
  /** Connections that were accepted and have not ended, once a limit counts them. */
  #open = new Set();
  /** @type {number | undefined} */
  #maxConnections;
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
      this.#open.delete(end.connectionId);
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

  /** As of a net.Server: further connections are dropped, and 'drop' is emitted. */
  get maxConnections() {
    return this.#maxConnections;
  }

  set maxConnections(value) {
    this.#maxConnections = value;
    if (value === undefined || value === null || this.#closed) return;
    for (const { connectionId } of this.#tunnel.connections()) this.#open.add(connectionId);
    this.#follow('connection');
  }

  /** The number of connections. */
  get connections() {
    return this.#closed ? 0 : this.#tunnel.connections().length;
  }

  /** The server listens already, and after its close the session is closed as well. */
  listen() {
    if (this.listening) throw alreadyListening();
    const message =
      'The server.listen() method is not implemented: call createTunnel() again, which opens a session, too';
    throw fromNative({ code: 'ERR_METHOD_NOT_IMPLEMENTED', message });
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
    const max = this.#maxConnections;
    if (typeof max === 'number' && this.#open.size >= max) {
      const { remoteAddress, remotePort } = request;
      request.reject();
      const address = this.address();
      this.emit('drop', {
        localAddress: address?.address,
        localPort: address?.port,
        localFamily: address?.family,
        remoteAddress,
        remotePort,
        remoteFamily: `IPv${net.isIP(remoteAddress)}`,
      });
      return;
    }
    this.#open.add(request.connectionId);
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

function alreadyListening() {
  return fromNative({
    code: 'ERR_SERVER_ALREADY_LISTEN',
    message: 'Listen method has been called more than once without closing.',
  });
}

function notRunning() {
  return fromNative({ code: 'ERR_SERVER_NOT_RUNNING', message: 'Server is not running.' });
}

module.exports = { TunnelServer, isOfListener };
