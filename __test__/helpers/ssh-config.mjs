// A configuration as OpenSSH's client and fromConfig read it, in the same words.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { findProgram } from './ensure-sshd.mjs';

const require = createRequire(import.meta.url);
const { makeContext } = require('../../lib/ssh-config/context.js');
const { Reader } = require('../../lib/ssh-config/reader.js');
const { readConfig } = require('../../lib/ssh-config/index.js');
const { expandPath } = require('../../lib/ssh-config/tokens.js');

const ssh = findProgram('ssh');

/** Supported directives that `ssh -G` prints, with the name of the option. */
const PRINTED = {
  hostname: (reader) => reader.hostName.toLowerCase(),
  port: (reader) => reader.port,
  user: (reader) => reader.username,
  addressfamily: (reader) => reader.value('AddressFamily'),
  bindaddress: (reader) => reader.value('BindAddress'),
  certificatefile: (reader) => values(reader, 'CertificateFile'),
  clearallforwardings: (reader) => yes(reader.value('ClearAllForwardings')),
  compression: (reader) => yes(reader.value('Compression')),
  connecttimeout: (reader) => reader.value('ConnectTimeout'),
  gatewayports: (reader) => yes(reader.value('GatewayPorts')),
  globalknownhostsfile: (reader) => files(reader.value('GlobalKnownHostsFile')),
  hashknownhosts: (reader) => yes(reader.value('HashKnownHosts')),
  hostkeyalias: (reader) => reader.value('HostKeyAlias')?.toLowerCase(),
  identitiesonly: (reader) => yes(reader.value('IdentitiesOnly')),
  identityagent: (reader) => reader.value('IdentityAgent'),
  identityfile: (reader) => values(reader, 'IdentityFile'),
  kbdinteractiveauthentication: (reader) => yes(reader.value('KbdInteractiveAuthentication')),
  localforward: (reader) =>
    reader.value('ClearAllForwardings') ? undefined : reader.list('LocalForward').map(({ value }) => forwarding(value)),
  passwordauthentication: (reader) => yes(reader.value('PasswordAuthentication')),
  preferredauthentications: (reader) => reader.value('PreferredAuthentications'),
  proxycommand: (reader) => named(reader.value('ProxyCommand')),
  proxyjump: (reader) => reader.value('ProxyJump')?.map(hop).join(','),
  rekeylimit: (reader) => limit(reader.value('RekeyLimit')),
  requiredrsasize: (reader) => reader.value('RequiredRSASize'),
  revokedhostkeys: (reader) => named(reader.value('RevokedHostKeys')),
  canonicaldomains: (reader) => reader.value('CanonicalDomains')?.join(' '),
  canonicalizemaxdots: (reader) => reader.value('CanonicalizeMaxDots'),
  canonicalizehostname: (reader) =>
    ({ yes: 'true', no: 'false', always: 'always' })[reader.value('CanonicalizeHostname')],
  serveralivecountmax: (reader) => reader.value('ServerAliveCountMax'),
  serveraliveinterval: (reader) => reader.value('ServerAliveInterval'),
  stricthostkeychecking: (reader) =>
    ({ true: 'true', no: 'false', 'accept-new': 'accept-new' })[reader.value('StrictHostKeyChecking')],
  userknownhostsfile: (reader) =>
    files(
      reader
        .value('UserKnownHostsFile')
        ?.map((file) => expandPath(file, { ...reader.context, tokens: reader.tokens }, NO_LINE)),
    ),
};

/** Errors after parsing have no place in ssh's message either. */
const NO_LINE = { error: (reason) => Object.assign(new Error(reason), { code: 'ERR_SSH_CONFIG' }) };
const named = (value) => (value?.toLowerCase() === 'none' ? undefined : value);
const files = (paths) => (paths?.length === 0 ? 'none' : paths?.join(' '));
const yes = (flag) => (flag === undefined ? undefined : flag ? 'yes' : 'no');
const values = (reader, name) => reader.list(name).map(({ value }) => value);
const hop = ({ user, host, port }) =>
  `${user === undefined ? '' : `${user}@`}${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`;
const limit = (value) => value && `${value.bytes ?? 0} ${value.seconds ?? 0}`;

function forwarding({ listen, connect }) {
  if (listen.path !== undefined || connect?.path !== undefined) return 'sockets';
  const from = `${listen.host === undefined ? '' : `[${listen.host}]:`}${listen.port}`;
  return connect === undefined ? from : `${from} [${connect.host}]:${connect.port}`;
}

/** The differences to an empty configuration. */
function apart(all, usual) {
  return Object.fromEntries(Object.entries(all).filter(([name, value]) => String(value) !== String(usual[name])));
}

/** The configuration of ssh without a file, by host and arguments. */
const usual = new Map();

function without(host, args) {
  const key = JSON.stringify([host, args]);
  if (!usual.has(key)) usual.set(key, run('none', host, args).all);
  return usual.get(key);
}

/** Runs `ssh -G`: the supported directives, or the place of the error. */
function run(file, host, args) {
  const { status, stdout, stderr } = spawnSync(ssh, ['-G', '-F', file, ...args, host], { encoding: 'utf8' });
  if (status !== 0) return { error: { line: Number(/line (\d+):/.exec(stderr)?.[1]) || undefined, text: stderr } };
  const all = {};
  for (const line of stdout.split('\n')) {
    const [, name, value] = /^(\S+) (.*)$/s.exec(line) ?? [];
    if (name in PRINTED)
      all[name] = [
        ...(all[name] ?? []),
        value.replace(/^(\/\S+ \S*|\S+ )\/\S*$/, name === 'localforward' ? 'sockets' : '$&'),
      ];
  }
  return { all };
}

/** The output of `ssh -G` for a file, where it differs from that without a file. */
export function truth(file, host, args = []) {
  const { error, all } = run(file, host, args);
  return error ? { error } : apart(all, without(host, args));
}

/** The supported directives as read by fromConfig, as lists of texts. */
function readAll(configFile, destination, command) {
  const reader = new Reader(makeContext(configFile, command), destination);
  reader.read();
  const all = Object.entries(PRINTED).map(([name, print]) => [name, print(reader)]);
  return Object.fromEntries(
    all
      .filter(([, value]) => value !== undefined && value.length !== 0)
      .map(([name, value]) => [name, [value].flat().map(String)]),
  );
}

/** The result of `read`, or the place of its error. */
function attempt(read) {
  try {
    return read();
  } catch (error) {
    if (error.code !== 'ERR_SSH_CONFIG') throw error;
    return { error: { line: error.line, text: error.message } };
  }
}

/** The same as read by fromConfig. */
export function reading(file, host, given = {}) {
  return attempt(() =>
    apart(readAll(file, { host, ...given }), { ...without(host, []), ...readAll('none', { host, ...given }) }),
  );
}

/** What `ssh -G` says of a file and a command line, where it is not what it says of `ssh h`. */
export function wholeTruth(file, host, args) {
  const { error, all } = run(file, host, args);
  return error ? { error } : apart(all, without('h', []));
}

/** The same of what is read here; `lines` are those of the command line. */
export function wholeReading(file, host, lines) {
  const command = { lines, passphrases: new Map() };
  return attempt(() =>
    apart(readAll(file, { host }, command), { ...without('h', []), ...readAll('none', { host: 'h' }) }),
  );
}

/** A function that returns the options made of a text; without a forward in it, with a target. */
export const configureIn =
  ({ write }) =>
  (text, overrides = {}, host = 'h', context = undefined) => {
    const target = /LocalForward/.test(text) ? {} : { forwardHost: 'target', forwardPort: 1 };
    const file = context ? {} : { configFile: write(text) };
    return readConfig(host, { ...file, ...target, ...overrides }, context);
  };

/** A context with a home folder of its own in the folder. */
export function contextIn({ at }, name) {
  const home = at(name);
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  const userFolder = join(home, '.ssh');
  const systemFolder = join(home, 'etc');
  mkdirSync(systemFolder);
  return {
    ...makeContext(undefined),
    home,
    userFolder,
    systemFolder,
    userFile: join(userFolder, 'config'),
    systemFile: join(systemFolder, 'ssh_config'),
    variables: {},
  };
}
