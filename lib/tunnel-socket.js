'use strict';

// Sockets of dial(): how they are closed. The addon has the other end of their stream, so that there is no port that
// another program could connect to.
//
// The stream itself is not reset. The addon reports the end of the connection when all delivered bytes are read, and the
// socket is destroyed with the error here. An 'end' is always the end of the stream.

const { AsyncResource } = require('node:async_hooks');
const { setImmediate } = require('node:timers');

const { lingerCalls } = require('./connection.js');
const { Deadline } = require('./deadline.js');
const { coded, fromEnd, systemError } = require('./errors.js');
const { Deferred, binding, defineCalls, using } = require('./native/index.js');
const stream = require('./stream-socket.js');
const { isHard, packLinger, unpackLinger } = require('./validate/index.js');

const { Method } = binding;

const nothing = () => undefined;

/** A linger time that runs here, before the addon closes the connection. */
class LingerTime {
  #l_onoff;
  #deadline;
  isTaken = false;

  /** @param {() => void} expire */
  constructor(packed, expire) {
    const { l_onoff, l_linger } = unpackLinger(packed);
    this.#l_onoff = l_onoff;
    if (l_onoff !== 0) this.#deadline = new Deadline(l_linger * 1000, expire);
  }

  /** Stops the time. @returns {number | undefined} a Linger for the rest of it */
  take() {
    this.isTaken = true;
    if (this.#deadline === undefined) return undefined;
    this.#deadline.clear();
    const left = Math.ceil(this.#deadline.left / 1000);
    return packLinger({ l_onoff: this.#l_onoff, l_linger: Math.max(1, left) });
  }
}

const streamDestroyed = () => coded(Error, 'ERR_STREAM_DESTROYED', 'Cannot call write after a stream was destroyed');

/** For the tunnel: the connection has opened, has ended, or got another Linger. */
let opened;
let ended;
let lingerChanged;

/** @type {any} its types have fields in place of accessors */
const StreamSocket = stream.StreamSocket;

class TunnelSocket extends StreamSocket {
  #ask;
  #resource;
  /** The report of the connection's end. */
  #end;
  /** The error that follows the bytes that are still to be read. */
  #cut;
  /** Whether destroy() was called and the connection is closing. */
  #closing = false;
  /** The error that destroy() was called with. */
  #reason;
  /** The linger time, until the system has everything that was written. @type {LingerTime | undefined} */
  #lingerTime;
  /** Whether it is being reset, which is final. */
  #isReset = false;

  static {
    opened = (socket) => socket.#resource.runInAsyncScope(socket.#opened, socket);
    ended = (socket, end) => socket.#resource.runInAsyncScope(socket.#ended, socket, end);
    lingerChanged = (socket, packed) => socket.#lingerChanged(packed);
    defineCalls(
      TunnelSocket,
      lingerCalls((socket, settler, method, options) => socket.#ask(settler, method, socket.connectionId, options)),
    );
  }

  /**
   * @param {{ connectionId: number, stream: number }} dialed
   * @param {{ target: object, allowHalfOpen: boolean }} wanted
   * @param {import('./connection.js').Ask} ask
   */
  constructor({ connectionId, stream: number }, { target, allowHalfOpen }, ask) {
    const resource = new AsyncResource('SSHTUNNELSOCKET', { requireManualDestroy: true });
    super(number, target, allowHalfOpen, resource);
    this.#resource = resource;
    this.#ask = ask;
    Object.defineProperty(this, 'connectionId', { value: connectionId, enumerable: true });
  }

  get destroyed() {
    return super.destroyed || (#closing in this && this.#closing);
  }

  set destroyed(value) {
    super.destroyed = value;
  }

  get writable() {
    return super.writable && !this.destroyed;
  }

  set writable(value) {
    super.writable = value;
  }

  get readable() {
    return super.readable && !this.destroyed;
  }

  set readable(value) {
    super.readable = value;
  }

  get errored() {
    return super.errored ?? (#closing in this && this.#reason ? this.#reason : null);
  }

  get readableAborted() {
    return super.readableAborted || (!super.destroyed && this.destroyed && !this.readableEnded);
  }

  destroy(error) {
    const isOver = super.destroyed || this.#end !== undefined;
    if (isOver || (this.writableFinished && this.readableEnded)) return super.destroy(this.#reason ?? error);
    if (this.connecting) {
      this.#call(Method.Disconnect).catch(nothing);
      return super.destroy(error);
    }
    if (!this.#closing) {
      this.#beginClose(error);
      this.#close();
    } else if (error?.syscall !== undefined) {
      super.destroy(this.#reason);
    }
    return this;
  }

  resetAndDestroy() {
    if (this.connecting || super.destroyed) return this.destroy();
    if (!this.#closing) this.#beginClose();
    this.#reset();
    return this;
  }

  write(...args) {
    if (!this.#closing) return super.write(...args);
    const callback = args.findLast((arg) => typeof arg === 'function');
    if (callback !== undefined) process.nextTick(callback, streamDestroyed());
    return false;
  }

  read(size) {
    if (!(#cut in this)) return super.read(size); // called by the constructor of the base class
    if (this.#closing) return null;
    const chunk = super.read(size);
    if (this.#cut !== undefined && this.readableLength === 0) process.nextTick(() => super.destroy(this.#cut));
    return chunk;
  }

  #beginClose(reason) {
    this.#closing = true;
    this.#reason = reason;
    // The remote end may wait for that before it reads itself.
    stream.discardInput(this);
  }

  #call(method, options) {
    const deferred = new Deferred();
    this.#ask(deferred, method, this.connectionId, options);
    return deferred.promise;
  }

  /**
   * Closes the connection by its Linger, and then the socket. To end the socket alone would end the stream, and until it
   * is destroyed, input is read.
   */
  async #close() {
    try {
      const packed = await this.#call(Method.GetConnectionLinger);
      if (!isHard(packed)) {
        this.#lingerTime ??= new LingerTime(packed, () => this.#reset());
        await this.#written();
        // The linger time began with destroy().
        const left = this.#lingerTime.take();
        if (left !== undefined) await this.#call(Method.SetConnectionLinger, { value: left });
      }
      await this.#call(Method.Disconnect);
    } catch {
      // The connection has ended meanwhile.
    }
    this.#lingerTime?.take();
    super.destroy(this.#reason);
  }

  async #reset() {
    this.#isReset = true;
    try {
      await this.#call(Method.ResetConnection);
    } catch {
      // The connection has ended meanwhile.
    }
    super.destroy(this.#reason);
  }

  /** The Linger has changed, perhaps during a close here. */
  #lingerChanged(packed) {
    if (!this.#closing || this.#isReset || this.#end !== undefined || this.#lingerTime?.isTaken) return;
    this.#lingerTime?.take();
    if (isHard(packed)) this.#reset();
    else this.#lingerTime = new LingerTime(packed, () => this.#reset());
  }

  /** Waits until the system has all that write() has accepted. */
  #written() {
    return new Promise((resolve) => {
      if (this.writableFinished || super.destroyed) return resolve();
      this.once('finish', resolve).once('close', resolve);
      this.end();
    });
  }

  #opened() {
    if (!super.destroyed) stream.opened(this);
  }

  _destroy(error, callback) {
    super._destroy(error, callback);
    this.#resource.emitDestroy();
  }

  #ended(end) {
    this.#end = end;
    if (super.destroyed) return;
    const { code, reason, closedBy, linger } = end;
    if (this.connecting) {
      super.destroy(fromEnd(end));
      return;
    }
    if (this.#closing) {
      // The rest cannot be written any more.
      super.destroy(this.#reason);
      return;
    }
    const reset = systemError('read', 'ECONNRESET', reason);
    reset.cause = fromEnd(end);
    if (closedBy === 'graceful') {
      // The end of the stream has arrived or is about to; further writes are discarded.
      const finish = () => {
        if (this.writableFinished) return;
        if (code !== 'OK') super.destroy(reset);
        else if (!this.writableEnded || this.writableLength > 0) super.destroy();
      };
      if (this.readableEnded) finish();
      else this.once('end', () => setImmediate(finish));
    } else if (this.readableLength === 0 || (linger.l_onoff !== 0 && linger.l_linger === 0)) {
      super.destroy(reset);
    } else {
      this.#cut = reset;
    }
  }
}

/** @returns {any} a TunnelSocket, whose base class has no type here */
function dial(handle, wanted, ask) {
  return using(() => new TunnelSocket(binding.dial(handle, wanted.target), wanted, ask));
}

module.exports = {
  TunnelSocket,
  dial,
  ended: (...args) => ended(...args),
  opened: (...args) => opened(...args),
  lingerChanged: (...args) => lingerChanged(...args),
};
