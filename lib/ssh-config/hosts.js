'use strict';

// The hosts that the user's files name: those of ssh_config, and those of known_hosts.

const fs = require('node:fs');
const path = require('node:path');

const { isHost } = require('../validate/names.js');
const { makeContext } = require('./context.js');
const { Reader } = require('./reader.js');

/** The names in a file of known hosts, as far as they can be read in it; those with a port are reached by other flags. */
function knownNames(file) {
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  const fields = text.split('\n').flatMap((line) => line.split(' ', 1)[0].split(','));
  return fields.filter((name) => !/^[[|@#]|[*?!]/.test(name));
}

/** The names of the files in place of the usual ones; undefined: the usual ones. */
const contextOf = (configFile) => makeContext(configFile, { lines: [], passphrases: new Map() });

/** The names of Host lines, without patterns. No command of a Match is run. */
const configuredNames = (context) => Reader.names(context).filter(isHost);

/** Likewise, and none if a file is not valid. */
function namesOf(context) {
  try {
    return configuredNames(context);
  } catch (error) {
    if (error.code !== 'ERR_SSH_CONFIG') throw error;
    return [];
  }
}

/**
 * The hosts that the user's files name, sorted.
 * @param {string} [configFile] read in place of the usual files
 * @returns {string[]}
 */
function hostNames(configFile) {
  const context = contextOf(configFile);
  const known = context.userFolder === undefined ? [] : knownNames(path.join(context.userFolder, 'known_hosts'));
  return [...new Set([...namesOf(context), ...known.filter(isHost)])].sort();
}

module.exports = { configuredNames, contextOf, hostNames };
