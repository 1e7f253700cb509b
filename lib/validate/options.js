'use strict';

// The options of the constructor.

const { checkSignal } = require('../abort.js');
const { invalidArgType, invalidArgValue } = require('../errors.js');
const { MAX_WINDOW, MEMORY_LIMIT, MIN_WINDOW, WINDOW_LIMIT } = require('./limits.js');
const { checkLinger } = require('./linger.js');
const { checkHost, checkPort } = require('./names.js');
const { warnUnknown } = require('./option-names.js');
const {
  MAX_CONNECTIONS,
  MAX_MILLISECONDS,
  READY_TIMEOUT,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkMaxConnections,
  checkMilliseconds,
  checkObject,
} = require('./primitives.js');
const { checkProxy } = require('./proxy.js');
const { checkMaxRate } = require('./rate.js');
const { withSecrets } = require('./secret.js');
const { CONNECTORS, checkJump, checkServer, checkUnreached } = require('./server.js');

/** Largest number of sessions, and the number for `sessions: 'auto'`. */
const MAX_SESSIONS = 256;
/** Connections of each session with `sessions: 'auto'`: OpenSSH's server looks at each of them at every wake-up. */
const CONNECTIONS_EACH = 32;
/** Milliseconds before the first attempt to reconnect, and at most before each. */
const INITIAL_DELAY = 1000;
const MAX_DELAY = 30_000;

/** How to reconnect; the defaults depend on each other. undefined: not at all. */
function checkReconnect(value, name) {
  if (value === false) return undefined;
  if (value !== true && (value === null || typeof value !== 'object' || Array.isArray(value))) {
    throw invalidArgType(name, 'one of type boolean or object', value);
  }
  const { initialDelay, maxDelay, maxAttempts, initial = false } = value === true ? {} : value;
  if (value !== true) warnUnknown(value, 'reconnect');
  const check = (number, member, min) => {
    if (number !== undefined) checkInteger(number, `${name}.${member}`, min, MAX_MILLISECONDS);
  };
  check(initialDelay, 'initialDelay', 1);
  check(maxDelay, 'maxDelay', initialDelay ?? 1);
  check(maxAttempts, 'maxAttempts', 1);
  return {
    initialDelay: initialDelay ?? Math.min(INITIAL_DELAY, maxDelay ?? MAX_DELAY),
    maxDelay: maxDelay ?? Math.max(MAX_DELAY, initialDelay ?? 0),
    maxAttempts,
    initial: checkBoolean(initial, `${name}.initial`),
  };
}

/** How many sessions there are, and from how many connections of each on there is to be another. */
function checkSessions(value, name) {
  if (typeof value === 'number') return { sessions: checkInteger(value, name, 1, MAX_SESSIONS), connectionsEach: 1 };
  if (typeof value === 'string' && value !== 'auto')
    throw invalidArgValue(name, "must be 'auto', if it is a string", value);
  if (value !== 'auto' && (value === null || typeof value !== 'object' || Array.isArray(value)))
    throw invalidArgType(name, "'auto', or one of type number or object", value);
  if (value !== 'auto') warnUnknown(value, 'sessions');
  const { max = MAX_SESSIONS, connectionsEach = CONNECTIONS_EACH } = value === 'auto' ? {} : value;
  return {
    sessions: checkInteger(max, `${name}.max`, 1, MAX_SESSIONS),
    connectionsEach: checkInteger(connectionsEach, `${name}.connectionsEach`, 1, MAX_CONNECTIONS),
  };
}

/** The limits of receive windows; the defaults depend on each other. */
function checkWindows({ windowLimit, memoryLimit }) {
  if (windowLimit !== undefined) checkInteger(windowLimit, 'options.windowLimit', MIN_WINDOW, MAX_WINDOW);
  if (memoryLimit !== undefined)
    checkInteger(memoryLimit, 'options.memoryLimit', windowLimit ?? MIN_WINDOW, Number.MAX_SAFE_INTEGER);
  return {
    windowLimit: windowLimit ?? Math.min(WINDOW_LIMIT, memoryLimit ?? MEMORY_LIMIT),
    memoryLimit: memoryLimit ?? MEMORY_LIMIT,
  };
}

/**
 * Checks the constructor's options, and warns of unknown names.
 * @returns {{ native: object, server: { host: string, port: number }, servers: ReturnType<typeof checkServer>[],
 *   interactive: boolean, sock?: object, signal?: AbortSignal, debug?: (line: string) => void, wipe: () => void }}
 *   native: as the addon takes them; servers: the jump hosts and, last, the server; wipe: to be called when the addon
 *   has taken them
 */
function checkOptions(options) {
  warnUnknown(checkObject(options, 'options'), 'SSHTunnel');
  return withSecrets((copies) => readOptions(options, copies));
}

function readOptions(options, copies) {
  const {
    jump,
    proxy,
    localAddress,
    forceIPv4 = false,
    forceIPv6 = false,
    connectionAttempts = 1,
    sessions = 1,
    localHost = '127.0.0.1',
    localPort = 0,
    reusePort = false,
    forwardHost,
    forwardPort,
    linger = true,
    keepAlive = false,
    idleTimeout = 0,
    readyTimeout = READY_TIMEOUT,
    reconnect = false,
  } = options;

  const server = checkServer(options, 'options', copies);
  const hops = checkJump(jump, copies, server.hostVerifier);
  if (hops.length > 0)
    checkUnreached(options, 'options', 'must not be given together with jump: give it to the first jump host');
  const servers = [...hops, server];
  /** @type {Record<string, unknown>} */
  const native = {
    server: server.native,
    jump: hops.map((hop) => hop.native),
    shell: process.platform === 'win32' ? process.env.comspec || 'cmd.exe' : process.env.SHELL || '/bin/sh',
    forceIpv4: checkBoolean(forceIPv4, 'options.forceIPv4'),
    forceIpv6: checkBoolean(forceIPv6, 'options.forceIPv6'),
    connectionAttempts: checkInteger(connectionAttempts, 'options.connectionAttempts', 1, MAX_MILLISECONDS),
    localHost: checkHost(localHost, 'options.localHost'),
    localPort: checkPort(localPort, 'options.localPort', { min: 0 }),
    maxConnections: checkMaxConnections(options),
    maxRate: checkMaxRate(options.maxRate, 'options.maxRate'),
    reusePort: checkBoolean(reusePort, 'options.reusePort'),
    linger: checkLinger(linger, 'options.linger'),
    keepAlive: checkBoolean(keepAlive, 'options.keepAlive'),
    idleTimeout: checkMilliseconds(idleTimeout, 'options.idleTimeout'),
    readyTimeout: checkMilliseconds(readyTimeout, 'options.readyTimeout'),
    reconnect: checkReconnect(reconnect, 'options.reconnect'),
    ...checkSessions(sessions, 'options.sessions'),
    ...checkWindows(options),
    proxy: checkProxy(proxy, 'options.proxy', servers[0].native, copies),
  };
  const connector = CONNECTORS.find((option) => servers[0].native[option]);
  if (proxy !== undefined && connector !== undefined)
    throw invalidArgValue('options.proxy', `must not be given together with ${connector}`, proxy, { secret: true });
  if (forceIPv4 && forceIPv6)
    throw invalidArgValue('options.forceIPv6', 'leaves no address together with forceIPv4', true);
  // Both or neither: without them there is no configured forward.
  if (forwardHost !== undefined || forwardPort !== undefined) {
    native.forwardHost = checkHost(forwardHost, 'options.forwardHost');
    native.forwardPort = checkPort(forwardPort, 'options.forwardPort');
  }
  if (localAddress !== undefined) native.localAddress = checkHost(localAddress, 'options.localAddress');
  const isStream = servers[0].sock !== undefined && typeof servers[0].sock !== 'function';
  if (isStream && native.sessions !== 1)
    throw invalidArgValue('options.sessions', 'must be 1 together with a stream as sock, which carries one', sessions);
  if (isStream && reconnect !== false)
    throw invalidArgValue(
      'options.reconnect',
      'must not be given together with a stream as sock, which carries one session: give a function',
      reconnect,
    );
  const { tryKeyboard, authHandler } = server.native.credentials;
  const interactive = tryKeyboard && (authHandler?.includes('keyboard-interactive') ?? true);
  const { host, port } = server.native;
  return {
    native,
    server: { host, port },
    servers,
    interactive,
    sock: servers[0].sock,
    signal: checkSignal(options.signal, 'options.signal'),
    debug: options.debug === undefined ? undefined : checkFunction(options.debug, 'options.debug'),
  };
}

module.exports = { checkOptions };
