'use strict';

// AbortSignals of operations.

const { invalidArgType } = require('./errors.js');

/** As Node.js makes it for its own operations. */
class AbortError extends Error {
  /** @param {unknown} reason of the signal */
  constructor(reason) {
    super('The operation was aborted', { cause: reason });
    this.code = 'ABORT_ERR';
    this.name = 'AbortError';
  }
}

/**
 * Checks the `signal` of an operation's options.
 * @returns {AbortSignal | undefined}
 */
function checkSignal(value, name) {
  const isSignal = typeof value === 'object' && value !== null && 'aborted' in value;
  if (value !== undefined && !isSignal) throw invalidArgType(name, 'an instance of AbortSignal', value);
  return value;
}

/** Follows the signals of one operation. */
class Abortion {
  #signals;
  #listener;
  /** The signal that has aborted the operation. @type {AbortSignal | undefined} */
  #aborted;

  /** @param {AbortSignal[]} signals */
  constructor(signals) {
    this.#signals = signals;
    this.#aborted = signals.find(({ aborted }) => aborted);
  }

  /** @param {(AbortSignal | undefined)[]} signals @returns {Abortion | undefined} undefined if there is no signal */
  static of(...signals) {
    const given = signals.filter((signal) => signal !== undefined);
    return given.length > 0 ? new Abortion(given) : undefined;
  }

  get isAborted() {
    return this.#aborted !== undefined;
  }

  throwIfAborted() {
    if (this.isAborted) throw this.error;
  }

  get error() {
    return new AbortError(this.#aborted?.reason);
  }

  /** Calls `abort` when the first of the signals aborts. */
  follow(abort) {
    this.#listener = ({ target }) => {
      this.#aborted = target;
      this.stop();
      abort();
    };
    for (const signal of this.#signals) signal.addEventListener('abort', this.#listener);
  }

  /** The operation is over. */
  stop() {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#listener);
  }
}

module.exports = { Abortion, checkSignal };
