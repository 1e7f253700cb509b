'use strict';

// From settings to a tunnel that is logged on: attempt after attempt, as long as the user can be asked
// for something that may help.

const { createHash } = require('node:crypto');

const { SSHTunnel } = require('../../tunnel.js');
const { Deadline } = require('../../deadline.js');
const { wipe } = require('../../secrets.js');
const { hopOf, refusal } = require('../output/messages.js');
const { Proofs, Unlocking } = require('./credentials.js');
const { place } = require('../output/text.js');
const { Trust } = require('./host-key.js');

/** Banners that are remembered as shown. */
const MAX_BANNERS = 1000;

/** The logon has failed, and everything was said about it. */
class LogonError extends Error {
  /** @param {NodeJS.ErrnoException} cause */
  constructor(cause) {
    super(cause.message);
    this.cause = cause;
  }
}

/** A limit in time that does not run while the user thinks. */
class Patience {
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

class Logon {
  #settings;
  #terminal;
  #messages;
  #unlocking;
  /** By place: what each server on the way is offered, and how its key is judged. */
  #servers = new Map();
  /** Digests of the banners that were shown. */
  #banners = new Set();
  #patience;

  /**
   * @param {import('../settings.js').Settings} settings
   * @param {import('./terminal.js').Terminal | undefined} terminal undefined: nobody can be asked
   * @param {import('../output/messages.js').Messages} messages
   */
  constructor(settings, terminal, messages) {
    this.#settings = settings;
    this.#terminal = terminal;
    this.#messages = messages;
    if (terminal !== undefined) this.#unlocking = new Unlocking(settings, this);
  }

  /** Asks the user; no limit in time runs meanwhile. */
  async ask(prompt, options) {
    this.#patience?.pause();
    try {
      return await this.#terminal.ask(prompt, options);
    } finally {
      this.#patience?.resume();
    }
  }

  /**
   * @param {(tunnel: SSHTunnel, options: object) => void} prepare gets each tunnel, and what it was made of, before it logs on
   * @returns {Promise<SSHTunnel>} which has a session that stays
   */
  async run(prepare) {
    try {
      for (;;) {
        const { options, locked, wipe } = this.#settings.read();
        const servers = [options, ...(options.jump ?? [])];
        for (const server of servers)
          Object.assign(server, this.#ways(server, server !== options).offer(server, locked));
        const failure = await this.#attempt(options, wipe, prepare);
        if (failure.tunnel !== undefined) {
          for (const server of servers) this.#ways(server).trust.accepted();
          return failure.tunnel;
        }
        await this.#improve(failure.error, servers, locked);
      }
    } finally {
      this.#settings.wipe();
      for (const { proofs } of this.#servers.values()) proofs.wipe();
    }
  }

  /** How a server is logged on to, which is remembered from attempt to attempt. */
  #ways(server, hop) {
    const name = place(server.host, server.port);
    let ways = this.#servers.get(name);
    if (ways === undefined) {
      const asker = this.#terminal && this;
      const [settings, messages, unlocking] = [this.#settings, this.#messages, this.#unlocking];
      const trust = new Trust(server, { asker, messages });
      const proofs = new Proofs(server, { settings, asker, unlocking, messages, hop });
      ways = { trust, proofs, offer: (offered, locked) => ({ ...trust.options(), ...proofs.offer(offered, locked) }) };
      this.#servers.set(name, ways);
    }
    return ways;
  }

  /** One connection to the server, or to the first of those on the way. */
  async #attempt(options, wipe, prepare) {
    const limit = this.#settings.connectTimeout;
    const asks = this.#terminal !== undefined;
    // The tunnel's own limit runs on while the user thinks.
    if (limit !== undefined && asks) options.readyTimeout = Math.min(limit + this.#settings.patience, 2 ** 31 - 1);
    /** @type {any} the class has its calls by a table */
    let tunnel;
    try {
      tunnel = new SSHTunnel(options);
    } finally {
      wipe();
    }
    if (options.tryKeyboard) tunnel.on('keyboard-interactive', (...question) => this.#answer(options, ...question));
    tunnel.on('banner', (message, language, server) => this.#show(message, server));
    prepare(tunnel, options);
    const { host, port } = options.jump?.[0] ?? options;
    this.#messages.debug(
      1,
      options.proxyCommand === undefined
        ? `Connecting to ${host} port ${port}.`
        : `Executing proxy command: ${options.proxyCommand}`,
    );
    let late = false;
    const expire = () => {
      late = true;
      tunnel.shutdown(() => {});
    };
    if (limit !== undefined && asks) this.#patience = new Patience(limit, expire);
    try {
      await tunnel.promises.connect();
      return { tunnel };
    } catch (error) {
      const timeout = () => Object.assign(new Error(`no session within ${limit / 1000} s`), { code: 'ETIMEDOUT' });
      return { error: late ? timeout() : error };
    } finally {
      this.#patience?.pause();
      this.#patience = undefined;
    }
  }

  /**
   * A server's banner, from LogLevel INFO on, as ssh shows it. Attempts that follow each other are one
   * logon for the user: the same text of the same server is shown once.
   */
  #show(message, { host, port }) {
    const shown = createHash('sha256')
      .update(JSON.stringify([host, port, message]))
      .digest('base64');
    if (this.#banners.has(shown)) return;
    if (this.#banners.size >= MAX_BANNERS) this.#banners.clear();
    this.#banners.add(shown);
    this.#messages.info(message.replace(/\n$/, ''));
  }

  /** The server's questions, one after the other; none at all when the user gives up. */
  async #answer({ host, username, ...server }, name, instructions, lang, prompts, finish) {
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
      if (responses.length > 0) this.#ways({ host, ...server }).proofs.answered();
      return finish(responses);
    } finally {
      wipe(responses.filter(Buffer.isBuffer));
    }
  }

  /** Returns when there is something else to try. */
  async #improve(error, servers, locked) {
    const hop = hopOf(error);
    const server = servers.find(({ host, port }) => place(host, port) === hop) ?? servers[0];
    const { proofs, trust } = this.#ways(server);
    this.#messages.debug(1, error.message);
    if (error.code === 'ERR_SSH_HOST_KEY') {
      trust.refused(error);
    } else if (error.code === 'ERR_SSH_AUTH') {
      trust.accepted();
      if (await proofs.improve(error, server, locked)) return;
    }
    this.#messages.fatal(refusal(error, server));
    throw new LogonError(error);
  }
}

module.exports = { Logon, LogonError };
