'use strict';

// Timeouts in a process that may be paused (SIGSTOP, a container's freezer, a machine that sleeps), or whose event loop
// may be busy for long. When it continues, Node.js runs timers that are due before it reads from sockets.
// src/runtime/timer.rs has the same for Rust.

// Not the global functions, which test runners replace by ones that wait for the test.
const { clearImmediate, clearTimeout, setImmediate, setTimeout } = require('node:timers');

/** Milliseconds: a timer that fires later than this was delayed by a pause. */
const TOLERANCE = 500;
/** Milliseconds: a longer wait is halved, so that a pause in the middle of it is noticed. */
const MAX_STRETCH = 1000;

/** Calls back once when its time is over and all input until then was handled. A pause starts it again. */
class Deadline {
  #length;
  #expire;
  #due;
  #expected;
  #timer;
  #immediate;
  #isRef = true;

  /** @param {number} milliseconds @param {() => void} expire */
  constructor(milliseconds, expire) {
    this.#length = milliseconds;
    this.#expire = expire;
    this.#due = performance.now() + milliseconds;
    this.#wait();
  }

  /** The milliseconds that are left. */
  get left() {
    return Math.max(0, this.#due - performance.now());
  }

  clear() {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }

  /** Does not keep the process running. */
  unref() {
    this.#isRef = false;
    this.#timer.unref();
    return this;
  }

  #wait() {
    const { left } = this;
    const stretch = left > MAX_STRETCH ? left / 2 : left;
    this.#expected = performance.now() + stretch;
    this.#timer = setTimeout(() => this.#look(), stretch);
    if (!this.#isRef) this.#timer.unref();
  }

  #look() {
    const now = performance.now();
    if (now - this.#expected > TOLERANCE) this.#due = now + this.#length;
    if (now < this.#due) {
      this.#wait();
      return;
    }
    // Runs after the sockets were polled.
    this.#immediate = setImmediate(this.#expire);
  }
}

module.exports = { Deadline };
