'use strict';

// What the application gives for an authentication: the results of functions among the options, and what an agent in
// this process says.

const { binding } = require('./native/index.js');
const { invalidArgType, outOfRange } = require('./errors.js');
const { checkPublicKey } = require('./public-key.js');
const { checkGiven } = require('./validate/index.js');
const { checkSecret } = require('./validate/secret.js');

const { CredentialsKind } = binding;

/** Keys of an agent, as many as OpenSSH's client reads. */
const MAX_KEYS = 2048;

/** Digests of signatures, by the names that node:crypto has for them; Ed25519 has its own. */
const HASHES = {
  'rsa-sha2-512': 'sha512',
  'rsa-sha2-256': 'sha256',
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
};

/** An exception of a function of the application. */
class Thrown {
  /**
   * @param {string} name of the function
   * @param {unknown} reason
   */
  constructor(name, reason) {
    this.name = name;
    this.reason = reason;
  }
}

/**
 * Why there are no credentials, for the addon.
 * @param {any} error of CredentialSource.answer()
 * @returns {{ code: string, message: string, cause?: unknown }} cause: absent if the error itself is reported
 */
function failureOf(error) {
  if (error instanceof Thrown) {
    const message = `${error.name}() threw, or its promise was rejected`;
    return { code: 'ERR_SSH_CREDENTIALS', message, cause: error.reason };
  }
  const { code, message } = Object(error);
  if (typeof code === 'string' && typeof message === 'string') return { code, message };
  return { code: 'ERR_SSH_CREDENTIALS', message: 'the credentials that were given cannot be read', cause: error };
}

/** The credentials of one server that only the application has. */
class CredentialSource {
  #options;
  #name;
  #functions;
  #agent;
  /** The numbers of calls, by the names of the functions. @type {Record<string, number>} */
  #calls = {};
  /** Keys as the agent listed them, by their blobs in base64. */
  #listed = new Map();

  /**
   * @param {any} options of the server
   * @param {string} name of the options in messages
   * @param {import('./validate/credentials.js').CredentialFunctions} functions
   * @param {import('./validate/credentials.js').CredentialAgent} [agent]
   */
  constructor({ host, port, username, certificate }, name, functions, agent) {
    this.#options = { host, port, username, certificate };
    this.#name = name;
    this.#functions = functions;
    this.#agent = agent;
  }

  /** The name of an option that is asked for each authentication; undefined if there is none. */
  get asked() {
    const option = this.#agent === undefined ? Object.keys(this.#functions)[0] : 'agent';
    return option === undefined ? undefined : `${this.#name}.${option}`;
  }

  /**
   * The answer to a question of the addon. Rejects with a Thrown, or with the error of a result that cannot be used.
   * @param {{ kind: string, key?: Uint8Array, algorithm?: string, data?: Uint8Array }} question
   * @param {AbortSignal} signal aborts when the answer is of no use any more
   * @param {Uint8Array[]} copies gets copies of secrets, to be wiped
   * @returns {Promise<object>}
   */
  async answer({ kind, key, algorithm, data }, signal, copies) {
    const { host, port, username } = this.#options;
    const request = { username, host, port, signal };
    const common = { kind, option: this.#name };
    switch (kind) {
      case CredentialsKind.Keys:
      case CredentialsKind.Password: {
        const { password, ...keys } = this.#functions;
        const functions = kind === CredentialsKind.Password ? { password } : keys;
        const given = Object.entries(functions).map(async ([option, call]) => [
          option,
          await this.#call(option, call, undefined, [], request),
        ]);
        const values = Object.fromEntries(await Promise.all(given));
        return { ...common, ...checkGiven(values, this.#options, this.#name, copies) };
      }
      case CredentialsKind.Identities:
        return { ...common, identities: await this.#list(request) };
      default: {
        const listed = this.#listed.get(Buffer.from(key).toString('base64')) ?? key;
        const sign = { ...request, algorithm, hash: HASHES[algorithm] ?? null };
        const made = await this.#call('agent.sign', this.#agent.sign, this.#agent, [listed, data], sign);
        return { ...common, signature: checkSecret(made, `${this.#name}.agent.sign()`, copies) };
      }
    }
  }

  async #list(request) {
    const name = `${this.#name}.agent.list()`;
    const keys = await this.#call('agent.list', this.#agent.list, this.#agent, [], request);
    if (!Array.isArray(keys)) throw invalidArgType(name, 'an instance of Array', keys);
    if (keys.length > MAX_KEYS) throw outOfRange(`${name}.length`, `<= ${MAX_KEYS}`, keys.length);
    const blobs = keys.map((key, index) => checkPublicKey(key, `${name}[${index}]`));
    this.#listed = new Map(blobs.map((blob, index) => [Buffer.from(blob).toString('base64'), keys[index]]));
    return blobs;
  }

  async #call(option, call, target, args, request) {
    const attempt = (this.#calls[option] ?? 0) + 1;
    this.#calls[option] = attempt;
    try {
      return await call.call(target, ...args, { ...request, attempt });
    } catch (reason) {
      throw new Thrown(`${this.#name}.${option}`, reason);
    }
  }
}

module.exports = { CredentialSource, failureOf };
