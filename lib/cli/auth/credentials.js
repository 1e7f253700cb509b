'use strict';

// What a server is offered: keys, then what the user is asked for. Passphrases are asked for between attempts.

const { unlocks } = require('../../ssh-config/identities.js');
const { ASKS } = require('../../validate/server.js');

/** ssh's order, where no directive says another, except that keys come before `none`. */
const METHODS = ['publickey', 'agent', 'none', 'keyboard-interactive', 'password'];
const KEYBOARD = 'keyboard-interactive';
const PASSWORD = 'password';

/** Passphrases of key files: each is asked for once, whichever servers the file is for. */
class Passphrases {
  #asked = new Set();
  #asker;
  #settings;

  /**
   * @param {import('../settings.js').Settings} settings
   * @param {{ ask(prompt: string): Promise<Buffer | undefined> }} asker
   */
  constructor(settings, asker) {
    this.#settings = settings;
    this.#asker = asker;
  }

  /** Those of the files whose passphrase was not asked for yet. */
  pending(files) {
    return files.filter((file) => !this.#asked.has(file));
  }

  /** Asks for the passphrase of each file; whether one more key can be used. */
  async unlock(files) {
    let unlocked = false;
    for (const file of this.pending(files)) {
      this.#asked.add(file);
      unlocked = (await this.#ask(file)) || unlocked;
    }
    return unlocked;
  }

  async #ask(file) {
    for (let turn = 0; turn < this.#settings.passwordPrompts; turn++) {
      const passphrase = await this.#asker.ask(`Enter passphrase for key '${file}': `);
      // An empty one skips this key.
      if (!passphrase?.length) return false;
      if (unlocks(file, passphrase)) {
        this.#settings.unlock(file, passphrase);
        return true;
      }
      passphrase.fill(0);
    }
    return false;
  }
}

/** The credentials for one server, over all attempts to connect. */
class Credentials {
  #settings;
  #asker;
  #passphrases;
  #messages;
  #methods;
  /** The methods by which the user is asked. */
  #asking;
  /** Whether they are among those of the next attempt: keys come first, and so do their passphrases. */
  #asks = false;

  /**
   * @param {{ authHandler?: string[] }} server its options by the files
   * @param {{ settings, asker?, passphrases?, messages, isJumpHost: boolean }} common without an asker, the user is not
   *   asked
   */
  constructor(server, { settings, asker, passphrases, messages, isJumpHost }) {
    this.#settings = settings;
    this.#asker = asker;
    this.#passphrases = passphrases;
    this.#messages = messages;
    this.#methods = server.authHandler ?? METHODS;
    // A jump host's questions could be taken for those of the last server.
    const possible = isJumpHost ? [PASSWORD] : [KEYBOARD, PASSWORD];
    const asks = asker !== undefined && settings.passwordPrompts > 0;
    this.#asking = possible.filter((method) => asks && this.#methods.includes(method));
  }

  /**
   * Options for the next attempt.
   * @param {import('../../ssh-config/options.js').ConfiguredServer} server
   * @param {string[]} locked files of keys that lack their passphrase
   */
  options({ options, keyFiles, addedKeys }, locked) {
    this.#asks ||= (this.#passphrases?.pending(locked) ?? []).length === 0;
    const asked = this.#asks ? this.#asking : [];
    const has = { publickey: options.privateKey !== undefined, agent: options.agent !== undefined, none: true };
    let count = 0;
    const password = () => this.#askPassword(options, count++ > 0);
    const keys = addedKeys && addedKeys.mode !== 'no' && this.#addedKeys(keyFiles, addedKeys);
    return {
      authHandler: this.#methods.filter((method) => has[method] || asked.includes(method)),
      tryKeyboard: asked.includes(KEYBOARD),
      [ASKS]: {
        times: Math.max(this.#settings.passwordPrompts, 1),
        ...(asked.includes(PASSWORD) && { password }),
        ...(keys && { keys }),
      },
    };
  }

  /** Asks for the password, again if the server has refused one. */
  #askPassword({ username, host }, isRefused) {
    if (isRefused) this.#messages.error('Permission denied, please try again.');
    return this.#asker.ask(`${username}@${host}'s password: `);
  }

  /** What is added to the agent of the keys that authenticate the user. */
  #addedKeys(keyFiles, { mode, seconds }) {
    const comment = async (index) => {
      const { file, comment } = keyFiles[index];
      const question = `Add key ${file} (${comment}) to agent?`;
      if (mode === 'ask' && !(await this.#asker?.confirm(question))) return undefined;
      this.#messages.debug(1, `Adding the key ${file} to the agent.`);
      return Buffer.from(comment || file);
    };
    return { lifetime: seconds, confirm: mode === 'confirm', comment };
  }

  /**
   * After a refusal: asks for passphrases.
   * @param {import('../../../index.js').SSHTunnelError} error
   * @param {string[]} locked files of keys that lack their passphrase
   * @returns {Promise<boolean>} whether there is something else to try
   */
  async improve({ acceptedMethods: accepted = [] }, locked) {
    if (this.#asker === undefined || this.#asks) return false;
    this.#asks = true;
    const acceptsKeys = accepted.includes('publickey') && this.#methods.includes('publickey');
    const unlocked = acceptsKeys && (await this.#passphrases.unlock(locked));
    return unlocked || this.#asking.some((method) => accepted.includes(method));
  }
}

module.exports = { Credentials, Passphrases };
