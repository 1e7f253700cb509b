'use strict';

// `sshtunnel run ... -- command`: runs a program whose URLs lead through the tunnel.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { systemWords } = require('./output/messages.js');
const { writeError } = require('./output/standard-error.js');

/** Signals that the program gets beside the ones that end the command. @type {NodeJS.Signals[]} */
const PASSED = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'];
/** Signals that the terminal sends to the program, too. */
const OF_TERMINAL = ['SIGINT', 'SIGQUIT'];

/** The statuses of a shell for a program that does not exist, or cannot be run. */
const NOT_FOUND = 127;
const NOT_RUNNABLE = 126;

/** A URL, and in front of it the name of an option or variable whose value it is. */
const URL_ARGUMENT = /^(--?[\w-]+=|[a-z_]\w*=)?([a-z][a-z0-9+.-]*:\/\/.+)$/is;
const URL_START = /^[a-z][a-z0-9+.-]*:\/\//i;

/**
 * What `run` runs.
 * @typedef {object} Program
 * @property {string[]} command the program and its arguments
 * @property {{ name: string, value?: string }[]} env variables of --env; without a value, those of this process
 * @property {boolean} quiet whether its output is shown only if it fails
 * @property {boolean} keepsUrls whether its arguments are left as they are
 */

/** A file for output, which has no name any more, where the system allows that. */
class OutputFile {
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sshtunnel-'));
  descriptor = fs.openSync(path.join(this.#folder, 'output'), 'a+', 0o600);

  constructor() {
    if (process.platform !== 'win32') this.#remove();
  }

  #remove() {
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Writes everything to standard error. */
  show() {
    const piece = Buffer.alloc(64 * 1024);
    for (let at = 0; ; ) {
      const count = fs.readSync(this.descriptor, piece, 0, piece.length, at);
      if (count === 0) return;
      writeError(Buffer.from(piece.subarray(0, count)));
      at += count;
    }
  }

  close() {
    fs.closeSync(this.descriptor);
    this.#remove();
  }
}

class Child {
  #program;
  #messages;
  #args;
  #env = { ...process.env };
  #child;

  /**
   * @param {Program} program
   * @param {import('./output/messages.js').Messages} messages
   */
  constructor(program, messages) {
    this.#program = program;
    this.#messages = messages;
    this.#args = program.command.slice(1);
  }

  /**
   * Opens the forwards for its URLs.
   * @param {import('../../index.js').SSHTunnel} tunnel
   * @returns {Promise<number>} how many variables and arguments lead through the tunnel
   */
  async prepare(tunnel) {
    let count = 0;
    for (const { name, value = process.env[name] } of this.#program.env) {
      if (value === undefined) throw new Error(`--env ${name}: the environment variable is not set`);
      try {
        this.#env[name] = await localPlace(tunnel, value);
      } catch (error) {
        throw new Error(`--env ${name}: ${error.message}`);
      }
      count += 1;
    }
    if (this.#program.keepsUrls) return count;
    for (const [at, argument] of this.#args.entries()) {
      const [, prefix = '', url] = URL_ARGUMENT.exec(argument) ?? [];
      if (url === undefined) continue;
      try {
        this.#args[at] = prefix + (await tunnel.promises.localUrl(url));
        count += 1;
      } catch (error) {
        if (error.code !== 'ERR_INVALID_ARG_VALUE') throw error;
        this.#messages.verbose(`Argument ${at + 1} is left as it is: ${error.message}`);
      }
    }
    return count;
  }

  /** Runs the program until its end. @returns {Promise<number>} its status, as a shell has it */
  async run() {
    const { command, quiet } = this.#program;
    const output = quiet ? new OutputFile() : undefined;
    const { descriptor = 'inherit' } = output ?? {};
    for (const name of PASSED) process.on(name, this.signal);
    try {
      const status = await new Promise((resolve) => {
        this.#child = spawn(command[0], this.#args, { env: this.#env, stdio: ['inherit', descriptor, descriptor] });
        this.#child.once('error', (error) => {
          this.#messages.error(`sshtunnel: ${command[0]}: ${systemWords(error)}`);
          resolve(error.code === 'ENOENT' ? NOT_FOUND : NOT_RUNNABLE);
        });
        this.#child.once('exit', (code, signal) => resolve(code ?? 128 + os.constants.signals[signal]));
      });
      if (status !== 0) output?.show();
      return status;
    } finally {
      for (const name of PASSED) process.off(name, this.signal);
      output?.close();
    }
  }

  /** Passes a signal on. @param {NodeJS.Signals} name */
  signal = (name) => {
    if (!(OF_TERMINAL.includes(name) && process.stdin.isTTY)) this.#child?.kill(name);
  };
}

/** A URL, or `host:port`, with the local address of a forward. */
async function localPlace(tunnel, value) {
  if (URL_START.test(value)) return tunnel.promises.localUrl(value);
  const { parseForwarding } = require('../ssh-config/forwardings.js');
  const { host, port } = parseForwarding(value, 'dynamic')?.listen ?? {};
  if (!host) throw new Error('the value is neither a URL nor host:port');
  const url = await tunnel.promises.localUrl(`tcp://${host.includes(':') ? `[${host}]` : host}:${port}`);
  return url.replace(URL_START, '');
}

module.exports = { Child };
