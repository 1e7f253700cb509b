'use strict';

// The keywords of ssh_config: how their arguments are read, and which are supported.

const net = require('node:net');

const { hostFault, readDestination, readPort, userFault } = require('../validate/names.js');
const { parseForwarding } = require('./forwardings.js');
const { matches } = require('./syntax.js');

/** Keywords that do not affect a tunnel: shells, terminals, what ssh prints, what it forwards besides ports. */
const IRRELEVANT = `
  ControlPersist EnableEscapeCommandline EnableSSHKeysign EscapeChar
  FingerprintHash ForwardAgent ForwardX11 ForwardX11Timeout ForwardX11Trusted
  GSSAPIClientIdentity GSSAPIDelegateCredentials GSSAPIKexAlgorithms GSSAPIRenewalForcesRekey GSSAPIServerIdentity
  GSSAPITrustDns HostbasedAcceptedAlgorithms KbdInteractiveDevices LogVerbose ObscureKeystrokeTiming
  RemoteCommand RequestTTY SecurityKeyProvider SendEnv SessionType SetEnv StdinNull
  SyslogFacility TunnelDevice UseKeychain VersionAddendum VisualHostKey
  WarnWeakCrypto XAuthLocation
`.match(/\S+/g);

/** Affects the command `sshtunnel` only, which reads it. */
const forCommand = (read) => ({ irrelevant: true, read });

/**
 * Affects a tunnel, and is not supported.
 * @param {string} reason
 * @param {string[]} harmless first arguments with which it has no effect
 */
const unsupported = (reason, harmless = ['no', 'none', 'false']) => ({ reason, harmless });

/**
 * Not supported, and an error where ssh might refuse the server or its name by it.
 * @param {(reader: import('./reader.js').Reader, given: any) => boolean} refuses whether it might,
 *   with the constructor's options that were given
 */
const refused = (reason, refuses, harmless) => ({ ...unsupported(reason, harmless), refuses });

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

function oneOf(values) {
  return (line) => {
    const word = single(line).toLowerCase();
    if (!Object.hasOwn(values, word)) throw line.error(`${line.keyword} cannot be '${line.args[0]}'`);
    return values[word];
  };
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

/** Options that replace what the files say: about the route, and about host keys. */
const ROUTE = ['jump', 'proxyCommand', 'sock'];
const TRUST = ['hostKey', 'knownHosts'];

const GSSAPI = 'authentication by Kerberos is not supported';

/** Whether the server is reached through a proxy. */
function isProxied(reader, given) {
  if (ROUTE.some((name) => name in given))
    return [given.jump ?? []].flat().length > 0 || given.proxyCommand !== undefined || given.sock !== undefined;
  const command = reader.value('ProxyCommand');
  return reader.value('ProxyJump')?.length > 0 || (command !== undefined && command.toLowerCase() !== 'none');
}

/** Whether ssh would look for a canonical name of the host, or refuse it because there is none. */
function isCanonicalized(reader, given) {
  const name = reader.hostName;
  if (net.isIP(name) || (isProxied(reader, given) && reader.value('CanonicalizeHostname') !== 'always')) return false;
  if (name.endsWith('.')) return true;
  const dots = name.split('.').length - 1;
  if (dots > (reader.value('CanonicalizeMaxDots') ?? 1)) return false;
  return reader.value('CanonicalDomains')?.length > 0 || reader.value('CanonicalizeFallbackLocal') === false;
}

/** Whether ssh would bind the connection to a network interface. */
function isBound(reader, given) {
  return !isProxied(reader, given) && !reader.settings.has('BindAddress') && given.localAddress === undefined;
}

/** Whether ssh would also look for the key by the host's address. Not with keys or files of the application's. */
function isCheckedByAddress(reader, given) {
  const name = reader.hostName.toLowerCase();
  return (
    !isProxied(reader, given) && !net.isIP(name) && name !== 'localhost' && !TRUST.some((option) => option in given)
  );
}

/**
 * By keyword. `read`: reads the arguments of one that is supported; with a `reason`, by the command only.
 * `many`: all lines count, not only the first.
 */
const DIRECTIVES = {
  ...Object.fromEntries(IRRELEVANT.map((name) => [name, { irrelevant: true }])),
  AddKeysToAgent: forCommand(addedKeys),
  AddressFamily: { read: oneOf({ any: 'any', inet: 'inet', inet6: 'inet6' }) },
  BatchMode: forCommand(flag),
  BindAddress: { read: validName(hostFault) },
  BindInterface: refused('the connection is bound to an address only, by BindAddress', isBound, []),
  CASignatureAlgorithms: { read: keyAlgorithms },
  CanonicalDomains: { read: wordList },
  CanonicalizeFallbackLocal: { read: flag },
  CanonicalizeHostname: {
    ...refused(
      'names are not canonicalized, and what the files say of the canonical name would be ignored',
      isCanonicalized,
    ),
    read: oneOf({ yes: 'yes', true: 'yes', no: 'no', false: 'no', always: 'always' }),
  },
  CanonicalizeMaxDots: { read: count },
  CanonicalizePermittedCNAMEs: unsupported('names are not canonicalized'),
  CertificateFile: { read: single, many: true },
  ChannelTimeout: unsupported("idle connections are closed by the option 'idleTimeout'"),
  CheckHostIP: refused('host keys are looked up by name only', isCheckedByAddress),
  Ciphers: { read: single },
  ClearAllForwardings: { read: flag },
  Compression: { read: oneOf({ yes: true, no: false }) },
  ControlMaster: forCommand(
    oneOf({ yes: 'true', true: 'true', no: 'false', false: 'false', auto: 'auto', ask: 'ask', autoask: 'autoask' }),
  ),
  ControlPath: forCommand(single),
  ConnectTimeout: { read: time },
  ConnectionAttempts: { read: count },
  DynamicForward: { ...unsupported('a tunnel has one target', []), read: forwarding('dynamic'), many: true },
  // A tunnel that cannot listen fails in any case; the command may have other forwardings.
  ExitOnForwardFailure: forCommand(flag),
  ForkAfterAuthentication: forCommand(flag),
  GatewayPorts: { read: flag },
  GlobalKnownHostsFile: { read: wordList },
  GSSAPIAuthentication: unsupported(GSSAPI),
  GSSAPIKeyExchange: unsupported(GSSAPI),
  HashKnownHosts: { read: flag },
  Host: {},
  HostKeyAlgorithms: { read: keyAlgorithms },
  HostKeyAlias: { read: validName(hostFault) },
  HostName: { read: validName(hostFault) },
  HostbasedAuthentication: unsupported('host-based authentication is not supported'),
  IPQoS: unsupported('the type of service of packets is not set', ['none']),
  IdentitiesOnly: { read: flag },
  IdentityAgent: { read: agentPlace },
  IdentityFile: { read: single, many: true },
  IgnoreUnknown: { read: single },
  Include: {},
  KbdInteractiveAuthentication: { read: flag },
  KexAlgorithms: { read: single },
  KnownHostsCommand: { read: command },
  LocalCommand: forCommand(command),
  LocalForward: { read: forwarding('local'), many: true },
  LogLevel: forCommand(oneOf(Object.fromEntries(LEVELS.map((level) => [level.toLowerCase(), level])))),
  MACs: { read: single },
  Match: {},
  NoHostAuthenticationForLocalhost: { read: flag },
  NumberOfPasswordPrompts: forCommand(integer),
  PKCS11Provider: unsupported('PKCS#11 keys are used through an agent only'),
  PasswordAuthentication: { read: flag },
  PermitLocalCommand: { ...unsupported('no local command is run'), read: flag },
  PermitRemoteOpen: forCommand(permitted),
  Port: { read: port },
  PreferredAuthentications: { read: single },
  ProxyCommand: { read: command },
  ProxyJump: { read: proxyJump },
  ProxyUseFdpass: unsupported('the proxy command has to relay the data itself'),
  PubkeyAcceptedAlgorithms: { read: keyAlgorithms },
  PubkeyAuthentication: {
    read: oneOf({ yes: true, true: true, no: false, false: false, unbound: true, 'host-bound': true }),
  },
  RefuseConnection: { read: single },
  RekeyLimit: { read: rekeyLimit },
  RemoteForward: { ...unsupported('a tunnel listens on this side only', []), read: forwarding('remote'), many: true },
  RequiredRSASize: { read: count },
  RevokedHostKeys: { read: single },
  ServerAliveCountMax: { read: integer },
  ServerAliveInterval: { read: time },
  StreamLocalBindMask: forCommand(mask),
  StreamLocalBindUnlink: forCommand(flag),
  StrictHostKeyChecking: {
    read: oneOf({ yes: true, true: true, ask: 'ask', 'accept-new': 'accept-new', no: 'no', false: 'no', off: 'no' }),
  },
  TCPKeepAlive: unsupported('the connection to the server is probed by ServerAliveInterval only'),
  Tag: { read: single },
  Tunnel: unsupported('no network device is forwarded'),
  UpdateHostKeys: { read: oneOf({ yes: true, true: true, no: false, false: false, ask: 'ask' }) },
  User: { read: validName(userFault) },
  UserKnownHostsFile: { read: wordList },
  VerifyHostKeyDNS: unsupported('host keys are not looked up in DNS'),
};

/** Other names that OpenSSH takes; Debian's last. */
const ALIASES = {
  ChallengeResponseAuthentication: 'KbdInteractiveAuthentication',
  DSAAuthentication: 'PubkeyAuthentication',
  HostbasedKeyTypes: 'HostbasedAcceptedAlgorithms',
  IdentityFile2: 'IdentityFile',
  KeepAlive: 'TCPKeepAlive',
  PubkeyAcceptedKeyTypes: 'PubkeyAcceptedAlgorithms',
  SkeyAuthentication: 'KbdInteractiveAuthentication',
  SmartcardDevice: 'PKCS11Provider',
  TISAuthentication: 'KbdInteractiveAuthentication',
  ProtocolKeepAlives: 'ServerAliveInterval',
  SetupTimeOut: 'ServerAliveInterval',
};

/** Keywords of earlier versions, which OpenSSH ignores now. */
const OBSOLETE = `
  AFSTokenPassing Cipher CompressionLevel FallBackToRsh GlobalKnownHostsFile2 KerberosAuthentication
  KerberosTGTPassing Protocol RSAAuthentication RhostsAuthentication RhostsRSAAuthentication UsePrivilegedPort
  UseRoaming UseRsh UserKnownHostsFile2
`.match(/\S+/g);

/** The command's own; ssh ignores them if `IgnoreUnknown` lists them. */
const COMMAND = {
  CloseTimeout: { read: time },
  Linger: { read: linger },
  Reconnect: { read: flag },
};

/**
 * @typedef {object} Directive
 * @property {string} name
 * @property {(line: import('./syntax.js').Line) => any} [read] reads its arguments
 * @property {boolean} [many] whether all of them count, not only the first
 * @property {boolean} [irrelevant]
 * @property {string} [reason] why it is ignored
 * @property {string[]} [harmless] first arguments with which it has no effect
 * @property {(reader: import('./reader.js').Reader, given: any) => boolean} [refuses]
 */

/** By the keyword in lower case. @type {Map<string, Directive>} */
const byKeyword = new Map();
for (const [name, directive] of Object.entries(DIRECTIVES)) byKeyword.set(name.toLowerCase(), { name, ...directive });
for (const [alias, name] of Object.entries(ALIASES)) byKeyword.set(alias.toLowerCase(), { name, ...DIRECTIVES[name] });
for (const name of OBSOLETE) byKeyword.set(name.toLowerCase(), { name, irrelevant: true });

/** @type {Map<string, Directive>} */
const commandKeyword = new Map(
  Object.entries(COMMAND).map(([name, directive]) => [name.toLowerCase(), { name, ...directive }]),
);

/**
 * @param {string} keyword
 * @param {boolean} [own] whether to look among the command's own, too
 * @returns {Directive | undefined}
 */
function directive(keyword, own = false) {
  const lower = keyword.toLowerCase();
  return byKeyword.get(lower) ?? (own ? commandKeyword.get(lower) : undefined);
}

module.exports = { COMMAND, DIRECTIVES, ROUTE, TRUST, directive };
