'use strict';

// How the arguments of ssh_config's keywords are read.

const { readDestination, readPort } = require('../validate/names.js');
const { parseForwarding } = require('./forwardings.js');
const { matches } = require('./syntax.js');

function single(line) {
  const [value, ...more] = line.args;
  if (value === undefined || value === '') throw line.error(`${line.keyword} requires an argument`);
  if (more.length > 0) throw line.error(`${line.keyword} has too many arguments`);
  return value;
}

/** A valid name. */
function validName(fault) {
  return (line) => {
    const value = single(line);
    const reason = fault(value);
    if (reason !== undefined) throw line.error(`${line.keyword} ${reason}`);
    return value;
  };
}

/** A path, or `$` and the name of a variable that has it. */
function agentPlace(line) {
  const value = single(line);
  if (/^\$(?!\{)/.test(value) && !/^\$\w+$/.test(value))
    throw line.error(`${line.keyword} '${value}' has no name of an environment variable`);
  return value;
}

/** One of the words that are the members. */
function oneOf(values) {
  const read = (line) => {
    const word = single(line).toLowerCase();
    if (!Object.hasOwn(values, word)) throw line.error(`${line.keyword} cannot be '${line.args[0]}'`);
    return values[word];
  };
  return Object.assign(read, { words: Object.keys(values) });
}

const flag = oneOf({ yes: true, true: true, no: false, false: false });

function integer(line) {
  const word = single(line);
  if (!/^\d{1,10}$/.test(word) || Number(word) > 0x7fff_ffff) throw line.error(`${line.keyword} requires an integer`);
  return Number(word);
}

function count(line) {
  const number = integer(line);
  if (number < 0) throw line.error(`${line.keyword} must not be negative`);
  return number;
}

function port(line) {
  const word = single(line);
  const number = readPort(word);
  if (number === undefined) throw line.error(`bad port '${word}'`);
  return number;
}

/** A mask of permissions. */
function mask(line) {
  const word = single(line);
  if (!/^[0-7]{1,8}$/.test(word) || Number.parseInt(word, 8) > 0o777) throw line.error(`bad mask '${word}'`);
  return Number.parseInt(word, 8);
}

const SECONDS = { '': 1, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Seconds: numbers with units, one after the other. */
function seconds(word, line) {
  let sum = 0;
  for (let at = 0; at < word.length; ) {
    const start = at;
    while (word[at] >= '0' && word[at] <= '9') at++;
    const unit = word[at]?.toLowerCase() ?? '';
    if (at === start || !Object.hasOwn(SECONDS, unit)) throw line.error(`'${word}' is not a time`);
    sum += Number(word.slice(start, at)) * SECONDS[unit];
    at += unit.length;
  }
  if (sum > 0x7fff_ffff) throw line.error(`'${word}' is too long a time`);
  return sum;
}

/** Key algorithms of OpenSSH 9.2; other names are errors. */
const KEY_TYPES = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-dss',
  'ssh-rsa',
  'rsa-sha2-256',
  'rsa-sha2-512',
];
const SECURITY_KEY_TYPES = ['sk-ssh-ed25519', 'sk-ecdsa-sha2-nistp256'];
const KEY_ALGORITHMS = [
  ...KEY_TYPES,
  ...SECURITY_KEY_TYPES.map((type) => `${type}@openssh.com`),
  'webauthn-sk-ecdsa-sha2-nistp256@openssh.com',
  ...[...KEY_TYPES, ...SECURITY_KEY_TYPES].map((type) => `${type}-cert-v01@openssh.com`),
];

/** A list of key algorithms, which may have wildcards; with `+`, `-` or `^` it changes the default one. */
function keyAlgorithms(line) {
  const value = single(line);
  const names = value
    .replace(/^[-+^]/, '')
    .split(',')
    .filter(Boolean);
  const unknown = names.find((name) => !KEY_ALGORITHMS.some((known) => matches(name, known)));
  if (names.length === 0 || unknown !== undefined) throw line.error(`${line.keyword}: bad key types '${value}'`);
  return value;
}

/** Seconds, or undefined for `none`. */
function time(line) {
  const word = single(line);
  return word === 'none' ? undefined : seconds(word, line);
}

/**
 * Which keys are added to the agent, and for how many seconds.
 * @typedef {{ mode: 'yes' | 'no' | 'ask' | 'confirm', seconds: number }} AddedKeys
 * @returns {AddedKeys} seconds: 0 without a limit
 */
function addedKeys(line) {
  const [word = '', time, ...more] = line.args;
  /** @type {Record<string, any>} */
  const modes = { yes: 'yes', true: 'yes', no: 'no', false: 'no', ask: 'ask', confirm: 'confirm' };
  const name = word.toLowerCase();
  const mode = Object.hasOwn(modes, name) ? modes[name] : undefined;
  if (word === '' || more.length > 0 || (time !== undefined && mode !== 'confirm'))
    throw line.error(`${line.keyword} cannot be '${line.args.join(' ')}'`);
  if (mode === undefined) return { mode: 'yes', seconds: seconds(word, line) };
  return { mode, seconds: time === undefined ? 0 : seconds(time, line) };
}

/** Several words, or `none` alone. */
function wordList(line) {
  const { args } = line;
  if (args.length === 0 || args.includes('')) throw line.error(`${line.keyword} has an empty argument`);
  const none = args.findIndex((word) => word.toLowerCase() === 'none');
  if (none > 0 || (none === 0 && args.length > 1))
    throw line.error(`${line.keyword} has other arguments besides 'none'`);
  return none === 0 ? [] : args;
}

/** The rest of the line, for a shell. */
function command(line) {
  return line.exact ? line.rest : line.rest.replace(/^[ \t=]+/, '');
}

const UNITS = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Bytes and seconds; each may be the default. */
function rekeyLimit(line) {
  const [size, interval, ...more] = line.args;
  if (size === undefined || more.length > 0)
    throw line.error(`${line.keyword} requires an amount of data, and a time at most`);
  const limit = {};
  if (size !== 'default') {
    const [, count, unit] = /^(\d{1,15})([kmg]?)$/i.exec(size) ?? [];
    if (count === undefined) throw line.error(`'${size}' is not an amount of data`);
    const bytes = Number(count) * UNITS[unit.toLowerCase()];
    if (bytes > 0 && bytes < 16) throw line.error(`${line.keyword} '${size}' is too small`);
    if (bytes > 0) limit.bytes = bytes;
  }
  if (interval !== undefined && interval !== 'none') {
    const time = seconds(interval, line);
    if (time > 0) limit.seconds = time;
  }
  return limit;
}

/** The jump hosts in order; an empty list for `none`. */
function proxyJump(line) {
  const text = command(line).split('#', 1)[0].trimEnd();
  if (text.toLowerCase() === 'none') return [];
  return text.split(',').map((hop) => {
    // Versions of ssh end the list at the first blank.
    const destination = /\s/.test(hop) ? undefined : readDestination(hop);
    if (destination === undefined) throw line.error(`'${hop}' is not a [user@]host[:port]`);
    return destination;
  });
}

/** A forwarding of one of the three kinds. */
function forwarding(kind) {
  return (line) => {
    const { args } = line;
    const max = kind === 'dynamic' ? 1 : 2;
    const min = kind === 'local' ? 2 : 1;
    if (args.length < min || args.length > max)
      throw line.error(`${line.keyword} requires a listen address${max === 1 ? '' : ' and a target'}`);
    const value = parseForwarding(args.join(':'), kind);
    if (value === undefined) throw line.error(`bad forwarding '${args.join(' ')}'`);
    return value;
  };
}

/** Targets of connections to a SOCKS proxy at the server: undefined for any; a `*` stands for all hosts or ports. */
function permitted(line) {
  const { args, keyword } = line;
  if (args.length === 0) throw line.error(`${keyword} requires an argument`);
  const word = args.find((arg) => /^(any|none)$/i.test(arg))?.toLowerCase();
  if (word !== undefined && args.length > 1) throw line.error(`${keyword}: '${word}' must be alone`);
  if (word !== undefined) return { targets: word === 'any' ? undefined : [] };
  const targets = args.map((arg) => {
    const [, bracketed, plain, text] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(arg) ?? [];
    const port = text === '*' ? text : readPort(text ?? '');
    if (port === undefined) throw line.error(`${keyword}: '${arg}' is not a host:port`);
    return { host: bracketed ?? plain, port };
  });
  return { targets };
}

const LEVELS = ['QUIET', 'FATAL', 'ERROR', 'INFO', 'VERBOSE', 'DEBUG', 'DEBUG1', 'DEBUG2', 'DEBUG3'];

/** How the command closes connections: a boolean, or a time in seconds. */
function linger(line) {
  const word = single(line).toLowerCase();
  const words = { yes: true, true: true, no: false, false: false };
  if (Object.hasOwn(words, word)) return words[word];
  const count = seconds(word, line);
  if (count > 0xffff) throw line.error(`'${word}' is too long a time`);
  // {1, 0} is a hard close.
  return count > 0 && { l_onoff: 1, l_linger: count };
}

module.exports = {
  single,
  validName,
  agentPlace,
  oneOf,
  flag,
  integer,
  count,
  port,
  mask,
  keyAlgorithms,
  time,
  addedKeys,
  wordList,
  command,
  rekeyLimit,
  proxyJump,
  forwarding,
  permitted,
  LEVELS,
  linger,
};
