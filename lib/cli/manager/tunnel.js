'use strict';

// One tunnel of the supervisor: a process as long as it is to be up, and its state.

const { EventEmitter } = require('node:events');

const { LogWriter, message } = require('./log.js');
const { logFile } = require('./places.js');
const { TunnelProcess } = require('./tunnel-process.js');
const { ABANDONED } = require('./wanted.js');

/** Milliseconds until the next process, at least and at most: the time doubles with each failure. */
const MIN_WAIT = 1000;
const MAX_WAIT = 60_000;
/** Forwards that are listed. */
const MAX_FORWARDS = 100;

/**
 * `closing`: connections may finish; `reconnecting`: it has failed and is tried again; `failed`: it is not.
 * @typedef {'down' | 'connecting' | 'up' | 'reconnecting' | 'closing' | 'failed'} State
 */

/** How a tunnel is closed: at once, or after milliseconds. @typedef {{ force?: boolean, timeout?: number }} How */

class Tunnel extends EventEmitter {
  /** @type {State} */
  #state = 'down';
  #since = Date.now();
  /** Why it is not up. @type {string | undefined} */
  #reason = ABANDONED;
  /** The number of the next attempt, and when it begins, in milliseconds since 1970. */
  #attempt;
  #nextAttempt;
  #isWanted = true;
  #wanted;
  #log;
  #turn;
  /** @type {Record<string, string>} */
  #env = {};
  /** The present process, or the last one. @type {TunnelProcess | undefined} */
  #process;
  /** Whether there is a process. */
  #lives = false;
  /** Whether another process is to follow the present one at once. */
  #isAsked = false;
  #isRunning = false;
  /** Ends the wait for the next process. */
  #wake = () => {};
  #restarts = 0;

  /**
   * @param {import('./wanted.js').Wanted} wanted
   * @param {() => Promise<void>} turn waits until a process may be started
   */
  constructor(wanted, turn) {
    super();
    // A listener for each client that waits.
    this.setMaxListeners(0);
    this.#wanted = wanted;
    this.#turn = turn;
    this.#log = new LogWriter(logFile(wanted.name));
  }

  /** What the file of wanted tunnels has of it. */
  get wanted() {
    return this.#wanted;
  }

  get isWanted() {
    return this.#isWanted;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** As a JSON object. docs/control.md describes it. */
  get info() {
    const { pid, destination, forwards = [], summary } = this.#process ?? {};
    return {
      ...this.#wanted,
      state: this.#state,
      wanted: this.#isWanted,
      since: this.#since,
      reason: this.#reason,
      attempt: this.#attempt,
      nextAttempt: this.#nextAttempt,
      restarts: this.#restarts,
      pid: this.#lives ? pid : undefined,
      destination,
      forwards: forwards.slice(0, MAX_FORWARDS),
      summary: this.#lives ? undefined : summary,
      log: this.#log.file,
    };
  }

  /** What its process knows, if there is one that answers. */
  async snapshot() {
    return this.#lives ? this.#process.snapshot() : undefined;
  }

  /**
   * Keeps it up from now on. A wait for the next attempt is over.
   * @param {Record<string, string>} env the environment of processes that are started from now on
   * @param {import('./wanted.js').Wanted} [wanted] what is started from now on
   */
  start(env, wanted = this.#wanted) {
    this.#env = env;
    this.#wanted = wanted;
    this.#isWanted = true;
    if (this.#lives) {
      this.#isAsked = this.#state === 'closing';
      return;
    }
    if (this.#state === 'connecting') return;
    this.#set('connecting');
    if (this.#isRunning) this.#wake();
    else this.#run();
  }

  /** Ends it. @param {How} how */
  stop(how) {
    this.#isWanted = false;
    this.#isAsked = false;
    if (this.#lives) {
      this.#close(how);
    } else {
      this.#set('down');
      this.#wake();
    }
  }

  /** Ends it, and starts it again. @param {Record<string, string>} env @param {How} how */
  restart(env, how) {
    this.start(env);
    if (!this.#lives) return;
    this.#isAsked = true;
    this.#close(how);
  }

  /** Waits until everything is logged. */
  async flush() {
    await this.#log.written;
  }

  /** @param {How} how */
  #close({ force = false, timeout }) {
    const running = this.#process;
    if (this.#state !== 'closing') this.#set('closing');
    if (force) running.reset();
    else running.close();
    if (timeout === undefined) return;
    const timer = setTimeout(() => running.reset(), timeout);
    running.ended.then(() => clearTimeout(timer));
  }

  /** One process after the other, while it is wanted. */
  async #run() {
    this.#isRunning = true;
    for (let failures = 0; this.#isWanted; ) {
      await this.#turn();
      if (!this.#isWanted) break;
      this.#isAsked = false;
      const { reason, isFinal, wasUseful } = await this.#once();
      if (!this.#isWanted) break;
      if (this.#isAsked) {
        failures = 0;
        this.#set('connecting');
      } else if (isFinal) {
        this.#isRunning = false;
        this.#note('ERROR', `This is not tried again: ${reason}`);
        this.#set('failed', { reason });
        return;
      } else {
        failures = wasUseful ? 1 : failures + 1;
        await this.#wait(reason, failures);
        // It was asked for meanwhile.
        if (this.#state === 'connecting') failures = 0;
        else this.#restarts += 1;
      }
    }
    this.#isRunning = false;
    if (this.#state !== 'down') this.#set('down');
  }

  /** One process, from its start to its end. @returns {Promise<import('./tunnel-process.js').Failure>} */
  async #once() {
    const { name, args, cwd } = this.#wanted;
    try {
      const command = { args: [...args, name], cwd, env: this.#env };
      this.#process = new TunnelProcess(command, this.#log, (event) => this.#observe(event));
    } catch (error) {
      return { reason: `no process could be started: ${error.message}`, isFinal: false, wasUseful: false };
    }
    this.#lives = true;
    const { pid, ended } = this.#process;
    if (pid !== undefined) this.#note('INFO', `The supervisor has started process ${pid}.`);
    const failure = await ended;
    this.#lives = false;
    return failure;
  }

  /** Waits before the next process, unless it is asked for. */
  async #wait(reason, attempt) {
    const delay = Math.min(MIN_WAIT * 2 ** (attempt - 1), MAX_WAIT);
    this.#note('INFO', `The next attempt is in ${delay / 1000} s: ${reason}`);
    /** @type {Promise<void>} */
    const over = new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#set('reconnecting', { reason, attempt, nextAttempt: Date.now() + delay });
    await over;
    this.#wake = () => {};
  }

  /** An event of the process. */
  #observe({ event, time, attempt, delay, error }) {
    if (this.#state === 'closing') return;
    if (event === 'started' || (event === 'ready' && this.#process.wasUp)) this.#set('up');
    else if (event === 'closing') this.#set('closing');
    else if (event === 'reconnecting')
      this.#set('reconnecting', { reason: error?.message, attempt, nextAttempt: Date.parse(time) + delay });
  }

  /** @param {State} state */
  #set(state, { reason, attempt, nextAttempt } = /** @type {any} */ ({})) {
    this.#state = state;
    this.#since = Date.now();
    this.#reason = reason;
    this.#attempt = attempt;
    this.#nextAttempt = nextAttempt;
    this.emit('change');
  }

  #note(level, text) {
    this.#log.write(message(level, text));
  }
}

module.exports = { Tunnel };
