'use strict';

// The live view, on the alternate screen of the terminal.

const fs = require('node:fs');
const { isatty } = require('node:tty');

const { render } = require('./renderer.js');

/** Milliseconds between two pictures, at least. */
const MIN_PERIOD = 250;
/** A tunnel with many connections is asked less often: the wait is this many times what asking took. */
const SHARE = 10;
/** Messages that are printed when the view is over, at most. */
const MAX_MESSAGES = 100;

/** The alternate screen without a cursor, and back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J';
const LEAVE = '\x1b[?25h\x1b[?1049l';
/** Synchronized output: a terminal shows what is in between at once, or ignores these. */
const BEGIN = '\x1b[?2026h\x1b[H';
const END = '\x1b[J\x1b[?2026l';

class View {
  #monitor;
  #output = process.stdout;
  #kept = [];
  #timer;
  #shown = '';
  #depth = 0;
  #active = false;

  /** @param {import('../monitor.js').Monitor} monitor */
  constructor(monitor) {
    this.#monitor = monitor;
  }

  /** Begins to draw. */
  start() {
    this.#active = true;
    this.#output.on('resize', this.#redraw);
    process.on('SIGTSTP', this.#suspend);
    process.on('SIGCONT', this.#redraw);
    process.on('exit', this.#exit);
    this.#write(ENTER);
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
    process.off('SIGCONT', this.#redraw);
    process.off('exit', this.#exit);
    if (!process.stderr.isTTY) return;
    for (const line of this.#kept) process.stderr.write(`${line}\n`);
  }

  /** Leaves the alternate screen for a question. */
  leave() {
    if (this.#active && this.#depth++ === 0) this.#write(LEAVE);
  }

  /** Returns to it. */
  enter() {
    if (!this.#active || --this.#depth > 0) return;
    this.#write(ENTER);
    this.#redraw();
  }

  /** Shows a message, and keeps it; where standard error is no terminal, it is written there at once. */
  print(line) {
    if (process.stderr.isTTY) this.#kept = [...this.#kept, line].slice(-MAX_MESSAGES);
    else process.stderr.write(`${line}\n`);
  }

  async #poll() {
    const before = performance.now();
    await this.#monitor.refresh();
    if (!this.#active) return;
    this.#draw();
    const took = performance.now() - before;
    this.#timer = setTimeout(() => this.#poll(), Math.max(MIN_PERIOD, took * SHARE));
  }

  #draw() {
    if (this.#depth > 0) return;
    // A terminal of unknown size reports none.
    const [rows, columns] = [this.#output.rows || 24, this.#output.columns || 80];
    // A character in the last column would make some terminals begin the next line.
    const lines = render(this.#monitor, { rows, columns: columns - 1 });
    const shown = lines.map((line) => `${line}\x1b[K`).join('\n');
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#write(`${BEGIN}${shown}${END}`);
  }

  #redraw = () => {
    this.#shown = '';
    this.#draw();
  };

  /** Ctrl-Z leaves the alternate screen until the process continues. */
  #suspend = () => {
    this.leave();
    process.once('SIGCONT', () => this.enter());
    process.kill(process.pid, 'SIGSTOP');
  };

  #exit = () => {
    if (this.#depth === 0) this.#write(LEAVE);
  };

  #write(text) {
    try {
      fs.writeSync(this.#output.fd, text);
    } catch {
      // The terminal has gone, or is full: the next picture is complete.
      this.#shown = '';
    }
  }
}

/** Whether standard output is a terminal, and this process runs in its foreground. */
function canShow() {
  if (!isatty(1) || process.env.TERM === 'dumb') return false;
  let fields;
  try {
    const stat = fs.readFileSync('/proc/self/stat', 'latin1');
    fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return true; // Unknown on systems other than Linux.
  }
  const [group, foreground] = [fields[2], fields[5]];
  return group === foreground;
}

module.exports = { View, canShow };
