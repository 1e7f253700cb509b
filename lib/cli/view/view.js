'use strict';

// The live view, on the alternate screen of the terminal: draws what the monitor knows, and does what keys ask for.
//
//   state.js     what is shown, and how keys change that      renderer.js  the lines of it; layout.js, words.js, styles.js
//   keyboard.js  reads keys                                    screen.js    writes lines

const fs = require('node:fs');
const { isatty } = require('node:tty');

const { pauseAfter } = require('../monitor.js');
const { interrupt, signalGroup } = require('../signals.js');
const { isErrorTerminal, writeError } = require('../output/standard-error.js');
const { Keyboard } = require('./keyboard.js');
const { render } = require('./renderer.js');
const { Screen } = require('./screen.js');
const { INITIAL, follow, listed, press } = require('./state.js');
const { abilities } = require('./styles.js');

/** Messages that are printed when the view is over, at most. */
const MAX_MESSAGES = 100;
/** Milliseconds for which the answer to a key is shown. */
const NOTICE = 4000;

/** Signals that end the process without a handler: the terminal is restored before. @type {NodeJS.Signals[]} */
const FATAL = ['SIGQUIT', 'SIGALRM', 'SIGUSR2'];

/** What is done for keys in the terminal's place, which makes no signals of them while they are read one by one. */
const SIGNALS = { interrupt: 'SIGINT', suspend: 'SIGTSTP', abort: 'SIGQUIT' };

class View {
  #monitor;
  #output = process.stdout;
  #screen = new Screen(process.stdout.fd);
  #keyboard = Keyboard.isThere() ? new Keyboard((key) => this.#press(key)) : undefined;
  #abilities = abilities(process.stdout);
  #state = INITIAL;
  /** The snapshot that is shown, and its time: both stay while the picture is paused. */
  #snapshot;
  #now = 0;
  /** Lines of a page, as of the last picture. */
  #page = 1;
  #notice = { text: undefined, until: 0 };
  #kept = [];
  #timer;
  #depth = 0;
  #active = false;
  /** Whether the process was stopped, and has not had the terminal since. */
  #suspended = false;

  /** @param {import('../monitor.js').Monitor} monitor */
  constructor(monitor) {
    this.#monitor = monitor;
  }

  /** Begins to draw. */
  start() {
    this.#active = true;
    this.#output.on('resize', this.#redraw);
    process.on('SIGTSTP', this.#suspend);
    process.on('SIGCONT', this.#continue);
    process.on('exit', this.#exit);
    for (const name of FATAL) process.on(name, this.#end);
    this.#take();
    this.#poll();
  }

  /** Restores the screen, and prints the messages there. */
  stop() {
    if (!this.#active) return;
    this.leave();
    this.#active = false;
    clearTimeout(this.#timer);
    this.#output.off('resize', this.#redraw);
    process.off('SIGTSTP', this.#suspend);
    process.off('SIGCONT', this.#continue);
    process.off('exit', this.#exit);
    for (const name of FATAL) process.off(name, this.#end);
    this.#screen.close();
    for (const line of this.#kept) writeError(`${line}\n`);
  }

  /** Leaves the terminal to a question. */
  leave() {
    if (!this.#active || this.#depth++ > 0) return;
    this.#keyboard?.stop();
    this.#screen.leave();
  }

  /** Returns to it. */
  enter() {
    if (this.#active && --this.#depth === 0) this.#take();
  }

  /** Shows a message, and keeps it; where standard error is no terminal, it is written there at once. */
  print(line) {
    if (this.#active && isErrorTerminal()) this.#kept = [...this.#kept, line].slice(-MAX_MESSAGES);
    else writeError(`${line}\n`);
  }

  #take() {
    this.#keyboard?.start();
    this.#screen.enter();
    this.#draw();
  }

  async #poll() {
    const before = performance.now();
    await this.#monitor.refresh();
    if (!this.#active) return;
    this.#draw();
    const took = performance.now() - before;
    this.#timer = setTimeout(() => this.#poll(), pauseAfter(took));
  }

  #draw() {
    if (this.#suspended && isInForeground()) {
      this.#suspended = false;
      this.enter();
    }
    if (this.#depth > 0) return;
    const now = Date.now();
    if (!this.#state.paused || this.#snapshot === undefined) {
      this.#snapshot = this.#monitor.snapshot();
      this.#now = now;
    }
    this.#state = follow(this.#state, this.#ids());
    const notice = now < this.#notice.until ? this.#notice.text : undefined;
    // A terminal of unknown size reports none. A character in the last column would make some begin the next line.
    const size = { rows: this.#output.rows || 24, columns: (this.#output.columns || 80) - 1 };
    const terminal = { ...size, ...this.#abilities, hasKeys: this.#keyboard !== undefined };
    const moment = { now: this.#now, notice, url: this.#monitor.page };
    const { lines, first, scroll, page } = render(this.#snapshot, this.#state, terminal, moment);
    this.#state = { ...this.#state, first, scroll };
    this.#page = page;
    this.#screen.show(lines);
  }

  #redraw = () => {
    this.#screen.clear();
    this.#draw();
  };

  #ids() {
    return listed(this.#snapshot, this.#state).map(({ connectionId }) => connectionId);
  }

  // Keys

  #press(key) {
    const { state, action } = press(this.#state, key, { ids: this.#ids(), lines: this.#page });
    this.#state = state;
    if (action === undefined) this.#draw();
    else this.#do(action);
  }

  /** @param {import('./state.js').Action} action */
  #do(action) {
    if (action === 'quit') interrupt();
    else if (action === 'redraw') this.#redraw();
    else if (action === 'close' || action === 'reset') this.#endConnection(action);
    else signalGroup(SIGNALS[action]);
  }

  async #endConnection(action) {
    const { selected } = this.#state;
    if (selected === undefined) {
      this.#say('Select a connection first, with the arrow keys.');
      return;
    }
    this.#say(action === 'close' ? `Closing #${selected} by its Linger.` : `Resetting #${selected}.`);
    try {
      await this.#monitor[action](selected);
    } catch (error) {
      this.#say(`#${selected}: ${error.message}`);
    }
  }

  #say(text) {
    this.#notice = { text, until: Date.now() + NOTICE };
    this.#draw();
  }

  // Signals

  /** Ctrl-Z leaves the terminal to the shell, until the process is in its foreground again. */
  #suspend = () => {
    if (!this.#suspended) this.leave();
    this.#suspended = true;
    process.kill(process.pid, 'SIGSTOP');
  };

  #continue = () => {
    if (this.#suspended) this.#draw();
    else this.#redraw();
  };

  #exit = () => this.stop();

  #end = (name) => {
    this.stop();
    process.kill(process.pid, name);
  };
}

/** Whether this process runs in the foreground of the terminal; also true if that is unknown. */
function isInForeground() {
  let fields;
  try {
    const stat = fs.readFileSync('/proc/self/stat', 'latin1');
    fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return true; // Not Linux.
  }
  const [group, foreground] = [fields[2], fields[5]];
  return group === foreground;
}

/** Whether standard output is a terminal that can show a picture, and this process runs in its foreground. */
function canShow() {
  return isatty(1) && process.env.TERM !== 'dumb' && isInForeground();
}

module.exports = { View, canShow };
