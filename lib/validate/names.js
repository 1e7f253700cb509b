'use strict';

// The one gate for names that come from outside: hosts, users, paths of sockets, ports. Whatever takes one
// asks here before anything uses it. `src/names.rs` keeps the same rules behind the border to Rust.

const { invalidArgValue } = require('../errors.js');
const { MAX_HOST, MAX_REMOTE_PATH, MAX_USER } = require('./limits.js');
const { MAX_SHORT, checkInteger, checkName } = require('./primitives.js');

/** Bytes of the path of a Unix socket of this machine. */
const MAX_LOCAL_PATH = process.platform === 'linux' ? 107 : process.platform === 'win32' ? 256 : 103;

/** Controls, line and paragraph separators, halves of surrogate pairs. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

/** What no name may have in it: it would end a line, control a terminal, or end a string of C. */
function hasControl(text) {
  return CONTROL.test(text);
}

/** The reason why a text is no name of at most so many bytes, as what follows "The argument 'x'"; undefined if it is one. */
function fault(text, max) {
  if (text === '') return 'must not be empty';
  // A character has one byte at least.
  if (text.length > max || Buffer.byteLength(text) > max) return `must not be longer than ${max} bytes`;
  return hasControl(text) ? 'must not contain control characters' : undefined;
}

/** @returns {string | undefined} why a text is no name and no address of a host */
function hostFault(text) {
  return fault(text, MAX_HOST);
}

/** @returns {string | undefined} why a text is no name of a user. Directories have blanks and backslashes in names. */
function userFault(text) {
  return fault(text, MAX_USER);
}

/** @returns {string | undefined} why a text is no path of a socket at a server */
function remotePathFault(text) {
  return fault(text, MAX_REMOTE_PATH);
}

/** @returns {string | undefined} why a text is no path of a socket of this machine */
function localPathFault(text) {
  return fault(text, MAX_LOCAL_PATH);
}

/** A check of an argument or option that throws its fault. */
function checkBy(find) {
  return (value, name) => {
    const reason = find(checkName(value, name));
    if (reason !== undefined) throw invalidArgValue(name, reason, value);
    return value;
  };
}

const checkHost = checkBy(hostFault);
const checkUser = checkBy(userFault);
const checkRemotePath = checkBy(remotePathFault);
const checkLocalPath = checkBy(localPathFault);

/**
 * @param {unknown} value
 * @param {string} name
 * @param {{ min?: number }} [options] min: 0 where that stands for any free port
 */
function checkPort(value, name, { min = 1 } = {}) {
  return checkInteger(value, name, min, MAX_SHORT);
}

/** The port that digits are. @returns {number | undefined} undefined for anything else */
function readPort(text, min = 1) {
  return /^\d{1,5}$/.test(text) && Number(text) >= min && Number(text) <= MAX_SHORT ? Number(text) : undefined;
}

/** Whether ssh takes it for a host when it is given one: shells see such names. */
function isHost(text) {
  return hostFault(text) === undefined && !/^-|[\s'`"$\\;&<>|(){},]/.test(text);
}

/** Whether ssh takes it for a user when it is given one. `DOMAIN\user` and blanks may be in it. */
function isUser(text) {
  return userFault(text) === undefined && !/^-|['`";&<>|(){}]|\s-|\\$/.test(text);
}

/** Means something to a shell, wherever it stands; or at the beginning of a word. */
const SHELL = /['`"$\\;&<>|(){}*?[\]]/;
const SHELL_BEGINNING = /^[-#~]/;

/**
 * What keeps a text from standing in a shell's command, quoted or not.
 * @param {string} text
 * @param {{ path?: boolean }} [options] path: blanks may be in it, as in the names of folders
 * @returns {string | undefined} undefined if the shell takes it for nothing but itself
 */
function shellFault(text, { path = false } = {}) {
  if (hasControl(text)) return 'has control characters';
  const [character] = SHELL.exec(text) ?? (path ? null : (/\s/.exec(text) ?? SHELL_BEGINNING.exec(text))) ?? [];
  return character === undefined ? undefined : `has the character '${character}', which the shell would interpret`;
}

/** The user name of a URI, in which `%41` stands for a byte and `+` for a blank. @returns {string | undefined} */
function decodeUser(text) {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

/** What stands before an `@`, and what after it. */
function splitUser(text, at) {
  return at < 0 ? { rest: text } : { user: text.slice(0, at), rest: text.slice(at + 1) };
}

/** `host`, `host:port` or `[host]:port`. */
function readPlace(text) {
  let host = text;
  let port;
  if (text.startsWith('[')) {
    const end = text.indexOf(']');
    host = text.slice(1, Math.max(end, 1));
    const more = text.slice(end + 1);
    if (end < 0 || (more !== '' && !more.startsWith(':'))) return undefined;
    port = more === '' ? undefined : more.slice(1);
  } else if (text.includes(':')) {
    const colon = text.indexOf(':');
    [host, port] = [text.slice(0, colon), text.slice(colon + 1)];
  }
  const number = port === undefined ? undefined : readPort(port);
  if ((port !== undefined && number === undefined) || /[[\]/@]/.test(host) || !isHost(host)) return undefined;
  return { host, port: number };
}

function isDomain(text) {
  return /^[a-z0-9][a-z0-9._-]*$/i.test(text) && !text.includes('..');
}

/**
 * Takes `[user@]host[:port]` or `ssh://[user@]host[:port]` apart; the host may stand in brackets.
 * @returns {{ user?: string, host: string, port?: number } | undefined} undefined for what is none
 */
function readDestination(text) {
  const isUri = /^ssh:\/\//i.test(text);
  const { user, rest } = isUri
    ? splitUser(text.slice(6), text.indexOf('@', 6) - 6)
    : splitUser(text, text.lastIndexOf('@'));
  // What follows a semicolon are parameters of the connection, which ssh ignores.
  const name = user !== undefined && isUri ? decodeUser(user.split(';', 1)[0]) : user;
  if (user !== undefined && (name === undefined || !isUser(name))) return undefined;
  const place = readPlace(isUri && rest.endsWith('/') ? rest.slice(0, -1) : rest);
  // Stricter than for other hosts, as ssh is: nothing but a domain, or an address in brackets.
  if (place === undefined || (isUri && !rest.startsWith('[') && !isDomain(place.host))) return undefined;
  return { user: name, ...place };
}

module.exports = {
  checkHost,
  checkLocalPath,
  checkPort,
  checkRemotePath,
  checkUser,
  hasControl,
  hostFault,
  isHost,
  isUser,
  localPathFault,
  readDestination,
  readPort,
  remotePathFault,
  shellFault,
  userFault,
};
