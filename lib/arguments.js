'use strict';

const os = require('node:os');
const path = require('node:path');

const { invalidArgType, invalidArgValue, outOfRange } = require('./errors.js');

/** Largest u_short: ports, and both members of the LINGER structure. */
const MOST_SHORT = 0xffff;
/** Largest number of milliseconds: what Node's own timers take. */
const MOST_MILLISECONDS = 2 ** 31 - 1;

/** The kinds of algorithms, as ssh2 calls them. */
const ALGORITHM_KINDS = ['kex', 'cipher', 'serverHostKey', 'hmac', 'compress'];

function checkBoolean(value, name) {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value);
  return value;
}

function checkInteger(value, name, least, most) {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < least || value > most) throw outOfRange(name, `>= ${least} && <= ${most}`, value);
  return value;
}

function checkMilliseconds(value, name) {
  return checkInteger(value, name, 0, MOST_MILLISECONDS);
}

function checkFunction(value, name) {
  if (typeof value !== 'function') throw invalidArgType(name, 'of type function', value);
  return value;
}

function checkObject(value, name) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalidArgType(name, 'of type object', value);
  }
  return value;
}

function checkName(value, name) {
  if (typeof value !== 'string') throw invalidArgType(name, 'of type string', value);
  if (value === '') throw invalidArgValue(name, 'must not be empty', value);
  return value;
}

/** @returns {string[]} */
function checkNames(value, name) {
  if (typeof value === 'string') return [checkName(value, name)];
  if (!Array.isArray(value)) throw invalidArgType(name, 'of type string or an instance of Array', value);
  return Array.from(value, (element, index) => checkName(element, `${name}[${index}]`));
}

/** The lists of algorithms as the addon takes them, which knows the names. */
function checkAlgorithms(value, name) {
  const lists = {};
  for (const kind in checkObject(value, name)) {
    const property = `${name}.${kind}`;
    const list = value[kind];
    // Elsewhere an unknown name is left alone. Here it would let in what was to be shut out.
    if (!ALGORITHM_KINDS.includes(kind)) throw invalidArgValue(property, `is none of ${ALGORITHM_KINDS.join(', ')}`, list);
    if (list !== undefined) lists[kind] = checkAlgorithmList(list, property);
  }
  return lists;
}

function checkAlgorithmList(value, name) {
  const list = { remove: [], prepend: [], append: [] };
  if (Array.isArray(value)) {
    if (value.length === 0) throw invalidArgValue(name, 'must not be empty', value);
    return { ...list, only: checkNames(value, name) };
  }
  if (value === null || typeof value !== 'object') throw invalidArgType(name, 'of type object or an instance of Array', value);
  for (const change in value) {
    const property = `${name}.${change}`;
    if (!Object.hasOwn(list, change)) throw invalidArgValue(property, `is none of ${Object.keys(list).join(', ')}`, value[change]);
    if (value[change] !== undefined) list[change] = checkNames(value[change], property);
  }
  return list;
}

/** Ways to log on, in the order of the documentation. */
const METHODS = ['none', 'publickey', 'agent', 'keyboard-interactive', 'password'];

/**
 * The methods of authentication to use. Each at most once, and at least one of them usable: a
 * logon that cannot even begin is a mistake to be told of now.
 * @param {Record<string, boolean>} usable
 */
function checkAuthHandler(value, name, usable) {
  if (!Array.isArray(value)) throw invalidArgType(name, 'an instance of Array', value);
  const methods = Array.from(value, (element, index) => {
    const place = `${name}[${index}]`;
    if (!METHODS.includes(checkName(element, place))) {
      throw invalidArgValue(place, `must be one of: ${METHODS.map((method) => `'${method}'`).join(', ')}`, element);
    }
    if (value.indexOf(element) !== index) throw invalidArgValue(place, 'must not repeat a method', element);
    return element;
  });
  if (!methods.some((method) => usable[method])) {
    throw invalidArgValue(name, 'must hold a method that other options give something to use with', value);
  }
  return methods;
}

/** The words of ssh_config for what becomes of unknown host keys. */
function checkStrictness(value, name) {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (value === 'accept-new') return value;
  if (typeof value === 'string') throw invalidArgValue(name, "must be true, 'accept-new' or false", value);
  throw invalidArgType(name, 'one of type boolean or string', value);
}

/** Answers to `count` questions, or fewer: not answered. The array is a copy. */
function checkResponses(value, count) {
  if (!Array.isArray(value)) throw invalidArgType('responses', 'an instance of Array', value, { secret: true });
  const responses = Array.from(value, (element, index) => {
    if (typeof element === 'string') return element;
    throw invalidArgType(`responses[${index}]`, 'of type string', element, { secret: true });
  });
  if (responses.length > count) {
    throw outOfRange('responses.length', `<= ${count}, the number of prompts`, responses.length);
  }
  return responses;
}

const BYTES = 'of type string or an instance of Buffer or Uint8Array';

/** The bytes of a secret, or undefined. The copy of a string is ours to wipe. */
function checkSecret(value, name) {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return { bytes: Buffer.from(value), copied: true };
  if (value instanceof Uint8Array) return { bytes: value, copied: false };
  throw invalidArgType(name, BYTES, value, { secret: true });
}

/**
 * Private keys as the addon takes them. What was copied from strings joins `copies`, to be wiped.
 * @param {{ privateKey?: unknown, passphrase?: unknown, certificate?: unknown }} options
 * @param {Uint8Array[]} copies
 */
function checkPrivateKeys({ privateKey, passphrase, certificate }, name, copies) {
  const take = (value, place) => {
    const secret = checkSecret(value, place);
    if (secret?.copied) copies.push(secret.bytes);
    return secret?.bytes;
  };
  const common = { passphrase: take(passphrase, `${name}.passphrase`), certificate: take(certificate, `${name}.certificate`) };
  if (certificate !== undefined && (privateKey === undefined || Array.isArray(privateKey))) {
    throw invalidArgValue(`${name}.certificate`, 'needs one privateKey to belong to', certificate, { secret: true });
  }
  const check = (value, place) => {
    const { key } = value ?? {};
    if (key === undefined) return { ...common, key: take(value, place) };
    const own = { key: take(key, `${place}.key`) };
    for (const part of ['passphrase', 'certificate']) own[part] = take(value[part], `${place}.${part}`) ?? common[part];
    return own;
  };
  if (privateKey === undefined) return [];
  if (!Array.isArray(privateKey)) return [check(privateKey, `${name}.privateKey`)];
  return Array.from(privateKey, (value, index) => {
    const place = `${name}.privateKey[${index}]`;
    if (value === undefined) throw invalidArgType(place, BYTES, value);
    return check(value, place);
  });
}

/**
 * The LINGER structure as the addon takes it: l_onoff in the upper 16 bits, l_linger in the lower.
 * @param {unknown} value
 */
function checkLingerOption(value, name) {
  const { l_onoff, l_linger } = checkObject(value, name);
  const onoff = checkInteger(l_onoff, `${name}.l_onoff`, 0, MOST_SHORT);
  const linger = checkInteger(l_linger, `${name}.l_linger`, 0, MOST_SHORT);
  return onoff * (MOST_SHORT + 1) + linger;
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

function loggedInUser() {
  try {
    return os.userInfo().username;
  } catch {
    // A container may run as a user without a name: then it has to be given.
    return undefined;
  }
}

function usualKnownHosts() {
  const files = ['known_hosts', 'known_hosts2'].map((file) => path.join(os.homedir(), '.ssh', file));
  return [...files, '/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];
}

/**
 * Checks the constructor's options; names that are not known are left alone, as Node does.
 * @returns {{ native: object, hostVerifier?: Function, interactive: boolean, wipe: () => void }} what the addon takes, and
 *   what to call when it has taken it
 */
function checkOptions(options) {
  checkObject(options, 'options');
  const {
    host,
    port = 22,
    username = loggedInUser(),
    password,
    algorithms = {},
    agent,
    agentKeys,
    tryKeyboard = false,
    authHandler,
    hostKey,
    knownHosts,
    hostVerifier,
    strictHostKeyChecking = true,
    hostKeyAlias,
    updateHostKeys = false,
    localAddress,
    forceIPv4 = false,
    forceIPv6 = false,
    localHost = '127.0.0.1',
    localPort = 0,
    forwardHost,
    forwardPort,
    linger = true,
    keepAlive = false,
    idleTimeout = 0,
    keepaliveInterval = 0,
    keepaliveCountMax = 3,
    readyTimeout = 20_000,
  } = options;

  if (password !== undefined && typeof password !== 'string') {
    throw invalidArgType('options.password', 'of type string', password, { secret: true });
  }
  if (hostVerifier !== undefined) checkFunction(hostVerifier, 'options.hostVerifier');
  // Whoever says whom to trust means nobody else.
  const usual = hostKey === undefined && knownHosts === undefined && hostVerifier === undefined;
  const native = {
    host: checkName(host, 'options.host'),
    port: checkInteger(port, 'options.port', 1, MOST_SHORT),
    username: checkName(username, 'options.username'),
    algorithms: checkAlgorithms(algorithms, 'options.algorithms'),
    hostKey: hostKey === undefined ? [] : checkNames(hostKey, 'options.hostKey'),
    knownHosts: usual ? usualKnownHosts() : checkNames(knownHosts === undefined ? [] : knownHosts, 'options.knownHosts'),
    verifier: hostVerifier !== undefined,
    strictHostKeyChecking: checkStrictness(strictHostKeyChecking, 'options.strictHostKeyChecking'),
    updateHostKeys: checkBoolean(updateHostKeys, 'options.updateHostKeys'),
    tryKeyboard: checkBoolean(tryKeyboard, 'options.tryKeyboard'),
    forceIpv4: checkBoolean(forceIPv4, 'options.forceIPv4'),
    forceIpv6: checkBoolean(forceIPv6, 'options.forceIPv6'),
    localHost: checkName(localHost, 'options.localHost'),
    localPort: checkInteger(localPort, 'options.localPort', 0, MOST_SHORT),
    forwardHost: checkName(forwardHost, 'options.forwardHost'),
    forwardPort: checkInteger(forwardPort, 'options.forwardPort', 1, MOST_SHORT),
    linger: checkLinger(linger, 'options.linger'),
    keepAlive: checkBoolean(keepAlive, 'options.keepAlive'),
    idleTimeout: checkMilliseconds(idleTimeout, 'options.idleTimeout'),
    keepaliveInterval: checkMilliseconds(keepaliveInterval, 'options.keepaliveInterval'),
    keepaliveCountMax: checkInteger(keepaliveCountMax, 'options.keepaliveCountMax', 1, MOST_MILLISECONDS),
    readyTimeout: checkMilliseconds(readyTimeout, 'options.readyTimeout'),
  };
  if (hostKeyAlias !== undefined) native.hostKeyAlias = checkName(hostKeyAlias, 'options.hostKeyAlias');
  if (native.knownHosts.length === 0) {
    const nowhere = 'needs a file in options.knownHosts to write to';
    if (native.strictHostKeyChecking === 'accept-new') throw invalidArgValue('options.strictHostKeyChecking', nowhere, strictHostKeyChecking);
    if (native.updateHostKeys) throw invalidArgValue('options.updateHostKeys', nowhere, updateHostKeys);
  }
  if (forceIPv4 && forceIPv6) throw invalidArgValue('options.forceIPv6', 'leaves no address together with forceIPv4', true);
  if (localAddress !== undefined) native.localAddress = checkName(localAddress, 'options.localAddress');
  const copies = [];
  native.privateKeys = checkPrivateKeys(options, 'options', copies);
  if (agent !== undefined) native.agent = checkName(agent, 'options.agent');
  if (agentKeys !== undefined) native.agentKeys = checkNames(agentKeys, 'options.agentKeys');
  if (authHandler !== undefined) {
    native.authHandler = checkAuthHandler(authHandler, 'options.authHandler', {
      none: true,
      publickey: native.privateKeys.length > 0,
      agent: agent !== undefined,
      // Without anybody to ask, the password answers a question for it.
      'keyboard-interactive': tryKeyboard || password !== undefined,
      password: password !== undefined,
    });
  }
  if (password !== undefined) native.password = password;
  const wipe = () => {
    for (const copy of copies) copy.fill(0);
  };
  const interactive = tryKeyboard && (native.authHandler?.includes('keyboard-interactive') ?? true);
  return { native, hostVerifier, interactive, wipe };
}

/** @returns {number} milliseconds, -1 for no limit */
function checkCloseOptions(options) {
  if (options === undefined) return -1;
  const { timeout } = checkObject(options, 'options');
  return timeout === undefined ? -1 : checkMilliseconds(timeout, 'options.timeout');
}

function checkConnectionId(value) {
  return checkInteger(value, 'connectionId', 1, Number.MAX_SAFE_INTEGER);
}

module.exports = {
  checkBoolean,
  checkCloseOptions,
  checkConnectionId,
  checkFunction,
  checkLingerOption,
  checkMilliseconds,
  checkOptions,
  checkResponses,
  isGraceful,
  packLinger,
  unpackLinger,
};
