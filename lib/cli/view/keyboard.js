'use strict';

// Keys of the terminal at standard input, one by one and without echo.

const { emitKeypressEvents } = require('node:readline');
const { isatty } = require('node:tty');

/** Milliseconds after which the byte with which escape sequences begin is the key Esc. */
const ESCAPE_TIMEOUT = 50;

/** Keys that have a name and no character of their own. */
const NAMED = ['up', 'down', 'pageup', 'pagedown', 'home', 'end', 'backspace', 'escape'];

/**
 * A character, or the name of a key.
 * @param {string | undefined} text
 * @param {{ name?: string, ctrl?: boolean, meta?: boolean, sequence?: string }} key as 'keypress' has it
 */
function nameOf(text, { name, ctrl, meta, sequence }) {
  if (sequence === '\x1c') return 'ctrl-\\';
  if (ctrl) return `ctrl-${name}`;
  if (NAMED.includes(name)) return name;
  if (name === 'return' || name === 'enter') return 'enter';
  return meta ? '' : (text ?? '');
}

class Keyboard {
  #input = process.stdin;
  #press;
  #isOn = false;

  /** Whether there are keys to read. */
  static isThere() {
    return isatty(0);
  }

  /** @param {(key: string) => void} press called with each key */
  constructor(press) {
    this.#press = press;
    // The terminal may go away.
    this.#input.on('error', () => {});
  }

  /** Begins to read. */
  start() {
    if (this.#isOn) return;
    this.#isOn = true;
    emitKeypressEvents(this.#input, /** @type {any} */ ({ escapeCodeTimeout: ESCAPE_TIMEOUT }));
    this.#input.on('keypress', this.#take);
    this.#input.setRawMode(true);
    this.#input.resume();
    // Keys are no reason to continue.
    this.#input.unref();
  }

  /** Leaves the terminal, and what is typed, to others. */
  stop() {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#input.off('keypress', this.#take);
    this.#input.pause();
    this.#input.setRawMode(false);
  }

  #take = (text, key) => this.#press(nameOf(text, key));
}

module.exports = { Keyboard };
