'use strict';

// The alternate screen of the terminal at standard output. Writing to a terminal that takes nothing, because it is slow or
// was stopped, does not stop the process: what is left is written later.

const fs = require('node:fs');

/** The alternate screen without a cursor, and back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J';
const LEAVE = '\x1b[?25h\x1b[?1049l';
/** Synchronized output: a terminal shows what is in between at once, or ignores these. */
const BEGIN = '\x1b[?2026h';
const END = '\x1b[?2026l';
const CLEAR = '\x1b[2J';

/** Milliseconds that leaving the screen may take, and between attempts to write. */
const LEAVE_TIMEOUT = 500;
const PAUSE = 10;

class Screen {
  #descriptor;
  #isOwn;
  /** What the terminal has not taken yet. */
  #left = Buffer.alloc(0);
  /** The lines that it shows; undefined if that is not known. @type {string[] | undefined} */
  #shown;

  /** @param {number} descriptor of the terminal */
  constructor(descriptor) {
    this.#descriptor = openAnew(descriptor) ?? descriptor;
    this.#isOwn = this.#descriptor !== descriptor;
  }

  enter() {
    this.#shown = undefined;
    this.#write(ENTER);
  }

  /** Restores what was there before, and waits a moment for the terminal to take it. */
  leave() {
    this.#write(LEAVE);
    const end = performance.now() + LEAVE_TIMEOUT;
    while (this.#left.length > 0 && performance.now() < end) {
      sleep(PAUSE);
      this.#flush();
    }
    this.#left = Buffer.alloc(0);
  }

  /** Draws everything anew the next time. */
  clear() {
    this.#shown = undefined;
  }

  /** Shows lines: writes the ones that have changed, or nothing while the terminal has not taken the last ones. */
  show(lines) {
    this.#flush();
    if (this.#left.length > 0) return;
    const before = this.#shown ?? [];
    const changed = lines.map((line, at) => (line === before[at] ? '' : `\x1b[${at + 1}H${line}\x1b[K`)).join('');
    const rest = before.length > lines.length ? `\x1b[${lines.length + 1}H\x1b[J` : '';
    const text = `${this.#shown === undefined ? CLEAR : ''}${changed}${rest}`;
    if (text === '') return;
    this.#shown = lines;
    this.#write(`${BEGIN}${text}${END}`);
  }

  close() {
    if (this.#isOwn) fs.closeSync(this.#descriptor);
    this.#isOwn = false;
  }

  #write(text) {
    this.#left = Buffer.concat([this.#left, Buffer.from(text)]);
    this.#flush();
  }

  #flush() {
    try {
      while (this.#left.length > 0) {
        this.#left = this.#left.subarray(fs.writeSync(this.#descriptor, this.#left));
      }
    } catch (error) {
      if (error.code === 'EAGAIN') return;
      // The terminal has gone.
      this.#left = Buffer.alloc(0);
    }
  }
}

/**
 * The same terminal as a file that is never waited for; that of other processes does not change.
 * @returns {number | undefined} undefined where a file cannot be opened anew
 */
function openAnew(descriptor) {
  if (process.platform !== 'linux') return undefined;
  const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = fs.constants;
  try {
    return fs.openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NOCTTY | O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/** Waits without the event loop: the process may be about to end. */
function sleep(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

module.exports = { Screen };
