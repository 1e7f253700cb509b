'use strict';

// The constructor's options, by the directives for one host.

const path = require('node:path');

const { noUser } = require('../errors.js');
const {
  MAX_REKEY_BYTES,
  MAX_RSA_BITS,
  MIN_REKEY_BYTES,
  MIN_RSA_BITS,
  knownAlgorithms,
} = require('../validate/limits.js');
const { MAX_MILLISECONDS, READY_TIMEOUT } = require('../validate/primitives.js');
const { ipVersion, localPathFault } = require('../validate/names.js');
const { matches, matchesAny, splitWords } = require('./syntax.js');
const { expand, expandPath, expandVariables } = require('./tokens.js');

/** The methods of authentication that ssh tries by default. */
const METHODS = ['publickey', 'keyboard-interactive', 'password'];

/** Directives with lists of algorithms, by the constructor's names for their kinds. */
const ALGORITHMS = {
  kex: 'KexAlgorithms',
  cipher: 'Ciphers',
  serverHostKey: 'HostKeyAlgorithms',
  hmac: 'MACs',
  caSignature: 'CASignatureAlgorithms',
  publicKey: 'PubkeyAcceptedAlgorithms',
};

/** Ciphers that need no MAC. */
const AUTHENTICATED = /gcm|poly1305/;

/** The MACs of OpenSSH: other names are errors there. */
const MACS = [
  ...['hmac-sha1', 'hmac-sha1-96', 'hmac-sha2-256', 'hmac-sha2-512', 'hmac-md5', 'hmac-md5-96'],
  ...['umac-64@openssh.com', 'umac-128@openssh.com'],
  ...['hmac-sha1', 'hmac-sha1-96', 'hmac-sha2-256', 'hmac-sha2-512', 'hmac-md5', 'hmac-md5-96'].map(
    (name) => `${name}-etm@openssh.com`,
  ),
  ...['umac-64-etm@openssh.com', 'umac-128-etm@openssh.com'],
];

/** Leaves out undefined members, which would hide defaults. */
function defined(members) {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/**
 * A server or jump host by the files.
 * @typedef {object} ConfiguredServer
 * @property {any} options as the constructor takes them
 * @property {boolean} writesKnownHosts whether there is a file for keys that are accepted
 * @property {import('./identities.js').KeyFile[]} keyFiles where each of its private keys is from
 * @property {import('./values.js').AddedKeys} [addedKeys] which of them are added to its agent
 */

/**
 * @param {import('./reader.js').Reader} reader
 * @param {ReturnType<import('./identities.js').readIdentities>} identities
 * @param {(setting: object, reason: string) => void} notice
 * @returns {ConfiguredServer}
 */
function configuredServer(reader, identities, notice) {
  const interval = reader.value('ServerAliveInterval');
  const countMax = reader.value('ServerAliveCountMax');
  const { writesKnownHosts, ...trust } = hostKeys(reader, notice);
  const options = defined({
    host: hostName(reader),
    port: reader.port,
    username: username(reader),
    ...credentials(reader, identities, notice),
    ...trust,
    algorithms: algorithms(reader, notice),
    keepaliveInterval: milliseconds(interval),
    // With zero the session would be lost with the first keepalive request.
    keepaliveCountMax: countMax === undefined ? undefined : Math.max(1, countMax),
    rekey: rekey(reader, notice),
  });
  return { options, writesKnownHosts, keyFiles: identities.keyFiles, addedKeys: reader.value('AddKeysToAgent') };
}

/** The constructor refuses to go without it; the command has other places for it. */
function username({ username, context }) {
  if (username !== '') return username;
  if (context.command === undefined) return undefined;
  throw noUser(context.uid, "give it as user@host, by -l, or by 'User' in a file");
}

/** Names ignore case, and files of known hosts have small letters. */
function hostName(reader) {
  const name = reader.hostName;
  const lower = name.toLowerCase();
  return lower === name || ipVersion(name) !== 0 ? name : lower;
}

function credentials(reader, { keys, publicKeys, strays }, notice) {
  const options = { privateKey: keys.length > 0 ? keys : undefined };
  const agent = usableAgent(identityAgent(reader), notice);
  const only = reader.value('IdentitiesOnly') === true;
  if (agent !== undefined && !(only && publicKeys.length === 0)) {
    options.agent = agent;
    if (only) options.agentKeys = publicKeys;
    else {
      const first = [...strays.map(({ line }) => line), ...publicKeys];
      if (first.length > 0) options.agentKeysFirst = first;
    }
  }
  const certifies = options.agent !== undefined && !only && strays.length > 0;
  if (!certifies)
    for (const { setting } of strays) notice(setting, 'the certificate belongs to no key that is read here');
  // As ssh: certificates, then the keys of the agent, those of the files first, then the others of the files.
  const both = options.agent !== undefined && keys.length > 0;
  const methods = authMethods(reader, notice, both ? ['agent', 'publickey'] : ['publickey', 'agent']);
  if (methods !== undefined) options.authHandler = methods;
  return options;
}

/** As ssh, which continues without an agent that it cannot reach. */
function usableAgent(agent, notice) {
  const reason = agent && localPathFault(agent);
  if (reason) notice({ name: 'IdentityAgent', value: agent }, `the path ${reason}`);
  return reason ? undefined : agent;
}

/** Where the agent listens. Unlike the constructor, ssh reads the environment. */
function identityAgent(reader) {
  const { context, tokens } = reader;
  const setting = reader.settings.get('IdentityAgent');
  const variable =
    setting === undefined || setting.value === 'SSH_AUTH_SOCK'
      ? 'SSH_AUTH_SOCK'
      : /^\$([^{].*)$/.exec(setting.value)?.[1];
  if (variable !== undefined) return context.variables[variable] || undefined;
  if (setting.value.toLowerCase() === 'none') return undefined;
  return expandPath(setting.value, { ...context, tokens }, setting.line);
}

/**
 * The methods to use, unless they are the default ones.
 * @param {string[]} keys the methods of keys, in order
 */
function authMethods(reader, notice, keys) {
  const preferred = reader.settings.get('PreferredAuthentications');
  const off = {
    publickey: 'PubkeyAuthentication',
    'keyboard-interactive': 'KbdInteractiveAuthentication',
    password: 'PasswordAuthentication',
  };
  const named = preferred === undefined ? METHODS : preferred.value.split(',');
  const unknown = named.filter((method) => !METHODS.includes(method));
  if (unknown.length > 0) notice(preferred, `not supported: ${unknown.join(', ')}`);
  const left = METHODS.filter((method) => named.includes(method) && reader.value(off[method]) !== false);
  if (preferred === undefined && left.length === METHODS.length && keys[0] === 'publickey') return undefined;
  left.sort((a, b) => named.indexOf(a) - named.indexOf(b));
  // ssh begins with `none` whatever is preferred; here keys may come before it.
  const secret = left.findIndex((method) => method !== 'publickey');
  left.splice(secret < 0 ? left.length : secret, 0, 'none');
  return left.flatMap((method) => (method === 'publickey' ? keys : [method]));
}

function hostKeys(reader, notice) {
  const { context, tokens } = reader;
  const files = (name, defaults) => {
    const setting = reader.settings.get(name);
    const paths = setting?.value ?? defaults;
    return [paths].flat().map((file) => expandPath(file, { ...context, tokens }, setting?.line));
  };
  const own = context.home === undefined ? [] : ['~/.ssh/known_hosts', '~/.ssh/known_hosts2'];
  const userFiles = files('UserKnownHostsFile', own);
  if (context.home === undefined && !reader.settings.has('UserKnownHostsFile')) {
    notice(
      { name: 'UserKnownHostsFile', value: '~/.ssh/known_hosts' },
      "the user's home folder is not known: set HOME",
    );
  }
  const setting = reader.settings.get('GlobalKnownHostsFile');
  const systemFiles =
    setting?.value ?? ['ssh_known_hosts', 'ssh_known_hosts2'].map((name) => `${context.systemFolder}/${name}`);
  const revoked = reader.settings.get('RevokedHostKeys');
  const size = reader.value('RequiredRSASize');
  const options = {
    revokedHostKeys:
      revoked === undefined || revoked.value.toLowerCase() === 'none' ? undefined : files('RevokedHostKeys'),
    // As with ssh, it can only be raised.
    requiredRSASize: size === undefined ? undefined : Math.min(Math.max(size, MIN_RSA_BITS), MAX_RSA_BITS),
    knownHosts: [...userFiles, ...systemFiles],
    hostKeyAlias: reader.value('HostKeyAlias')?.toLowerCase(),
    strictHostKeyChecking: reader.value('StrictHostKeyChecking'),
    // As ssh, which by default does not write to files that the user has chosen.
    updateHostKeys: reader.value('UpdateHostKeys') ?? !reader.settings.has('UserKnownHostsFile'),
    hashKnownHosts: reader.value('HashKnownHosts'),
    knownHostsCommand: knownHostsCommand(reader),
    noHostAuthenticationForLocalhost: reader.value('NoHostAuthenticationForLocalhost'),
    writesKnownHosts: userFiles.length > 0,
  };
  if ((options.strictHostKeyChecking ?? 'ask') === 'ask') {
    // The command asks the user, and writes the key; an application decides by its hostVerifier.
    if (context.command !== undefined) options.strictHostKeyChecking = 'ask';
    else if (options.strictHostKeyChecking === 'ask') options.strictHostKeyChecking = true;
  }
  if (options.updateHostKeys === 'ask') {
    notice(reader.settings.get('UpdateHostKeys'), 'the user cannot be asked: taken as no');
    options.updateHostKeys = false;
  }
  if (!options.writesKnownHosts) {
    // Users do not write the system's files, and ssh refuses a new key that it cannot write.
    if (['accept-new', 'no'].includes(options.strictHostKeyChecking)) {
      notice(reader.settings.get('StrictHostKeyChecking'), 'there is no UserKnownHostsFile to write to: taken as yes');
      options.strictHostKeyChecking = true;
    }
    options.updateHostKeys = false;
  }
  return options;
}

/** Tokens that are known when the server has shown its key. */
const LATE = ['H', 'I', 'K', 'f', 't'];

/** The words of a KnownHostsCommand, with the tokens that are known later. */
function knownHostsCommand({ settings, tokens, context }) {
  const { value, line } = settings.get('KnownHostsCommand') ?? {};
  if (value === undefined || value.toLowerCase() === 'none') return undefined;
  const [program, ...words] = splitWords(value, line, { comments: false });
  if (!path.isAbsolute(program ?? '')) throw line.error(`'${program}' is not the absolute path of a program`);
  const literal = (text) => text.replaceAll('%', '%%');
  const later = Object.fromEntries(LATE.map((letter) => [letter, `%${letter}`]));
  const check = (text, token) => (LATE.includes(token[1]) ? text : literal(text));
  return [
    program,
    ...words.map((word) => expandTwice(word, { ...tokens, ...later }, line, { check, context, literal })),
  ];
}

/** Expands what is known now of a text that is expanded once more. */
function expandTwice(text, tokens, line, { check, context, literal }) {
  return text.replace(/%%|%.?|\$\{[^}]*\}?|[^%$]+|\$/gs, (part) => {
    if (part === '%%') return part;
    if (part.startsWith('%')) return expand(part, tokens, line, { check });
    return literal(part.startsWith('${') ? expandVariables(part, context.variables, line) : part);
  });
}

/** The lists of algorithms that differ from the default ones. */
function algorithms(reader, notice) {
  const lists = {};
  for (const [kind, name] of Object.entries(ALGORITHMS)) {
    const setting = reader.settings.get(name);
    if (setting === undefined) continue;
    const list = algorithmList(setting, knownAlgorithms(kind), notice);
    if (Array.isArray(list) && list.length === 0) lists.cipher = withoutMacs(setting, lists.cipher);
    else if (list !== undefined) lists[kind] = list;
  }
  if (reader.value('Compression')) lists.compress = ['zlib@openssh.com', 'none'];
  return Object.keys(lists).length > 0 ? lists : undefined;
}

/**
 * The ciphers that authenticate packets themselves, where none of the MACs is known here: with the others, a MAC would be
 * used that the configuration excludes.
 * @param {any} setting of the MACs
 * @param {any} list of ciphers, as the constructor takes it
 */
function withoutMacs({ name, line }, list) {
  const known = knownAlgorithms('cipher');
  const others = known.filter((cipher) => !AUTHENTICATED.test(cipher));
  const kept = (ciphers = []) => ciphers.filter((cipher) => AUTHENTICATED.test(cipher));
  /** @type {any} */
  let left;
  if (Array.isArray(list)) left = kept(list);
  else {
    const { append, prepend, remove = [] } = list ?? {};
    left = { ...(append && { append: kept(append) }), ...(prepend && { prepend: kept(prepend) }) };
    left.remove = [...new Set([...remove, ...others])];
  }
  const isEmpty = Array.isArray(left) ? left.length === 0 : left.remove.length === known.length;
  if (isEmpty) {
    throw line.error(
      `${name} names no algorithm that is known here (${knownAlgorithms('hmac').join(', ')}), and every cipher that is left needs one`,
    );
  }
  return left;
}

function algorithmList(setting, known, notice) {
  const { value, name, line } = setting;
  const [, change, names] = /^([-+^]?)(.*)$/s.exec(value);
  const patterns = names.split(',');
  if (change === '-') {
    const remove = known.filter((algorithm) => matchesAny(patterns, algorithm));
    if (remove.length === known.length && name === 'MACs') return [];
    if (remove.length === known.length)
      throw line.error(`${name} leaves no algorithm that is known here: ${known.join(', ')}`);
    return remove.length > 0 ? { remove } : undefined;
  }
  const negated = patterns.find((pattern) => pattern.startsWith('!'));
  if (negated !== undefined) throw line.error(`${name} '${value}': ${negated} is not possible there`);
  const list = patterns.flatMap((pattern) => known.filter((algorithm) => matches(pattern, algorithm)));
  const unknown = patterns.filter((pattern) => !known.some((algorithm) => matches(pattern, algorithm)));
  if (unknown.length > 0) notice(setting, `not known here, and left out: ${unknown.join(', ')}`);
  if (change === '') {
    if (list.length === 0 && name === 'MACs' && patterns.every((pattern) => MACS.includes(pattern))) return list;
    if (list.length === 0) throw line.error(`${name} names no algorithm that is known here: ${known.join(', ')}`);
    return list;
  }
  if (list.length === 0) return undefined;
  return change === '+' ? { append: list } : { prepend: list };
}

/** How long it may take to connect. Without a ConnectTimeout, the default has the time for all attempts added. */
function readyTimeout(reader) {
  const timeout = reader.value('ConnectTimeout');
  if (timeout) return { readyTimeout: milliseconds(timeout) };
  if (reader.context.command !== undefined || attempts(reader) === undefined) return {};
  return { readyTimeout: Math.min(READY_TIMEOUT + attemptsTime(reader), MAX_MILLISECONDS) };
}

/** Milliseconds between all attempts to dial a server. */
function attemptsTime(reader) {
  return ((attempts(reader) ?? 1) - 1) * 1000;
}

/** How often a server is dialed, a second apart; undefined for once. */
function attempts(reader) {
  const count = reader.value('ConnectionAttempts') ?? 1;
  return count > 1 ? count : undefined;
}

/** Longer times than the constructor takes are shortened: 24 days. @param {number | undefined} seconds */
function milliseconds(seconds) {
  return seconds === undefined ? undefined : Math.min(seconds * 1000, MAX_MILLISECONDS);
}

/** How much one set of keys may carry, brought into the constructor's bounds. */
function rekey(reader, notice) {
  const setting = reader.settings.get('RekeyLimit');
  const { bytes, seconds } = setting?.value ?? {};
  const limit = {};
  if (bytes !== undefined) limit.bytes = Math.min(Math.max(bytes, MIN_REKEY_BYTES), MAX_REKEY_BYTES);
  if (seconds !== undefined) limit.seconds = Math.floor(milliseconds(seconds) / 1000);
  if (limit.bytes !== bytes) notice(setting, `taken as ${limit.bytes} bytes`);
  return Object.keys(limit).length > 0 ? limit : undefined;
}

/** The options of the connection to a server. */
function dialOptions(reader) {
  const family = reader.value('AddressFamily');
  return defined({
    localAddress: reader.value('BindAddress'),
    connectionAttempts: attempts(reader),
    forceIPv4: family === 'inet' || undefined,
    forceIPv6: family === 'inet6' || undefined,
  });
}

/** Where to listen and what to connect to: the first LocalForward that is supported. */
function forwarding(reader, notice) {
  if (reader.value('ClearAllForwardings')) return {};
  let options;
  for (const setting of reader.list('LocalForward')) {
    const { value, line } = setting;
    if (value.listen.path !== undefined || value.connect.path !== undefined)
      notice(setting, 'Unix sockets are not supported here');
    else if (options !== undefined) notice(setting, 'a tunnel has one target: the first LocalForward counts');
    else options = forward(reader, value, line);
  }
  return options ?? {};
}

function forward(reader, value, line) {
  const { listen, connect } = expandForwarding(reader, value, line);
  const { host } = listen;
  const isAny = host === '' || host === '*' || (host === undefined && reader.value('GatewayPorts'));
  return defined({
    localHost: isAny ? '0.0.0.0' : host,
    localPort: listen.port,
    forwardHost: connect.host,
    forwardPort: connect.port,
  });
}

/** Expands tokens and variables of a forwarding, in paths and, with `hosts`, in host names. */
function expandForwarding(reader, { kind, listen, connect }, line, { hosts = true } = {}) {
  const value = (text) => text && expand(text, reader.tokens, line, { variables: reader.context.variables });
  const place = ({ host, port, path }) => defined({ host: hosts ? value(host) : host, port, path: value(path) });
  return { kind, listen: place(listen), connect: connect && place(connect) };
}

module.exports = {
  attemptsTime,
  configuredServer,
  dialOptions,
  expandForwarding,
  forwarding,
  milliseconds,
  readyTimeout,
};
