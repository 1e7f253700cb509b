'use strict';

const { errno: errnos } = require('node:os').constants;
const { getSystemErrorName, inspect } = require('node:util');

/** Characters of a primitive in a message, as in Node.js. */
const MAX_VALUE = 28;
/** Characters of an invalid value in a message, as in Node.js. */
const MAX_INVALID = 128;
/** Characters of a text of the user in a message. */
const MAX_TEXT = 200;

/** Characters that end a line, or control a terminal. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu;

const ESCAPES = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A text of the user for a message: shortened, on one line. */
function shorten(text, max = MAX_TEXT) {
  const start = text.length > max ? `${text.slice(0, max)}...` : text;
  return start.replace(
    CONTROL,
    (character) => ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function coded(Base, code, message) {
  const error = new Base(message);
  error.code = code;
  return error;
}

/** A name with a dot is a property, any other one an argument. */
function subject(name) {
  return `"${name}" ${name.includes('.') ? 'property' : 'argument'}`;
}

function received(value, secret) {
  if (value === null || value === undefined) return `Received ${value}`;
  if (typeof value === 'function') return `Received function ${value.name}`.trimEnd();
  if (typeof value === 'object') {
    const name = value.constructor?.name;
    if (name) return `Received an instance of ${name}`;
    return secret ? 'Received an object' : `Received ${inspect(value, { depth: -1 })}`;
  }
  if (secret) return value === '' ? 'Received an empty string' : `Received type ${typeof value}`;
  const text = inspect(value, { colors: false });
  const shown = text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE - 3)}...` : text;
  return `Received type ${typeof value} (${shown})`;
}

/**
 * @param {string} name
 * @param {string} expected follows "must be", for example "of type string"
 * @param {unknown} value
 * @param {{ secret?: boolean }} [options] secret: the message has the type, and not the value
 */
function invalidArgType(name, expected, value, { secret = false } = {}) {
  const message = `The ${subject(name)} must be ${expected}. ${received(value, secret)}`;
  return coded(TypeError, 'ERR_INVALID_ARG_TYPE', message);
}

function invalidArgValue(name, reason, value, { secret = false } = {}) {
  const kind = name.includes('.') ? 'property' : 'argument';
  const message = `The ${kind} '${name}' ${reason}. ${secret ? received(value, true) : `Received ${shorten(inspect(value), MAX_INVALID)}`}`;
  return coded(TypeError, 'ERR_INVALID_ARG_VALUE', message);
}

/** Node.js prints integers beyond 32 bits in groups of three digits. */
function grouped(value) {
  if (typeof value === 'bigint') return `${group(String(value))}n`;
  if (!Number.isInteger(value) || Math.abs(value) <= 2 ** 32) return inspect(value);
  return group(String(value));
}

function group(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, '_');
}

function outOfRange(name, range, value) {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${grouped(value)}`;
  return coded(RangeError, 'ERR_OUT_OF_RANGE', message);
}

/**
 * The error of an ssh_config file, or of a line of it.
 * @param {string} reason
 * @param {{ file: string, number?: number }} place without a number where the file has no lines
 * @param {unknown} [cause]
 */
function configError(reason, { file, number }, cause) {
  const place = number === undefined ? file : `${file} line ${number}`;
  const error = coded(Error, 'ERR_SSH_CONFIG', `${place}: ${shorten(reason)}`);
  Object.assign(error, { file }, number === undefined ? {} : { line: number });
  return cause === undefined ? error : Object.assign(error, { cause });
}

/**
 * The error of a call that would block the thread that it needs.
 * @param {string} needed what runs on that thread, and why it is needed
 */
function wouldDeadlock(method, needed) {
  return coded(
    Error,
    'ERR_TUNNEL_WOULD_DEADLOCK',
    `${method}() without a callback blocks this thread, and ${needed}, ` +
      `runs on it: neither could ever continue. Pass a callback to ${method}(), ` +
      `await tunnel.promises.${method}(), or use SSHTunnel of sshtunnel-native/promises`,
  );
}

/** The same where the thread has to write the buffered data of a socket. */
function unwritten(method) {
  return coded(
    Error,
    'ERR_TUNNEL_WOULD_DEADLOCK',
    `${method}() without a callback blocks this thread, which has to write the data that the ` +
      `socket has buffered: neither could ever continue. Pass a callback to ${method}(), or await ` +
      `promises.${method}()`,
  );
}

/**
 * The error if the addon cannot be loaded.
 * @param {string} platform system, processor, C library and Node.js
 */
function noBinary(platform, reason, cause) {
  const message =
    `sshtunnel-native has no binary that it can load on ${platform}: ${reason}. Where none fits, build it ` +
    "from source, with Rust: 'npm ci && npm run build && npm run pack' in a clone, and install both packages";
  return Object.assign(coded(Error, 'ERR_TUNNEL_NO_BINARY', message), { cause });
}

/**
 * The error if the name of this process's user is needed, and the system has none.
 * @param {number | undefined} uid
 * @param {string} remedy what to give
 */
function noUser(uid, remedy) {
  const who = uid === undefined ? 'the user of this process' : `the user of this process (uid ${uid})`;
  return coded(Error, 'ERR_TUNNEL_NO_USER', `${who} has no name in the user database of this system: ${remedy}`);
}

/**
 * The error if the home folder of this process's user is needed, and not known.
 * @param {string} purpose what it is needed for, and what to give
 */
function noHome(purpose) {
  const text = "the home folder of this process's user is not known, and is needed for";
  return coded(Error, 'ERR_TUNNEL_NO_HOME', `${text} ${purpose}`);
}

/** The error of an option that this system does not support. */
function unavailable(name) {
  return coded(Error, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', `${name} is unavailable on this platform`);
}

/** The error of a system call, without making the call. */
function systemError(syscall, code, why) {
  return fromNative({ code, message: `${syscall} ${code}: ${why}`, errno: errnos[code], syscall });
}

/** Splits "host:port"; an IPv6 host may be in brackets. */
function splitAddress(text) {
  const at = text.lastIndexOf(':');
  const port = Number(text.slice(at + 1));
  if (at === -1 || !Number.isInteger(port)) return { address: text };
  return { address: text.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port };
}

/** The classes of errors of arguments. */
const INVALID = { ERR_INVALID_ARG_TYPE: TypeError, ERR_INVALID_ARG_VALUE: TypeError, ERR_OUT_OF_RANGE: RangeError };

/** Facts that errors have under the name that the addon has for them. */
const FACTS = 'banner hostKey proxy acceptedMethods triedMethods lossReason description file line'.split(' ');

/** Of errors at a jump host: the message without that host. @type {WeakMap<Error, string>} */
const details = new WeakMap();

/**
 * An error as the addon describes it.
 * @typedef {{ code: string, message: string, errno?: number, syscall?: string, address?: string, hop?: string,
 *   detail?: string, banner?: string, hostKey?: object, proxy?: object, acceptedMethods?: string[], triedMethods?: string[],
 *   lossReason?: string, description?: string, file?: string, line?: number }} Failure
 */

/**
 * The Error for a failure that the addon describes.
 * @param {Failure} failure
 */
function fromNative(failure) {
  const error = plainFromNative(failure);
  for (const fact of FACTS) {
    if (failure[fact] !== undefined) error[fact] = failure[fact];
  }
  if (failure.hop !== undefined) {
    const { address: host, port } = splitAddress(failure.hop);
    error.hop = { host, port };
    details.set(error, failure.detail);
  }
  return error;
}

/** The message of an error, without the jump host that it may begin with. @param {Error} error */
function detailOf(error) {
  return details.get(error) ?? error.message;
}

/** The error of a connection that ended so. */
function fromEnd({ code, reason, description }) {
  return fromNative({ code, message: reason, description });
}

/** @param {Failure} failure */
function plainFromNative({ code, message, errno, syscall, address }) {
  if (Object.hasOwn(INVALID, code)) return coded(INVALID[code], code, message);
  if (errno === undefined || process.platform === 'win32') {
    // Windows has other numbers for socket errors: only the name is known.
    const error = coded(Error, code, message);
    return syscall === undefined ? error : Object.assign(error, { syscall, ...addressMembers(address) });
  }
  // Node.js knows the names of all numbers of this system.
  const name = getSystemErrorName(-errno);
  const error = coded(Error, name, message.replace(code, name));
  return Object.assign(error, { errno: -errno, syscall, ...addressMembers(address) });
}

function addressMembers(address) {
  if (address === undefined) return {};
  // With a slash it is the path of a socket.
  return address.includes('/') ? { address } : splitAddress(address);
}

module.exports = {
  coded,
  configError,
  detailOf,
  fromEnd,
  fromNative,
  invalidArgType,
  invalidArgValue,
  noBinary,
  noHome,
  noUser,
  outOfRange,
  shorten,
  systemError,
  unavailable,
  unwritten,
  wouldDeadlock,
};
