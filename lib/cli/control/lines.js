'use strict';

// JSON objects, one a line, as both sides of a control socket send them. docs/control.md describes them.

/** Bytes of a line without its end. */
const MAX_LINE = 64 * 1024;

const NEWLINE = 0x0a;

/** What a line has, if it is a JSON object. @returns {any} */
function objectOf(bytes) {
  try {
    const value = JSON.parse(bytes.toString('utf8'));
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads objects from a socket until it ends.
 * @param {import('node:net').Socket} socket
 * @param {(object: any) => void} onObject
 * @param {() => void} onFault called once if a line is too long or no JSON object; nothing is read after it
 */
function readObjects(socket, onObject, onFault) {
  let rest = Buffer.alloc(0);
  socket.on('data', function received(data) {
    rest = Buffer.concat([rest, data]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      const object = end <= MAX_LINE ? objectOf(rest.subarray(0, end)) : undefined;
      rest = rest.subarray(end + 1);
      if (object !== undefined) onObject(object);
      if (object === undefined || socket.destroyed) {
        socket.off('data', received);
        if (object === undefined) onFault();
        return;
      }
    }
    if (rest.length > MAX_LINE) {
      socket.off('data', received);
      onFault();
    }
  });
}

/** @param {import('node:net').Socket} socket @param {object} object */
function writeObject(socket, object, written = () => {}) {
  socket.write(`${JSON.stringify(object)}\n`, written);
}

module.exports = { readObjects, writeObject };
