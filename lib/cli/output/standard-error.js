'use strict';

// Standard error. Node.js makes its stream when it is first asked for, which takes a few milliseconds: a run that has
// nothing to say starts without it.

/** @type {NodeJS.WriteStream | undefined} */
let opened;

/** The stream. Its reader may exit first, which is no error. */
function standardError() {
  if (opened === undefined) {
    opened = process.stderr;
    opened.on('error', () => {});
  }
  return opened;
}

/** @param {string | Uint8Array} text */
function writeError(text) {
  standardError().write(text);
}

/** Whether people read it. @returns {boolean} */
function isErrorTerminal() {
  return require('node:tty').isatty(2);
}

module.exports = { isErrorTerminal, writeError };
