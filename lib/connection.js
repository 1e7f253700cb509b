'use strict';

const { binding, defineCalls } = require('./native/index.js');
const { checkLingerOption, checkLingerProperty, isGraceful, unpackLinger } = require('./validate/index.js');

const { Method } = binding;

/**
 * Calls the tunnel about one of its connections or forwards.
 * @typedef {(settler, method: number, id: number, options?: { result?: (payload: any) => any, linger?: number }) => any} Ask
 */

/**
 * The calls about a connection's Linger.
 * @param {(target, settler, method: number, options?: object) => any} ask
 */
const lingerCalls = (ask) => ({
  getLinger: (target, settler) => ask(target, settler, Method.GetConnectionLinger, { result: isGraceful }),
  setLinger: (target, settler, linger) =>
    ask(target, settler, Method.SetConnectionLinger, { linger: checkLingerProperty(linger, 'linger') }),
  getLingerOption: (target, settler) => ask(target, settler, Method.GetConnectionLinger, { result: unpackLinger }),
  setLingerOption: (target, settler, value) =>
    ask(target, settler, Method.SetConnectionLinger, { linger: checkLingerOption(value, 'value') }),
});

/** A snapshot of a connection, with the calls about it. */
class Connection {
  #ask;
  #close;
  #id;
  #promises;

  static #promisesOf;

  static {
    const ask = (connection, settler, method, options) => connection.#ask(settler, method, connection.#id, options);
    Connection.#promisesOf = defineCalls(Connection, {
      ...lingerCalls(ask),
      close: (connection, settler) => connection.#close(settler, connection.#id),
      reset: (connection, settler) => ask(connection, settler, Method.ResetConnection),
    });
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

module.exports = { Connection, lingerCalls };
