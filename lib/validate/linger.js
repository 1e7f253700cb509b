'use strict';

// The LINGER structure: checks, and the one number that the addon takes for it.

const { MAX_SHORT, checkBoolean, checkInteger, checkObject } = require('./primitives.js');
const { invalidArgType } = require('../errors.js');

/**
 * A LINGER structure, packed: l_onoff in the upper 16 bits, l_linger in the lower.
 * @param {unknown} value
 */
function checkLingerOption(value, name) {
  const { l_onoff, l_linger } = checkObject(value, name);
  checkInteger(l_onoff, `${name}.l_onoff`, 0, MAX_SHORT);
  checkInteger(l_linger, `${name}.l_linger`, 0, MAX_SHORT);
  return packLinger({ l_onoff, l_linger });
}

/** The property: `true` stands for {0, 0}, `false` for {1, 0}; packed. */
function checkLingerProperty(value, name) {
  return checkBoolean(value, name) ? 0 : packLinger({ l_onoff: 1, l_linger: 0 });
}

/** A boolean or a structure, packed. */
function checkLinger(value, name) {
  if (typeof value === 'boolean') return checkLingerProperty(value, name);
  if (value === null || typeof value !== 'object') throw invalidArgType(name, 'one of type boolean or object', value);
  return checkLingerOption(value, name);
}

/** The value of SO_DONTLINGER: a boolean, or a number as for l_onoff. */
function checkSwitch(value, name) {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'number') throw invalidArgType(name, 'one of type boolean or number', value);
  return checkInteger(value, name, 0, MAX_SHORT) !== 0;
}

function packLinger({ l_onoff, l_linger }) {
  return l_onoff * (MAX_SHORT + 1) + l_linger;
}

/** @param {number} packed */
function unpackLinger(packed) {
  return { l_onoff: Math.floor(packed / (MAX_SHORT + 1)), l_linger: packed % (MAX_SHORT + 1) };
}

/** Whether a packed structure means a hard close. */
function isHard(packed) {
  const { l_onoff, l_linger } = unpackLinger(packed);
  return l_onoff !== 0 && l_linger === 0;
}

/** The property of a packed structure: `false` for a hard close only. */
const isGraceful = (packed) => !isHard(packed);

module.exports = {
  checkLinger,
  checkLingerOption,
  checkLingerProperty,
  checkSwitch,
  isGraceful,
  isHard,
  packLinger,
  unpackLinger,
};
