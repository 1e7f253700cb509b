'use strict';

// Warns of options that do not exist: they would have no effect, and a mistyped one would be noticed late.

const { shorten } = require('../errors.js');

/** Options of servers: the tunnel's own, and jump hosts. */
const SERVER = `
  agent agentKeys agentKeysFirst algorithms authHandler certificate hashKnownHosts host hostKey hostKeyAlias hostVerifier
  keepaliveCountMax keepaliveInterval knownHosts knownHostsCommand noHostAuthenticationForLocalhost passphrase password port
  privateKey proxyCommand rekey requiredRSASize revokedHostKeys sock strictHostKeyChecking updateHostKeys username
`.match(/\S+/g);

/** Options of forwards that listen here. */
const LISTEN = `
  localFd localHost localPath localPathMode localPathReplace localPort maxConnections maxRate signal
`.match(/\S+/g);

/** By the objects that have them. @type {Record<string, string[]>} */
const OPTIONS = {
  SSHTunnel: [
    ...SERVER,
    ...`
      connectionAttempts debug forceIPv4 forceIPv6 forwardHost forwardPort idleTimeout jump keepAlive linger localAddress
      localHost localPort maxConnections maxRate memoryLimit proxy readyTimeout reconnect reusePort sessions signal
      tryKeyboard
      windowLimit
    `.match(/\S+/g),
  ],
  jump: SERVER,
  privateKey: ['certificate', 'key', 'passphrase'],
  proxy: ['host', 'password', 'port', 'protocol', 'username'],
  reconnect: ['initial', 'initialDelay', 'maxAttempts', 'maxDelay'],
  maxRate: ['down', 'up'],
  rekey: ['bytes', 'seconds'],
  sessions: ['connectionsEach', 'max'],
  forwardLocal: ['forwardHost', 'forwardPath', 'forwardPort', ...LISTEN],
  forwardDynamic: ['password', 'username', ...LISTEN],
  forwardRemote: `
    forwardHost forwardPath forwardPort maxConnections maxRate password remoteHost remotePath remotePort signal socks
    username
  `.match(/\S+/g),
  connect: ['signal'],
  startListening: ['signal'],
  close: ['signal', 'timeout'],
  shutdown: ['force'],
};

/** Refused by other checks, with a message of their own. */
const REFUSED = { jump: ['jump', 'proxy', 'tryKeyboard'] };

/** Names that ssh, ssh2 and other packages have for options, in small letters. */
const SYNONYMS = {
  connecttimeout: 'readyTimeout',
  dstaddr: 'forwardHost',
  dsthost: 'forwardHost',
  dstport: 'forwardPort',
  hostname: 'host',
  identityagent: 'agent',
  identityfile: 'privateKey',
  jumphost: 'jump',
  key: 'privateKey',
  keyfile: 'privateKey',
  pass: 'password',
  proxyjump: 'jump',
  reconnectonerror: 'reconnect',
  remotehost: 'forwardHost',
  remoteport: 'forwardPort',
  serveralivecountmax: 'keepaliveCountMax',
  serveraliveinterval: 'keepaliveInterval',
  srcaddr: 'localHost',
  srchost: 'localHost',
  srcport: 'localPort',
  timeout: 'readyTimeout',
  user: 'username',
  userknownhostsfile: 'knownHosts',
};

/** Warnings so far; each is given once. */
const given = new Set();
const MAX_WARNINGS = 1000;

/** The number of insertions, deletions, replacements and swaps of neighbors between two texts. */
function distance(a, b) {
  let before = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, replaced);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    [before, row] = [row, next];
  }
  return row[b.length];
}

/** The option that a name is closest to; undefined if it is close to none. */
function nearest(name, options) {
  const lower = name.toLowerCase();
  const same = options.find((option) => option.toLowerCase() === lower);
  if (same !== undefined) return same;
  const synonym = Object.hasOwn(SYNONYMS, lower) ? SYNONYMS[lower] : undefined;
  if (options.includes(synonym)) return synonym;
  let best;
  // A third of the letters may differ.
  let least = Math.max(1, Math.floor(lower.length / 3)) + 1;
  for (const option of options) {
    const difference = distance(lower, option.toLowerCase());
    if (difference < least) [best, least] = [option, difference];
  }
  if (best !== undefined || lower.length < 3) return best;
  const begins = (option) => option.toLowerCase().startsWith(lower) || lower.startsWith(option.toLowerCase());
  return options.filter(begins).sort((a, b) => a.length - b.length)[0];
}

/** The objects in warnings. */
const NAMES = {
  SSHTunnel: 'SSHTunnel',
  jump: 'a jump host',
  privateKey: 'a privateKey',
  proxy: 'proxy',
  reconnect: 'reconnect',
  rekey: 'rekey',
  sessions: 'sessions',
};

/**
 * Warns of each option that does not exist, once in a process.
 * @param {object} options
 * @param {string} kind of OPTIONS
 */
function warnUnknown(options, kind) {
  const known = OPTIONS[kind];
  for (const option of Object.keys(options)) {
    if (known.includes(option) || REFUSED[kind]?.includes(option) || options[option] === undefined) continue;
    const key = `${kind} ${option}`;
    if (given.has(key) || given.size >= MAX_WARNINGS) continue;
    given.add(key);
    const name = NAMES[kind] ?? `${kind}()`;
    const close = nearest(option, known);
    const hint = close === undefined ? '' : `: did you mean '${close}'?`;
    process.emitWarning(`'${shorten(option)}' is not an option of ${name}, and is ignored${hint}`, {
      code: 'SSHTUNNEL_UNKNOWN_OPTION',
    });
  }
}

module.exports = { OPTIONS, warnUnknown };
