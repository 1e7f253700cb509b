'use strict';

// Where a configuration is read: by which user, on which machine, from which files.

const os = require('node:os');
const path = require('node:path');

const { homeFolder } = require('../system-database.js');

/**
 * @typedef {object} Context
 * @property {string} user the local user's name, empty where the system has none
 * @property {number} uid their number, -1 where there is none
 * @property {string | undefined} home undefined where neither HOME nor the system has one
 * @property {string} hostname of this machine
 * @property {Record<string, string | undefined>} variables of the environment
 * @property {string | undefined} userFolder the base of relative paths in the user's files; undefined without a home
 * @property {string} systemFolder the base of those in the system's files
 * @property {string | undefined} userFile undefined without a home
 * @property {string} systemFile
 * @property {string} [configFile] read instead of the two
 * @property {Command} [command] given if the command `sshtunnel` reads: it opens the forwardings
 *   itself, asks the user, and has directives of its own
 */

/**
 * @typedef {object} Command
 * @property {string[]} lines directives of its command line, before those of the files
 * @property {Map<string, Uint8Array>} passphrases of key files, by their paths
 */

/** @returns {Context} */
function makeContext(configFile, command) {
  const { username, uid, home } = localUser();
  const userFolder = home && path.join(home, '.ssh');
  const systemFolder =
    process.platform === 'win32' ? path.join(process.env.ProgramData ?? 'C:\\ProgramData', 'ssh') : '/etc/ssh';
  return {
    user: username,
    uid,
    home,
    hostname: os.hostname(),
    variables: process.env,
    userFolder,
    systemFolder,
    userFile: userFolder && path.join(userFolder, 'config'),
    systemFile: path.join(systemFolder, 'ssh_config'),
    configFile,
    command,
  };
}

/**
 * As with ssh, the home is that of the user's passwd entry, not $HOME; a container may have no entry. On Windows it is
 * %USERPROFILE%.
 */
function localUser() {
  try {
    const { username, uid, homedir } = os.userInfo();
    return { username, uid, home: process.platform === 'win32' ? homeFolder() : homedir || undefined };
  } catch {
    return { username: '', uid: process.getuid?.() ?? -1, home: homeFolder() };
  }
}

module.exports = { makeContext };
