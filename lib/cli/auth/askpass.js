'use strict';

// SSH_ASKPASS: a program that asks the user, where there is no terminal or SSH_ASKPASS_REQUIRE says so.

const { spawn } = require('node:child_process');

const { allocate, copyOf } = require('../../secrets.js');

/** Bytes of an answer, as in OpenSSH. */
const MAX_ANSWER = 1023;

/** Where the program of the system is, if it has one. */
const DEFAULT = '/usr/bin/ssh-askpass';

/**
 * Whether the program is used as ssh would use it: always, where there is no terminal, or never.
 * @param {Record<string, string | undefined>} variables of the environment
 * @returns {'always' | 'otherwise' | 'never'}
 */
function useOf({ SSH_ASKPASS_REQUIRE: required, DISPLAY, WAYLAND_DISPLAY }) {
  const hasDisplay = Boolean(DISPLAY || WAYLAND_DISPLAY);
  switch (required?.toLowerCase()) {
    case 'force':
      return 'always';
    case 'prefer':
      return hasDisplay ? 'always' : 'never';
    case 'never':
      return 'never';
    default:
      return hasDisplay ? 'otherwise' : 'never';
  }
}

/** Asks by a program; its standard output is the answer. */
class Askpass {
  #program;
  #turn = Promise.resolve();

  constructor(program) {
    this.#program = program;
  }

  /**
   * What asks the user: the program, the terminal, or nothing.
   * @param {Record<string, string | undefined>} variables of the environment
   * @param {() => import('./terminal.js').Terminal | undefined} openTerminal
   * @returns {Askpass | import('./terminal.js').Terminal | undefined}
   */
  static choose(variables, openTerminal) {
    const program = variables.SSH_ASKPASS || DEFAULT;
    const use = useOf(variables);
    if (use === 'always') return new Askpass(program);
    return openTerminal() ?? (use === 'otherwise' ? new Askpass(program) : undefined);
  }

  /** There is no view below a program. */
  set screen(_) {}

  restore() {}

  /**
   * Asks, after the questions before.
   * @param {string} prompt
   * @param {{ echo?: boolean }} [options]
   * @returns {Promise<any>} a string, or without `echo` bytes, which the caller wipes; undefined if the program fails
   */
  ask(prompt, { echo = false } = {}) {
    return this.#inTurn(() => this.#ask(prompt, echo));
  }

  /**
   * Asks a question, after those before. As for ssh, the program agrees by its status, and with no words or a yes.
   * @param {string} question
   * @returns {Promise<boolean>}
   */
  async confirm(question) {
    const answer = await this.#inTurn(() => this.#ask(question, true, { SSH_ASKPASS_PROMPT: 'confirm' }));
    return answer === '' || answer?.toLowerCase() === 'yes';
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #inTurn(work) {
    const answer = this.#turn.then(work);
    this.#turn = answer.then(
      () => {},
      () => {},
    );
    return answer;
  }

  /** @returns {Promise<any>} */
  #ask(prompt, echo, hint = {}) {
    return new Promise((resolve) => {
      const env = { ...process.env, ...hint };
      const child = spawn(this.#program, [prompt], { stdio: ['ignore', 'pipe', 'inherit'], env });
      const bytes = allocate(MAX_ANSWER);
      let length = 0;
      child.stdout.on('data', (/** @type {Buffer} */ chunk) => {
        length += chunk.copy(bytes, length);
        chunk.fill(0);
      });
      const finish = (isAnswered) => {
        const end = [10, 13].map((byte) => bytes.subarray(0, length).indexOf(byte)).filter((at) => at >= 0);
        const answer = copyOf(bytes.subarray(0, Math.min(length, ...end)));
        bytes.fill(0);
        if (!isAnswered) resolve(undefined);
        else resolve(echo ? answer.toString() : answer);
      };
      child.once('error', () => finish(false));
      child.once('close', (status) => finish(status === 0));
    });
  }
}

module.exports = { Askpass };
