'use strict';

// SO_LINGER and closing for sockets that Node.js made, or that came as a descriptor.

const net = require('node:net');

const { Deadline } = require('./deadline.js');
const { fromNative, invalidArgType, invalidArgValue, systemError, unwritten } = require('./errors.js');
const { binding, closeTaken, hold, unhold } = require('./native/index.js');
const check = require('./validate/index.js');

const { SOL_SOCKET, SO_DONTLINGER, SO_LINGER, Written } = binding;

/** What closesocket() has promised of sockets. @type {WeakMap<net.Socket, Promise<object>>} */
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
 * The descriptor of a socket as of now: it must not be used any later than that.
 * @param {any} socket whose handle no type has
 */
function descriptorOf(socket, syscall) {
  if (process.platform === 'win32') {
    throw systemError(syscall, 'ENOTSUP', 'Node.js does not give out the sockets of Windows');
  }
  if (typeof socket === 'number') return socket;
  if (closings.has(socket)) throw systemError(syscall, 'EBADF', 'the socket is being closed');
  if (socket.destroyed) throw systemError(syscall, 'EBADF', 'the socket is destroyed');
  const { _handle: handle } = socket;
  if (socket instanceof net.Server) {
    if (handle?.fd >= 0) return handle.fd;
    throw systemError(syscall, 'EBADF', 'the server does not listen by itself');
  }
  if (socket.connecting || !handle) throw systemError(syscall, 'ENOTCONN', 'the socket is not connected');
  if (handle.fd >= 0) return handle.fd;
  throw systemError(syscall, 'ENOTSOCK', 'no socket of the system is behind this one');
}

/** The result of a function of the addon, thrown if it is a failure. */
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

/** Calls back, but not before the callback of a closesocket() that came first. */
function later(socket, callback, ...outcome) {
  const call = () => setImmediate(callback, ...outcome);
  const closing = closings.get(socket);
  if (closing === undefined) call();
  else closing.then(call, call);
}

/** Options never wait: only the callback comes later. */
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
 * Begins to close; what makes it impossible is thrown at once.
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
  // Whoever waits for the end of a socket is told, also of one that does not hold the loop itself.
  hold();
  try {
    const output = hard ? progress(socket) : await flush(socket, seconds);
    letGo(socket);
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
  // The goodbye of a TLS socket: written at once, where there is room for it.
  if (!hard) socket.end();
  letGo(socket);
  return unpackClosed(binding.closeSocket(handle, ...output));
}

/** Closes a listener; the connections that it has accepted live on. */
function closeServer(server) {
  // Throws unless it is one of TCP that listens.
  getLinger(server, 'closesocket');
  server.close();
  return { graceful: true, unsent: 0 };
}

/** Has the addon take a socket that is to be closed: its linger time begins. */
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

/** What the addon says of an end: see its `close_socket`. */
function unpackClosed(number) {
  return number >= 0 ? { graceful: true, unsent: number } : { graceful: false, unsent: -1 - number };
}

const ignore = () => {};

/** Lets go of a socket whose connection lives on in the addon. */
function letGo(socket) {
  socket.on('error', ignore);
  socket.destroy();
}

/**
 * Bytes that were written to a socket and that the system has not taken: what waits in JavaScript,
 * and what libuv has. A TLS socket has encrypted the latter.
 */
function buffered(socket) {
  const handle = socket._handle;
  return socket.bytesWritten - socket._bytesDispatched + (handle._parent ?? handle).writeQueueSize;
}

/**
 * What the system has of a socket's output, and how many bytes it has not.
 * @returns {[number, number]}
 */
function progress(socket) {
  if (socket.writableFinished) return [Written.Finished, 0];
  const left = buffered(socket);
  return [left === 0 ? Written.Whole : Written.Cut, left];
}

/**
 * Writes out what a socket has buffered and ends its stream, within so many seconds if there is a
 * limit. A TLS socket says goodbye with that.
 * @returns {Promise<[number, number]>} as `progress`, but nothing is whole without its end
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
    // The result says whether the peer was there to the end; nobody has to listen for it.
    socket.on('error', ignore);
    socket.once('finish', settle).once('close', settle);
    // A peer may be stuck in sending, and not read before that is taken from it.
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
