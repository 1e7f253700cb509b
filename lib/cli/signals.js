'use strict';

// What a service manager or a user says to end this process.

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'];

class Signals {
  #handler;
  #restore;

  /** @param {() => void} restore puts the terminal back as it was */
  constructor(restore) {
    this.#restore = restore;
    for (const name of NAMES) process.on(name, this.#heard);
  }

  /** From now on the next signal is for this function, once; without one it ends the process. */
  set handler(handler) {
    this.#handler = handler;
  }

  #heard = (name) => {
    const handler = this.#handler;
    this.#handler = undefined;
    if (handler !== undefined) handler(name);
    else this.die(name);
  };

  /** Ends by the signal itself, as whoever sent it expects; open connections are reset by that. */
  die(name) {
    this.#restore();
    for (const other of NAMES) process.off(other, this.#heard);
    process.kill(process.pid, name);
  }
}

module.exports = { Signals };
