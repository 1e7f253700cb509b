'use strict';

// What becomes of a host key that no file decides about: as StrictHostKeyChecking says, and as the
// user does.

const { keyType } = require('../output/messages.js');

/** How a host is written in files of known hosts. */
function known({ host, port }) {
  return port === 22 ? host : `[${host}]:${port}`;
}

/** The host key of one server, over all attempts to log on. */
class Trust {
  #strictness;
  #records;
  #asker;
  #messages;
  /** What was decided about a key that is not known: told when it is clear how the attempt went. */
  #said;

  /**
   * @param {{ strictHostKeyChecking?: boolean | string, records: boolean }} server as the files have it
   * @param {{ asker?, messages }} means without an asker, nobody is asked
   */
  constructor({ strictHostKeyChecking, records }, { asker, messages }) {
    this.#strictness = strictHostKeyChecking;
    this.#records = records;
    this.#asker = asker;
    this.#messages = messages;
  }

  /** What goes into the options of the next attempt. */
  options() {
    this.#said = undefined;
    const strict = this.#strictness === true || !this.#records;
    return {
      strictHostKeyChecking: strict ? true : this.#strictness === 'no' ? 'no' : 'accept-new',
      hostVerifier: (key) => this.#decide(key),
    };
  }

  async #decide(key) {
    switch (this.#strictness) {
      case 'ask':
        return this.#ask(key);
      case true:
        this.#said = `No ${keyType(key.type)} host key is known for ${known(key)} and you have requested strict checking.`;
        return false;
      default:
        this.#accept(key);
        return true;
    }
  }

  #accept(key) {
    const warning = `Warning: Permanently added '${known(key)}' (${keyType(key.type)}) to the list of known hosts.`;
    this.#said = this.#records ? warning : undefined;
  }

  async #ask(key) {
    const lines = [
      `The authenticity of host '${known(key)}' can't be established.`,
      `${keyType(key.type)} key fingerprint is ${key.fingerprint}.`,
    ];
    if (this.#asker === undefined) {
      this.#said = `${lines.join('\n')}\nNobody can be asked about it.`;
      return false;
    }
    const question = `${lines.join('\n')}\nAre you sure you want to continue connecting (yes/no/[fingerprint])? `;
    for (let prompt = question; ; prompt = "Please type 'yes', 'no' or the fingerprint: ") {
      const answer = (await this.#asker.ask(prompt, { echo: true }))?.trim();
      if (answer === undefined || answer.toLowerCase() === 'no') return false;
      if (answer.toLowerCase() === 'yes' || answer === key.fingerprint) {
        this.#accept(key);
        return true;
      }
    }
  }

  /** The key was taken. */
  accepted() {
    if (this.#said !== undefined) this.#messages.info(this.#said);
    this.#said = undefined;
  }

  /** The key was refused. */
  refused(error) {
    const detail = error.message.replace(/^jump host \S+: /, '');
    const changed = /the host key of \S+ has changed/.test(detail);
    if (changed) this.#messages.error('WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!');
    // By a hostVerifier: why, was said when it was asked.
    const ours = /was refused by hostVerifier/.test(detail);
    if (this.#said !== undefined && ours) this.#messages.error(this.#said);
    if (!ours) this.#messages.error(detail);
  }
}

module.exports = { Trust };
