'use strict';

// What the command line and the files say together: the command line first, as the first value counts.

const fs = require('node:fs');

const { configError } = require('../errors.js');
const { wipe } = require('../secrets.js');
const { makeContext } = require('../ssh-config/context.js');
const { Config } = require('../ssh-config/index.js');
const { expandForwarding } = require('../ssh-config/options.js');
const { configPlace } = require('./output/messages.js');

/** Milliseconds for all of a logon where nobody says otherwise: as long as sshd allows by default. */
const PATIENCE = 120_000;
/** Seconds of silence after which a server is asked for a sign of life, where a loss is to be noticed. */
const ALIVE_INTERVAL = 30;

/** Directives that are honoured here, and not by fromConfig(). */
const HONOURED = ['RemoteForward', 'DynamicForward'];
/** What is not honoured and weakens something, or means another session than was asked for. */
const GRAVE = ['CertificateFile', 'IdentityFile', 'PKCS11Provider'];

/** Everything that was asked for, but for the keys, which are read for each attempt to log on. */
class Settings {
  #config;
  #passphrases;

  /** @param {import('./arguments.js').CommandLine} line */
  constructor(line) {
    this.#passphrases = new Map();
    const context = makeContext(line.configFile, { lines: line.lines, passphrases: this.#passphrases });
    this.#config = new Config(context, {});
    this.host = line.host;
    const { reader, notices, wipe } = this.#config.read(line.host);
    wipe();
    this.reader = reader;
    /** Each thing that is not honoured: what is said of it, and whether it is grave. */
    this.notices = notices
      .filter(({ option }) => !HONOURED.includes(option))
      .map((notice) => ({ text: noticeText(notice), grave: isGrave(notice) }));
    this.stdio = line.stdio;
    this.forwardings = this.#forwardings(line);
  }

  /** The value of a directive, or what counts without one. */
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

  get exitOnForwardFailure() {
    return this.value('ExitOnForwardFailure', false);
  }

  /** The family of addresses to listen on, `any` for both. */
  get family() {
    return this.value('AddressFamily', 'any');
  }

  get gatewayPorts() {
    return this.value('GatewayPorts', false);
  }

  /**
   * Milliseconds that connections may go on after the first signal, undefined for any time. null: they
   * are closed by their Linger at once, as those are that have a limit of their own, unless the user
   * says otherwise.
   */
  get closeTimeout() {
    if (this.reader.settings.has('CloseTimeout')) return milliseconds(this.value('CloseTimeout'));
    return this.linger === true ? undefined : null;
  }

  /** @returns {boolean | { l_onoff: number, l_linger: number }} */
  get linger() {
    return this.value('Linger', true);
  }

  /** Milliseconds for a whole logon, with a user who has to think. */
  get patience() {
    return PATIENCE;
  }

  /** The milliseconds of ConnectTimeout, where it was given. */
  get connectTimeout() {
    return milliseconds(this.value('ConnectTimeout') || undefined);
  }

  /** From now on this file of a key is read with its passphrase. @param {Uint8Array} passphrase */
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
   * @returns {{ options: object, locked: string[], wipe: () => void }} locked: files of keys whose
   *   passphrase is not known
   */
  read() {
    const { options, locked, wipe } = this.#config.read(this.host);
    options.linger = this.linger;
    options.readyTimeout ??= PATIENCE;
    if (this.value('Reconnect', false)) {
      options.reconnect = true;
      options.keepaliveInterval ??= ALIVE_INTERVAL * 1000;
    }
    return { options, locked, wipe };
  }

  /**
   * The forwardings of the command line, then those of the files; the same one counts once.
   * @param {import('./arguments.js').CommandLine} line
   */
  #forwardings({ forwardings, stdio }) {
    if (stdio !== undefined || this.value('ClearAllForwardings', false)) return [];
    const line = { error: (reason) => configError(reason, { file: 'command line' }) };
    // As for ssh: a host of the command line may have a percent sign in it, as addresses with a zone do.
    const all = forwardings.map((value) => expandForwarding(this.reader, value, line, { hosts: false }));
    for (const name of ['LocalForward', 'DynamicForward', 'RemoteForward']) {
      for (const { value, line } of this.reader.list(name)) all.push(expandForwarding(this.reader, value, line));
    }
    const seen = new Set();
    return all.filter((value) => !seen.has(JSON.stringify(value)) && seen.add(JSON.stringify(value)));
  }
}

function milliseconds(seconds) {
  return seconds === undefined ? undefined : Math.min(seconds * 1000, 2 ** 31 - 1);
}

/** A key that lacks its passphrase is asked about when it is needed. */
function isGrave({ option, reason }) {
  return GRAVE.includes(option) && !/passphrase/.test(reason);
}

function noticeText({ option, value, reason, file, line }) {
  const where = file === undefined ? '' : `${file} line ${line}: `;
  return configPlace(`${where}${option} ${value}: ${reason}`);
}

/** What is wrong with files that -i names: they are passed over. @returns {string[]} */
function missingIdentities(identities) {
  return identities.flatMap((file) => {
    try {
      fs.accessSync(file.replace(/^~(?=\/)/, process.env.HOME ?? '~'));
      return [];
    } catch {
      return [`Warning: Identity file ${file} not accessible: No such file or directory.`];
    }
  });
}

module.exports = { Settings, missingIdentities };
