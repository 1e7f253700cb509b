'use strict';

// Questions to whoever sits at the terminal: asked there, wherever standard input and output lead.

const fs = require('node:fs');
const tty = require('node:tty');
const { StringDecoder } = require('node:string_decoder');

const { allocate, copyOf } = require('../../secrets.js');
const { plain } = require('../output/text.js');

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
   * @param {string} prompt
   * @param {{ echo?: boolean }} [options] whether the answer may be seen while it is typed
   * @returns {Promise<any>} a string; the bytes of an answer that may not be seen, for the caller to wipe; undefined
   *   for the end of input
   */
  ask(prompt, { echo = false } = {}) {
    const answer = this.#turn.then(() => this.#ask(prompt, echo));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async #ask(prompt, echo) {
    this.#screen.leave();
    const unseen = echo ? undefined : new Unseen();
    /** @type {import('node:net').SocketConstructorOpts & { onread?: object }} tty.ReadStream takes this, too */
    const options = echo ? {} : { onread: unseen.onread };
    const input = new tty.ReadStream(this.#descriptor, options);
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
      return await (echo ? readLine(input) : unseen.line(input));
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

/**
 * A line key by key, of which nothing is shown. No stream gets to see it: streams leave copies in memory that
 * they let go of.
 */
class Unseen {
  #room = allocate(1024);
  #bytes = allocate(1024);
  #length = 0;
  #resolve;

  /** @type {import('node:net').OnReadOpts} */
  get onread() {
    return { buffer: this.#room, callback: (count) => this.#take(count) };
  }

  /** @returns {Promise<Buffer | undefined>} the bytes, for the caller to wipe; undefined for the end of input */
  line(input) {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      for (const event of ['end', 'error', 'close']) input.on(event, () => this.#finish(undefined));
      input.resume();
    });
  }

  #take(count) {
    for (const byte of this.#room.subarray(0, count)) {
      if (byte === KEY.enter || byte === KEY.newline) {
        this.#finish(copyOf(this.#bytes.subarray(0, this.#length)));
        break;
      }
      // The key makes no signal while nothing is shown: this does. What follows is for its handler.
      if (byte === KEY.interrupt) process.kill(process.pid, 'SIGINT');
      else if (byte === KEY.end && this.#length === 0) this.#finish(undefined);
      else if (byte === KEY.backspace || byte === KEY.delete) this.#back();
      else if (byte === KEY.kill) this.#length = 0;
      else if (byte >= 0x20 && this.#length < this.#bytes.length) this.#bytes[this.#length++] = byte;
    }
    this.#room.fill(0);
    return true;
  }

  /** The bytes that follow the first one of a character go with it. */
  #back() {
    while (this.#length > 0 && (this.#bytes[--this.#length] & 0xc0) === 0x80);
  }

  #finish(answer) {
    this.#bytes.fill(0);
    this.#resolve(answer);
  }
}

module.exports = { Terminal };
