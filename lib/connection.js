'use strict';

const check = require('./validate/options.js');
const { binding, mirror } = require('./native/bridge.js');

const { Method } = binding;

const nothing = () => undefined;

const MIRRORED = { getLinger: 0, setLinger: 1, getLingerOption: 0, setLingerOption: 1, close: 0, reset: 0 };

/** A connection as it was at the moment of asking, with what can still be decided about it. */
class Connection {
  #ask;
  #close;
  #id;
  #promises;

  /**
   * @param {(method, connectionId, callback, convert, linger) => unknown} ask calls its tunnel
   * @param {(connectionId, callback) => void} close closes it by its Linger
   */
  constructor(info, ask, close) {
    Object.assign(this, info);
    this.#ask = ask;
    this.#close = close;
    this.#id = info.connectionId;
  }

  getLinger(callback) {
    return this.#ask(Method.GetConnectionLinger, this.#id, callback, check.isGraceful);
  }

  setLinger(linger, callback) {
    return this.#setLinger(check.packLinger(linger, 'linger'), callback);
  }

  getLingerOption(callback) {
    return this.#ask(Method.GetConnectionLinger, this.#id, callback, check.unpackLinger);
  }

  setLingerOption(value, callback) {
    return this.#setLinger(check.checkLingerOption(value, 'value'), callback);
  }

  close(callback) {
    return this.#close(this.#id, callback);
  }

  reset(callback) {
    return this.#ask(Method.ResetConnection, this.#id, callback);
  }

  get promises() {
    this.#promises ??= mirror(this, Connection.prototype, MIRRORED);
    return this.#promises;
  }

  #setLinger(packed, callback) {
    return this.#ask(Method.SetConnectionLinger, this.#id, callback, nothing, packed);
  }
}

module.exports = { Connection };
