'use strict';

// Arguments of methods.

const { unavailable } = require('../errors.js');
const { checkLocalPath } = require('./names.js');
const { warnUnknown } = require('./option-names.js');
const { checkBoolean, checkInteger, checkMilliseconds, checkObject } = require('./primitives.js');

/** Largest number that can be a descriptor: an int. */
const MAX_DESCRIPTOR = 2 ** 31 - 1;

/** @returns {number} milliseconds, -1 for no limit */
function checkCloseOptions(options) {
  if (options === undefined) return -1;
  const { timeout } = checkObject(options, 'options');
  warnUnknown(options, 'close');
  return timeout === undefined ? -1 : checkMilliseconds(timeout, 'options.timeout');
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

module.exports = { checkCloseOptions, checkConnectionId, checkDescriptor, checkShutdownOptions, checkSocketPath };
