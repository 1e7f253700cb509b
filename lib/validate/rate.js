'use strict';

// Limits of a rate.

const { invalidArgType } = require('../errors.js');
const { warnUnknown } = require('./option-names.js');
const { checkInteger } = require('./primitives.js');

/** Bytes in a second by direction, 0 for no limit. @returns {{ up: number, down: number }} */
function checkMaxRate(value, name) {
  const check = (rate, name) => checkInteger(rate, name, 0, Number.MAX_SAFE_INTEGER);
  if (value === undefined) return { up: 0, down: 0 };
  if (typeof value === 'number') return { up: check(value, name), down: value };
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw invalidArgType(name, 'one of type number or object', value);
  warnUnknown(value, 'maxRate');
  const { up = 0, down = 0 } = value;
  return { up: check(up, `${name}.up`), down: check(down, `${name}.down`) };
}

module.exports = { checkMaxRate };
