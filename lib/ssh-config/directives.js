'use strict';

// The keywords of ssh_config, and which are supported.

const { hostFault, ipVersion, userFault } = require('../validate/names.js');
const {
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
} = require('./values.js');

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
  if (ipVersion(name) || (isProxied(reader, given) && reader.value('CanonicalizeHostname') !== 'always')) return false;
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
    !isProxied(reader, given) && !ipVersion(name) && name !== 'localhost' && !TRUST.some((option) => option in given)
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
