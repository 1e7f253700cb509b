'use strict';

// The settings of the command line and the files. The first value counts, so the command line is read first.

const fs = require('node:fs');

const { configError } = require('../errors.js');
const { wipe } = require('../secrets.js');
const { makeContext } = require('../ssh-config/context.js');
const { Config } = require('../ssh-config/index.js');
const { attemptsTime, expandForwarding, milliseconds } = require('../ssh-config/options.js');
const { expandCommand, expandHome, expandPath } = require('../ssh-config/tokens.js');
const { localPathFault } = require('../validate/names.js');
const { MAX_MILLISECONDS } = require('../validate/primitives.js');

/** Milliseconds in which to connect, without a ConnectTimeout: sshd allows as long by default. */
const READY_TIMEOUT = 120_000;
/** Seconds of silence after which a keepalive request is sent, with Reconnect and without ServerAliveInterval. */
const ALIVE_INTERVAL = 30;

/** Directives that the command supports, and fromConfig() does not. */
const SUPPORTED = ['RemoteForward', 'DynamicForward', 'PermitLocalCommand'];
/** Directives whose part that is ignored weakens something, or leads to another session. */
const GRAVE = ['CertificateFile', 'IdentityFile', 'PKCS11Provider', 'UserKnownHostsFile'];

/** All settings except the keys, which are read for each attempt to connect. */
class Settings {
  #config;
  #passphrases;

  /** @param {import('./arguments.js').CommandLine} line */
  constructor(line) {
    this.#passphrases = new Map();
    const context = makeContext(line.configFile, { lines: line.lines, passphrases: this.#passphrases });
    this.#config = new Config(context, {});
    this.host = line.host;
    const { reader, notices, factsOf, wipe } = this.#config.read(line.host);
    wipe();
    this.reader = reader;
    /** A message for each setting that is ignored, whether it is grave, and the key file that others can read. */
    this.notices = notices
      .filter(({ option }) => !SUPPORTED.includes(option))
      .map((notice) => {
        const { locked, exposed } = factsOf(notice);
        return { text: noticeText(notice), grave: GRAVE.includes(notice.option) && !locked, exposed };
      });
    this.stdio = line.stdio;
    this.program = line.program;
    this.services = line.services;
    if (this.forks) this.#checkBackground(line);
    this.forwardings = line.stdio === undefined ? forwardingsOf(this.reader, line.forwardings) : [];
  }

  /** Whether a supervisor runs the command: a tunnel in the background is to come back, and to be complete. */
  get isSupervised() {
    return Object.hasOwn(this.services, 'supervisor');
  }

  /** Whether a disconnected session is restored. */
  get reconnects() {
    return this.value('Reconnect', this.isSupervised);
  }

  /** The value of a directive, or its default. */
  value(name, otherwise) {
    return this.reader.value(name) ?? otherwise;
  }

  get logLevel() {
    return this.value('LogLevel', 'INFO');
  }

  get batch() {
    return this.value('BatchMode', false);
  }

  get passwordPrompts() {
    return this.value('NumberOfPasswordPrompts', 3);
  }

  /** Whether the command goes to the background. */
  get forks() {
    return this.value('ForkAfterAuthentication', false);
  }

  /** The command to run when everything listens. */
  get localCommand() {
    const { value, line } = this.reader.settings.get('LocalCommand') ?? {};
    if (!this.value('PermitLocalCommand', false) || value === undefined || value.toLowerCase() === 'none')
      return undefined;
    return expandCommand(value, { ...this.reader.tokens, T: 'NONE' }, line);
  }

  /** The path of the control socket, if there is one. */
  get controlPath() {
    const { value, line } = this.reader.settings.get('ControlPath') ?? {};
    if (value === undefined || value.toLowerCase() === 'none') return undefined;
    const path = expandPath(value, { ...this.reader.context, tokens: this.reader.tokens }, line);
    const fault = localPathFault(path);
    if (fault !== undefined) throw line.error(`ControlPath '${path}' ${fault}`);
    return path;
  }

  /**
   * Whether the command listens on the control socket. Only with `yes`: with `auto` and `ask`, ssh shares sessions
   * or asks the user, and a path that is meant for that is left to it.
   */
  get isMaster() {
    return this.value('ControlMaster') === 'true';
  }

  /** Options for the files of Unix sockets. */
  get socketFile() {
    const mask = this.value('StreamLocalBindMask');
    return {
      ...(mask === undefined ? {} : { localPathMode: 0o777 & ~mask }),
      localPathReplace: this.value('StreamLocalBindUnlink', false),
    };
  }

  get exitOnForwardFailure() {
    // A program that is run may need all of them.
    return this.value('ExitOnForwardFailure', this.program !== undefined || this.isSupervised);
  }

  /** The family of addresses to listen on, `any` for both. */
  get family() {
    return this.value('AddressFamily', 'any');
  }

  /** The targets that clients of a SOCKS proxy at the server may name; undefined: any. */
  get permittedTargets() {
    return this.value('PermitRemoteOpen', {}).targets;
  }

  get gatewayPorts() {
    return this.value('GatewayPorts', false);
  }

  /**
   * Milliseconds that connections may go on after the first signal, undefined without a limit. null: they are closed by
   * their Linger at once, which is the default for a Linger other than `true`.
   */
  get closeTimeout() {
    if (this.reader.settings.has('CloseTimeout')) return milliseconds(this.value('CloseTimeout'));
    return this.linger === true ? undefined : null;
  }

  /** @returns {boolean | { l_onoff: number, l_linger: number }} */
  get linger() {
    return this.value('Linger', true);
  }

  /** Milliseconds that the user may take for all answers. */
  get userTimeout() {
    return READY_TIMEOUT;
  }

  /** Milliseconds, if there is a ConnectTimeout. */
  get connectTimeout() {
    return milliseconds(this.value('ConnectTimeout') || undefined);
  }

  /** Reads this key file with its passphrase from now on. @param {Uint8Array} passphrase */
  unlock(file, passphrase) {
    this.#passphrases.set(file, passphrase);
  }

  /** Forgets the passphrases. */
  wipe() {
    wipe(this.#passphrases.values());
    this.#passphrases.clear();
  }

  /**
   * Options for a tunnel without a target of its own.
   * @returns {Pick<ReturnType<Config['read']>, 'options' | 'servers' | 'locked' | 'wipe'>}
   */
  read() {
    const { options, servers, locked, wipe } = this.#config.read(this.host);
    options.linger = this.linger;
    options.readyTimeout ??= Math.min(READY_TIMEOUT + attemptsTime(this.reader), MAX_MILLISECONDS);
    if (this.reconnects) {
      options.reconnect = true;
      options.keepaliveInterval ??= ALIVE_INTERVAL * 1000;
    }
    return { options, servers, locked, wipe };
  }

  /**
   * Refuses what needs the standard streams, which -f takes away.
   * @param {import('./arguments.js').CommandLine} line
   */
  #checkBackground({ json, stdio, program }) {
    const { line } = this.reader.settings.get('ForkAfterAuthentication');
    if (process.platform === 'win32') throw line.error('there is no background on Windows: start it as a service');
    if (stdio !== undefined || json || program !== undefined) {
      const other = program === undefined ? (json ? '--json' : '-W') : 'run';
      throw line.error(`ForkAfterAuthentication cannot be given together with ${other}: it ends standard output`);
    }
  }
}

/**
 * The forwardings of a command line, then those of the files for a host; the same one counts once.
 * @param {import('../ssh-config/reader.js').Reader} reader
 * @param {object[]} [given] those of the command line
 */
function forwardingsOf(reader, given = []) {
  if (reader.value('ClearAllForwardings')) return [];
  const line = { error: (reason) => configError(reason, { file: 'command line' }) };
  // As for ssh: a host of the command line may have a percent sign in it, as addresses with a zone do.
  const all = given.map((value) => expandForwarding(reader, value, line, { hosts: false }));
  for (const name of ['LocalForward', 'DynamicForward', 'RemoteForward']) {
    for (const { value, line } of reader.list(name)) all.push(expandForwarding(reader, value, line));
  }
  const seen = new Set();
  return all.filter((value) => !seen.has(JSON.stringify(value)) && seen.add(JSON.stringify(value)));
}

function noticeText({ option, value, reason, file, line }) {
  const where = [file, line === undefined ? undefined : `line ${line}`].filter(Boolean).join(' ');
  return `${where && `${where}: `}${option} ${value}: ${reason}`;
}

/** Warnings about files of -i that are ignored. @returns {string[]} */
function missingIdentities(identities) {
  const { home } = makeContext();
  return identities.flatMap((file) => {
    try {
      fs.accessSync(expandHome(file, home, { error: (reason) => new Error(reason) }));
      return [];
    } catch {
      return [`Warning: Identity file ${file} not accessible: No such file or directory.`];
    }
  });
}

module.exports = { Settings, forwardingsOf, missingIdentities };
