'use strict';

const { inspect } = require('node:util');

const { rateCalls } = require('./connection.js');
const { binding, defineCalls, defineDispose } = require('./native/index.js');

const { Method } = binding;

/** A forward that was opened beside the constructor's own. */
class Forward {
  #ask;
  #find;
  #promises;

  static #promisesOf;

  static {
    const ask = (forward, settler, method, options) => forward.#ask(settler, method, forward.forwardId, options);
    Forward.#promisesOf = defineCalls(Forward, {
      ...rateCalls(ask, Method.GetForwardMaxRate, Method.SetForwardMaxRate),
      stop: (forward, settler) => ask(forward, settler, Method.StopForward),
      stats: (forward, settler) =>
        ask(forward, settler, Method.ForwardStats, { result: ({ connections }) => connections }),
    });
  }

  /**
   * @param {any} info as the addon gives it
   * @param {import('./connection.js').Ask} ask
   * @param {(forwardId: number) => any} find what the addon has of the forward now, or null
   */
  constructor({ forwardId, kind, bound, target }, ask, find) {
    const side = kind === 'remote' ? 'remote' : 'local';
    this.forwardId = forwardId;
    this.kind = kind;
    Object.assign(this, membersOf(side, bound), membersOf('forward', target ?? {}));
    this.#ask = ask;
    this.#find = find;
    if (side === 'remote' && bound.path === undefined) this.#followPort(bound.port);
  }

  get listening() {
    return this.#find(this.forwardId)?.listening ?? false;
  }

  get promises() {
    return (this.#promises ??= Forward.#promisesOf(this));
  }

  /** A port that the server chose may be another one after a reconnect. */
  #followPort(port) {
    const get = () => (port = this.#find(this.forwardId)?.bound.port ?? port);
    Object.defineProperty(this, 'remotePort', { get, enumerable: true });
  }

  /** Shows the getters, too. */
  [inspect.custom](depth, options) {
    return `Forward ${inspect({ ...this, listening: this.listening }, options)}`;
  }
}

defineDispose(Forward, (forward) => forward.promises.stop());

/** An end of a forward by the names of its options. */
function membersOf(side, { host, port, path }) {
  return path === undefined ? { [`${side}Host`]: host, [`${side}Port`]: port } : { [`${side}Path`]: path };
}

module.exports = { Forward };
