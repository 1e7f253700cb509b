'use strict';

// JSON objects, one a line, as both sides of a control socket send them. docs/control.md describes them.

/** Bytes of a line without its end. */
const MAX_LINE = 64 * 1024;

const NEWLINE = 0x0a;

/** What a line has, if it is a JSON object. @param {string} text @returns {any} */
function objectOf(text) {
  try {
    const value = JSON.parse(text);
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
 * @param {number} [max] bytes of a line
 */
function readObjects(socket, onObject, onFault, max = MAX_LINE) {
  let rest = Buffer.alloc(0);
  socket.on('data', function received(data) {
    rest = Buffer.concat([rest, data]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      const object = end <= max ? objectOf(rest.subarray(0, end).toString('utf8')) : undefined;
      rest = rest.subarray(end + 1);
      if (object !== undefined) onObject(object);
      if (object === undefined || socket.destroyed) {
        socket.off('data', received);
        if (object === undefined) onFault();
        return;
      }
    }
    if (rest.length > max) {
      socket.off('data', received);
      onFault();
    }
  });
}

/** @param {import('node:net').Socket} socket @param {object} object */
function writeObject(socket, object, written = () => {}) {
  socket.write(`${JSON.stringify(object)}\n`, written);
}

/**
 * The lines of a stream, in groups as they come; a line of more than `max` bytes is split.
 * @param {AsyncIterable<Buffer>} stream
 * @param {number} max
 * @returns {AsyncGenerator<string[]>}
 */
async function* linesOf(stream, max) {
  let rest = Buffer.alloc(0);
  for await (const data of stream) {
    rest = Buffer.concat([rest, data]);
    const lines = [];
    for (;;) {
      const end = rest.indexOf(NEWLINE);
      if (end < 0 && rest.length <= max) break;
      const length = end < 0 ? max : Math.min(end, max);
      lines.push(rest.subarray(0, length).toString('utf8'));
      rest = rest.subarray(length === end ? length + 1 : length);
    }
    if (lines.length > 0) yield lines;
  }
  if (rest.length > 0) yield [rest.toString('utf8')];
}

module.exports = { linesOf, objectOf, readObjects, writeObject };
