'use strict';

// What the checks of all arguments are made of.

const { invalidArgType, invalidArgValue, outOfRange } = require('../errors.js');

/** Largest u_short: ports, and both members of the LINGER structure. */
const MOST_SHORT = 0xffff;
/** Largest number of milliseconds: what Node's own timers take. */
const MOST_MILLISECONDS = 2 ** 31 - 1;

function checkBoolean(value, name) {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value);
  return value;
}

function checkInteger(value, name, least, most) {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < least || value > most) throw outOfRange(name, `>= ${least} && <= ${most}`, value);
  return value;
}

function checkMilliseconds(value, name) {
  return checkInteger(value, name, 0, MOST_MILLISECONDS);
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

module.exports = {
  MOST_MILLISECONDS,
  MOST_SHORT,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkMilliseconds,
  checkName,
  checkNames,
  checkObject,
};
