'use strict';

// `SSHTunnel.fromConfig()`: the options that ssh_config files have for a host.

const { isDeepStrictEqual } = require('node:util');

const { checkName, checkObject } = require('../validate/primitives.js');
const { invalidArgValue } = require('../errors.js');
const { checkHost, checkPort, checkUser, hasControl, isHost, isUser } = require('../validate/names.js');
const { copyOf, wipe } = require('../secrets.js');
const { makeContext } = require('./context.js');
const { ROUTE, TRUST } = require('./directives.js');
const { readIdentities } = require('./identities.js');
const { dialOptions, forwarding, readyTimeout, serverOptions } = require('./options.js');
const { Reader } = require('./reader.js');
const { forShell } = require('./tokens.js');

/** Jump hosts that are reached through others, in turn. */
const DEEPEST = 16;

/** Likewise `ROUTE` and `TRUST`: with one of them, nothing counts that the files say about the matter. */
const TARGET = ['forwardHost', 'forwardPort'];
/** What is given, so to speak, for a jump host that is reached through the one before it. */
const REACHED = { jump: {} };

/**
 * @param {string} host as it would be given to ssh
 * @param {object} overrides the constructor's options, and `configFile`
 * @param {import('./context.js').Context} [context] where to read
 * @returns {{ options: object, notices: object[], wipe: () => void }} what to make a tunnel of, and
 *   what to call when that is done
 */
function readConfig(host, overrides = {}, context) {
  checkGiven(isHost, checkHost(host, 'host'), 'host');
  const members = Object.entries(checkObject(overrides, 'overrides'));
  const { configFile, ...given } = Object.fromEntries(members.filter(([, value]) => value !== undefined));
  if (configFile !== undefined && hasControl(checkName(configFile, 'overrides.configFile'))) {
    throw invalidArgValue('overrides.configFile', 'must not contain control characters', configFile);
  }
  // These three stand for tokens in commands of the files.
  if (given.host !== undefined) checkGiven(isHost, checkHost(given.host, 'overrides.host'), 'overrides.host');
  if (given.port !== undefined) checkPort(given.port, 'overrides.port');
  if (given.username !== undefined)
    checkGiven(isUser, checkUser(given.username, 'overrides.username'), 'overrides.username');
  return new Config(context ?? makeContext(configFile), given).read(host);
}

/** Refuses what ssh refuses where it is given one: commands of the files may name it. */
function checkGiven(isIt, value, name) {
  if (!isIt(value)) throw invalidArgValue(name, 'has characters that are in no name', value);
}

/** What the files say of a host and of those on the way to it. */
class Config {
  #context;
  #given;
  #passphrase;
  /** What was read, by destination: each is read once, however often options are made of it. */
  #readers = new Map();
  #notices = [];
  #secrets = [];
  #locked = [];

  constructor(context, given) {
    this.#context = context;
    this.#given = given;
    const { passphrase } = given;
    // Anything else is for the constructor to refuse.
    if (typeof passphrase === 'string' || passphrase instanceof Uint8Array)
      this.#secrets.push((this.#passphrase = copyOf(passphrase)));
  }

  /**
   * Options for a tunnel. Reads the keys every time, the files only once.
   * @returns {{ options: object, notices: object[], wipe: () => void, reader: Reader, locked: string[] }}
   *   locked: files of keys that only lack their passphrase
   */
  read(host) {
    const given = this.#given;
    this.#locked = [];
    const has = (names) => names.some((name) => name in given);
    try {
      const { host: hostName, port, username } = given;
      const reader = this.#reader({ host, hostName, port, username }, given);
      const notice = this.#noticeOf(reader);
      const options = {
        ...this.#server(reader, 'privateKey' in given),
        ...readyTimeout(reader),
        ...(has(TARGET) || this.#context.command !== undefined ? {} : forwarding(reader, notice)),
        ...(has(ROUTE) ? {} : this.#route(reader)),
      };
      return {
        options: merge(options, given, this.#context.command === undefined),
        notices: this.#notices,
        wipe: () => this.#wipe(),
        reader,
        locked: this.#locked,
      };
    } catch (error) {
      this.#wipe();
      throw error;
    }
  }

  /**
   * @param {object} given options of the constructor that decide what concerns this host
   * @param {import('./context.js').Context} [context] where to read
   */
  #reader(destination, given, context = this.#context) {
    const name = JSON.stringify([destination, context === this.#context, given === REACHED]);
    if (this.#readers.has(name)) return this.#readers.get(name);
    const reader = new Reader(context, destination);
    reader.read();
    this.#readers.set(name, reader);
    const refusal = reader.settings.get('RefuseConnection');
    if (refusal !== undefined) throw refusal.line.error(`RefuseConnection: ${refusal.value}`);
    for (const setting of reader.unhonoured) {
      const { name, line, reason, refuses } = setting;
      if (refuses?.(reader, given)) throw line.error(`${name} is not supported: ${reason}`);
      this.#noticeOf(reader)(setting, reason);
    }
    return reader;
  }

  /** What writes down for a host what is not honoured. */
  #noticeOf({ host }) {
    return ({ name, value, line }, reason) => {
      const notice = { host, option: name, value: line === undefined ? value : line.args.join(' '), reason };
      if (line !== undefined) Object.assign(notice, { file: line.file, line: line.number });
      // A hop may be there twice, and a file may be read twice.
      if (!this.#notices.some((other) => isDeepStrictEqual(other, notice))) this.#notices.push(Object.freeze(notice));
    };
  }

  #server(reader, hasKey = false) {
    const notice = this.#noticeOf(reader);
    const identities = hasKey
      ? { keys: [], publicKeys: [], locked: [] }
      : readIdentities(reader, this.#passphrase, notice, this.#secrets);
    this.#locked.push(...identities.locked);
    return serverOptions(reader, identities, notice);
  }

  /** The hosts to go through, the first first, and how that one is reached. */
  #route(reader, depth = 0) {
    const jump = reader.settings.get('ProxyJump');
    if (!(jump?.value.length > 0)) return { ...dialOptions(reader), ...commandTo(reader) };
    if (depth > DEEPEST) throw jump.line.error('jump hosts that are reached through each other');
    // As for ssh, the command line is about the last server; the files are about all of them.
    const { command } = this.#context;
    const context =
      command?.lines.length > 0 ? { ...this.#context, command: { ...command, lines: [] } } : this.#context;
    const hops = jump.value.map(({ user, host, port }, index) =>
      this.#reader({ host, port, username: user }, index === 0 ? {} : REACHED, context),
    );
    // Only the way to the first is its own: the others are reached from the one before.
    const { jump: before = [], proxyCommand, ...dialing } = this.#route(hops[0], depth + 1);
    const [first, ...others] = hops.map((hop) => this.#hop(hop));
    if (proxyCommand !== undefined) first.proxyCommand = proxyCommand;
    return { ...dialing, jump: [...before, first, ...others] };
  }

  /** Whoever is asked about the tunnel's server is asked about those on the way to it. */
  #hop(reader) {
    const { hostVerifier } = this.#given;
    return { ...this.#server(reader), ...(hostVerifier === undefined ? {} : { hostVerifier }) };
  }

  #wipe() {
    wipe(this.#secrets.splice(0));
  }
}

/** The command that leads to a server; its tokens but one are filled in when it is run. */
function commandTo(reader) {
  const { value, line } = reader.settings.get('ProxyCommand') ?? {};
  if (value === undefined || value.toLowerCase() === 'none') return {};
  const command = value.replace(/%(.?)/gs, (token, letter) => {
    // The name that ssh was given is known here only.
    if (letter === 'n') return forShell(reader.host, token, line).replaceAll('%', '%%');
    if (!['h', 'p', 'r', '%'].includes(letter)) throw line.error(`'${token}' stands for nothing in a ProxyCommand`);
    return token;
  });
  return { proxyCommand: command };
}

/** @param {boolean} narrow whether only methods stay that there is something for: the command asks for what is missing */
function merge(options, given, narrow) {
  const merged = { ...options, ...given };
  const drop = (names) => {
    for (const name of names) if (!(name in given)) delete merged[name];
  };
  if (TRUST.some((name) => name in given)) drop([...TRUST, 'strictHostKeyChecking', 'updateHostKeys', 'hostKeyAlias']);
  if ('agent' in given) drop(['agentKeys']);
  if ('algorithms' in given) merged.algorithms = { ...options.algorithms, ...given.algorithms };
  if (narrow && !('authHandler' in given) && merged.authHandler !== undefined) merged.authHandler = usable(merged);
  return merged;
}

/** The methods that there is something for. */
function usable({ authHandler, privateKey, agent, password, tryKeyboard }) {
  const has = { publickey: privateKey, agent, none: true, 'keyboard-interactive': tryKeyboard || password, password };
  return authHandler.filter((method) => has[method]);
}

module.exports = { Config, readConfig };
