'use strict';

// The log of a tunnel in the background: JSON lines in a file, and the lines before them in an older one.

const fs = require('node:fs');

const { FILE } = require('./places.js');

/** Bytes of a file. */
const MAX_SIZE = 1024 * 1024;

/** The path of the older file. @param {string} file */
const olderFile = (file) => `${file}.1`;

/** A message as a line of the log has it. @param {string} level @param {string} text */
function message(level, text) {
  return { time: new Date().toISOString(), event: 'message', level, text };
}

/** Appends to a log. A file that is full becomes the older one, which is removed. */
class LogWriter {
  #file;
  /** @type {number | undefined} */
  #size;
  #last = Promise.resolve();

  /** @param {string} file */
  constructor(file) {
    this.#file = file;
  }

  get file() {
    return this.#file;
  }

  /** Resolved when everything until now is written. */
  get written() {
    return this.#last;
  }

  /**
   * Appends lines. To wait for it is what keeps a fast tunnel from filling the memory.
   * @param {string[]} lines
   * @returns {Promise<void>} never rejected: a tunnel goes on without its log if the disk is full
   */
  append(lines) {
    const text = lines.map((line) => `${line}\n`).join('');
    if (text === '') return this.#last;
    this.#last = this.#last.then(() => this.#write(text)).catch(() => (this.#size = undefined));
    return this.#last;
  }

  /** Appends an event of the supervisor. @param {object} event */
  write(event) {
    return this.append([JSON.stringify(event)]);
  }

  async #write(text) {
    const bytes = Buffer.byteLength(text);
    this.#size ??= await sizeOf(this.#file);
    if (this.#size > 0 && this.#size + bytes > MAX_SIZE) {
      await fs.promises.rename(this.#file, olderFile(this.#file));
      this.#size = 0;
    }
    await fs.promises.appendFile(this.#file, text, { mode: FILE });
    this.#size += bytes;
  }
}

/** @param {string} file */
async function sizeOf(file) {
  try {
    return (await fs.promises.stat(file)).size;
  } catch (error) {
    if (error.code === 'ENOENT') return 0;
    throw error;
  }
}

module.exports = { LogWriter, message, olderFile };
