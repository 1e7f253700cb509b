'use strict';

// Signals that end the command.

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'];

class Signals {
  #handler;
  #restore;

  /** @param {() => void} restore restores the terminal */
  constructor(restore) {
    this.#restore = restore;
    for (const name of NAMES) process.on(name, this.#handle);
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
    for (const other of NAMES) process.off(other, this.#handle);
    process.kill(process.pid, name);
  }
}

module.exports = { Signals };
