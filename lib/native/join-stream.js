'use strict';

// A stream of the user's as what a session lives on. The addon has one end of a pair of sockets;
// here the other one is joined to the stream.

const { closeSync } = require('node:fs');
const net = require('node:net');

const { Deadline } = require('../deadline.js');

/** Milliseconds that the peer of a session that is over may take to end its direction. */
const FAREWELL = 2000;

/**
 * Passes on what comes from either side, no faster than the other takes it. Each ends when the other
 * does. The descriptor is owned from here on.
 * @param {import('node:stream').Duplex} sock
 * @param {number} fd
 * @returns {{ error?: Error, end: () => void }} what went wrong with the stream, once it has; and what ends the stream
 *   now, whatever its peer does
 */
function joinStream(sock, fd) {
  const state = { end: () => sock.destroy() };
  const local = adopt(fd);
  // What keeps the process running is the tunnel.
  local.unref();
  sock.on('error', (error) => {
    state.error ??= error;
    local.destroy();
  });
  // What came before the end still goes to the session.
  sock.on('close', () => local.destroySoon());
  // The session has vanished: nobody takes any more.
  local.on('error', () => {});
  local.on('close', () => sock.destroy());
  local.on('end', () => {
    // The session is over, and the stream is told by pipe(). Its peer may not be listening.
    const deadline = new Deadline(FAREWELL, () => sock.destroy()).unref();
    sock.on('close', () => deadline.clear());
  });
  if (sock.destroyed || sock.readableEnded) local.destroySoon();
  sock.pipe(local).pipe(sock);
  return state;
}

function adopt(fd) {
  try {
    return new net.Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

module.exports = { joinStream };
