'use strict';

// Joins a stream of the application to a session: the addon has one end of a pair of sockets, and the stream is piped
// to the other one.

const { closeSync } = require('node:fs');
const net = require('node:net');

const { Deadline } = require('../deadline.js');

/** Milliseconds that the peer may take to end its direction after the session. */
const CLOSE_TIMEOUT = 2000;

/**
 * Pipes both directions, with backpressure. Each side ends when the other one does. Takes the descriptor over.
 * @param {import('node:stream').Duplex} sock
 * @param {number} fd
 * @returns {{ error?: Error, end: () => void }} error: of the stream, if it has failed; end: destroys the stream
 */
function joinStream(sock, fd) {
  const state = { end: () => sock.destroy() };
  const local = socketOf(fd);
  // The tunnel keeps the process running, not this socket.
  local.unref();
  sock.on('error', (error) => {
    state.error ??= error;
    local.destroy();
  });
  // Bytes before the end still go to the session.
  sock.on('close', () => local.destroySoon());
  // The session has gone.
  local.on('error', () => {});
  local.on('close', () => sock.destroy());
  local.on('end', () => {
    // The session has ended, and pipe() ends the stream. Its peer may not react.
    const deadline = new Deadline(CLOSE_TIMEOUT, () => sock.destroy()).unref();
    sock.on('close', () => deadline.clear());
  });
  if (sock.destroyed || sock.readableEnded) local.destroySoon();
  sock.pipe(local).pipe(sock);
  return state;
}

function socketOf(fd) {
  try {
    return new net.Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

module.exports = { joinStream };
