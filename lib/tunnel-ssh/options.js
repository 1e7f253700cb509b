'use strict';

// The options of tunnel-ssh, which are those of ssh2 and of net.Server, as options of a tunnel.

const { createHash, getHashes } = require('node:crypto');

const { checkBoolean, checkFunction, checkObject } = require('../validate/primitives.js');
const { invalidArgType, invalidArgValue } = require('../errors.js');
const { checkHost, checkPort: checkNumber, checkUser } = require('../validate/names.js');
const { readAlgorithms } = require('./algorithms.js');
const { agentPath, readAuthHandler } = require('./auth-handler.js');

/** Options with the same name. As in ssh2, an empty string is ignored, except for a password. */
const SHARED =
  'password privateKey passphrase agent sock localAddress keepaliveInterval keepaliveCountMax readyTimeout'.split(' ');

/** Those of them that are numbers. */
const NUMBERS = ['keepaliveInterval', 'keepaliveCountMax', 'readyTimeout'];

/** Options of servers that ssh2 lacks. */
const OWN = `
  certificate agentKeys agentKeysFirst hostKey knownHosts strictHostKeyChecking hostKeyAlias updateHostKeys revokedHostKeys
  requiredRSASize jump proxyCommand proxy rekey
`.match(/\S+/g);

/** Options of tunnels. */
const OF_TUNNEL = ['linger', 'keepAlive', 'idleTimeout', 'windowLimit', 'memoryLimit', 'sessions'];

let warned = false;

/** Warns once in a process. */
function warnUnchecked() {
  if (warned) return;
  warned = true;
  process.emitWarning(
    'sshOptions.strictHostKeyChecking is false: an attacker in between can pose as the SSH server, and learns the ' +
      "password. To check the server, set its key in sshOptions.hostKey, or trust it at first sight ('accept-new')",
    { code: 'SSHTUNNEL_HOST_KEY_UNCHECKED' },
  );
}

/** Each of the four arguments is optional. */
function part(value, name) {
  return value === undefined || value === null ? {} : checkObject(value, name);
}

/** Ports may be text, for example from the environment, as in ssh2 and Node.js. */
function checkPort(value, name, min) {
  const port = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return checkNumber(port, name, { min });
}

function copy(from, names, isGiven) {
  const given = names.filter((name) => isGiven(from[name], name));
  return Object.fromEntries(given.map((name) => [name, from[name]]));
}

const isThere = (value) => value !== undefined && value !== null;
const counts = (value, name) => isThere(value) && (value !== '' || name === 'password');

/** @returns {Promise<{ options: object, prompt?: (...args: any[]) => void, host: string, autoClose: boolean, signal?: AbortSignal }>} */
async function readOptions(tunnelOptions, serverOptions, sshOptions, forwardOptions) {
  const tunnel = part(tunnelOptions, 'tunnelOptions');
  const { host, port, signal } = readServer(part(serverOptions, 'serverOptions'));
  const { prompt, ...ssh } = await readSsh(part(sshOptions, 'sshOptions'));
  const options = {
    ...ssh,
    ...copy(tunnel, OF_TUNNEL, isThere),
    ...readForward(part(forwardOptions, 'forwardOptions')),
    localPort: port,
    reconnect: tunnel.reconnectOnError ?? false,
  };
  const autoClose = checkBoolean(tunnel.autoClose ?? false, 'tunnelOptions.autoClose');
  return { options, prompt, host, autoClose, signal };
}

/** Where to listen: the options of net.Server.listen(). */
function readServer(options) {
  const { host, port, path, fd, ipv6Only, reusePort, signal } = options;
  if (path && !port) throw invalidArgValue('serverOptions.path', 'is not supported: give a port', path);
  if (isThere(fd)) throw invalidArgValue('serverOptions.fd', 'is not supported: give a port', fd);
  if (ipv6Only) throw invalidArgValue('serverOptions.ipv6Only', 'is not supported: give an address as host', ipv6Only);
  if (reusePort) throw invalidArgValue('serverOptions.reusePort', 'is not supported', reusePort);
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw invalidArgType('serverOptions.signal', 'an instance of AbortSignal', signal);
  }
  if (counts(host)) checkHost(host, 'serverOptions.host');
  return { host: host || '127.0.0.1', port: checkPort(port || 0, 'serverOptions.port', 0), signal };
}

/** The target. The SSH server gets the real source address. */
function readForward({ dstAddr, dstPort }) {
  if (counts(dstAddr)) checkHost(dstAddr, 'forwardOptions.dstAddr');
  return { forwardHost: dstAddr || '0.0.0.0', forwardPort: checkPort(dstPort, 'forwardOptions.dstPort', 1) };
}

async function readSsh(options) {
  refuse(options);
  const {
    algorithms,
    authHandler,
    forceIPv4,
    forceIPv6,
    host,
    hostHash,
    hostVerifier,
    hostname,
    port,
    user,
    username,
    debug,
  } = options;
  /** @type {Record<string, unknown>} */
  const server = {
    ...copy(options, SHARED, counts),
    ...copy(options, OWN, isThere),
    host: checkHost(hostname || host || 'localhost', 'sshOptions.host'),
    port: checkPort(port || 22, 'sshOptions.port', 1),
    username: checkUser(username ?? user ?? 'root', 'sshOptions.username'),
    forceIPv4: Boolean(forceIPv4),
    forceIPv6: Boolean(forceIPv6 && !forceIPv4),
  };
  // As in ssh2, anything else than a function is ignored.
  if (typeof debug === 'function') server.debug = debug;
  if (isThere(algorithms)) server.algorithms = readAlgorithms(algorithms, 'sshOptions.algorithms');
  for (const name of NUMBERS) if (typeof server[name] === 'string') server[name] = readNumber(server[name]);
  if (isThere(server.agent)) server.agent = agentPath(server.agent, 'sshOptions.agent');
  if (isThere(hostVerifier))
    server.hostVerifier = translate(checkFunction(hostVerifier, 'sshOptions.hostVerifier'), hostHash);
  if (server.strictHostKeyChecking === false) warnUnchecked();
  return isThere(authHandler) ? { ...server, ...(await readAuthHandler(authHandler, server)) } : server;
}

/** Numbers may be text as well, for example from the environment. */
function readNumber(text) {
  return /^\d{1,10}$/.test(text) ? Number(text) : text;
}

/** Refuses options that are not supported, and cannot be ignored. */
function refuse({ agent, localHostname, localPort, localUsername }) {
  if (agent === 'pageant' && process.platform !== 'win32')
    throw invalidArgValue('sshOptions.agent', 'must be the path of a socket: Pageant is a program for Windows', agent);
  if (isThere(localPort))
    throw invalidArgValue(
      'sshOptions.localPort',
      'is not supported: the system chooses the port to dial from',
      localPort,
    );
  if (isThere(localHostname) && isThere(localUsername)) {
    throw invalidArgValue(
      'sshOptions.localHostname',
      'is not supported: there is no host-based authentication',
      localHostname,
    );
  }
}

/** A verifier of ssh2, which gets the key or a hash of it, and returns or calls back. */
function translate(decide, hash) {
  const hashed = getHashes().includes(hash);
  return ({ key }) =>
    new Promise((resolve, reject) => {
      const answer = (trusted) => resolve(Boolean(trusted));
      const shown = hashed ? createHash(hash).update(key).digest('hex') : key;
      // In ssh2 the promise of an async function would be a yes.
      Promise.resolve(decide(shown, answer)).then((trusted) => {
        if (trusted !== undefined) answer(trusted);
      }, reject);
    });
}

module.exports = { readOptions };
