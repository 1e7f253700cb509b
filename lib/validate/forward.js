'use strict';

// Where forwards listen, and what forwards and dial() connect to.

const { checkSignal } = require('../abort.js');
const { fromNative, invalidArgType, invalidArgValue, unavailable } = require('../errors.js');
const binding = require('../native/load.js');
const { checkDescriptor, checkSocketPath } = require('./arguments.js');
const { checkHost, checkPort, checkRemotePath } = require('./names.js');
const { warnUnknown } = require('./option-names.js');
const {
  checkAlone,
  checkBoolean,
  checkInteger,
  checkMaxConnections,
  checkName,
  checkObject,
} = require('./primitives.js');
const { checkMaxRate } = require('./rate.js');

const { ForwardKind } = binding;

/** Permissions of a file. */
const MAX_MODE = 0o777;
/** Bytes of a username, and of a password: RFC 1929 has one byte for their lengths. */
const MAX_LOGIN = 255;

/**
 * A forward as the addon takes it.
 * @typedef {{ kind: string, listen: object, target?: object, maxConnections?: number, maxRate: { up: number, down: number },
 *   mode?: number, replaces?: boolean, descriptor?: number, username?: string, password?: string }} ForwardSpec
 */

/** @returns {ForwardSpec} */
function checkLocalForward(options) {
  warnUnknown(checkObject(options, 'options'), 'forwardLocal');
  return {
    kind: ForwardKind.Local,
    ...checkListen(options),
    target: checkTarget(options),
    maxConnections: checkMaxConnections(options),
    maxRate: checkMaxRate(options.maxRate, 'options.maxRate'),
  };
}

/** @returns {ForwardSpec} */
function checkDynamicForward(options) {
  warnUnknown(checkObject(options, 'options'), 'forwardDynamic');
  return {
    kind: ForwardKind.Dynamic,
    ...checkListen(options),
    maxConnections: checkMaxConnections(options),
    maxRate: checkMaxRate(options.maxRate, 'options.maxRate'),
    ...checkCredentials(options),
  };
}

/** A username and a password for SOCKS, or neither. */
function checkCredentials({ username, password }) {
  if (username === undefined && password === undefined) return {};
  return {
    username: checkLogin(username, 'options.username'),
    password: checkLogin(password, 'options.password', { secret: true }),
  };
}

/** A text as RFC 1929 carries it. */
function checkLogin(value, name, { secret = false } = {}) {
  checkName(value, name, { secret });
  if (Buffer.byteLength(value) > MAX_LOGIN)
    throw invalidArgValue(name, `must not be longer than ${MAX_LOGIN} bytes`, value, { secret });
  return value;
}

/** @returns {ForwardSpec} */
function checkRemoteForward(options) {
  const { socks = false, username, password } = checkObject(options, 'options');
  warnUnknown(options, 'forwardRemote');
  const spec = {
    kind: ForwardKind.Remote,
    listen: checkRemoteListen(options),
    maxConnections: checkMaxConnections(options),
    maxRate: checkMaxRate(options.maxRate, 'options.maxRate'),
  };
  if (!checkBoolean(socks, 'options.socks')) {
    for (const [name, value] of Object.entries({ username, password })) {
      if (value !== undefined)
        throw invalidArgValue(`options.${name}`, 'requires options.socks', value, { secret: true });
    }
    return { ...spec, target: checkTarget(options, undefined, checkSocketPath) };
  }
  const { forwardHost, forwardPort, forwardPath } = options;
  checkAlone({ forwardHost, forwardPort, forwardPath }, 'socks');
  return { ...spec, ...checkCredentials(options) };
}

/** Where the server listens: a port of a name or address of its own, or a Unix socket. */
function checkRemoteListen({ remoteHost, remotePort, remotePath }) {
  if (remotePath !== undefined) {
    checkAlone({ remoteHost, remotePort }, 'remotePath');
    return { path: checkRemotePath(remotePath, 'options.remotePath') };
  }
  return {
    // The empty string is a name, too: every address.
    host: remoteHost === '' ? '' : checkHost(remoteHost ?? 'localhost', 'options.remoteHost'),
    port: checkPort(remotePort ?? 0, 'options.remotePort', { min: 0 }),
  };
}

/** Where this machine listens: a port, any free one by default, a Unix socket, or a socket that listens already. */
function checkListen({ localHost, localPort, localPath, localPathMode, localPathReplace, localFd }) {
  if (localFd !== undefined) {
    checkAlone({ localHost, localPort, localPath, localPathMode, localPathReplace }, 'localFd');
    return { listen: checkListener(localFd, 'options.localFd'), descriptor: localFd };
  }
  const file = checkFile(localPathMode, localPathReplace);
  if (localPath !== undefined) {
    checkAlone({ localHost, localPort }, 'localPath');
    return { ...file, listen: { path: checkSocketPath(localPath, 'options.localPath') } };
  }
  const listen = {
    host: checkHost(localHost ?? '127.0.0.1', 'options.localHost'),
    port: checkPort(localPort ?? 0, 'options.localPort', { min: 0 }),
  };
  return { ...file, listen };
}

/** The address of a listening socket by its descriptor. */
function checkListener(value, name) {
  checkDescriptor(value, name);
  if (process.platform === 'win32') throw unavailable(name);
  const address = binding.listenerAddress(value);
  if (!('code' in address)) return address;
  const { message } = fromNative(address);
  throw invalidArgValue(name, `must be the descriptor of a listening TCP or Unix stream socket: ${message}`, value);
}

/** How the file of a Unix socket is made. */
function checkFile(mode, replaces = false) {
  return {
    mode: mode === undefined ? undefined : checkInteger(mode, 'options.localPathMode', 0, MAX_MODE),
    replaces: checkBoolean(replaces, 'options.localPathReplace'),
  };
}

/** What to connect to: a port of a host, or a Unix socket; in options of these names. */
function checkTarget(
  options,
  [host, port, path] = ['forwardHost', 'forwardPort', 'forwardPath'],
  checkPath = checkRemotePath,
) {
  if (options[path] !== undefined) {
    checkAlone({ [host]: options[host], [port]: options[port] }, path);
    return { path: checkPath(options[path], `options.${path}`) };
  }
  return {
    host: checkHost(options[host], `options.${host}`),
    port: checkPort(options[port], `options.${port}`),
  };
}

/** The arguments of dial(host, port) or dial(options). */
function checkDial(host, port, more) {
  if (typeof host === 'string') {
    const target = { host: checkHost(host, 'host'), port: checkPort(port, 'port') };
    const { signal } = more === undefined ? {} : checkObject(more, 'options');
    return { target, allowHalfOpen: false, signal: checkSignal(signal, 'options.signal') };
  }
  const options = host;
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw invalidArgType('host', 'one of type string or object', options);
  }
  const { allowHalfOpen = false } = options;
  checkBoolean(allowHalfOpen, 'options.allowHalfOpen');
  const signal = checkSignal(options.signal, 'options.signal');
  return { target: checkTarget(options, ['host', 'port', 'path']), allowHalfOpen, signal };
}

module.exports = { checkDial, checkDynamicForward, checkLocalForward, checkRemoteForward };
