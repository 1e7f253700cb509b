'use strict';

const {
  MOST_MILLISECONDS,
  MOST_SHORT,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkMilliseconds,
  checkObject,
} = require('./primitives.js');
const { invalidArgType, invalidArgValue, outOfRange, unavailable } = require('../errors.js');
const { checkHost, checkLocalPath, checkPort } = require('./names.js');
const { wipe } = require('../secrets.js');
const { checkJump, checkSecret, checkServer, checkUnreached } = require('./server.js');

/** Largest number that can be a descriptor: an int. */
const MOST_DESCRIPTOR = 2 ** 31 - 1;
/** Sessions of one tunnel: more than there are cores on either side gain nothing. */
const MOST_SESSIONS = 64;
/** Connections at once that can be asked for: more than any system has descriptors. */
const MOST_CONNECTIONS = 2 ** 32 - 1;
/** Milliseconds before the first attempt to reconnect, and the most before any. */
const INITIAL_DELAY = 1000;
const MAX_DELAY = 30_000;

/** Bytes: the range of `windowLimit`, and what it and `memoryLimit` are by default. */
const LEAST_WINDOW = 128 * 1024;
const MOST_WINDOW = 2 ** 30;
const WINDOW_LIMIT = 16 * 1024 * 1024;
const MEMORY_LIMIT = 2 ** 30;

/**
 * Answers to `count` questions, or fewer: not answered.
 * @returns {{ responses: Uint8Array[], wipe: () => void }} the bytes, and what to call when the addon has taken them
 */
function checkResponses(value, count) {
  if (!Array.isArray(value)) throw invalidArgType('responses', 'an instance of Array', value, { secret: true });
  if (value.length > count) {
    throw outOfRange('responses.length', `<= ${count}, the number of prompts`, value.length);
  }
  return wipingCopies((copies) => ({
    responses: Array.from(value, (element, index) => checkSecret(element, `responses[${index}]`, copies)),
  }));
}

/**
 * What `take` makes of secrets, whose copies it puts into the list that it gets.
 * @template T
 * @param {(copies: Uint8Array[]) => T} take
 * @returns {T & { wipe: () => void }}
 */
function wipingCopies(take) {
  const copies = [];
  try {
    return { ...take(copies), wipe: () => wipe(copies) };
  } catch (error) {
    wipe(copies);
    throw error;
  }
}

/**
 * The LINGER structure as the addon takes it: l_onoff in the upper 16 bits, l_linger in the lower.
 * @param {unknown} value
 */
function checkLingerOption(value, name) {
  const { l_onoff, l_linger } = checkObject(value, name);
  checkInteger(l_onoff, `${name}.l_onoff`, 0, MOST_SHORT);
  checkInteger(l_linger, `${name}.l_linger`, 0, MOST_SHORT);
  return packLingerOption({ l_onoff, l_linger });
}

function packLingerOption({ l_onoff, l_linger }) {
  return l_onoff * (MOST_SHORT + 1) + l_linger;
}

/** SO_DONTLINGER's value: a boolean, or a number as for l_onoff. */
function checkSwitch(value, name) {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'number') throw invalidArgType(name, 'one of type boolean or number', value);
  return checkInteger(value, name, 0, MOST_SHORT) !== 0;
}

/** What `true` and `false` stand for, as the addon takes it: {0, 0} and {1, 0}. */
function packLinger(value, name) {
  return checkBoolean(value, name) ? 0 : MOST_SHORT + 1;
}

function checkLinger(value, name) {
  if (typeof value === 'boolean') return packLinger(value, name);
  if (value === null || typeof value !== 'object') {
    throw invalidArgType(name, 'one of type boolean or object', value);
  }
  return checkLingerOption(value, name);
}

/** @param {number} packed */
function unpackLinger(packed) {
  return { l_onoff: Math.floor(packed / (MOST_SHORT + 1)), l_linger: packed % (MOST_SHORT + 1) };
}

/** The boolean face of the structure: false for a hard close only. */
function isGraceful(packed) {
  const { l_onoff, l_linger } = unpackLinger(packed);
  return l_onoff === 0 || l_linger !== 0;
}

/** How to reconnect, with defaults that go with what is given; undefined: not at all. */
function checkReconnect(value, name) {
  if (value === false) return undefined;
  if (value !== true && (value === null || typeof value !== 'object' || Array.isArray(value))) {
    throw invalidArgType(name, 'one of type boolean or object', value);
  }
  const { initialDelay, maxDelay, maxAttempts } = value === true ? {} : value;
  const check = (number, member, least) => {
    if (number !== undefined) checkInteger(number, `${name}.${member}`, least, MOST_MILLISECONDS);
  };
  check(initialDelay, 'initialDelay', 1);
  check(maxDelay, 'maxDelay', initialDelay ?? 1);
  check(maxAttempts, 'maxAttempts', 1);
  return {
    initialDelay: initialDelay ?? Math.min(INITIAL_DELAY, maxDelay ?? MAX_DELAY),
    maxDelay: maxDelay ?? Math.max(MAX_DELAY, initialDelay ?? 0),
    maxAttempts,
  };
}

/** How large receive windows may become, with defaults that go with what is given. */
function checkWindows({ windowLimit, memoryLimit }) {
  if (windowLimit !== undefined) checkInteger(windowLimit, 'options.windowLimit', LEAST_WINDOW, MOST_WINDOW);
  if (memoryLimit !== undefined)
    checkInteger(memoryLimit, 'options.memoryLimit', windowLimit ?? LEAST_WINDOW, Number.MAX_SAFE_INTEGER);
  return {
    windowLimit: windowLimit ?? Math.min(WINDOW_LIMIT, memoryLimit ?? MEMORY_LIMIT),
    memoryLimit: memoryLimit ?? MEMORY_LIMIT,
  };
}

/** How many connections there may be at once; undefined: any number. */
function checkMaxConnections({ maxConnections }) {
  return maxConnections === undefined
    ? undefined
    : checkInteger(maxConnections, 'options.maxConnections', 1, MOST_CONNECTIONS);
}

/**
 * Checks the constructor's options; names that are not known are left alone, as Node does.
 * @returns {{ native: object, verifiers: (Function | undefined)[], interactive: boolean, sock?: object, wipe: () => void }}
 *   what the addon takes, who is asked about the host key of each jump host and, last, of the tunnel's own server, and
 *   what to call when the addon has taken it
 */
function checkOptions(options) {
  checkObject(options, 'options');
  return wipingCopies((copies) => readOptions(options, copies));
}

function readOptions(options, copies) {
  const {
    jump,
    localAddress,
    forceIPv4 = false,
    forceIPv6 = false,
    sessions = 1,
    localHost = '127.0.0.1',
    localPort = 0,
    reusePort = false,
    forwardHost,
    forwardPort,
    linger = true,
    keepAlive = false,
    idleTimeout = 0,
    readyTimeout = 20_000,
    reconnect = false,
  } = options;

  const server = checkServer(options, 'options', copies);
  const hops = checkJump(jump, copies, server.hostVerifier);
  if (hops.length > 0)
    checkUnreached(options, 'options', 'must not be given together with jump: give it to the first jump host');
  /** @type {Record<string, unknown>} */
  const native = {
    server: server.native,
    jump: hops.map((hop) => hop.native),
    shell: process.env.SHELL || '/bin/sh',
    forceIpv4: checkBoolean(forceIPv4, 'options.forceIPv4'),
    forceIpv6: checkBoolean(forceIPv6, 'options.forceIPv6'),
    sessions: checkInteger(sessions, 'options.sessions', 1, MOST_SESSIONS),
    localHost: checkHost(localHost, 'options.localHost'),
    localPort: checkPort(localPort, 'options.localPort', { least: 0 }),
    maxConnections: checkMaxConnections(options),
    reusePort: checkBoolean(reusePort, 'options.reusePort'),
    linger: checkLinger(linger, 'options.linger'),
    keepAlive: checkBoolean(keepAlive, 'options.keepAlive'),
    idleTimeout: checkMilliseconds(idleTimeout, 'options.idleTimeout'),
    readyTimeout: checkMilliseconds(readyTimeout, 'options.readyTimeout'),
    reconnect: checkReconnect(reconnect, 'options.reconnect'),
    ...checkWindows(options),
  };
  if (forceIPv4 && forceIPv6)
    throw invalidArgValue('options.forceIPv6', 'leaves no address together with forceIPv4', true);
  // Both or none: without them there is nothing to listen for.
  if (forwardHost !== undefined || forwardPort !== undefined) {
    native.forwardHost = checkHost(forwardHost, 'options.forwardHost');
    native.forwardPort = checkPort(forwardPort, 'options.forwardPort');
  }
  if (localAddress !== undefined) native.localAddress = checkHost(localAddress, 'options.localAddress');
  const servers = [...hops, server];
  if (servers[0].sock !== undefined && sessions > 1)
    throw invalidArgValue('options.sessions', 'must be 1 together with sock, which carries one session', sessions);
  if (servers[0].sock !== undefined && reconnect !== false)
    throw invalidArgValue(
      'options.reconnect',
      'must not be given together with sock, which carries one session',
      reconnect,
    );
  const { tryKeyboard, authHandler } = server.native;
  const interactive = tryKeyboard && (authHandler?.includes('keyboard-interactive') ?? true);
  return { native, verifiers: servers.map(({ hostVerifier }) => hostVerifier), interactive, sock: servers[0].sock };
}

/** @returns {number} milliseconds, -1 for no limit */
function checkCloseOptions(options) {
  if (options === undefined) return -1;
  const { timeout } = checkObject(options, 'options');
  return timeout === undefined ? -1 : checkMilliseconds(timeout, 'options.timeout');
}

/** Whether a shutdown is to be forced. */
function checkShutdownOptions(options) {
  if (options === undefined) return false;
  const { force } = checkObject(options, 'options');
  return force === undefined ? false : checkBoolean(force, 'options.force');
}

/** Refuses the options that `other` takes the place of. */
function checkAlone(options, other) {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined)
      throw invalidArgValue(`options.${name}`, `must not be given together with ${other}`, value);
  }
}

/** The path of a Unix socket of this machine. */
function checkSocketPath(value, name) {
  checkLocalPath(value, name);
  if (process.platform === 'win32') throw unavailable(name);
  return value;
}

function checkDescriptor(value, name) {
  return checkInteger(value, name, 0, MOST_DESCRIPTOR);
}

function checkConnectionId(value) {
  return checkInteger(value, 'connectionId', 1, Number.MAX_SAFE_INTEGER);
}

module.exports = {
  MOST_SHORT,
  checkAlone,
  checkBoolean,
  checkCloseOptions,
  checkConnectionId,
  checkDescriptor,
  checkFunction,
  checkInteger,
  checkLingerOption,
  checkMaxConnections,
  checkMilliseconds,
  checkObject,
  checkOptions,
  checkResponses,
  checkShutdownOptions,
  checkSocketPath,
  checkSwitch,
  isGraceful,
  packLinger,
  packLingerOption,
  unpackLinger,
};
