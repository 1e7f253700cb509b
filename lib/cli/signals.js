'use strict';

// Signals that end the command. On Windows, Ctrl-C is SIGINT, Ctrl-Break SIGBREAK, and SIGHUP a closed console.

const os = require('node:os');

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** The number of SIGBREAK, which no other system has. */
const SIGBREAK = 21;

const isWindows = () => process.platform === 'win32';

const namesHere = () => (isWindows() ? [...NAMES, 'SIGBREAK'] : NAMES);

/** Ends this process by a signal; Windows has none between processes, so only the exit status tells there. */
function kill(name) {
  if (isWindows()) process.exit(128 + (os.constants.signals[name] ?? SIGBREAK));
  process.kill(process.pid, name);
}

/** Does what the key Ctrl-C does, where it makes no signal. */
function interrupt() {
  if (isWindows()) process.emit('SIGINT', 'SIGINT');
  else process.kill(process.pid, 'SIGINT');
}

/**
 * Sends the signal of a key to the whole foreground group, as the terminal does outside of raw mode.
 * @param {string} name
 */
function signalGroup(name) {
  if (!isWindows()) process.kill(0, name);
  else if (name === 'SIGINT') interrupt();
}

class Signals {
  #handler;
  #restore;

  /** @param {() => void} restore restores the terminal */
  constructor(restore) {
    this.#restore = restore;
    for (const name of namesHere()) process.on(name, this.#handle);
  }

  /** The handler of the next signal, which is called once; without one, the signal ends the process. */
  set handler(handler) {
    this.#handler = handler;
  }

  #handle = (name) => {
    const handler = this.#handler;
    this.#handler = undefined;
    if (handler !== undefined) handler(name);
    else this.endBy(name);
  };

  /** Ends the process by the signal, which the sender sees in the status; open connections are reset. */
  endBy(name) {
    this.#restore();
    for (const other of namesHere()) process.off(other, this.#handle);
    kill(name);
  }
}

module.exports = { Signals, interrupt, signalGroup };
