'use strict';

// Joins a stream of the application to a session: the addon has the other end of a stream in memory, whose bytes are
// passed to and from the application's stream here.

const { AsyncResource } = require('node:async_hooks');

const { Deadline } = require('../deadline.js');
const { StreamEnd } = require('./stream-end.js');

/** Milliseconds that the peer may take to end its direction after the session. */
const CLOSE_TIMEOUT = 2000;

/**
 * Passes bytes in both directions, with backpressure. Each side ends when the other one does.
 * @param {import('node:stream').Duplex} sock
 * @param {number} stream the addon's number of it
 * @returns {{ error?: Error, end: () => void }} error: of the stream, if it has failed; end: destroys the stream
 */
function joinStream(sock, stream) {
  const state = { end: () => sock.destroy() };
  let isWriting = false;
  let isClosing = sock.destroyed || sock.readableEnded;
  let hasEnded = false;
  const destroy = () => sock.destroy();
  const resource = new AsyncResource('SSHTUNNELSOCK', { requireManualDestroy: true });
  let hasClosed = false;
  const close = () => {
    if (!hasClosed) resource.emitDestroy();
    hasClosed = true;
    end.close();
    destroy();
  };
  const end = new StreamEnd(stream, resource, {
    receive: (chunk) => {
      if (chunk !== null) return sock.write(chunk);
      hasEnded = true;
      sock.end();
      // The peer may not react.
      const deadline = new Deadline(CLOSE_TIMEOUT, destroy).unref();
      sock.on('close', () => deadline.clear());
      if (sock.readableEnded) finish();
      return false;
    },
    // The session has gone.
    fail: close,
  });
  /** Both directions have ended. */
  const finish = () => {
    if (sock.writableFinished) close();
    else sock.once('finish', close);
  };
  // The tunnel keeps the process running, not this stream.
  end.unref();
  sock.on('drain', () => end.read());
  sock.on('data', (chunk) => {
    isWriting = true;
    end.write([chunk], () => {
      isWriting = false;
      if (isClosing) close();
      else if (sock.isPaused()) sock.resume();
    });
    if (isWriting) sock.pause();
  });
  sock.on('end', () => {
    end.end();
    if (hasEnded) finish();
  });
  sock.on('error', (error) => {
    state.error ??= error;
    close();
  });
  sock.on('close', () => {
    // Bytes before the end still go to the session.
    isClosing = true;
    if (!isWriting) close();
  });
  if (isClosing) close();
  else {
    end.read();
    sock.resume();
  }
  return state;
}

module.exports = { joinStream };
