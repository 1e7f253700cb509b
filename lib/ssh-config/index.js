'use strict';

// `SSHTunnel.fromConfig()`: the options of a host by ssh_config files.
//
//   context.js       who reads, on which machine, which files
//   reader.js        reads the files for one host: Host, Match, Include; glob.js: paths; wildcards.js: stars in both
//   syntax.js        takes lines apart; tokens.js: %h and its like, ${VARIABLES}, ~
//   directives.js    the table of keywords: their arguments, and what is supported
//   forwardings.js   forwarding specifications
//   identities.js    key files and certificates
//   options.js       from directives to options of the constructor

const { isDeepStrictEqual } = require('node:util');

const { invalidArgValue } = require('../errors.js');
const {
  checkHost,
  checkName,
  checkObject,
  checkPort,
  checkUser,
  hasControl,
  isHost,
  isUser,
} = require('../validate/index.js');
const { copyOf, wipe } = require('../secrets.js');
const { makeContext } = require('./context.js');
const { ROUTE, TRUST } = require('./directives.js');
const { readIdentities } = require('./identities.js');
const { configuredServer, dialOptions, forwarding, readyTimeout } = require('./options.js');
const { Reader } = require('./reader.js');
const { forShell } = require('./tokens.js');

/** Largest number of jump hosts, each with a ProxyJump of its own. */
const MAX_DEPTH = 16;

/** Options that replace what the files say about the target, as `ROUTE` and `TRUST` do for the route and host keys. */
const TARGET = ['forwardHost', 'forwardPort'];
/** Options that go with `TRUST`. */
const WITH_TRUST = `
  strictHostKeyChecking updateHostKeys hostKeyAlias hashKnownHosts knownHostsCommand noHostAuthenticationForLocalhost
`.match(/\S+/g);
/** Options that stand for the route of a jump host behind another one. */
const REACHED = { jump: {} };

/**
 * @param {string} host as it would be passed to ssh
 * @param {object} overrides the constructor's options, and `configFile`
 * @param {import('./context.js').Context} [context] where to read
 * @returns {{ options: object, notices: object[], wipe: () => void }} options of the constructor; wipe: to be called
 *   when it has returned
 */
function readConfig(host, overrides = {}, context) {
  checkGiven(isHost, checkHost(host, 'host'), 'host');
  const members = Object.entries(checkObject(overrides, 'overrides'));
  const { configFile, ...given } = Object.fromEntries(members.filter(([, value]) => value !== undefined));
  if (configFile !== undefined && hasControl(checkName(configFile, 'overrides.configFile'))) {
    throw invalidArgValue('overrides.configFile', 'must not contain control characters', configFile);
  }
  // Commands of the files may contain these three, as tokens.
  if (given.host !== undefined) checkGiven(isHost, checkHost(given.host, 'overrides.host'), 'overrides.host');
  if (given.port !== undefined) checkPort(given.port, 'overrides.port');
  if (given.username !== undefined)
    checkGiven(isUser, checkUser(given.username, 'overrides.username'), 'overrides.username');
  return new Config(context ?? makeContext(configFile), given).read(host);
}

/** Refuses names that ssh refuses on its command line: commands of the files may contain them. */
function checkGiven(isValid, value, name) {
  if (!isValid(value))
    throw invalidArgValue(name, `is not a valid ${name.includes('user') ? 'user' : 'host'} name`, value);
}

/**
 * What a notice about a key file knows of it. locked: it only lacks its passphrase; exposed: others can read it.
 * @typedef {{ locked?: boolean, exposed?: { file: string, mode: number } }} KeyFacts
 */

/** Reads the files for a host and its jump hosts. */
class Config {
  #context;
  #given;
  #passphrase;
  /** Readers by destination: the files are read once, also for several attempts to connect. */
  #readers = new Map();
  #notices = [];
  /** What is known of the key files that notices are about. @type {WeakMap<object, KeyFacts>} */
  #facts = new WeakMap();
  #secrets = [];
  #locked = [];

  constructor(context, given) {
    this.#context = context;
    this.#given = given;
    const { passphrase } = given;
    // The constructor refuses anything else.
    if (typeof passphrase === 'string' || passphrase instanceof Uint8Array)
      this.#secrets.push((this.#passphrase = copyOf(passphrase)));
  }

  /**
   * Options for a tunnel. Reads the keys every time, the files once.
   * @returns {{ options: any, servers: import('./options.js').ConfiguredServer[], notices: object[], wipe: () => void,
   *   reader: Reader, locked: string[], factsOf: (notice: object) => KeyFacts }} servers: the target, with these options,
   *   and the jump hosts, with those among them; locked: key files that only lack their passphrase
   */
  read(host) {
    const given = this.#given;
    this.#locked = [];
    const has = (names) => names.some((name) => name in given);
    try {
      const { host: hostName, port, username } = given;
      const reader = this.#reader({ host, hostName, port, username }, given);
      const notice = this.#noticeOf(reader);
      const { options: own, ...server } = this.#server(reader, 'privateKey' in given);
      const { jump, ...dialing } = has(ROUTE) ? {} : this.#route(reader);
      const all = {
        ...own,
        ...readyTimeout(reader),
        ...(has(TARGET) || this.#context.command !== undefined ? {} : forwarding(reader, notice)),
        ...dialing,
        ...(jump && { jump: jump.map((hop) => hop.options) }),
      };
      const options = merge(all, given, this.#context.command === undefined);
      return {
        options,
        servers: [{ options, ...server }, ...(jump ?? [])],
        notices: this.#notices,
        wipe: () => this.#wipe(),
        reader,
        locked: this.#locked,
        factsOf: (notice) => this.#facts.get(notice) ?? {},
      };
    } catch (error) {
      this.#wipe();
      throw error;
    }
  }

  /**
   * @param {object} given options of the constructor for this host
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
    for (const setting of reader.ignored) {
      const { name, line, reason, refuses } = setting;
      if (refuses?.(reader, given)) throw line.error(`${name} is not supported: ${reason}`);
      this.#noticeOf(reader)(setting, reason);
    }
    return reader;
  }

  /** Makes the function that records what is ignored for a host. */
  #noticeOf({ host }) {
    return ({ name, value, line }, reason, facts) => {
      const notice = { host, option: name, value: line === undefined ? value : line.args.join(' '), reason };
      if (line !== undefined) Object.assign(notice, { file: line.file }, line.number && { line: line.number });
      // A jump host may be there twice, and a file may be read twice.
      if (this.#notices.some((other) => isDeepStrictEqual(other, notice))) return;
      this.#notices.push(Object.freeze(notice));
      if (facts !== undefined) this.#facts.set(notice, facts);
    };
  }

  #server(reader, hasKey = false) {
    const notice = this.#noticeOf(reader);
    const identities = hasKey
      ? { keys: [], keyFiles: [], publicKeys: [], strays: [], locked: [] }
      : readIdentities(reader, this.#passphrase, notice, this.#secrets);
    this.#locked.push(...identities.locked);
    return configuredServer(reader, identities, notice);
  }

  /**
   * How the target is reached.
   * @returns {{ jump?: import('./options.js').ConfiguredServer[], proxyCommand?: string }} jump: the jump hosts in order;
   *   the rest: options for the first server that is dialed
   */
  #route(reader, depth = 0) {
    const jump = reader.settings.get('ProxyJump');
    if (!(jump?.value.length > 0)) return { ...dialOptions(reader), ...commandTo(reader) };
    if (depth > MAX_DEPTH)
      throw jump.line.error(`ProxyJump leads through more than ${MAX_DEPTH} hosts that have a ProxyJump themselves`);
    // As with ssh, the command line is for the last server only.
    const { command } = this.#context;
    const context =
      command?.lines.length > 0 ? { ...this.#context, command: { ...command, lines: [] } } : this.#context;
    const hops = jump.value.map(({ user, host, port }, index) =>
      this.#reader({ host, port, username: user }, index === 0 ? {} : REACHED, context),
    );
    // Each other one is reached from the one before it.
    const { jump: before = [], proxyCommand, ...dialing } = this.#route(hops[0], depth + 1);
    const [first, ...others] = hops.map((hop) => this.#hop(hop));
    if (proxyCommand !== undefined) first.options.proxyCommand = proxyCommand;
    return { ...dialing, jump: [...before, first, ...others] };
  }

  /** A jump host, with the hostVerifier of the tunnel's server. */
  #hop(reader) {
    const server = this.#server(reader);
    const { hostVerifier } = this.#given;
    if (hostVerifier !== undefined) server.options.hostVerifier = hostVerifier;
    return server;
  }

  #wipe() {
    wipe(this.#secrets.splice(0));
  }
}

/** The ProxyCommand; its tokens, except %r, are replaced when it is run. */
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
  if (TRUST.some((name) => name in given)) drop([...TRUST, ...WITH_TRUST]);
  if ('agent' in given) drop(['agentKeys', 'agentKeysFirst']);
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
