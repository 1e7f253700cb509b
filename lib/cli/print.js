'use strict';

// -G prints the settings for a host, and -Q algorithms, in the form of ssh.

const { knownAlgorithms } = require('../validate/limits.js');
const { expandPath } = require('../ssh-config/tokens.js');
const { UsageError } = require('./arguments.js');

const isCertificate = (name) => name.includes('-cert-v01@');
const all = (kind) => () => knownAlgorithms(kind);
const hostKeys = all('serverHostKey');
/** Algorithms of signatures that are no types of keys. */
const SIGNATURES = ['rsa-sha2-256', 'rsa-sha2-512'];
const types = () => [
  ...hostKeys().filter((name) => !SIGNATURES.some((other) => name.startsWith(other))),
  'ssh-rsa',
  'ssh-rsa-cert-v01@openssh.com',
];

/** What -Q lists, by its names in small letters. @type {Record<string, () => string[]>} */
const QUERIES = {
  cipher: all('cipher'),
  'cipher-auth': () => knownAlgorithms('cipher').filter((name) => /gcm|poly1305/.test(name)),
  compression: () => ['none', 'zlib@openssh.com'],
  kex: all('kex'),
  key: types,
  'key-cert': () => types().filter(isCertificate),
  'key-plain': () => types().filter((name) => !isCertificate(name)),
  'key-sig': hostKeys,
  mac: all('hmac'),
  'protocol-version': () => ['2'],
  sig: () => hostKeys().filter((name) => !isCertificate(name)),
  ciphers: all('cipher'),
  macs: all('hmac'),
  kexalgorithms: all('kex'),
  hostkeyalgorithms: hostKeys,
  casignaturealgorithms: all('caSignature'),
  pubkeyacceptedalgorithms: all('publicKey'),
};

/** The lines of -Q. */
function query(name) {
  const wanted = name.toLowerCase();
  if (wanted === 'help') return Object.keys(QUERIES).filter((one) => one !== 'help');
  if (!Object.hasOwn(QUERIES, wanted)) throw new UsageError(`Unsupported query "${name}"`);
  return QUERIES[wanted]();
}

/** A list of algorithms with its changes. */
function listOf(kind, change = {}) {
  if (Array.isArray(change)) return change;
  const { remove = [], prepend = [], append = [] } = change;
  const rest = knownAlgorithms(kind).filter((name) => ![...remove, ...prepend, ...append].includes(name));
  return [...prepend, ...rest, ...append];
}

const yes = (flag) => (flag ? 'yes' : 'no');
/** @param {import('../ssh-config/values.js').AddedKeys} [value] */
function addedKeys({ mode, seconds } = { mode: 'no', seconds: 0 }) {
  const words = { no: 'false', yes: seconds > 0 ? '' : 'true', ask: 'ask', confirm: 'confirm' };
  return [words[mode], seconds > 0 && seconds].filter(Boolean).join(' ');
}

/** @param {any} address */
const place = ({ host, port, path }) => path ?? (host === undefined ? String(port) : `[${host}]:${port}`);

const permittedPlace = ({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** As ssh prints it: a SOCKS proxy at the server has a name of its own. */
function targetOf(kind, connect) {
  if (connect !== undefined) return [place(connect)];
  return kind === 'remote' ? ['[socks]:0'] : [];
}

/** Directives that are printed as they are, with their defaults; undefined: only if they are set. */
const PLAIN = {
  AddressFamily: 'any',
  BatchMode: false,
  BindAddress: undefined,
  ClearAllForwardings: false,
  Compression: false,
  ConnectionAttempts: 1,
  ConnectTimeout: 'none',
  ControlMaster: 'false',
  ExitOnForwardFailure: false,
  ForkAfterAuthentication: false,
  GatewayPorts: false,
  HashKnownHosts: false,
  HostKeyAlias: undefined,
  IdentitiesOnly: false,
  KbdInteractiveAuthentication: true,
  KnownHostsCommand: undefined,
  LocalCommand: undefined,
  LogLevel: 'INFO',
  NoHostAuthenticationForLocalhost: false,
  NumberOfPasswordPrompts: 3,
  PasswordAuthentication: true,
  PermitLocalCommand: false,
  PreferredAuthentications: undefined,
  ProxyCommand: undefined,
  RequiredRSASize: 1024,
  RevokedHostKeys: undefined,
  ServerAliveCountMax: 3,
  ServerAliveInterval: 0,
  StreamLocalBindUnlink: false,
  Tag: undefined,
};

/** The lines of -G. @param {import('./settings.js').Settings} settings */
function settingsOf(settings) {
  const { reader, host, forwardings } = settings;
  const { options, wipe } = settings.read();
  wipe();
  const found = [
    ['host', host],
    ['user', options.username],
    ['hostname', options.host],
    ['port', options.port],
  ];
  const add = (name, value) => value !== undefined && found.push([name.toLowerCase(), value]);
  for (const [name, otherwise] of Object.entries(PLAIN)) {
    const value = reader.value(name) ?? otherwise;
    add(name, typeof value === 'boolean' ? yes(value) : value);
  }
  add('AddKeysToAgent', addedKeys(reader.value('AddKeysToAgent')));
  add('PubkeyAuthentication', String(reader.value('PubkeyAuthentication') ?? true));
  add('StreamLocalBindMask', `0${(reader.value('StreamLocalBindMask') ?? 0o177).toString(8)}`);
  add('StrictHostKeyChecking', { no: 'false' }[options.strictHostKeyChecking] ?? String(options.strictHostKeyChecking));
  add('UpdateHostKeys', String(options.updateHostKeys));
  const lists = options.algorithms ?? {};
  add('Ciphers', listOf('cipher', lists.cipher).join(','));
  add('HostKeyAlgorithms', listOf('serverHostKey', lists.serverHostKey).join(','));
  add('KexAlgorithms', listOf('kex', lists.kex).join(','));
  add('CASignatureAlgorithms', listOf('caSignature', lists.caSignature).join(','));
  add('MACs', listOf('hmac', lists.hmac).join(','));
  add('PubkeyAcceptedAlgorithms', listOf('publicKey', lists.publicKey).join(','));
  for (const name of ['IdentityFile', 'CertificateFile']) for (const { value } of reader.list(name)) add(name, value);
  const jump = reader.value('ProxyJump') ?? [];
  const hop = ({ user, host: name, port }) =>
    `${user === undefined ? '' : `${user}@`}${name.includes(':') ? `[${name}]` : name}${port === undefined ? '' : `:${port}`}`;
  if (jump.length > 0) add('ProxyJump', jump.map(hop).join(','));
  const { bytes = 0, seconds = 0 } = reader.value('RekeyLimit') ?? {};
  add('RekeyLimit', `${bytes} ${seconds}`);
  const { home, systemFolder } = reader.context;
  const expanded = (name) => (file) =>
    expandPath(file, { ...reader.context, tokens: reader.tokens }, reader.settings.get(name)?.line);
  const files = (name, expand = (file) => file) =>
    reader.value(name)?.length === 0 ? 'none' : reader.value(name)?.map(expand).join(' ');
  const own =
    home === undefined ? 'none' : ['known_hosts', 'known_hosts2'].map((name) => `${home}/.ssh/${name}`).join(' ');
  add('UserKnownHostsFile', files('UserKnownHostsFile', expanded('UserKnownHostsFile')) ?? own);
  add(
    'GlobalKnownHostsFile',
    files('GlobalKnownHostsFile') ??
      ['ssh_known_hosts', 'ssh_known_hosts2'].map((name) => `${systemFolder}/${name}`).join(' '),
  );
  // The name of a variable stays, as in ssh's list.
  if (reader.settings.has('IdentityAgent'))
    add('IdentityAgent', expanded('IdentityAgent')(reader.value('IdentityAgent')));
  for (const { kind, listen, connect } of forwardings)
    add(`${kind}Forward`, [place(listen), ...targetOf(kind, connect)].join(' '));
  const { permittedTargets } = settings;
  add('PermitRemoteOpen', permittedTargets?.map(permittedPlace).join(' ') || (permittedTargets ? 'none' : 'any'));
  add('ControlPath', settings.controlPath);
  const { linger, closeTimeout } = settings;
  add('Linger', typeof linger === 'boolean' ? yes(linger) : linger.l_linger);
  if (typeof closeTimeout === 'number') add('CloseTimeout', closeTimeout / 1000);
  add('Reconnect', yes(settings.reconnects));
  return found.map(([name, value]) => `${name} ${value}`);
}

module.exports = { query, settingsOf };
