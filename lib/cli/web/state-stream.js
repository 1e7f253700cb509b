'use strict';

// The state of the run as server-sent events, for every page that is open. A page that reads slowly skips states: it gets
// the latest one when it has read the one before.

const { pauseAfter } = require('../monitor.js');

/** Pages at a time. */
const MAX_PAGES = 16;

class StateStream {
  #monitor;
  /**
   * The responses, and the number of the last state that each was sent.
   * @type {Map<import('node:http').ServerResponse, number>}
   */
  #pages = new Map();
  /** The latest state as JSON, and its number. */
  #state = '';
  #number = 0;
  #isRunning = false;
  #isOver = false;

  /** @param {import('../monitor.js').Monitor} monitor */
  constructor(monitor) {
    this.#monitor = monitor;
  }

  /**
   * Sends states as the response, until the page closes it.
   * @param {import('node:http').ServerResponse} response
   * @returns {boolean} false: there are too many pages already, or the command ends
   */
  add(response) {
    if (this.#pages.size >= MAX_PAGES || this.#isOver) return false;
    this.#pages.set(response, 0);
    response.on('close', () => this.#pages.delete(response));
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.flushHeaders();
    if (this.#isRunning) this.#publish();
    else this.#run();
    return true;
  }

  /** Sends the last state, and that no other follows. */
  end() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#update();
    for (const [response, number] of this.#pages) {
      if (number !== this.#number) response.write(this.#frame());
      response.end('event: end\ndata: {}\n\n');
    }
  }

  /** Asks for the state as long as there are pages. */
  async #run() {
    this.#isRunning = true;
    while (this.#pages.size > 0 && !this.#isOver) {
      const before = performance.now();
      // It fails while the tunnel closes; the state is then that of the last time.
      await this.#monitor.refresh().catch(() => {});
      if (this.#isOver) break;
      this.#update();
      this.#publish();
      const took = performance.now() - before;
      await new Promise((resolve) => setTimeout(resolve, pauseAfter(took)).unref());
    }
    this.#isRunning = false;
  }

  #update() {
    // A clock that runs is no change.
    const state = JSON.stringify({ ...this.#monitor.snapshot(), upTime: undefined });
    if (state === this.#state) return;
    this.#state = state;
    this.#number += 1;
  }

  #publish() {
    for (const [response, number] of this.#pages) {
      if (number === this.#number || response.writableLength > 0) continue;
      this.#pages.set(response, this.#number);
      response.write(this.#frame());
    }
  }

  /** The latest state, with the time here, by which the page shows how long ago something was. */
  #frame() {
    return `event: state\ndata: {"now":${Date.now()},"state":${this.#state}}\n\n`;
  }
}

module.exports = { StateStream };
