'use strict';

// What one server is offered to log on by: keys at once, then what the user is asked for. Passwords
// are asked for between attempts, each of which is a connection of its own.

const { unlocks } = require('../../ssh-config/identities.js');
const { acceptedMethods } = require('../output/messages.js');

/** ssh's order, where no directive says another, but that keys come before `none`. */
const METHODS = ['publickey', 'agent', 'none', 'keyboard-interactive', 'password'];
const KEYS = 'keys';
const KEYBOARD = 'keyboard-interactive';
const PASSWORD = 'password';

/** Keys that the user was asked about: one file may be for several servers. */
class Unlocking {
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

  /** Those of the files that were not asked about yet. */
  left(files) {
    return files.filter((file) => !this.#asked.has(file));
  }

  /** Asks for the passphrase of each file; whether one more key can be used. */
  async unlock(files) {
    let unlocked = false;
    for (const file of this.left(files)) {
      this.#asked.add(file);
      unlocked = (await this.#ask(file)) || unlocked;
    }
    return unlocked;
  }

  async #ask(file) {
    for (let turn = 0; turn < this.#settings.passwordPrompts; turn++) {
      const passphrase = await this.#asker.ask(`Enter passphrase for key '${file}': `);
      // Who gives none has this key passed over.
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

/** The proofs for one server, over all attempts to log on. */
class Proofs {
  #settings;
  #asker;
  #unlocking;
  #messages;
  #methods;
  /** What is tried, one after the other; every stage offers the keys, too. */
  #stages;
  #stage = 0;
  #turns = 0;
  /** Bytes, kept for the attempts that follow. */
  #password;
  /** The stage of the attempt that has failed. */
  #offered;
  /** Whether the server's questions were answered in the attempt that has failed. */
  #answered = false;

  /**
   * @param {{ authHandler?: string[] }} server as the files have it
   * @param {{ settings, asker?, unlocking?, messages, hop: boolean }} means without an asker, nobody is asked
   */
  constructor(server, { settings, asker, unlocking, messages, hop }) {
    this.#settings = settings;
    this.#asker = asker;
    this.#unlocking = unlocking;
    this.#messages = messages;
    this.#methods = server.authHandler ?? METHODS;
    // A jump host's questions could be taken for those of the last server.
    const asked = asker === undefined ? [] : [KEYBOARD, PASSWORD].filter((method) => !(hop && method === KEYBOARD));
    this.#stages = [KEYS, ...this.#methods.filter((method) => asked.includes(method))];
  }

  /** Forgets the password. */
  wipe() {
    this.#password?.fill(0);
    this.#password = undefined;
  }

  /**
   * What goes into the options of the next attempt.
   * @param {string[]} locked files of keys that lack their passphrase
   */
  offer(server, locked) {
    // Keys come before questions: those of the server wait until the keys were asked about.
    const open = this.#unlocking === undefined || this.#unlocking.left(locked).length === 0;
    if (this.#stage === 0 && open && this.#stages[1] === KEYBOARD) this.#stage = 1;
    const stage = this.#stages[this.#stage];
    const has = {
      publickey: server.privateKey !== undefined,
      agent: server.agent !== undefined,
      // When the user was asked for a password, it has been refused.
      none: stage !== PASSWORD,
      [KEYBOARD]: stage === KEYBOARD,
      [PASSWORD]: stage === PASSWORD,
    };
    this.#offered = stage;
    this.#answered = false;
    return {
      authHandler: this.#methods.filter((method) => has[method]),
      ...(stage === KEYBOARD ? { tryKeyboard: true } : {}),
      ...(stage === PASSWORD ? { password: this.#password } : {}),
    };
  }

  /** The user has answered what the server asked. */
  answered() {
    this.#answered = true;
  }

  /**
   * After a refusal: asks for what may help.
   * @param {Error} error
   * @param {{ host: string, username: string }} server
   * @param {string[]} locked files of keys whose passphrases are not known
   * @returns {Promise<boolean>} whether there is something else to try
   */
  async improve(error, { host, username }, locked) {
    if (this.#asker === undefined) return false;
    const accepted = acceptedMethods(error);
    const takesKeys = accepted.includes('publickey') && this.#methods.includes('publickey');
    if (takesKeys && (await this.#unlocking.unlock(locked))) return true;
    const again = () => this.#turns < this.#settings.passwordPrompts;
    const denied = () => this.#messages.error('Permission denied, please try again.');
    // What was refused as often as it may be is not tried again.
    for (; this.#stage < this.#stages.length; this.#stage++, this.#turns = 0) {
      const stage = this.#stages[this.#stage];
      if (!accepted.includes(stage)) continue;
      if (stage === KEYBOARD) {
        if (this.#offered !== KEYBOARD) return true;
        this.#turns += 1;
        if (!this.#answered || !again()) continue;
        denied();
        return true;
      }
      if (!again()) continue;
      if (this.#turns > 0) denied();
      this.#turns += 1;
      const password = await this.#asker.ask(`${username}@${host}'s password: `);
      if (password === undefined) return false;
      this.wipe();
      this.#password = password;
      return true;
    }
    return false;
  }
}

module.exports = { Proofs, Unlocking };
