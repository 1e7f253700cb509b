'use strict';

// Connects a tunnel. The user is asked meanwhile for what may help; only with a passphrase is there another attempt, which
// is a connection of its own.
//
//   credentials.js   what one server is offered: keys, then what the user is asked for
//   host-key.js      what becomes of a host key that no file decides about
//   terminal.js      questions to the user

const { Deadline } = require('../../deadline.js');
const { MAX_MILLISECONDS } = require('../../validate/primitives.js');
const { wipe } = require('../../secrets.js');
const { SSHTunnel } = require('../../tunnel.js');
const { connectFailure } = require('../output/messages.js');
const { place } = require('../output/text.js');
const { Credentials, Passphrases } = require('./credentials.js');
const { HostKeyPolicy } = require('./host-key.js');

/** Banners that are remembered as shown. */
const MAX_BANNERS = 1000;

/** There is no session, and the messages have said why. */
class ConnectError extends Error {
  /** @param {import('../../../index.js').SSHTunnelError} cause */
  constructor(cause) {
    super(cause.message);
    this.cause = cause;
  }
}

/** A deadline that stands still while the user is asked. */
class PausableDeadline {
  #deadline;
  #left;
  #expire;

  constructor(milliseconds, expire) {
    this.#left = milliseconds;
    this.#expire = expire;
    this.resume();
  }

  pause() {
    if (this.#deadline === undefined) return;
    this.#left = this.#deadline.left;
    this.#deadline.clear();
    this.#deadline = undefined;
  }

  resume() {
    this.#deadline = new Deadline(this.#left, this.#expire);
  }
}

class Connector {
  #settings;
  #terminal;
  #messages;
  #passphrases;
  /** Credentials and host key policy of each server on the way, by its host and port. */
  #servers = new Map();
  /** Digests of the banners that were shown. */
  #banners = new Set();
  #deadline;

  /**
   * @param {import('../settings.js').Settings} settings
   * @param {import('./terminal.js').Terminal | import('./askpass.js').Askpass | undefined} terminal undefined: the user
   *   cannot be asked
   * @param {import('../output/messages.js').Messages} messages
   */
  constructor(settings, terminal, messages) {
    this.#settings = settings;
    this.#terminal = terminal;
    this.#messages = messages;
    if (terminal !== undefined) this.#passphrases = new Passphrases(settings, this);
  }

  /** Asks the user; the deadline stands still meanwhile. */
  ask(prompt, options) {
    return this.#paused(() => this.#terminal.ask(prompt, options));
  }

  /** Asks for a yes. */
  confirm(question) {
    return this.#paused(() => this.#terminal.confirm(question));
  }

  async #paused(work) {
    this.#deadline?.pause();
    try {
      return await work();
    } finally {
      this.#deadline?.resume();
    }
  }

  /**
   * @param {(tunnel: any, options: object) => void} prepare gets each tunnel, and its options, when it has begun to connect
   * @returns {Promise<any>} a tunnel that has a session
   */
  async run(prepare) {
    try {
      for (;;) {
        const { options, servers, locked, wipe } = this.#settings.read();
        for (const server of servers) {
          const { credentials, hostKeys } = this.#remember(server, server.options !== options);
          Object.assign(server.options, hostKeys.options(), credentials.options(server, locked));
        }
        const { tunnel, error } = await this.#attempt(options, wipe, prepare);
        if (tunnel !== undefined) {
          for (const server of servers) this.#remembered(server.options).hostKeys.accepted();
          return tunnel;
        }
        await this.#improve(
          error,
          servers.map((server) => server.options),
          locked,
        );
      }
    } finally {
      this.#settings.wipe();
    }
  }

  /** What is remembered of a server from attempt to attempt. */
  #remembered({ host, port }) {
    return this.#servers.get(place(host, port));
  }

  /** Likewise, from the first attempt on. */
  #remember(server, isJumpHost) {
    const found = this.#remembered(server.options);
    if (found !== undefined) return found;
    const common = { asker: this.#terminal && this, messages: this.#messages };
    const [settings, passphrases] = [this.#settings, this.#passphrases];
    const made = {
      hostKeys: new HostKeyPolicy(server, common),
      credentials: new Credentials(server.options, { ...common, settings, passphrases, isJumpHost }),
    };
    this.#servers.set(place(server.options.host, server.options.port), made);
    return made;
  }

  /** One connection to the server. */
  async #attempt(options, wipe, prepare) {
    const limit = this.#settings.connectTimeout;
    const asks = this.#terminal !== undefined;
    // The tunnel's own deadline does not stand still while the user is asked.
    if (limit !== undefined && asks)
      options.readyTimeout = Math.min(limit + this.#settings.userTimeout, MAX_MILLISECONDS);
    if (this.#messages.shows('DEBUG1')) options.debug = (line) => this.#messages.debug(1, line);
    /** @type {any} the class has its calls by a table */
    let tunnel;
    try {
      tunnel = new SSHTunnel(options);
    } finally {
      wipe();
    }
    if (options.tryKeyboard) tunnel.on('keyboard-interactive', (...question) => this.#answer(options, ...question));
    tunnel.on('banner', (text, language, server) => this.#showBanner(text, server));
    const { host, port } = options.jump?.[0] ?? options;
    this.#messages.debug(
      1,
      options.proxyCommand === undefined
        ? `Connecting to ${host} port ${port}.`
        : `Executing proxy command: ${options.proxyCommand}`,
    );
    let isLate = false;
    const expire = () => {
      isLate = true;
      tunnel.shutdown(() => {});
    };
    if (limit !== undefined && asks) this.#deadline = new PausableDeadline(limit, expire);
    try {
      const connected = tunnel.promises.connect();
      // Meanwhile the server answers, which takes longer.
      prepare(tunnel, options);
      await connected;
      return { tunnel };
    } catch (error) {
      const timeout = () => Object.assign(new Error(`no session within ${limit / 1000} s`), { code: 'ETIMEDOUT' });
      return { error: isLate ? timeout() : error };
    } finally {
      this.#deadline?.pause();
      this.#deadline = undefined;
    }
  }

  /**
   * Shows a server's banner, from LogLevel INFO on, as ssh does. Several attempts are one to the user: each text of a
   * server is shown once.
   */
  #showBanner(text, { host, port }) {
    const { createHash } = require('node:crypto');
    const digest = createHash('sha256')
      .update(JSON.stringify([host, port, text]))
      .digest('base64');
    if (this.#banners.has(digest)) return;
    if (this.#banners.size >= MAX_BANNERS) this.#banners.clear();
    this.#banners.add(digest);
    this.#messages.banner(text.replace(/\n$/, ''));
  }

  /** Asks the server's questions in turn; the user gives up with the end of input. */
  async #answer({ host, username }, name, instructions, lang, prompts, finish) {
    const responses = [];
    const heading = [name, instructions]
      .filter(Boolean)
      .map((text) => `${text}\n`)
      .join('');
    try {
      for (const { prompt, echo } of prompts) {
        const text = `${responses.length === 0 ? heading : ''}(${username}@${host}) ${prompt}`;
        const response = await this.ask(text, { echo });
        if (response === undefined) return finish();
        responses.push(response);
      }
      return finish(responses);
    } finally {
      wipe(responses.filter(Buffer.isBuffer));
    }
  }

  /** Returns when there is something else to try; throws a ConnectError otherwise. */
  async #improve(error, servers, locked) {
    const { hop } = error;
    const isAbout = ({ host, port }) => host === hop?.host && port === hop?.port;
    const server = servers.find(isAbout) ?? servers[0];
    const { credentials, hostKeys } = this.#remembered(server);
    this.#messages.debug(1, error.message);
    if (error.code === 'ERR_SSH_HOST_KEY') {
      hostKeys.refused(error);
    } else if (error.code === 'ERR_SSH_AUTH') {
      hostKeys.accepted();
      if (await credentials.improve(error, locked)) return;
    }
    this.#messages.fatal(connectFailure(error, server));
    this.#messages.hint({ step: 'connect', error, server, batch: this.#settings.batch });
    throw new ConnectError(error);
  }
}

module.exports = { ConnectError, Connector };
