'use strict';

// Checks of names, wherever they come from: hosts, users, paths of sockets, ports. `src/names.rs` has the same rules for
// names that reach Rust.

const { invalidArgValue } = require('../errors.js');
const { MAX_HOST, MAX_REMOTE_PATH, MAX_USER } = require('./limits.js');
const { MAX_SHORT, checkInteger, checkName } = require('./primitives.js');
const { servicePort } = require('../system-database.js');

/** Bytes of the path of a Unix socket of this machine. */
const MAX_LOCAL_PATH = process.platform === 'linux' ? 107 : process.platform === 'win32' ? 256 : 103;

/** Controls, line and paragraph separators, halves of surrogate pairs. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

/** Whether a text contains control characters: they end a line or a C string, or control a terminal. */
function hasControl(text) {
  return CONTROL.test(text);
}

/** Why a text is not a valid name of at most `max` bytes, as a predicate of "The argument 'x'"; undefined if it is. */
function fault(text, max) {
  if (text === '') return 'must not be empty';
  // A character has one byte at least.
  if (text.length > max || Buffer.byteLength(text) > max) return `must not be longer than ${max} bytes`;
  return hasControl(text) ? 'must not contain control characters' : undefined;
}

/**
 * The version of an IP address, 0 for anything else, as net.isIP() has it. node:net is loaded only for what looks like an
 * address: the command starts sooner without it.
 * @param {string} text
 * @returns {0 | 4 | 6}
 */
function ipVersion(text) {
  const looksSo = text.includes(':') || /^[\d.]+$/.test(text);
  return looksSo ? /** @type {0 | 4 | 6} */ (require('node:net').isIP(text)) : 0;
}

/** @returns {string | undefined} why a text is not a valid host */
function hostFault(text) {
  return fault(text, MAX_HOST);
}

/** @returns {string | undefined} why a text is not a valid user name; blanks and backslashes are allowed */
function userFault(text) {
  return fault(text, MAX_USER);
}

/** @returns {string | undefined} why a text is not a valid path of a socket at a server */
function remotePathFault(text) {
  return fault(text, MAX_REMOTE_PATH);
}

/** @returns {string | undefined} why a text is not a valid path of a socket of this machine */
function localPathFault(text) {
  return fault(text, MAX_LOCAL_PATH);
}

/** Makes a check that throws a fault. */
function checkBy(faultOf) {
  return (value, name) => {
    const reason = faultOf(checkName(value, name));
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

/** Reads a port, or the name of a service. @returns {number | undefined} undefined if it is not valid */
function readPort(text, min = 1) {
  const port = /^[ \t]*\+?\d+$/.test(text) ? Number(text) : servicePort(text);
  return port !== undefined && port >= min && port <= MAX_SHORT ? port : undefined;
}

/** Whether ssh accepts it as a host on its command line: shells may interpret it. */
function isHost(text) {
  return hostFault(text) === undefined && !/^-|[\s'`"$\\;&<>|(){},]/.test(text);
}

/** Whether ssh accepts it as a user on its command line; `DOMAIN\user` and blanks are valid. */
function isUser(text) {
  return userFault(text) === undefined && !/^-|['`";&<>|(){}]|\s-|\\$/.test(text);
}

/** Characters that a shell interprets anywhere, and at the beginning of a word. */
const SHELL = process.platform === 'win32' ? /['`"$\\;&<>|(){}*?[\]%^!]/ : /['`"$\\;&<>|(){}*?[\]]/;
const SHELL_BEGINNING = /^[-#~]/;

/**
 * Why a text is not safe in a shell's command, quoted or not.
 * @param {string} text
 * @param {{ path?: boolean }} [options] path: blanks are allowed
 * @returns {string | undefined} undefined if the shell leaves it unchanged
 */
function shellFault(text, { path = false } = {}) {
  if (hasControl(text)) return 'contains control characters';
  const [character] = SHELL.exec(text) ?? (path ? null : (/\s/.exec(text) ?? SHELL_BEGINNING.exec(text))) ?? [];
  return character === undefined ? undefined : `contains '${character}', which the shell would interpret`;
}

/** Decodes the user name of a URI: `%41` is a byte, `+` a blank. @returns {string | undefined} */
function decodeUser(text) {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

/** Splits at the `@`. */
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
 * Parses `[user@]host[:port]` or `ssh://[user@]host[:port]`; the host may be in brackets.
 * @returns {{ user?: string, host: string, port?: number } | undefined} undefined if it is not valid
 */
function readDestination(text) {
  const isUri = /^ssh:\/\//i.test(text);
  const { user, rest } = isUri
    ? splitUser(text.slice(6), text.indexOf('@', 6) - 6)
    : splitUser(text, text.lastIndexOf('@'));
  // Parameters of the connection follow a semicolon; ssh ignores them.
  const name = user !== undefined && isUri ? decodeUser(user.split(';', 1)[0]) : user;
  if (user !== undefined && (name === undefined || !isUser(name))) return undefined;
  const place = readPlace(isUri && rest.endsWith('/') ? rest.slice(0, -1) : rest);
  // As with ssh, a URI allows only a domain, or an address in brackets.
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
  ipVersion,
  isHost,
  isUser,
  localPathFault,
  readDestination,
  readPort,
  remotePathFault,
  shellFault,
  userFault,
};
