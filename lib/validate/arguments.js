'use strict';

// Arguments of methods.

const { checkSignal } = require('../abort.js');
const { unavailable } = require('../errors.js');
const { checkHost, checkLocalPath, checkPort } = require('./names.js');
const { warnUnknown } = require('./option-names.js');
const { checkBoolean, checkInteger, checkMilliseconds, checkName, checkObject } = require('./primitives.js');

/** Largest number that can be a descriptor: an int. */
const MAX_DESCRIPTOR = 2 ** 31 - 1;

/** @returns {{ limit: number, signal?: AbortSignal }} limit: milliseconds, -1 for no limit */
function checkCloseOptions(options) {
  if (options === undefined) return { limit: -1 };
  const { timeout, signal } = checkObject(options, 'options');
  warnUnknown(options, 'close');
  const limit = timeout === undefined ? -1 : checkMilliseconds(timeout, 'options.timeout');
  return { limit, signal: checkSignal(signal, 'options.signal') };
}

/** The options of an operation that takes no others. @returns {AbortSignal | undefined} */
function checkAbortOptions(options, method) {
  if (options === undefined) return undefined;
  const { signal } = checkObject(options, 'options');
  warnUnknown(options, method);
  return checkSignal(signal, 'options.signal');
}

/** Whether to force a shutdown. */
function checkShutdownOptions(options) {
  if (options === undefined) return false;
  const { force } = checkObject(options, 'options');
  warnUnknown(options, 'shutdown');
  return force === undefined ? false : checkBoolean(force, 'options.force');
}

/** The path of a Unix socket of this machine. */
function checkSocketPath(value, name) {
  checkLocalPath(value, name);
  if (process.platform === 'win32') throw unavailable(name);
  return value;
}

function checkDescriptor(value, name) {
  return checkInteger(value, name, 0, MAX_DESCRIPTOR);
}

function checkConnectionId(value) {
  return checkInteger(value, 'connectionId', 1, Number.MAX_SAFE_INTEGER);
}

/** A host key that the user trusts; the addon checks the key itself. */
function checkHostKey(value) {
  const { host, port, publicKey } = checkObject(value, 'hostKey');
  return {
    host: checkHost(host, 'hostKey.host'),
    port: checkPort(port, 'hostKey.port'),
    publicKey: checkName(publicKey, 'hostKey.publicKey'),
  };
}

module.exports = {
  checkAbortOptions,
  checkCloseOptions,
  checkConnectionId,
  checkDescriptor,
  checkHostKey,
  checkShutdownOptions,
  checkSocketPath,
};
