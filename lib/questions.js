'use strict';

// What a tunnel asks the application, and how the answers reach the addon.

const { CredentialSource, failureOf } = require('./credentials.js');
const { binding, unuse, use } = require('./native/index.js');
const { wipe } = require('./secrets.js');
const { checkResponses } = require('./validate/index.js');

/** Exceptions of the application that may be the cause of an error to come. */
const MAX_THROWN = 32;

/** What the application is asked while a tunnel connects. */
class Questions {
  #handle;
  /** What each server asks: the jump hosts in order, and last the tunnel's own. */
  #servers;
  /** Aborts functions that give credentials, by the numbers of their questions. @type {Map<number, AbortController>} */
  #waiting = new Map();
  /** What the application threw, by the numbers of the questions. @type {Map<number, unknown>} */
  #thrown = new Map();

  /**
   * @param {number} handle
   * @param {{ hostVerifier?: Function, asks: import('./validate/server.js').Asks, credentials: CredentialSource }[]} servers
   */
  constructor(handle, servers) {
    this.#handle = handle;
    this.#servers = servers;
  }

  /** What has to be asked to connect, as a part of a sentence; undefined if nothing has to be. */
  get asked() {
    if (this.#servers.some(({ hostVerifier }) => hostVerifier !== undefined)) return 'options.hostVerifier';
    return this.#servers.map(({ credentials }) => credentials.asked).find((option) => option !== undefined);
  }

  /** Adds to an error what the application threw. @param {any} error @param {number} [question] */
  explain(error, question) {
    if (this.#thrown.has(question)) error.cause = this.#thrown.get(question);
    return error;
  }

  /** Asks a hostVerifier about a host key. */
  async verifyHostKey(question, { hop, ...key }) {
    let trusted = false;
    let thrown = false;
    try {
      trusted = (await this.#servers.at(hop ?? -1).hostVerifier(key)) === true;
    } catch (reason) {
      thrown = true;
      this.#keep(question, reason);
    }
    binding.answerHostKey(this.#handle, question, trusted, thrown);
  }

  /**
   * Asks for credentials.
   * @param {number} question
   * @param {any} asked
   */
  async giveCredentials(question, { hop, ...asked }) {
    const controller = new AbortController();
    this.#waiting.set(question, controller);
    // That it is withdrawn may become known when the call that had asked has been aborted already.
    use();
    const copies = [];
    try {
      const { credentials } = this.#servers.at(hop ?? -1);
      const answer = await credentials.answer(asked, controller.signal, copies);
      binding.answerCredentials(this.#handle, question, answer);
    } catch (error) {
      const { code, message, cause } = failureOf(error);
      this.#keep(question, cause);
      binding.answerCredentials(this.#handle, question, { kind: asked.kind, option: '', failure: { code, message } });
    } finally {
      wipe(copies);
      this.#settled(question);
    }
  }

  /**
   * Asks for what only the user knows.
   * @param {object} tunnel
   * @param {number} question
   * @param {{ hop?: number, prompts?: any, key?: number }} inquiry about a key of the private keys; without that and
   *   prompts, for the password
   */
  inquire(tunnel, question, { hop, prompts, key }) {
    const { asks } = this.#servers.at(hop ?? -1);
    if (prompts) askPrompts(tunnel, this.#handle, question, prompts);
    else if (typeof key === 'number') askCommand(this.#handle, question, () => asks.keys.comment(key));
    else askCommand(this.#handle, question, asks.password);
  }

  /**
   * Asks for a stream that leads to the server.
   * @param {number} question
   * @param {import('./sock.js').Socks} socks
   */
  async giveStream(question, socks) {
    let sock;
    try {
      sock = await socks.next();
    } catch (reason) {
      this.#keep(question, reason);
      const said = reason instanceof Error ? reason.message : String(reason);
      binding.refuseSock(this.#handle, question, `it gave no stream: ${said}`);
      return;
    }
    if (sock === undefined) {
      binding.refuseSock(this.#handle, question);
      return;
    }
    const stream = binding.attachSock(this.#handle, question);
    if (stream === null) sock.destroy();
    else socks.carry(sock, stream);
  }

  /** Nothing waits for the answer to a question any more. */
  withdrawn(question) {
    const controller = this.#waiting.get(question);
    this.#settled(question);
    controller?.abort();
  }

  #settled(question) {
    if (this.#waiting.delete(question)) unuse();
  }

  #keep(question, reason) {
    if (reason === undefined) return;
    this.#thrown.set(question, reason);
    if (this.#thrown.size > MAX_THROWN) this.#thrown.delete(this.#thrown.keys().next().value);
  }
}

/** Emits 'keyboard-interactive'. */
function askPrompts(tunnel, handle, question, { name, instructions, lang, prompts }) {
  const count = prompts.length;
  const finish = (responses = []) => {
    // Fewer answers than prompts are how a user gives up.
    const { responses: given, wipe } = checkResponses(responses, count);
    try {
      binding.answerInquiry(handle, question, given.length === count ? given : undefined);
    } finally {
      wipe();
    }
  };
  let heard = false;
  try {
    heard = tunnel.emit('keyboard-interactive', name, instructions, lang, prompts, finish);
  } finally {
    if (!heard) binding.answerInquiry(handle, question, undefined);
  }
}

/**
 * Asks the command. Its answer is wiped.
 * @param {(() => Promise<Uint8Array | undefined>) | undefined} ask
 */
async function askCommand(handle, question, ask) {
  let answer;
  try {
    answer = await ask?.();
  } finally {
    binding.answerInquiry(handle, question, answer && [answer]);
    answer?.fill(0);
  }
}

/** Emits 'connectionRequest'. */
function askConnectionRequest(
  tunnel,
  handle,
  { connectionId, forwardId, remoteAddress, remotePort, forwardHost, forwardPort, forwardPath },
) {
  const request = {
    connectionId,
    forwardId,
    remoteAddress,
    remotePort,
    forwardHost,
    forwardPort,
    forwardPath,
    accept: () => binding.answerRequest(handle, connectionId, true),
    reject: () => binding.answerRequest(handle, connectionId, false),
  };
  let heard = false;
  let returned = false;
  try {
    heard = tunnel.emit('connectionRequest', request);
    returned = true;
  } finally {
    if (!returned) request.reject();
    // The last listener was removed while the request was on its way here.
    else if (!heard) request.accept();
  }
}

/**
 * @param {number} handle
 * @param {any[]} servers as they were checked
 */
function questionsOf(handle, servers) {
  return new Questions(
    handle,
    servers.map(({ native, hostVerifier, functions, agent, certificate, asks }) => ({
      hostVerifier,
      asks,
      credentials: new CredentialSource({ ...native, certificate }, native.option, functions, agent),
    })),
  );
}

module.exports = { askConnectionRequest, questionsOf };
