'use strict';

// Where a configuration is read: the user, the machine, the files.

const os = require('node:os');
const path = require('node:path');

/**
 * @typedef {object} Context
 * @property {string} user the local user's name
 * @property {number} uid their number, -1 where there is none
 * @property {string} home
 * @property {string} hostname of this machine
 * @property {Record<string, string | undefined>} variables of the environment
 * @property {string} userFolder what relative paths in the user's files begin with
 * @property {string} systemFolder what those in the system's files begin with
 * @property {string} userFile
 * @property {string} systemFile
 * @property {string} [configFile] read instead of the two
 * @property {Command} [command] given where the command `sshtunnel` reads: it opens the forwardings by
 *   itself, asks whoever sits at the terminal, and has directives of its own
 */

/**
 * @typedef {object} Command
 * @property {string[]} lines directives of its command line, which come before those of the files
 * @property {Map<string, Uint8Array>} passphrases of key files, by their paths
 */

/** @returns {Context} */
function makeContext(configFile, command) {
  const { username, uid, home } = localUser();
  const userFolder = path.join(home, '.ssh');
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
    userFile: path.join(userFolder, 'config'),
    systemFile: path.join(systemFolder, 'ssh_config'),
    configFile,
    command,
  };
}

/** As ssh does, the user's entry in the system counts, not $HOME; a container may have no entry. */
function localUser() {
  try {
    const { username, uid, homedir } = os.userInfo();
    return { username, uid, home: homedir };
  } catch {
    return { username: '', uid: process.getuid?.() ?? -1, home: os.homedir() };
  }
}

module.exports = { makeContext };
