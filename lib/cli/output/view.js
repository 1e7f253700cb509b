'use strict';

// The live view: drawn on the other screen of the terminal, so that what stood there comes back.

const fs = require('node:fs');

const { frame } = require('./renderer.js');

/** Milliseconds between two pictures, at least. */
const PERIOD = 250;
/** A tunnel with many connections is asked less often: this much of the time is left to others. */
const SHARE = 10;
/** Messages that are printed when the view is over, at most. */
const MOST_MESSAGES = 100;

/** The other screen without a cursor, and back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J';
const LEAVE = '\x1b[?25h\x1b[?1049l';
/** Terminals that know these show what is in between at once; others pass over them. */
const BEGIN = '\x1b[?2026h\x1b[H';
const END = '\x1b[J\x1b[?2026l';

class View {
  #picture;
  #output = process.stdout;
  #messages = [];
  #kept = [];
  #tunnel;
  #timer;
  #shown = '';
  #depth = 0;
  #active = false;

  /** @param {Omit<import('./renderer.js').Picture, 'messages'>} picture what is shown; its members may change */
  constructor(picture) {
    this.#picture = picture;
  }

  /** Shows itself from now on. @param {import('../../../index.js').SSHTunnel} tunnel */
  start(tunnel) {
    this.#tunnel = tunnel;
    this.#active = true;
    this.#output.on('resize', this.#redraw);
    process.on('SIGTSTP', this.#suspend);
    process.on('SIGCONT', this.#redraw);
    process.on('exit', this.#exit);
    this.#write(ENTER);
    this.#poll();
  }

  /** The screen is as it was before, and the messages stand there. */
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

  /** Gives the screen up for a question. */
  leave() {
    if (this.#active && this.#depth++ === 0) this.#write(LEAVE);
  }

  /** And takes it again. */
  enter() {
    if (!this.#active || --this.#depth > 0) return;
    this.#write(ENTER);
    this.#redraw();
  }

  /** A message, shown and kept; where standard error leads elsewhere, it goes there at once. */
  say(line) {
    this.#messages = [...this.#messages.slice(-9), line];
    if (process.stderr.isTTY) this.#kept = [...this.#kept, line].slice(-MOST_MESSAGES);
    else process.stderr.write(`${line}\n`);
  }

  async #poll() {
    const before = performance.now();
    // A promise: a callback would wait for that of close().
    const infos = await this.#tunnel.promises.connections();
    if (!this.#active) return;
    this.#picture.tally.sample(infos);
    this.#draw();
    const took = performance.now() - before;
    this.#timer = setTimeout(() => this.#poll(), Math.max(PERIOD, took * SHARE));
  }

  #draw() {
    if (this.#depth > 0) return;
    // A terminal that does not know its size says that it has none.
    const [rows, columns] = [this.#output.rows || 24, this.#output.columns || 80];
    // A character in the last column would make some terminals begin the next line.
    const lines = frame({ ...this.#picture, messages: this.#messages }, { rows, columns: columns - 1 });
    const shown = lines.map((line) => `${line}\x1b[K`).join('\n');
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#write(`${BEGIN}${shown}${END}`);
  }

  #redraw = () => {
    this.#shown = '';
    this.#draw();
  };

  /** Ctrl-Z gives the screen back until the process goes on. */
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
      // The terminal has gone, or takes no more: there will be another picture, or none.
      this.#shown = '';
    }
  }
}

/** Whether standard output is a terminal that is ours to draw on: not that of somebody in front of us. */
function canShow() {
  if (!process.stdout.isTTY || process.env.TERM === 'dumb') return false;
  let fields;
  try {
    const stat = fs.readFileSync('/proc/self/stat', 'latin1');
    fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return true; // Systems other than Linux do not tell.
  }
  const [group, foreground] = [fields[2], fields[5]];
  return group === foreground;
}

module.exports = { View, canShow };
