'use strict';

const { inspect } = require('node:util');

const check = require('./validate/options.js');
const { checkName } = require('./validate/primitives.js');
const { binding, mirror } = require('./native/bridge.js');
const { invalidArgValue } = require('./errors.js');
const { checkHost, checkPort, checkRemotePath } = require('./validate/names.js');

const { Method } = binding;

/** Bytes of a username, and of a password: one byte of SOCKS 5 says how many. */
const MOST_PROOF = 255;

const MIRRORED = { stop: 0, stats: 0 };

/** A way through the session that was opened beside the one of the constructor. */
class Forward {
  #tunnel;
  #promises;

  /**
   * @param info as the addon gives it
   * @param {{ ask(method, forwardId, callback, convert?): unknown, find(forwardId): object | null }} tunnel
   */
  constructor({ forwardId, kind, bound, target }, tunnel) {
    const side = kind === 'remote' ? 'remote' : 'local';
    this.forwardId = forwardId;
    this.kind = kind;
    Object.assign(this, named(side, bound), named('forward', target ?? {}));
    this.#tunnel = tunnel;
    if (side === 'remote' && bound.path === undefined) this.#followPort(bound.port);
  }

  get listening() {
    return this.#tunnel.find(this.forwardId)?.listening ?? false;
  }

  /** A port that the server has chosen may be another one after the loss of its session. */
  #followPort(port) {
    const get = () => (port = this.#tunnel.find(this.forwardId)?.bound.port ?? port);
    Object.defineProperty(this, 'remotePort', { get, enumerable: true });
  }

  /** What is behind the getters is what one wants to see. */
  [inspect.custom](depth, options) {
    return `Forward ${inspect({ ...this, listening: this.listening }, options)}`;
  }

  stop(callback) {
    return this.#tunnel.ask(Method.StopForward, this.forwardId, callback);
  }

  stats(callback) {
    return this.#tunnel.ask(Method.ForwardStats, this.forwardId, callback, ({ connections }) => connections);
  }

  get promises() {
    this.#promises ??= mirror(this, Forward.prototype, MIRRORED);
    return this.#promises;
  }
}

/** An end of a forward by the names that the options have for it. */
function named(side, { host, port, path }) {
  return path === undefined ? { [`${side}Host`]: host, [`${side}Port`]: port } : { [`${side}Path`]: path };
}

/**
 * @returns {{ listen: object, target: object, maxConnections?: number }} as the addon takes them
 */
function checkLocalForward(options) {
  check.checkObject(options, 'options');
  return {
    listen: checkListen(options),
    target: checkTarget(options),
    maxConnections: check.checkMaxConnections(options),
  };
}

/**
 * @returns {{ listen: object, maxConnections?: number, login: string[] }} as the addon takes them; the login is a username and a password, or none
 */
function checkDynamicForward(options) {
  const { username, password } = check.checkObject(options, 'options');
  const listen = checkListen(options);
  const maxConnections = check.checkMaxConnections(options);
  // Both or none.
  if (username === undefined && password === undefined) return { listen, maxConnections, login: [] };
  const login = [checkProof(username, 'options.username'), checkProof(password, 'options.password', { secret: true })];
  return { listen, maxConnections, login };
}

/** A text as RFC 1929 carries it. */
function checkProof(value, name, { secret = false } = {}) {
  checkName(value, name, { secret });
  if (Buffer.byteLength(value) > MOST_PROOF)
    throw invalidArgValue(name, `must not be longer than ${MOST_PROOF} bytes`, value, { secret });
  return value;
}

/**
 * @returns {{ listen: object, target: object, maxConnections?: number }} as the addon takes them
 */
function checkRemoteForward(options) {
  check.checkObject(options, 'options');
  return {
    listen: checkRemoteListen(options),
    target: checkTarget(options, undefined, check.checkSocketPath),
    maxConnections: check.checkMaxConnections(options),
  };
}

/** Where the server is to listen: a port of the names and addresses that it knows, or a Unix socket. */
function checkRemoteListen({ remoteHost, remotePort, remotePath }) {
  if (remotePath !== undefined) {
    check.checkAlone({ remoteHost, remotePort }, 'remotePath');
    return { path: checkRemotePath(remotePath, 'options.remotePath') };
  }
  return {
    // The empty string is a name, too: every address.
    host: remoteHost === '' ? '' : checkHost(remoteHost ?? 'localhost', 'options.remoteHost'),
    port: checkPort(remotePort ?? 0, 'options.remotePort', { least: 0 }),
  };
}

/** Where to listen: a port of this machine, any free one by default, or a Unix socket. */
function checkListen({ localHost, localPort, localPath }) {
  if (localPath !== undefined) {
    check.checkAlone({ localHost, localPort }, 'localPath');
    return { path: check.checkSocketPath(localPath, 'options.localPath') };
  }
  return {
    host: checkHost(localHost ?? '127.0.0.1', 'options.localHost'),
    port: checkPort(localPort ?? 0, 'options.localPort', { least: 0 }),
  };
}

/** What to connect to at the other side: a port of a host, or a Unix socket; in options of these names. */
function checkTarget(
  options,
  [host, port, path] = ['forwardHost', 'forwardPort', 'forwardPath'],
  checkPath = checkRemotePath,
) {
  if (options[path] !== undefined) {
    check.checkAlone({ [host]: options[host], [port]: options[port] }, path);
    return { path: checkPath(options[path], `options.${path}`) };
  }
  return {
    host: checkHost(options[host], `options.${host}`),
    port: checkPort(options[port], `options.${port}`),
  };
}

module.exports = { Forward, checkDynamicForward, checkLocalForward, checkRemoteForward, checkTarget };
