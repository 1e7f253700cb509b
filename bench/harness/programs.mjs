// Programs that run beside this one and talk in lines of JSON. All of them end with this process.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { signal } from '../../__test__/helpers/process.mjs';

const REMEMBERED = 2000; // characters of what a program said on stderr

export class Program {
  #process;
  #lines;
  #said = '';

  constructor(command, args, options) {
    this.#process = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
    this.name = command;
    this.#process.on('error', (error) => (this.#said += error.message));
    this.#process.stdin.on('error', () => {}); // it may have ended
    this.#process.stderr.setEncoding('utf8').on('data', (text) => {
      this.#said = (this.#said + text).slice(-REMEMBERED);
    });
    this.closed = new Promise((resolve) => this.#process.once('close', resolve));
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    process.on('exit', this.#kill);
    this.closed.then(() => process.off('exit', this.#kill));
  }

  get pid() {
    return this.#process.pid;
  }

  /** Its exit code, once it has ended. */
  get code() {
    return this.#process.exitCode;
  }

  get stdin() {
    return this.#process.stdin;
  }

  get stdout() {
    return this.#process.stdout;
  }

  /** What it said on stderr, the end of it. */
  get said() {
    return this.#said.trim();
  }

  /** The next line that it prints, as a value; fails if it ends instead, or takes too long. */
  async line(limit = 30_000) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.#title} said nothing for ${limit / 1000} s`)), limit);
    });
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late]);
      if (!done) return JSON.parse(value);
      await this.closed;
      throw new Error(this.#end);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Says a line to it, and waits for its answer. */
  ask(words, limit) {
    this.#process.stdin.write(`${words}\n`);
    return this.line(limit);
  }

  get #title() {
    return this.#process.spawnargs.slice(0, 2).join(' ').split('/').at(-1);
  }

  get #end() {
    const { exitCode, signalCode } = this.#process;
    return `${this.#title} ended: ${signalCode ?? `exit code ${exitCode}`} ${this.said}`.trim();
  }

  #kill = () => this.pid && signal(this.pid, 'SIGKILL');

  async stop() {
    this.#kill();
    await this.closed;
  }
}
