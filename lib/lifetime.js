'use strict';

const { binding, hold, unhold, unuse, use } = require('./native/index.js');

/** Tunnels that are up: the application may have no reference, and still waits for their events. */
const up = new Set();

/** Keeps a tunnel and the event loop alive while the tunnel is up. */
class Lifetime {
  #tunnel;
  #handle;
  /** Up, or its 'close' is still to be emitted. */
  #up = false;
  /** The number of the last 'close' that was emitted. */
  #closed = 0;
  #referenced = true;
  /** Whether the event loop is held because of this tunnel. */
  #held = false;

  constructor(tunnel, handle) {
    this.#tunnel = tunnel;
    this.#handle = handle;
  }

  /** As ref() and unref() say. */
  set referenced(value) {
    this.#referenced = value;
    this.refresh();
  }

  /** The 'close' with this number is about to be emitted. */
  set closed(number) {
    this.#closed = number;
  }

  refresh() {
    const isUp = binding.alive(this.#handle, this.#closed);
    if (isUp !== this.#up) {
      this.#up = isUp;
      if (isUp) {
        use();
        up.add(this.#tunnel);
      } else {
        up.delete(this.#tunnel);
        unuse();
      }
    }
    const held = isUp && this.#referenced;
    if (held !== this.#held) {
      this.#held = held;
      if (held) hold();
      else unhold();
    }
  }
}

module.exports = { Lifetime };
