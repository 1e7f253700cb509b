'use strict';

// Connections that the program asks for itself. The addon has one end of a pair of Unix sockets, and
// a net.Socket has the other: no port through which somebody else could come.
//
// Such a pair has no reset. The kernel makes one of a close with unread input, but not for a program
// that has ended its own direction, and libuv takes a close that it finds together with the last bytes
// for the end of the stream. So the addon does not close its end where the connection was reset: it
// reports how the connection ended, when everything is read that is to be delivered, and the socket
// is destroyed with the error here. The end of the stream is one only if it was one.

const { AsyncResource } = require('node:async_hooks');
const { closeSync } = require('node:fs');
const net = require('node:net');

const { lingerCalls } = require('./connection.js');
const { Deadline } = require('./deadline.js');
const { fromEnd, fromNative, systemError } = require('./errors.js');
const { Deferred, binding, defineCalls } = require('./native/index.js');
const { isHard, packLinger, unpackLinger } = require('./validate/index.js');

const { Method } = binding;

const nothing = () => undefined;

/** A linger time that runs here, before the addon is told to close. */
class Bound {
  #l_onoff;
  #deadline;
  isTaken = false;

  /** @param {() => void} expire called when the time is over */
  constructor(packed, expire) {
    const { l_onoff, l_linger } = unpackLinger(packed);
    this.#l_onoff = l_onoff;
    if (l_onoff !== 0) this.#deadline = new Deadline(l_linger * 1000, expire);
  }

  /** Stops the time. @returns {number | undefined} the Linger of what is left of it */
  take() {
    this.isTaken = true;
    if (this.#deadline === undefined) return undefined;
    this.#deadline.clear();
    const left = Math.ceil(this.#deadline.left / 1000);
    return packLinger({ l_onoff: this.#l_onoff, l_linger: Math.max(1, left) });
  }
}

/**
 * Node.js has accessors and a handle where its types have fields or nothing.
 * @type {any}
 */
const Socket = net.Socket;

/** For the tunnel: the connection has opened, has ended, or got another Linger. */
let opened;
let ended;
let lingerChanged;

class TunnelSocket extends Socket {
  #ask;
  #resource = new AsyncResource('SSHTUNNELSOCKET');
  /** The report of the connection's end, once there is one. */
  #end;
  /** The error to come after what is still to be read. */
  #cut;
  /** Destroyed by the program, and the connection is being closed. */
  #leaving = false;
  /** The error that it was destroyed with. */
  #reason;
  /** The linger time while what was written is on its way to the system. @type {Bound | undefined} */
  #bound;
  /** Whether it is being reset, which nothing puts off. */
  #isCut = false;

  static {
    opened = (socket) => socket.#resource.runInAsyncScope(socket.#opened, socket);
    ended = (socket, end) => socket.#resource.runInAsyncScope(socket.#ended, socket, end);
    lingerChanged = (socket, packed) => socket.#lingerChanged(packed);
    defineCalls(
      TunnelSocket,
      lingerCalls((socket, settler, method, options) => socket.#ask(settler, method, socket.connectionId, options)),
    );
  }

  /** @param {import('./connection.js').Ask} ask */
  constructor(fd, connectionId, allowHalfOpen, ask) {
    super({ fd, readable: true, writable: true, allowHalfOpen });
    this.#ask = ask;
    this.connecting = true;
    Object.defineProperty(this, 'connectionId', { value: connectionId, enumerable: true });
  }

  get destroyed() {
    return super.destroyed || (#leaving in this && this.#leaving);
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

  destroy(error) {
    const isOver = super.destroyed || this.#end !== undefined;
    if (isOver || (this.writableFinished && this.readableEnded)) return super.destroy(error);
    if (this.connecting) {
      this.#call(Method.Disconnect).catch(nothing);
      return super.destroy(error);
    }
    if (!this.#leaving) {
      this.#leave(error);
      this.#part();
    } else if (error?.syscall !== undefined) {
      super.destroy(this.#reason);
    }
    return this;
  }

  resetAndDestroy() {
    if (this.connecting || super.destroyed) return this.destroy();
    if (!this.#leaving) this.#leave();
    this.#reset();
    return this;
  }

  write(...args) {
    if (!this.#leaving) return super.write(...args);
    const callback = args.findLast((arg) => typeof arg === 'function');
    if (callback !== undefined) process.nextTick(callback, systemError('write', 'EPIPE', 'the socket was destroyed'));
    return false;
  }

  read(size) {
    if (!(#cut in this)) return super.read(size); // the constructor of net.Socket begins to read
    if (this.#leaving) return null;
    const chunk = super.read(size);
    if (this.#cut !== undefined && this.readableLength === 0) process.nextTick(() => super.destroy(this.#cut));
    return chunk;
  }

  #leave(reason) {
    this.#leaving = true;
    this.#reason = reason;
    // What comes from now on is read, for the far side may wait for that before it reads itself, and
    // thrown away: no part of a stream that is destroyed.
    this._handle.onread = nothing;
    if (this._handle.reading) return;
    this._handle.reading = true;
    this._handle.readStart();
  }

  #call(method, options) {
    const deferred = new Deferred();
    this.#ask(deferred, method, this.connectionId, options);
    return deferred.promise;
  }

  /**
   * Closes the connection as its Linger says, and then the socket. Its end alone would look like the
   * end of the stream, and as long as it is there, what comes is read.
   */
  async #part() {
    try {
      const packed = await this.#call(Method.GetConnectionLinger);
      if (!isHard(packed)) {
        this.#bound ??= new Bound(packed, () => this.#reset());
        await this.#written();
        // The time runs from the call of destroy() on.
        const left = this.#bound.take();
        if (left !== undefined) await this.#call(Method.SetConnectionLinger, { linger: left });
      }
      await this.#call(Method.Disconnect);
    } catch {
      // It has ended meanwhile.
    }
    this.#bound?.take();
    super.destroy(this.#reason);
  }

  async #reset() {
    this.#isCut = true;
    try {
      await this.#call(Method.ResetConnection);
    } catch {
      // It has ended meanwhile.
    }
    super.destroy(this.#reason);
  }

  /** Somebody decides anew how the connection will be closed, which may be about to be closed here. */
  #lingerChanged(packed) {
    if (!this.#leaving || this.#isCut || this.#end !== undefined || this.#bound?.isTaken) return;
    this.#bound?.take();
    if (isHard(packed)) this.#reset();
    else this.#bound = new Bound(packed, () => this.#reset());
  }

  /** Waits until the system has what write() has accepted. */
  #written() {
    return new Promise((resolve) => {
      if (this.writableFinished || super.destroyed) return resolve();
      this.once('finish', resolve).once('close', resolve);
      this.end();
    });
  }

  #opened() {
    if (super.destroyed) return;
    this.connecting = false;
    this.emit('connect');
    this.emit('ready');
    if (!this.destroyed && !this.isPaused()) this.read(0);
  }

  #ended(end) {
    this.#end = end;
    if (super.destroyed) return;
    const { code, reason, closedBy, linger } = end;
    if (this.connecting) {
      super.destroy(fromEnd(end));
      return;
    }
    if (this.#leaving) {
      // Nobody takes any more what is still to be written.
      super.destroy(this.#reason);
      return;
    }
    const reset = systemError('read', 'ECONNRESET', reason);
    reset.cause = fromEnd(end);
    if (closedBy === 'graceful') {
      // The end of the stream is there or on its way; what the program still writes goes nowhere.
      const finish = () => {
        if (!this.writableFinished) super.destroy(code === 'OK' ? undefined : reset);
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

/** @returns {any} a TunnelSocket, whose base has no type here */
function dial(handle, { target, allowHalfOpen }, ask) {
  const outcome = binding.dial(handle, target);
  if (!('descriptor' in outcome)) throw fromNative(outcome);
  const { connectionId, descriptor } = outcome;
  try {
    return new TunnelSocket(descriptor, connectionId, allowHalfOpen, ask);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

module.exports = {
  TunnelSocket,
  dial,
  ended: (...args) => ended(...args),
  opened: (...args) => opened(...args),
  lingerChanged: (...args) => lingerChanged(...args),
};
