'use strict';

const { binding, defineCalls } = require('./native/index.js');
const {
  checkBoolean,
  checkLingerOption,
  checkLingerProperty,
  checkMaxRate,
  checkMilliseconds,
  isGraceful,
  unpackLinger,
} = require('./validate/index.js');

const { Method } = binding;

/**
 * Calls the tunnel about one of its connections or forwards.
 * @typedef {(settler, method: number, id: number, options?: { result?: (payload: any) => any, value?: number,
 *   subject?: object }) => any} Ask
 */

/**
 * The calls about a connection's Linger.
 * @param {(target, settler, method: number, options?: object) => any} ask
 */
const lingerCalls = (ask) => ({
  getLinger: (target, settler) => ask(target, settler, Method.GetConnectionLinger, { result: isGraceful }),
  setLinger: (target, settler, linger) =>
    ask(target, settler, Method.SetConnectionLinger, { value: checkLingerProperty(linger, 'linger') }),
  getLingerOption: (target, settler) => ask(target, settler, Method.GetConnectionLinger, { result: unpackLinger }),
  setLingerOption: (target, settler, value) =>
    ask(target, settler, Method.SetConnectionLinger, { value: checkLingerOption(value, 'value') }),
});

/**
 * The calls about the limits of a rate.
 * @param {(target, settler, method: number, options?: object) => any} ask
 * @param {number} getMaxRate
 * @param {number} setMaxRate
 */
const rateCalls = (ask, getMaxRate, setMaxRate) => ({
  getMaxRate: (target, settler) => ask(target, settler, getMaxRate),
  setMaxRate: (target, settler, maxRate) =>
    ask(target, settler, setMaxRate, { subject: { rate: checkMaxRate(maxRate, 'maxRate') } }),
});

/** Milliseconds before the first probe, 0 for the system's time, or -1 to turn keep-alive off. */
function packKeepAlive(enable, initialDelay = 0) {
  checkBoolean(enable, 'enable');
  const delay = checkMilliseconds(initialDelay, 'initialDelay');
  return enable ? delay : -1;
}

/** A snapshot of a connection, with the calls about it. */
class Connection {
  #ask;
  #close;
  #id;
  #promises;

  static #promisesOf;

  static {
    const ask = (connection, settler, method, options) => connection.#ask(settler, method, connection.#id, options);
    Connection.#promisesOf = defineCalls(
      Connection,
      {
        ...lingerCalls(ask),
        ...rateCalls(ask, Method.GetConnectionMaxRate, Method.SetConnectionMaxRate),
        setIdleTimeout: (connection, settler, idleTimeout) =>
          ask(connection, settler, Method.SetConnectionIdleTimeout, {
            value: checkMilliseconds(idleTimeout, 'idleTimeout'),
          }),
        setKeepAlive: (connection, settler, enable, initialDelay) =>
          ask(connection, settler, Method.SetConnectionKeepAlive, { value: packKeepAlive(enable, initialDelay) }),
        close: (connection, settler) => connection.#close(settler, connection.#id),
        reset: (connection, settler) => ask(connection, settler, Method.ResetConnection),
      },
      ['setKeepAlive'],
    );
  }

  /**
   * @param {object} info as the addon gives it
   * @param {Ask} ask
   * @param {(settler, connectionId: number) => void} close closes the connection by its Linger
   */
  constructor(info, ask, close) {
    Object.assign(this, info);
    this.#ask = ask;
    this.#close = close;
    this.#id = info.connectionId;
  }

  get promises() {
    return (this.#promises ??= Connection.#promisesOf(this));
  }
}

module.exports = { Connection, lingerCalls, rateCalls };
