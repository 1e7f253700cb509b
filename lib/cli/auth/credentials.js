'use strict';

// What a server is offered: keys at once, then what the user is asked for. Passwords are asked for between attempts.

const { unlocks } = require('../../ssh-config/identities.js');

/** ssh's order, where no directive says another, except that keys come before `none`. */
const METHODS = ['publickey', 'agent', 'none', 'keyboard-interactive', 'password'];
const KEYS = 'keys';
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
  /** What is tried in turn; every stage offers the keys, too. */
  #stages;
  #stage = 0;
  #turns = 0;
  /** Bytes, kept for the attempts that follow. */
  #password;
  /** The stage of the attempt that has failed. */
  #offered;
  /** Whether the user answered the server's questions in the attempt that has failed. */
  #answered = false;

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
    const asked =
      asker === undefined ? [] : [KEYBOARD, PASSWORD].filter((method) => !(isJumpHost && method === KEYBOARD));
    this.#stages = [KEYS, ...this.#methods.filter((method) => asked.includes(method))];
  }

  /** Forgets the password. */
  wipe() {
    this.#password?.fill(0);
    this.#password = undefined;
  }

  /**
   * Options for the next attempt.
   * @param {string[]} locked files of keys that lack their passphrase
   */
  options(server, locked) {
    // Keys come before questions: those of the server wait until the passphrases were asked for.
    const isUnlocked = this.#passphrases === undefined || this.#passphrases.pending(locked).length === 0;
    if (this.#stage === 0 && isUnlocked && this.#stages[1] === KEYBOARD) this.#stage = 1;
    const stage = this.#stages[this.#stage];
    const has = {
      publickey: server.privateKey !== undefined,
      agent: server.agent !== undefined,
      // The server has refused it when the user is asked for a password.
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

  /** The user has answered the server's questions. */
  answered() {
    this.#answered = true;
  }

  /**
   * After a refusal: asks for what may help.
   * @param {import('../../../index.js').SSHTunnelError} error
   * @param {{ host: string, username: string }} server
   * @param {string[]} locked files of keys that lack their passphrase
   * @returns {Promise<boolean>} whether there is something else to try
   */
  async improve({ acceptedMethods: accepted = [] }, { host, username }, locked) {
    if (this.#asker === undefined) return false;
    const acceptsKeys = accepted.includes('publickey') && this.#methods.includes('publickey');
    if (acceptsKeys && (await this.#passphrases.unlock(locked))) return true;
    const again = () => this.#turns < this.#settings.passwordPrompts;
    const denied = () => this.#messages.error('Permission denied, please try again.');
    // A stage that was refused NumberOfPasswordPrompts times is over.
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

module.exports = { Credentials, Passphrases };
