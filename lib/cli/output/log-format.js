'use strict';

// How messages are written: as text, as ssh does, or as lines of JSON.

/**
 * Makes the lines of a message of a level of LogLevel from its own lines, which have no control characters.
 * @typedef {(level: string, lines: string[]) => string[]} LogFormat
 */

/** @typedef {'text' | 'json'} LogFormatName */

/** @type {Record<LogFormatName, LogFormat>} */
const LOG_FORMATS = {
  text: (level, lines) => (level.startsWith('DEBUG') ? lines.map((line) => `${level.toLowerCase()}: ${line}`) : lines),
  json: (level, lines) => [
    JSON.stringify({ time: new Date().toISOString(), level: level.toLowerCase(), message: lines.join('\n') }),
  ],
};

module.exports = { LOG_FORMATS };
