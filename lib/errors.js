'use strict';

const { errno: errnos } = require('node:os').constants;
const { getSystemErrorName, inspect } = require('node:util');

/** Longest primitive that an error message prints in full; Node cuts at the same length. */
const LONGEST_VALUE = 28;
/** Longest value that the message of an invalid one shows; likewise. */
const LONGEST_INVALID = 128;
/** Longest text of a user's in a message about a configuration or a command line. */
const LONGEST_TEXT = 200;

/** What would break a line of a message, or control the terminal that shows it. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu;

const ESCAPES = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** So much of a text of a user's as a message may show, on one line. */
function shorten(text, most = LONGEST_TEXT) {
  const start = text.length > most ? `${text.slice(0, most)}...` : text;
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

/** A name with a dot belongs to an object that was passed, any other one is a parameter. */
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
  if (secret) return `Received type ${typeof value}`;
  const text = inspect(value, { colors: false });
  const shown = text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE - 3)}...` : text;
  return `Received type ${typeof value} (${shown})`;
}

/**
 * @param {string} name
 * @param {string} expected what follows "must be", for example "of type string"
 * @param {unknown} value
 * @param {{ secret?: boolean }} [options] secret: only the type is told, never the value
 */
function invalidArgType(name, expected, value, { secret = false } = {}) {
  const message = `The ${subject(name)} must be ${expected}. ${received(value, secret)}`;
  return coded(TypeError, 'ERR_INVALID_ARG_TYPE', message);
}

function invalidArgValue(name, reason, value, { secret = false } = {}) {
  const kind = name.includes('.') ? 'property' : 'argument';
  const message = `The ${kind} '${name}' ${reason}. ${secret ? received(value, true) : `Received ${shorten(inspect(value), LONGEST_INVALID)}`}`;
  return coded(TypeError, 'ERR_INVALID_ARG_VALUE', message);
}

/** Node prints integers beyond 32 bits in groups of three. */
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
 * What is wrong with a file of ssh_config, or with a line of it.
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
 * A blocking call that only the blocked thread could let go on.
 * @param {string} needed what runs on it, and what for
 */
function wouldDeadlock(method, needed) {
  return coded(
    Error,
    'ERR_TUNNEL_WOULD_DEADLOCK',
    `${method}() without a callback blocks this thread, and ${needed}, ` +
      `runs on it: neither could ever go on. Pass a callback to ${method}(), ` +
      `or await tunnel.promises.${method}()`,
  );
}

/** Likewise, where what is waited for has to be written by the blocked thread. */
function unwritten(method) {
  return coded(
    Error,
    'ERR_TUNNEL_WOULD_DEADLOCK',
    `${method}() without a callback blocks this thread, and what the socket has buffered is ` +
      `written by it: neither could ever go on. Pass a callback to ${method}(), or await ` +
      `promises.${method}()`,
  );
}

/**
 * Nothing works without the addon.
 * @param {string} platform system, processor, C library and Node.js
 */
function noBinary(platform, reason, cause) {
  const message =
    `sshtunnel-native has no binary that it can load on ${platform}: ${reason}. Where none fits, build it ` +
    "from source, with Rust: 'npm ci && npm run build && npm run pack' in a clone, and install both packages";
  return Object.assign(coded(Error, 'ERR_TUNNEL_NO_BINARY', message), { cause });
}

/** What this system does not have, by the name that asked for it. */
function unavailable(name) {
  return coded(Error, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', `${name} is unavailable on this platform`);
}

/** An error as system calls give it, for one that need not be made. */
function systemError(syscall, code, why) {
  return fromNative({ code, message: `${syscall} ${code}: ${why}`, errno: errnos[code], syscall });
}

/** "host:port" as two values; an IPv6 host may stand in brackets. */
function splitAddress(text) {
  const at = text.lastIndexOf(':');
  const port = Number(text.slice(at + 1));
  if (at === -1 || !Number.isInteger(port)) return { address: text };
  return { address: text.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port };
}

/** Facts that errors have under the name that the addon has for them. */
const FACTS = ['banner', 'hostKey', 'acceptedMethods', 'triedMethods', 'lossReason', 'description', 'file', 'line'];

/** Of errors at a jump host: the message without that host. @type {WeakMap<Error, string>} */
const details = new WeakMap();

/**
 * An error as the addon describes it.
 * @typedef {{ code: string, message: string, errno?: number, syscall?: string, address?: string, hop?: string,
 *   detail?: string, banner?: string, hostKey?: object, acceptedMethods?: string[], triedMethods?: string[],
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
  if (code === 'ERR_INVALID_ARG_VALUE') return coded(TypeError, code, message);
  if (errno === undefined || process.platform === 'win32') {
    // Windows numbers its socket errors in its own way: the name alone tells them.
    const error = coded(Error, code, message);
    return syscall === undefined ? error : Object.assign(error, { syscall, ...where(address) });
  }
  // Node's own table of names decides: it knows every number of this system.
  const name = getSystemErrorName(-errno);
  const error = coded(Error, name, message.replace(code, name));
  return Object.assign(error, { errno: -errno, syscall, ...where(address) });
}

function where(address) {
  if (address === undefined) return {};
  // No host has a slash: it is the path of a socket.
  return address.includes('/') ? { address } : splitAddress(address);
}

module.exports = {
  configError,
  detailOf,
  fromEnd,
  fromNative,
  invalidArgType,
  invalidArgValue,
  noBinary,
  outOfRange,
  shorten,
  systemError,
  unavailable,
  unwritten,
  wouldDeadlock,
};
