'use strict';

// SO_LINGER, and closing, for sockets of Node.js and for descriptors.

const net = require('node:net');
const { setImmediate } = require('node:timers');

const { Deadline } = require('./deadline.js');
const { fromNative, invalidArgType, invalidArgValue, systemError, unwritten } = require('./errors.js');
const { binding, closeTaken, hold, unhold } = require('./native/index.js');
const check = require('./validate/index.js');

const { SOL_SOCKET, SO_DONTLINGER, SO_LINGER, Written } = binding;

/** The outcomes of closesocket(), by socket. @type {WeakMap<net.Socket, Promise<object>>} */
const closings = new WeakMap();

function checkSocket(socket) {
  if (typeof socket === 'number') return check.checkDescriptor(socket, 'socket');
  if (socket instanceof net.Socket || socket instanceof net.Server) return socket;
  throw invalidArgType('socket', 'of type number or an instance of Socket or Server', socket);
}

function checkOption(optname) {
  if (typeof optname !== 'number') throw invalidArgType('optname', 'of type number', optname);
  if (optname === SO_LINGER || optname === SO_DONTLINGER) return optname;
  throw invalidArgValue('optname', 'must be SO_LINGER or SO_DONTLINGER', optname);
}

/**
 * The descriptor of a socket, to be used at once.
 * @param {any} socket whose handle no type has
 */
function descriptorOf(socket, syscall) {
  if (process.platform === 'win32') {
    throw systemError(syscall, 'ENOTSUP', 'Node.js does not expose the sockets of Windows');
  }
  if (typeof socket === 'number') return socket;
  if (closings.has(socket)) throw systemError(syscall, 'EBADF', 'the socket is being closed');
  if (socket.destroyed) throw systemError(syscall, 'EBADF', 'the socket is destroyed');
  const { _handle: handle } = socket;
  // Another runtime may give its sockets a handle for the sake of Node's own modules.
  if (handle && handle.fd === undefined && isOtherRuntime()) {
    throw systemError(syscall, 'ENOTSUP', 'this runtime does not expose its sockets');
  }
  if (socket instanceof net.Server) {
    if (handle?.fd >= 0) return handle.fd;
    throw systemError(syscall, 'EBADF', 'the server does not listen itself');
  }
  if (socket.connecting || !handle) throw systemError(syscall, 'ENOTCONN', 'the socket is not connected');
  if (handle.fd >= 0) return handle.fd;
  throw systemError(syscall, 'ENOTSOCK', 'it is not a socket of the system');
}

function isOtherRuntime() {
  return process.versions.deno !== undefined || process.versions.bun !== undefined;
}

/** Returns the result of a function of the addon, or throws its failure. */
function succeed(result) {
  if (result?.code !== undefined) throw fromNative(result);
  return result;
}

function getLinger(socket, syscall) {
  return check.unpackLinger(succeed(binding.socketLinger(descriptorOf(socket, syscall), syscall)));
}

function getOption(socket, optname) {
  const linger = getLinger(socket, 'getsockopt');
  return optname === SO_LINGER ? linger : linger.l_onoff !== 0;
}

function setOption(socket, optname, value) {
  const descriptor = descriptorOf(socket, 'setsockopt');
  if (optname === SO_LINGER) succeed(binding.setSocketLinger(descriptor, value));
  else succeed(binding.switchSocketLinger(descriptor, value));
}

/** Calls back, after the callback of an earlier closesocket(). */
function later(socket, callback, ...outcome) {
  const call = () => setImmediate(callback, ...outcome);
  const closing = closings.get(socket);
  if (closing === undefined) call();
  else closing.then(call, call);
}

/** Does `work` at once; only the callback comes later. */
function perform(socket, callback, work) {
  if (callback === undefined) return work();
  check.checkFunction(callback, 'callback');
  let outcome;
  try {
    outcome = [null, work()];
  } catch (error) {
    outcome = [error];
  }
  later(socket, callback, ...outcome);
  return undefined;
}

function getsockopt(socket, optname, callback) {
  checkSocket(socket);
  checkOption(optname);
  return perform(socket, callback, () => getOption(socket, optname));
}

function setsockopt(socket, optname, optval, callback) {
  checkSocket(socket);
  const value =
    checkOption(optname) === SO_LINGER
      ? check.checkLingerOption(optval, 'optval')
      : check.checkSwitch(optval, 'optval');
  return perform(socket, callback, () => setOption(socket, optname, value));
}

function closesocket(socket, callback) {
  checkSocket(socket);
  if (callback === undefined) return closeBlocking(socket);
  check.checkFunction(callback, 'callback');
  try {
    const call = (...outcome) => setImmediate(callback, ...outcome);
    close(socket).then((closed) => call(null, closed), call);
  } catch (error) {
    later(socket, callback, error);
  }
  return undefined;
}

/**
 * Begins to close a socket; throws if it cannot be closed.
 * @returns {Promise<{ graceful: boolean, unsent: number }>}
 */
function close(socket) {
  if (socket instanceof net.Server) return Promise.resolve(closeServer(socket));
  const taken = take(socket);
  if (typeof socket === 'number') return end(taken.handle, [Written.Whole, 0]);
  const closed = closeConnection(socket, taken);
  closings.set(socket, closed);
  return closed;
}

async function closeConnection(socket, { handle, hard, seconds }) {
  // Keeps the process running until the outcome, also for a socket that was unref()ed.
  hold();
  try {
    const output = hard ? progress(socket) : await flush(socket, seconds);
    release(socket);
    return await end(handle, output);
  } finally {
    unhold();
  }
}

function closeBlocking(socket) {
  if (socket instanceof net.Server) return closeServer(socket);
  if (typeof socket === 'number') {
    return unpackClosed(binding.closeSocket(take(socket).handle, Written.Whole, 0));
  }
  const hard = isHard(getLinger(socket, 'closesocket'));
  const output = progress(socket);
  if (!hard && output[0] === Written.Cut) throw unwritten('closesocket');
  const { handle } = take(socket);
  // Sends the close_notify of a TLS socket, if it can be written at once.
  if (!hard) socket.end();
  release(socket);
  return unpackClosed(binding.closeSocket(handle, ...output));
}

/** Closes a listener; accepted connections stay open. */
function closeServer(server) {
  // Throws unless it is a TCP listener.
  getLinger(server, 'closesocket');
  server.close();
  return { graceful: true, unsent: 0 };
}

/** Passes a socket to the addon to be closed: its linger time begins. */
function take(socket) {
  const descriptor = descriptorOf(socket, 'closesocket');
  const { handle, linger } = succeed(binding.takeSocket(descriptor, typeof socket === 'number'));
  const structure = check.unpackLinger(linger);
  const seconds = structure.l_onoff === 0 ? undefined : structure.l_linger;
  return { handle, hard: isHard(structure), seconds };
}

function isHard({ l_onoff, l_linger }) {
  return l_onoff !== 0 && l_linger === 0;
}

async function end(handle, output) {
  return unpackClosed(await closeTaken(handle, ...output));
}

/** Unpacks the result of the addon's `close_socket`. */
function unpackClosed(number) {
  return number >= 0 ? { graceful: true, unsent: number } : { graceful: false, unsent: -1 - number };
}

const ignore = () => {};

/** Destroys a socket whose connection the addon closes. */
function release(socket) {
  socket.on('error', ignore);
  socket.destroy();
}

/**
 * Bytes that were written to a socket and that the system has not taken: in JavaScript, and in libuv, where those of a TLS
 * socket are encrypted.
 */
function buffered(socket) {
  const handle = socket._handle;
  return socket.bytesWritten - socket._bytesDispatched + (handle._parent ?? handle).writeQueueSize;
}

/**
 * How much of a socket's output the system has taken, and how many bytes are left.
 * @returns {[number, number]}
 */
function progress(socket) {
  if (socket.writableFinished) return [Written.Finished, 0];
  const left = buffered(socket);
  return [left === 0 ? Written.Whole : Written.Cut, left];
}

/**
 * Writes the buffered data of a socket and ends its stream, within `seconds` if there is a limit. A TLS socket sends
 * close_notify.
 * @returns {Promise<[number, number]>} as `progress`, but a stream without its end is not whole
 */
function flush(socket, seconds) {
  const total = socket.bytesWritten;
  return new Promise((resolve) => {
    const settle = () => {
      deadline?.clear();
      socket.off('finish', settle).off('close', settle);
      if (socket.writableFinished) resolve(progress(socket));
      else resolve([Written.Cut, socket._handle ? buffered(socket) : total - socket._bytesDispatched]);
    };
    const deadline = seconds === undefined ? undefined : new Deadline(seconds * 1000, settle);
    if (socket.writableFinished) return settle();
    // The result tells whether the peer took everything; no listener is needed.
    socket.on('error', ignore);
    socket.once('finish', settle).once('close', settle);
    // The peer may be blocked in sending, and not read before.
    socket.resume();
    socket.end();
  });
}

const promises = Object.freeze({
  async getsockopt(socket, optname) {
    return getsockopt(socket, optname);
  },
  async setsockopt(socket, optname, optval) {
    return setsockopt(socket, optname, optval);
  },
  async closesocket(socket) {
    return close(checkSocket(socket));
  },
});

module.exports = { SOL_SOCKET, SO_DONTLINGER, SO_LINGER, closesocket, getsockopt, promises, setsockopt };
