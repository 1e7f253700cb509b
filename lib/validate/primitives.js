'use strict';

// Checks that the others are made of. Each returns the value, or throws as Node.js does.

const { invalidArgType, invalidArgValue, outOfRange } = require('../errors.js');

/** Largest u_short: ports, and both members of the LINGER structure. */
const MAX_SHORT = 0xffff;
/** Largest number of milliseconds: what Node's own timers take. */
const MAX_MILLISECONDS = 2 ** 31 - 1;
/** Milliseconds to connect in, by default. */
const READY_TIMEOUT = 20_000;
/** Largest limit of connections: more than any system has descriptors. */
const MAX_CONNECTIONS = 2 ** 32 - 1;

function checkBoolean(value, name) {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value);
  return value;
}

function checkInteger(value, name, min, max) {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
  return value;
}

function checkMilliseconds(value, name) {
  return checkInteger(value, name, 0, MAX_MILLISECONDS);
}

/** Milliseconds as the sockets of Node.js take them. */
function checkTimeout(value, name) {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value);
  if (!Number.isFinite(value) || value < 0) throw outOfRange(name, 'a non-negative finite number', value);
  return Math.min(value, MAX_MILLISECONDS);
}

function checkFunction(value, name) {
  if (typeof value !== 'function') throw invalidArgType(name, 'of type function', value);
  return value;
}

function checkObject(value, name) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalidArgType(name, 'of type object', value);
  }
  return value;
}

function checkName(value, name, { secret = false } = {}) {
  if (typeof value !== 'string') throw invalidArgType(name, 'of type string', value, { secret });
  if (value === '') throw invalidArgValue(name, 'must not be empty', value);
  return value;
}

/** @returns {string[]} */
function checkNames(value, name) {
  if (typeof value === 'string') return [checkName(value, name)];
  if (!Array.isArray(value)) throw invalidArgType(name, 'of type string or an instance of Array', value);
  return Array.from(value, (element, index) => checkName(element, `${name}[${index}]`));
}

/** Connections at once; undefined: no limit. */
function checkMaxConnections({ maxConnections }) {
  return maxConnections === undefined
    ? undefined
    : checkInteger(maxConnections, 'options.maxConnections', 1, MAX_CONNECTIONS);
}

/** Refuses options that are alternatives to `other`. */
function checkAlone(options, other) {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined)
      throw invalidArgValue(`options.${name}`, `must not be given together with ${other}`, value);
  }
}

module.exports = {
  MAX_CONNECTIONS,
  MAX_MILLISECONDS,
  MAX_SHORT,
  READY_TIMEOUT,
  checkAlone,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkMaxConnections,
  checkMilliseconds,
  checkName,
  checkNames,
  checkObject,
  checkTimeout,
};
