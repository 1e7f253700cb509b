'use strict';

// Profiles: the hosts of ssh_config files that have a forward.

const { shorten } = require('../../errors.js');
const { configuredNames, contextOf } = require('../../ssh-config/hosts.js');
const { Reader } = require('../../ssh-config/reader.js');
const { parseArguments } = require('../arguments.js');
const { Forwarding } = require('../forwardings.js');
const { Settings, forwardingsOf } = require('../settings.js');
const { ManagerError } = require('./places.js');
const { ARGUMENTS } = require('./tunnel-process.js');

/**
 * A profile, and its forwards as far as they are known before it is up.
 * @typedef {object} Profile
 * @property {string} name
 * @property {{ kind: string, name: string, from: string, to: string }[]} forwards
 * @property {string} [reason] why it cannot be used as it is
 */

function forwardOf(value) {
  const { kind, name, from, to } = new Forwarding(value);
  return { kind, name, from, to };
}

/** @param {string} name @param {import('../../ssh-config/context.js').Context} context @returns {Profile} */
function profileOf(name, context) {
  const reader = new Reader(context, { host: name });
  try {
    reader.read();
    return { name, forwards: forwardingsOf(reader).map(forwardOf) };
  } catch (error) {
    if (error.code !== 'ERR_SSH_CONFIG') throw error;
    return { name, forwards: [], reason: error.message };
  }
}

/**
 * The profiles in the order of the files. Patterns of Host lines are none, as they are no names.
 * @param {string} [configFile] read in place of ~/.ssh/config and /etc/ssh/ssh_config
 * @returns {Profile[]}
 */
function profiles(configFile) {
  const context = contextOf(configFile);
  const all = configuredNames(context).map((name) => profileOf(name, context));
  return all.filter(({ forwards, reason }) => forwards.length > 0 || reason);
}

/** The names of the profiles that can be used; none if a file is not valid. @param {string} [configFile] */
function profileNames(configFile) {
  try {
    return profiles(configFile).flatMap(({ name, reason }) => (reason === undefined ? [name] : []));
  } catch (error) {
    if (error.code !== 'ERR_SSH_CONFIG') throw error;
    return [];
  }
}

/**
 * Checks that a tunnel can be brought up, as far as the files tell.
 * @param {string[]} options of the command line
 * @param {string} name the destination
 * @throws {Error} it cannot: the message says what is missing
 */
function checkProfile(options, name) {
  const line = parseArguments([...ARGUMENTS, ...options, '--', name]);
  const { forwardings, reader } = new Settings(line);
  if (forwardings.length > 0) return;
  if (reader.value('ClearAllForwardings'))
    throw new ManagerError(`'${shorten(name)}' has no forward: ClearAllForwardings removes them`);
  throw new ManagerError(
    `'${shorten(name)}' has no forward: add LocalForward, DynamicForward or RemoteForward to 'Host ${shorten(line.host)}' in ` +
      `${line.configFile ?? '~/.ssh/config'}, or give -L, -D or -R`,
  );
}

module.exports = { checkProfile, profileNames, profiles };
