'use strict';

// A stream with the interface of a net.Socket, over an end of a stream in the addon: no descriptor, and nothing of
// Node's internals. It is no net.Socket itself: TLS and HTTP/2 of Node.js would look for the handle of one.

const { isIP } = require('node:net');
const { Duplex } = require('node:stream');
const { clearTimeout, setImmediate, setTimeout } = require('node:timers');

const { coded } = require('./errors.js');
const { StreamEnd } = require('./native/index.js');
const { checkFunction, checkInteger, checkTimeout } = require('./validate/index.js');

const closed = () => coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed');

/** For subclasses: the connection has opened; input is read and discarded from now on. */
let opened;
let discardInput;

class StreamSocket extends Duplex {
  #end;
  #remote;
  /** A write before 'connect'. @type {{ buffers: Buffer[], written: (error?: Error) => void } | undefined} */
  #early;
  #timer;
  /** Bytes that had been written at the last look of the timer. */
  #bytesTaken = 0;
  connecting = true;
  /** @type {number | undefined} */
  timeout;

  static {
    opened = (socket) => socket.#opened();
    discardInput = (socket) => socket.#end.discard();
  }

  /**
   * @param {number} stream the addon's number of it
   * @param {{ host?: string, port?: number }} target
   * @param {boolean} allowHalfOpen
   * @param {import('node:async_hooks').AsyncResource} resource events are emitted in its context
   */
  constructor(stream, { host, port }, allowHalfOpen, resource) {
    // Like a net.Socket it emits 'close' itself, with an argument.
    super({ allowHalfOpen, emitClose: false });
    this.#remote = { address: host, port, family: host === undefined ? undefined : family(host) };
    this.#end = new StreamEnd(stream, resource, {
      receive: (chunk) => {
        this.#active();
        return this.push(chunk);
      },
      // The subclass gets the reason from the report of the connection.
      fail: () => {},
    });
    // As a net.Socket that connects, it keeps the process running.
    this.read(0);
  }

  get pending() {
    return this.destroyed || this.connecting;
  }

  get readyState() {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bufferSize() {
    return this.destroyed ? undefined : this.writableLength;
  }

  get bytesRead() {
    return this.#end.bytesRead;
  }

  get bytesWritten() {
    return this.#end.bytesWritten + this.writableLength;
  }

  /** The target's host, as it was given, since only the server knows its address. */
  get remoteAddress() {
    return this.pending ? undefined : this.#remote.address;
  }

  get remotePort() {
    return this.pending ? undefined : this.#remote.port;
  }

  get remoteFamily() {
    return this.pending ? undefined : this.#remote.family;
  }

  get localAddress() {
    return undefined;
  }

  get localPort() {
    return undefined;
  }

  get localFamily() {
    return undefined;
  }

  address() {
    return {};
  }

  /**
   * Drivers connect a socket that they are handed. This one connects by itself, so that its arguments do not matter:
   * 'connect' follows in any case.
   */
  connect(...args) {
    const listener = args.findLast((arg) => typeof arg === 'function');
    if (listener !== undefined) this.once('connect', listener);
    if (!this.connecting) {
      process.nextTick(() => {
        if (this.destroyed) this.emit('error', closed());
        else this.#connected();
      });
    }
    return this;
  }

  /** No option of TCP has a meaning here: the server's connection to the target is its own. */
  setNoDelay() {
    return this;
  }

  setKeepAlive() {
    return this;
  }

  setTypeOfService(tos) {
    checkInteger(tos, 'tos', 0, 255);
    return this;
  }

  getTypeOfService() {
    return 0;
  }

  setTimeout(msecs, callback) {
    if (this.destroyed) return this;
    const timeout = checkTimeout(msecs, 'msecs');
    if (callback !== undefined) checkFunction(callback, 'callback');
    this.timeout = msecs;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (timeout === 0) {
      if (callback !== undefined) this.removeListener('timeout', callback);
      return this;
    }
    this.#timer = setTimeout(() => this.#expired(), timeout).unref();
    if (callback !== undefined) this.once('timeout', callback);
    return this;
  }

  #expired() {
    const { bytesTaken } = this.#end;
    const hasProgress = this.writableLength > 0 && bytesTaken !== this.#bytesTaken;
    this.#bytesTaken = bytesTaken;
    if (hasProgress) this.#timer?.refresh();
    else this.emit('timeout');
  }

  #active() {
    this.#timer?.refresh();
  }

  ref() {
    this.#end.ref();
    return this;
  }

  unref() {
    this.#end.unref();
    return this;
  }

  destroySoon() {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', this.destroy);
  }

  /** @returns {boolean} */
  write(chunk, encoding, callback) {
    const isEndedByPeer = this.readableEnded && !this.allowHalfOpen;
    if (!isEndedByPeer || !this.writableEnded) return super.write(chunk, encoding, callback);
    const error = coded(Error, 'EPIPE', 'This socket has been ended by the other party');
    const given = typeof encoding === 'function' ? encoding : callback;
    if (typeof given === 'function') process.nextTick(given, error);
    this.destroy(error);
    return false;
  }

  #opened() {
    this.connecting = false;
    this.#active();
    this.#connected();
    if (this.#early === undefined) return;
    const { buffers, written } = this.#early;
    this.#early = undefined;
    if (this.closed) written(closed());
    else this.#end.write(buffers, written);
  }

  #connected() {
    this.emit('connect');
    this.emit('ready');
    if (!this.destroyed && !this.isPaused()) this.read(0);
  }

  _read() {
    this.#end.read();
  }

  _write(chunk, _encoding, written) {
    this.#write([chunk], written);
  }

  _writev(chunks, written) {
    this.#write(
      chunks.map(({ chunk }) => chunk),
      written,
    );
  }

  #write(buffers, written) {
    if (this.connecting) {
      this.#early = { buffers, written };
      return;
    }
    this.#active();
    this.#end.write(buffers, written);
  }

  _final(callback) {
    if (this.connecting) {
      this.once('connect', () => this._final(callback));
      return;
    }
    this.#end.end();
    // Not before what listeners of 'end' begin, as after the system call of a net.Socket.
    setImmediate(callback);
  }

  _destroy(error, callback) {
    const early = this.#early?.written;
    this.#early = undefined;
    this.connecting = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const written = this.#end.close();
    if (early !== undefined) {
      const code = 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION';
      process.nextTick(early, error ?? coded(Error, code, 'Socket closed before the connection was established'));
    }
    if (written !== undefined) process.nextTick(written, error ?? closed());
    callback(error);
    // As that of a net.Socket: after what listeners of 'error' begin.
    setImmediate(() => this.emit('close', Boolean(error)));
  }
}

/** As Node.js names it; nothing for a name. */
function family(host) {
  return { 4: 'IPv4', 6: 'IPv6' }[isIP(host)];
}

module.exports = {
  StreamSocket,
  discardInput: (socket) => discardInput(socket),
  opened: (socket) => opened(socket),
};
