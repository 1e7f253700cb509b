'use strict';

// The options of servers: the tunnel's own, and jump hosts.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { ALGORITHM_KINDS, MAX_REKEY_BYTES, MAX_RSA_BITS, MIN_REKEY_BYTES, MIN_RSA_BITS } = require('./limits.js');
const {
  MAX_MILLISECONDS,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkMilliseconds,
  checkName,
  checkNames,
  checkObject,
} = require('./primitives.js');
const { invalidArgType, invalidArgValue, noHome, noUser } = require('../errors.js');
const { homeFolder } = require('../system-database.js');
const { checkCredentials } = require('./credentials.js');
const { checkHost, checkPort, checkUser } = require('./names.js');
const { warnUnknown } = require('./option-names.js');

/** Limits of rekeying; the addon has the defaults. */
function checkRekey(value, name) {
  const { bytes, seconds } = checkObject(value, name);
  warnUnknown(value, 'rekey');
  const limits = {};
  if (bytes !== undefined) limits.bytes = checkInteger(bytes, `${name}.bytes`, MIN_REKEY_BYTES, MAX_REKEY_BYTES);
  if (seconds !== undefined)
    limits.seconds = checkInteger(seconds, `${name}.seconds`, 0, Math.floor(MAX_MILLISECONDS / 1000));
  return limits;
}

/** Methods of all duplex streams, also where they do not inherit from stream.Duplex. */
const DUPLEX = ['on', 'pipe', 'read', 'write', 'end', 'destroy'];

function checkDuplex(value, name, expected = 'an instance of stream.Duplex') {
  if (!DUPLEX.every((method) => typeof value?.[method] === 'function')) {
    throw invalidArgType(name, expected, value, { secret: true });
  }
  if (value.readableObjectMode || value.writableObjectMode || value.readableEncoding) {
    throw invalidArgValue(name, 'must be a stream of bytes', value, { secret: true });
  }
}

/** Lists of algorithms; the addon checks the names. */
function checkAlgorithms(value, name) {
  const lists = {};
  for (const kind in checkObject(value, name)) {
    const property = `${name}.${kind}`;
    const list = value[kind];
    // Unknown options are only warned of elsewhere. Here that could allow what was to be excluded.
    if (!ALGORITHM_KINDS.includes(kind))
      throw invalidArgValue(property, `must be one of: ${ALGORITHM_KINDS.join(', ')}`, list);
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
  if (value === null || typeof value !== 'object')
    throw invalidArgType(name, 'of type object or an instance of Array', value);
  for (const change in value) {
    const property = `${name}.${change}`;
    if (!Object.hasOwn(list, change))
      throw invalidArgValue(property, `must be one of: ${Object.keys(list).join(', ')}`, value[change]);
    if (value[change] !== undefined) list[change] = checkNames(value[change], property);
  }
  return list;
}

/** The policy for unknown host keys; ssh_config has no value for `false`. */
function checkStrictness(value, name) {
  if (typeof value === 'boolean') return value ? 'yes' : 'off';
  if (value === 'accept-new' || value === 'no') return value;
  if (typeof value === 'string') throw invalidArgValue(name, "must be true, 'accept-new', 'no' or false", value);
  throw invalidArgType(name, 'one of type boolean or string', value);
}

/** The name of the user that this process runs as; an error if the system has none, as in some containers. */
function currentUser(name) {
  try {
    return os.userInfo().username;
  } catch {
    throw noUser(process.getuid?.(), `give the option '${name}.username'`);
  }
}

/** The files that ssh reads. Without a home folder, those of the system are left, if there are any. */
function defaultKnownHosts(name) {
  const system = ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];
  const home = homeFolder();
  if (home !== undefined)
    return [...['known_hosts', 'known_hosts2'].map((file) => path.join(home, '.ssh', file)), ...system];
  if (!system.some((file) => fs.existsSync(file))) {
    throw noHome(`the files of known hosts: give the option '${name}.hostKey' or '${name}.knownHosts', or set HOME`);
  }
  return system;
}

/** A user, a scheme or a port beside a host. An IPv6 address has more than one colon. */
const MORE_THAN_HOST = /[@/]|^[^:]*:\d*$/;

/** Whether the host is dialed, and not only the name of what a command or a stream leads to. */
const isDialed = (proxyCommand, sock) => proxyCommand === undefined && sock === undefined;

function checkDialed(host, name) {
  if (MORE_THAN_HOST.test(checkHost(host, name)))
    throw invalidArgValue(name, 'must be a name or an address: user and port have options of their own', host);
  return host;
}

/**
 * What the command `sshtunnel` asks its user: an option of a server that only the command gives.
 * @typedef {object} Asks
 * @property {number} times how often the user is asked for a password, and each time for answers to the server's
 *   questions: again after a refusal
 * @property {() => Promise<Uint8Array | undefined>} [password] its result is wiped; undefined: the user gives up
 * @property {AddedKeys} [keys] without it, no private key is added to the agent
 */

/**
 * @typedef {object} AddedKeys
 * @property {number} lifetime seconds; 0 without a limit
 * @property {boolean} confirm whether the agent asks its user before each signature
 * @property {(index: number) => Promise<Uint8Array | undefined>} comment of the private key with this index; undefined: it
 *   is not added
 */

const ASKS = Symbol('asks');

/**
 * A server as the addon takes it.
 * @param {any} options
 * @param {string} name of `options` in messages
 * @param {Uint8Array[]} copies gets copies of secrets, to be wiped
 * @param {Function} [inherited] asked about a host key that the default files do not have
 * @returns {{ native: any, hostVerifier?: Function, functions: object, agent?: object,
 *   certificate?: unknown, sock?: any, asks: Asks }} functions, agent: asked for credentials
 */
function checkServer(options, name, copies, inherited) {
  const {
    host,
    port = 22,
    username = currentUser(name),
    algorithms = {},
    hostKey,
    knownHosts,
    hostVerifier,
    strictHostKeyChecking = true,
    hostKeyAlias,
    updateHostKeys = false,
    hashKnownHosts = false,
    knownHostsCommand = [],
    noHostAuthenticationForLocalhost = false,
    revokedHostKeys = [],
    requiredRSASize = MIN_RSA_BITS,
    proxyCommand,
    sock,
    keepaliveInterval = 0,
    keepaliveCountMax = 3,
    rekey = {},
    [ASKS]: asks = { times: 1 },
  } = options;

  if (hostVerifier !== undefined) checkFunction(hostVerifier, `${name}.hostVerifier`);
  // With one of these options, the default files do not count.
  const isDefault = hostKey === undefined && knownHosts === undefined && hostVerifier === undefined;
  const verifier = isDefault ? inherited : hostVerifier;
  const { native: credentials, functions, agent } = checkCredentials(options, name, copies, asks);
  const native = {
    option: name,
    credentials,
    host: isDialed(proxyCommand, sock) ? checkDialed(host, `${name}.host`) : checkHost(host, `${name}.host`),
    port: checkPort(port, `${name}.port`),
    username: checkUser(username, `${name}.username`),
    algorithms: checkAlgorithms(algorithms, `${name}.algorithms`),
    hostKey: hostKey === undefined ? [] : checkNames(hostKey, `${name}.hostKey`),
    knownHosts: isDefault
      ? defaultKnownHosts(name)
      : checkNames(knownHosts === undefined ? [] : knownHosts, `${name}.knownHosts`),
    verifier: verifier !== undefined,
    strictHostKeyChecking: checkStrictness(strictHostKeyChecking, `${name}.strictHostKeyChecking`),
    updateHostKeys: checkBoolean(updateHostKeys, `${name}.updateHostKeys`),
    hashKnownHosts: checkBoolean(hashKnownHosts, `${name}.hashKnownHosts`),
    knownHostsCommand: checkNames(knownHostsCommand, `${name}.knownHostsCommand`),
    noHostAuthenticationForLocalhost: checkBoolean(
      noHostAuthenticationForLocalhost,
      `${name}.noHostAuthenticationForLocalhost`,
    ),
    revokedHostKeys: checkNames(revokedHostKeys, `${name}.revokedHostKeys`),
    requiredRSASize: checkInteger(requiredRSASize, `${name}.requiredRSASize`, MIN_RSA_BITS, MAX_RSA_BITS),
    keepaliveInterval: checkMilliseconds(keepaliveInterval, `${name}.keepaliveInterval`),
    keepaliveCountMax: checkInteger(keepaliveCountMax, `${name}.keepaliveCountMax`, 1, MAX_MILLISECONDS),
    rekey: checkRekey(rekey, `${name}.rekey`),
  };
  if (hostKeyAlias !== undefined) native.hostKeyAlias = checkHost(hostKeyAlias, `${name}.hostKeyAlias`);
  if (native.knownHosts.length === 0) {
    const nowhere = `needs a file in ${name}.knownHosts to write to`;
    if (native.strictHostKeyChecking === 'accept-new')
      throw invalidArgValue(`${name}.strictHostKeyChecking`, nowhere, strictHostKeyChecking);
    if (native.updateHostKeys) throw invalidArgValue(`${name}.updateHostKeys`, nowhere, updateHostKeys);
  }
  if (proxyCommand !== undefined)
    native.proxyCommand = checkName(proxyCommand, `${name}.proxyCommand`, { secret: true });
  if (sock !== undefined) {
    if (typeof sock !== 'function') checkDuplex(sock, `${name}.sock`, 'a function or an instance of stream.Duplex');
    if (proxyCommand !== undefined)
      throw invalidArgValue(`${name}.sock`, 'must not be given together with proxyCommand', sock, { secret: true });
  }
  native.sock = sock !== undefined;
  return { native, hostVerifier: verifier, functions, agent, certificate: options.certificate, sock, asks };
}

/** The jump hosts. Users could take their questions for those of the server, so they may not ask any. */
function checkJump(jump, copies, hostVerifier) {
  if (jump === undefined) return [];
  if (jump === null || typeof jump !== 'object') {
    throw invalidArgType('options.jump', 'of type object or an instance of Array', jump);
  }
  if (!Array.isArray(jump)) return [checkHop(jump, 'options.jump', copies, hostVerifier)];
  return Array.from(jump, (hop, index) => {
    const name = `options.jump[${index}]`;
    const server = checkHop(hop, name, copies, hostVerifier);
    if (index > 0) checkUnreached(hop, name, 'is for the first jump host only');
    return server;
  });
}

function checkHop(hop, name, copies, hostVerifier) {
  warnUnknown(checkObject(hop, name), 'jump');
  const server = checkServer(hop, name, copies, hostVerifier);
  if (hop.jump !== undefined)
    throw invalidArgValue(`${name}.jump`, 'must not be given: all jump hosts are in one list', hop.jump, {
      secret: true,
    });
  if (hop.proxy !== undefined)
    throw invalidArgValue(`${name}.proxy`, 'must not be given: options.proxy leads to the first jump host', hop.proxy, {
      secret: true,
    });
  if (server.native.credentials.tryKeyboard)
    throw invalidArgValue(`${name}.tryKeyboard`, 'must not be true for a jump host', true);
  return server;
}

/** Options that connect to a server in another way than by TCP. */
const CONNECTORS = ['proxyCommand', 'sock'];

/** Refuses these options for a server that is reached through another one. */
function checkUnreached(options, name, reason) {
  for (const option of CONNECTORS) {
    if (options[option] !== undefined)
      throw invalidArgValue(`${name}.${option}`, reason, options[option], { secret: true });
  }
}

module.exports = { ASKS, CONNECTORS, checkDuplex, checkJump, checkServer, checkUnreached };
