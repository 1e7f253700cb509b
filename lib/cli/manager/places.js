'use strict';

// Where the supervisor listens, and where it keeps what outlives it: folders of the user that nobody else can enter.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { homeFolder } = require('../../system-database.js');

/** Permissions of folders and files. */
const FOLDER = 0o700;
const FILE = 0o600;
/** The bits of a mode that are for others than the owner. */
const OTHERS = 0o077;
/** Characters of a name that is a part of a file's name as it is. */
const MAX_NAME = 100;

/** A failure whose message is for the user. */
class ManagerError extends Error {}

const isWindows = process.platform === 'win32';

/** A variable of the environment that is an absolute path; others do not count, as the specification of XDG has it. */
function folderVariable(name) {
  const value = process.env[name];
  return value && path.isAbsolute(value) ? value : undefined;
}

/** @param {string} name of a folder that is to be the user's alone */
function checkPrivate(name) {
  const stats = fs.lstatSync(name);
  const isOwn = isWindows || (stats.uid === process.geteuid() && (stats.mode & OTHERS) === 0);
  if (!stats.isDirectory() || !isOwn)
    throw new ManagerError(`${name} is not used: it has to be a folder of this user, with the permissions 700`);
}

/**
 * Makes a folder of the user's, unless it exists.
 * @param {string} name
 * @param {boolean} recursive whether the folders above may be missing
 */
function makePrivate(name, recursive) {
  try {
    fs.mkdirSync(name, { recursive, mode: FOLDER });
  } catch (error) {
    if (error.code !== 'EEXIST') throw new ManagerError(`${name} cannot be made: ${error.message}`);
  }
  checkPrivate(name);
}

function runtimeFolder() {
  const base = folderVariable('XDG_RUNTIME_DIR');
  return base === undefined ? path.join(os.tmpdir(), `sshtunnel-${process.geteuid()}`) : path.join(base, 'sshtunnel');
}

function stateFolder() {
  if (isWindows) return path.join(process.env.LOCALAPPDATA ?? os.tmpdir(), 'sshtunnel');
  const base = folderVariable('XDG_STATE_HOME');
  if (base !== undefined) return path.join(base, 'sshtunnel');
  const home = homeFolder();
  if (home === undefined) throw new ManagerError('the home folder is not known: set HOME or XDG_STATE_HOME');
  return path.join(home, '.local', 'state', 'sshtunnel');
}

/** The path of the supervisor's socket, in a folder that is made if it is missing. */
function socketPath() {
  if (isWindows) return `\\\\.\\pipe\\sshtunnel-${os.userInfo().username}`;
  const folder = runtimeFolder();
  makePrivate(folder, false);
  return path.join(folder, 'supervisor.sock');
}

/** The path of a file that outlives the supervisor, in a folder that is made if it is missing. */
function stateFile(name) {
  const folder = stateFolder();
  makePrivate(folder, true);
  return path.join(folder, name);
}

/** The path of the log of a tunnel. @param {string} name */
function logFile(name) {
  const { createHash } = require('node:crypto');
  const plain = encodeURIComponent(name);
  const digest = () => createHash('sha256').update(name).digest('hex');
  return stateFile(`${plain.length > MAX_NAME ? digest() : plain}.log`);
}

module.exports = { FILE, ManagerError, logFile, socketPath, stateFile };
