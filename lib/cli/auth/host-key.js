'use strict';

// Decides about a host key that no file decides about: as StrictHostKeyChecking says, and as the user says.

const { detailOf } = require('../../errors.js');
const { contradictedHostKey, keyType } = require('../output/messages.js');

/** A host as files of known hosts have it. */
function knownName({ host, port }) {
  return port === 22 ? host : `[${host}]:${port}`;
}

/** The policy for the host key of one server, over all attempts to connect. */
class HostKeyPolicy {
  #strictness;
  #writes;
  #asker;
  #messages;
  /** The message about the decision: shown when the outcome of the attempt is known. */
  #message;

  /**
   * @param {import('../../ssh-config/options.js').ConfiguredServer} server
   * @param {{ asker?, messages }} common without an asker, the user is not asked
   */
  constructor({ options, writesKnownHosts }, { asker, messages }) {
    this.#strictness = options.strictHostKeyChecking;
    this.#writes = writesKnownHosts;
    this.#asker = asker;
    this.#messages = messages;
  }

  /** Options for the next attempt. */
  options() {
    this.#message = undefined;
    const strict = this.#strictness === true || !this.#writes;
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
        this.#message = `No ${keyType(key.type)} host key is known for ${knownName(key)} and you have requested strict checking.`;
        return false;
      default:
        this.#accept(key);
        return true;
    }
  }

  #accept(key) {
    const warning = `Warning: Permanently added '${knownName(key)}' (${keyType(key.type)}) to the list of known hosts.`;
    this.#message = this.#writes ? warning : undefined;
  }

  async #ask(key) {
    const lines = [
      `The authenticity of host '${knownName(key)}' can't be established.`,
      `${keyType(key.type)} key fingerprint is ${key.fingerprint}.`,
    ];
    if (this.#asker === undefined) {
      this.#message = `${lines.join('\n')}\nThere is no terminal to ask at.`;
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

  /** The key was accepted. */
  accepted() {
    if (this.#message !== undefined) this.#messages.info(this.#message);
    this.#message = undefined;
  }

  /** The key was refused. @param {import('../../../index.js').SSHTunnelError} error */
  refused(error) {
    const { hostKey } = error;
    if (hostKey?.reason !== 'rejected')
      this.#messages.error((hostKey && contradictedHostKey(hostKey)) ?? detailOf(error));
    else if (this.#message !== undefined) this.#messages.error(this.#message);
  }
}

module.exports = { HostKeyPolicy };
