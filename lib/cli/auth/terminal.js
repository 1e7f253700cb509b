'use strict';

// Asks the user at the terminal, wherever standard input and output lead.

const fs = require('node:fs');
const tty = require('node:tty');
const { StringDecoder } = require('node:string_decoder');

const { allocate, copyOf } = require('../../secrets.js');
const { plain } = require('../output/text.js');
const { interrupt } = require('../signals.js');

const DEVICE = '/dev/tty';

/** The bytes of editing keys. */
const KEY = { interrupt: 3, end: 4, backspace: 8, newline: 10, enter: 13, kill: 21, delete: 127 };

class Terminal {
  /** Leaves the alternate screen for a question, and returns to it. */
  #screen = { leave() {}, enter() {} };
  /** Settles when the questions so far are answered. */
  #turn = Promise.resolve();
  /** Restores the terminal during a question. */
  #restore = () => {};
  /** Opened once: libuv reads from a copy, which it closes. */
  #descriptor;

  /** @returns {Terminal | undefined} undefined if there is no terminal */
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

  /** Restores the terminal, if a question is open. */
  restore() {
    this.#restore();
  }

  /**
   * Asks, after the questions before.
   * @param {string} prompt
   * @param {{ echo?: boolean }} [options] whether the answer is shown while it is typed
   * @returns {Promise<any>} a string, or without `echo` bytes, which the caller wipes; undefined at the end of input
   */
  ask(prompt, { echo = false } = {}) {
    const answer = this.#turn.then(() => this.#ask(prompt, echo));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  /**
   * Asks a question, after those before, to which only a written yes agrees.
   * @param {string} question
   * @returns {Promise<boolean>}
   */
  async confirm(question) {
    const answer = await this.ask(`${question} (yes/no) `, { echo: true });
    return answer?.trim().toLowerCase() === 'yes';
  }

  async #ask(prompt, echo) {
    this.#screen.leave();
    const unseen = echo ? undefined : new Unseen();
    /** @type {import('node:net').SocketConstructorOpts & { onread?: object }} tty.ReadStream takes this, too */
    const options = echo ? {} : { onread: unseen.onread };
    const input = new tty.ReadStream(this.#descriptor, options);
    // With echo, the terminal edits the line, and makes signals of its keys.
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

/** Reads a line that the terminal has edited. */
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
 * Reads a line key by key, and shows nothing. No stream sees it: streams leave copies in memory that is not wiped.
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

  /** @returns {Promise<Buffer | undefined>} the bytes, which the caller wipes; undefined at the end of input */
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
      // In raw mode the key makes no signal.
      if (byte === KEY.interrupt) interrupt();
      else if (byte === KEY.end && this.#length === 0) this.#finish(undefined);
      else if (byte === KEY.backspace || byte === KEY.delete) this.#back();
      else if (byte === KEY.kill) this.#length = 0;
      else if (byte >= 0x20 && this.#length < this.#bytes.length) this.#bytes[this.#length++] = byte;
    }
    this.#room.fill(0);
    return true;
  }

  /** Removes a character, with all of its bytes. */
  #back() {
    while (this.#length > 0 && (this.#bytes[--this.#length] & 0xc0) === 0x80);
  }

  #finish(answer) {
    this.#bytes.fill(0);
    this.#resolve(answer);
  }
}

module.exports = { Terminal };
