'use strict';

// The file of the tunnels that are to be up. Only the supervisor writes it; it outlives the supervisor.

const fs = require('node:fs');

const { FILE, ManagerError, stateFile } = require('./places.js');

const NAME = 'tunnels.json';
const VERSION = 1;

/** Why a tunnel of the file is down. */
const ABANDONED = 'wanted, but the supervisor has ended';

/**
 * A tunnel that is to be up.
 * @typedef {object} Wanted
 * @property {string} name the destination, as it was given
 * @property {string[]} args further arguments of the command
 * @property {string} cwd its working directory
 */

const isText = (value) => typeof value === 'string';

/** @returns {value is Wanted} */
function isWanted(value) {
  return isText(value?.name) && Array.isArray(value.args) && value.args.every(isText) && isText(value.cwd);
}

/** @param {string} text @returns {Wanted[]} */
function parse(text) {
  const { version, tunnels } = JSON.parse(text) ?? {};
  if (version !== VERSION) throw new Error(`its version is not ${VERSION}`);
  if (!Array.isArray(tunnels) || !tunnels.every(isWanted)) throw new Error('its tunnels are not complete');
  return tunnels.map(({ name, args, cwd }) => ({ name, args, cwd }));
}

/** @returns {Wanted[]} */
function readWanted() {
  const file = stateFile(NAME);
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw new ManagerError(`${file} cannot be read: ${error.message}`);
  }
  try {
    return parse(text);
  } catch (error) {
    throw new ManagerError(
      `${file} is damaged (${error.message}): correct it, or remove it to forget which tunnels were to be up`,
    );
  }
}

/** Replaces the file as a whole. @param {Wanted[]} tunnels */
function writeWanted(tunnels) {
  const file = stateFile(NAME);
  const text = `${JSON.stringify({ version: VERSION, tunnels }, null, 2)}\n`;
  const draft = `${file}.new`;
  const descriptor = fs.openSync(draft, 'w', FILE);
  try {
    fs.writeFileSync(descriptor, text);
    // Otherwise the file could be empty after a power failure.
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
  fs.renameSync(draft, file);
}

module.exports = { ABANDONED, readWanted, writeWanted };
