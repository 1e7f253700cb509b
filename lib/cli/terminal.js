'use strict';

// Questions to whoever sits at the terminal: asked there, wherever standard input and output lead.

const fs = require('node:fs');
const tty = require('node:tty');
const { StringDecoder } = require('node:string_decoder');

const { plain } = require('./text.js');

const DEVICE = '/dev/tty';

/** What editing keys send. */
const KEY = { interrupt: 3, end: 4, backspace: 8, newline: 10, enter: 13, kill: 21, delete: 127 };

class Terminal {
  /** What gives the screen up for a question, and takes it again. */
  #screen = { leave() {}, enter() {} };
  /** The questions so far, each after the one before. */
  #turn = Promise.resolve();
  /** Puts the terminal back as it was while a question stands there. */
  #restore = () => {};
  /** Opened once: libuv reads from a copy, and closes that. */
  #descriptor;

  /** @returns {Terminal | undefined} undefined where there is none to ask at */
  static open() {
    try {
      return new Terminal(fs.openSync(DEVICE, 'r+'));
    } catch {
      return undefined;
    }
  }

  constructor(descriptor) {
    this.#descriptor = descriptor;
  }

  set screen(screen) {
    this.#screen = screen;
  }

  /** The terminal as it was before any question. */
  restore() {
    this.#restore();
  }

  /**
   * Asks, after those who asked before.
   * @param {{ echo?: boolean }} [options] whether the answer may be seen while it is typed
   * @returns {Promise<string | undefined>} undefined for the end of input
   */
  ask(prompt, { echo = false } = {}) {
    const answer = this.#turn.then(() => this.#ask(prompt, echo));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async #ask(prompt, echo) {
    this.#screen.leave();
    const input = new tty.ReadStream(this.#descriptor);
    // With echo, the terminal itself lets the line be edited, and makes signals of its keys.
    if (!echo) input.setRawMode(true);
    this.#restore = () => {
      this.#restore = () => {};
      if (echo) return;
      input.setRawMode(false);
      this.#write('\n');
    };
    try {
      this.#write(prompt.split('\n').map(plain).join('\n'));
      return await (echo ? readLine(input) : readUnseen(input));
    } finally {
      this.#restore();
      input.destroy();
      this.#screen.enter();
    }
  }

  #write(text) {
    fs.writeSync(this.#descriptor, text);
  }
}

/** A line that the terminal has put together. */
function readLine(input) {
  return new Promise((resolve) => {
    const decoder = new StringDecoder('utf8');
    let text = '';
    input.on('data', (chunk) => {
      text += decoder.write(chunk);
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
    });
    input.on('end', () => resolve(undefined));
    input.on('error', () => resolve(undefined));
  });
}

/** A line key by key, of which nothing is shown. */
function readUnseen(input) {
  return new Promise((resolve) => {
    const bytes = Buffer.alloc(1024);
    let length = 0;
    const finish = (answer) => {
      bytes.fill(0);
      resolve(answer);
    };
    const back = () => {
      // The bytes that follow the first one of a character go with it.
      while (length > 0 && (bytes[--length] & 0xc0) === 0x80);
    };
    input.on('data', (chunk) => {
      for (const byte of chunk) {
        if (byte === KEY.enter || byte === KEY.newline) finish(bytes.toString('utf8', 0, length));
        // The key makes no signal while nothing is shown: this does. What follows is for its handler.
        else if (byte === KEY.interrupt) process.kill(process.pid, 'SIGINT');
        else if (byte === KEY.end && length === 0) finish(undefined);
        else if (byte === KEY.backspace || byte === KEY.delete) back();
        else if (byte === KEY.kill) length = 0;
        else if (byte >= 0x20 && length < bytes.length) bytes[length++] = byte;
        if (byte === KEY.enter || byte === KEY.newline) break;
      }
      chunk.fill(0);
    });
    input.on('end', () => finish(undefined));
    input.on('error', () => finish(undefined));
  });
}

module.exports = { Terminal };
