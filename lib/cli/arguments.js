'use strict';

// The command line, as that of ssh: flags in clusters, values joined to them or not, before or after the destination.

const { shorten } = require('../errors.js');

// The checks of names need the addon. --help and --version work without it.
const names = () => require('../validate/names.js');
const forwardings = () => require('../ssh-config/forwardings.js');

/** The command line is not valid. */
class UsageError extends Error {
  /**
   * @param {string} message
   * @param {{ usage?: boolean }} [options] usage: whether to show the usage
   */
  constructor(message, { usage = false } = {}) {
    super(shorten(message));
    this.usage = usage;
  }
}

/** Flags that do not affect a tunnel: shells, terminals, remote commands. */
const IGNORED = new Set(['A', 'a', 'K', 'k', 'N', 'n', 'T', 't', 'X', 'x', 'Y', 'e']);

/** Flags of ssh that are not supported, and why. */
const REFUSED = {
  B: 'the connection is bound to an address, by -b, not to an interface',
  I: 'PKCS#11 keys are used through an agent',
  s: 'no subsystem is started: the command only forwards',
  w: 'no network device is forwarded',
  y: 'messages go to standard error, not to the system log',
};

/** Flags with a value. */
const VALUED = 'BbcDEeFIiJLlmOoPpQRSWw';

/** Flags that stand for directives: the keywords, and the values of those without an argument. */
const DIRECTIVES = {
  4: ['AddressFamily', 'inet'],
  6: ['AddressFamily', 'inet6'],
  b: ['BindAddress'],
  C: ['Compression', 'yes'],
  f: ['ForkAfterAuthentication', 'yes'],
  c: ['Ciphers'],
  g: ['GatewayPorts', 'yes'],
  i: ['IdentityFile'],
  l: ['User'],
  M: ['ControlMaster', 'yes'],
  m: ['MACs'],
  P: ['Tag'],
  S: ['ControlPath'],
};

/** Flags whose last use counts, before every -o; of other flags, the first use counts. */
const OVERRIDING = new Set(['4', '6', 'b', 'C', 'c', 'g', 'M', 'm', 'S']);

/** Commands of -O. */
const CONTROLS = ['cancel', 'check', 'exit', 'forward', 'stop'];

const KINDS = { L: 'local', D: 'dynamic', R: 'remote' };

const LONG = { '--help': 'help', '--version': 'version', '--json': 'json', '--no-view': 'noView' };

/** Long options with the address of a service, `[host:]port`: the member of the services that each sets. */
const SERVICES = { '--health': 'health', '--metrics': 'metrics', '--web': 'web' };
const LOG_FORMAT = '--log-format';

/** The long option of a command that a supervisor runs; for nobody else. */
const SUPERVISED = '--supervised';

/** The first word of the command line that runs a program; a host of this name is no program. */
const RUN = 'run';
/** Flags of `run`: what they set, and whether they have a value. */
const RUN_FLAGS = { '--env': 'env', '--no-urls': 'keepsUrls', '--quiet-unless-failed': 'quiet' };
const VARIABLE = /^([a-z_]\w*)(?:=(.*))?$/is;

/**
 * @typedef {object} CommandLine
 * @property {string} [host] without its user
 * @property {(string | [keyword: string, value: string])[]} lines directives of the flags, in order; -o as text
 * @property {object[]} forwardings those of -L, -D and -R
 * @property {{ host: string, port: number }} [stdio] the target of -W
 * @property {string} [control] the command of -O
 * @property {string} [configFile]
 * @property {string} [logFile] where messages go, in place of standard error
 * @property {import('./output/log-format.js').LogFormatName} logFormat how they are written
 * @property {string} [query] what -Q asks for
 * @property {boolean} [prints] whether the settings are printed, and nothing else is done
 * @property {string[]} identities the files of -i
 * @property {import('./child.js').Program} [program] what `run` runs
 * @property {Record<string, { host?: string, port?: number }>} services the addresses of the services that were asked for
 * @property {boolean | 'all'} [help]
 * @property {boolean} [version]
 * @property {boolean} [json]
 * @property {boolean} [noView]
 */

class Parser {
  /** @type {CommandLine} */
  result = { lines: [], forwardings: [], identities: [], services: {}, logFormat: 'text' };
  #rest;
  #level;
  #jumps = 0;
  /** @type {import('./child.js').Program | undefined} */
  #program;

  constructor(argv) {
    const end = argv.indexOf('--');
    const runs = argv[0] === RUN && end > 0;
    this.#rest = runs ? argv.slice(1, end) : [...argv];
    if (runs) this.#program = { command: argv.slice(end + 1), env: [], quiet: false, keepsUrls: false };
  }

  parse() {
    const { result } = this;
    while (this.#rest.length > 0) {
      const argument = this.#rest.shift();
      if (this.#option(argument)) continue;
      if (argument === '--' && this.#rest.length === 0) break;
      if (result.host === undefined) this.#destination(argument === '--' ? this.#rest.shift() : argument);
      else
        throw new UsageError(
          `no remote command is run: ${result.host === RUN ? 'a command here is behind --' : 'the command only forwards'}`,
        );
    }
    // -q and -v count wherever they are, the last one of them.
    if (this.#level !== undefined) result.lines.unshift(['LogLevel', this.#level]);
    if (result.json && result.stdio)
      throw new UsageError('--json and -W cannot be given together: both write to standard output');
    const [service] = Object.keys(result.services);
    if (service !== undefined && result.stdio)
      throw new UsageError(`--${service} and -W cannot be given together: nothing listens`);
    if (this.#program !== undefined) this.#checkProgram(this.#program);
    return result;
  }

  /** Tells options, with their values, from the other arguments. */
  split() {
    const all = [...this.#rest];
    /** @type {{ options: string[], names: string[], line: CommandLine }} */
    const split = { options: [], names: [], line: this.result };
    while (this.#rest.length > 0) {
      const at = all.length - this.#rest.length;
      const argument = this.#rest.shift();
      if (this.#option(argument)) split.options.push(...all.slice(at, all.length - this.#rest.length));
      else if (argument === '--') split.names.push(...this.#rest.splice(0));
      else split.names.push(argument);
    }
    return split;
  }

  /** Reads an argument, with its value, if it is an option. */
  #option(argument) {
    if (!argument.startsWith('-') || argument === '-' || argument === '--') return false;
    if (argument.startsWith('--')) this.#long(argument);
    else this.#cluster(argument.slice(1));
    return true;
  }

  /** @param {import('./child.js').Program} program */
  #checkProgram(program) {
    const { result } = this;
    if (program.command.length === 0) throw new UsageError('run: the command behind -- is missing');
    if (result.json || result.stdio)
      throw new UsageError(
        `run cannot be given together with ${result.json ? '--json' : '-W'}: the command has standard output`,
      );
    result.program = program;
  }

  #runFlag(flag, given) {
    const program = this.#program;
    if (program === undefined) throw new UsageError(`${flag} is for: sshtunnel run [flags] destination -- command`);
    const name = RUN_FLAGS[flag];
    if (name !== 'env') {
      if (given !== undefined) throw new UsageError(`${flag} takes no value`);
      program[name] = true;
      return;
    }
    const text = given ?? this.#rest.shift();
    const [, variable, value] = VARIABLE.exec(text ?? '') ?? [];
    if (variable === undefined) throw new UsageError(`${flag} requires NAME or NAME=host:port`);
    program.env.push({ name: variable, value });
  }

  #long(argument) {
    const [, flag, given] = /^([^=]*)(?:=(.*))?$/s.exec(argument);
    if (Object.hasOwn(RUN_FLAGS, flag)) {
      this.#runFlag(flag, given);
      return;
    }
    if (argument === SUPERVISED) {
      this.result.services.supervisor = {};
      return;
    }
    if (Object.hasOwn(SERVICES, flag)) {
      this.result.services[SERVICES[flag]] = serviceAddress(flag, given ?? this.#rest.shift());
      return;
    }
    if (flag === LOG_FORMAT) {
      this.result.logFormat = logFormat(given ?? this.#rest.shift());
      return;
    }
    const name = LONG[argument];
    if (name === undefined) throw new UsageError(`unknown option ${argument}`, { usage: true });
    this.result[name] = true;
    if (name === 'help' && this.#rest[0] === 'all') this.result.help = this.#rest.shift();
  }

  #cluster(text) {
    for (let at = 0; at < text.length; at++) {
      const flag = text[at];
      if (!VALUED.includes(flag)) {
        this.#flag(flag);
        continue;
      }
      const value = text.slice(at + 1) || this.#rest.shift();
      if (value === undefined) throw new UsageError(`option requires an argument -- ${flag}`, { usage: true });
      this.#flag(flag, value);
      return;
    }
  }

  #flag(flag, value) {
    const { result } = this;
    if (Object.hasOwn(REFUSED, flag)) throw new UsageError(`-${flag}: ${REFUSED[flag]}`);
    if (value !== undefined && names().hasControl(value))
      throw new UsageError(`-${flag}: control characters in '${value}'`);
    if (IGNORED.has(flag)) return;
    if (Object.hasOwn(KINDS, flag)) {
      result.forwardings.push(forwarding(value, KINDS[flag]));
      return;
    }
    if (flag === 'i') result.identities.push(value);
    if (Object.hasOwn(DIRECTIVES, flag)) {
      const [keyword, fixed = value] = DIRECTIVES[flag];
      if (OVERRIDING.has(flag)) result.lines.unshift([keyword, fixed]);
      else result.lines.push([keyword, fixed]);
      return;
    }
    switch (flag) {
      case 'E':
        result.logFile = value;
        break;
      case 'F':
        result.configFile = value;
        break;
      case 'G':
        result.prints = true;
        break;
      case 'J':
        if (++this.#jumps > 1) throw new UsageError('only one -J is permitted: commas separate the hops');
        result.lines.push(['ProxyJump', value]);
        break;
      case 'O':
        if (!CONTROLS.includes(value)) throw new UsageError(`-O: Invalid multiplex command '${value}'`);
        result.control = value;
        break;
      case 'o':
        result.lines.push(value);
        break;
      case 'p':
        if (names().readPort(value) === undefined) throw new UsageError(`Bad port '${value}'`);
        result.lines.push(['Port', value]);
        break;
      case 'Q':
        result.query = value;
        break;
      case 'q':
        this.#level = 'QUIET';
        break;
      case 'V':
        result.version = true;
        break;
      case 'v':
        this.#level = louder(this.#level);
        break;
      case 'W':
        result.stdio = stdio(value);
        break;
      default:
        throw new UsageError(`unknown option -- ${flag}`, { usage: true });
    }
  }

  /** `[user@]host` or `ssh://[user@]host[:port]`. */
  #destination(text) {
    const { result } = this;
    const { isHost, isUser, readDestination } = names();
    /** @type {{ user?: string, host?: string, port?: number }} */
    const { user, host, port } = (/^ssh:\/\//i.test(text) ? readDestination(text) : splitUser(text)) ?? {};
    if (host === undefined || !isHost(host) || (user !== undefined && !isUser(user))) {
      throw new UsageError(`'${text}' is not a [user@]host or ssh://[user@]host[:port]`);
    }
    result.host = host;
    if (user !== undefined) result.lines.push(['User', user]);
    if (port !== undefined) result.lines.push(['Port', String(port)]);
  }
}

/** `[user@]host`; a colon is part of an address. */
function splitUser(text) {
  const at = text.lastIndexOf('@');
  return at < 0 ? { host: text } : { user: text.slice(0, at), host: text.slice(at + 1) };
}

function louder(level) {
  const levels = ['DEBUG1', 'DEBUG2', 'DEBUG3'];
  return levels[Math.min(levels.indexOf(level) + 1, 2)];
}

function forwarding(text, kind) {
  const value = forwardings().parseForwarding(text, kind, { anyPort: true });
  if (value === undefined) throw new UsageError(`Bad ${kind} forwarding specification '${text}'`);
  return value;
}

function stdio(text) {
  const { host, port } = forwardings().parseForwarding(text, 'dynamic')?.listen ?? {};
  if (!host || port === undefined) throw new UsageError(`Bad stdio forwarding specification '${text}'`);
  return { host, port };
}

/** `[host:]port`; without a host, this machine only. */
function serviceAddress(flag, text) {
  const { host = '127.0.0.1', port } =
    forwardings().parseForwarding(text ?? '', 'dynamic', { anyPort: true })?.listen ?? {};
  if (!host || port === undefined) throw new UsageError(`${flag} requires [host:]port`);
  return { host, port };
}

/** @returns {import('./output/log-format.js').LogFormatName} */
function logFormat(text) {
  if (text !== 'text' && text !== 'json') throw new UsageError(`${LOG_FORMAT} requires text or json`);
  return text;
}

/** @param {string[]} argv @returns {CommandLine} */
function parseArguments(argv) {
  return new Parser(argv).parse();
}

/** The names of all flags: a letter, or two dashes and a word. */
const FLAGS = [
  ...new Set([...IGNORED, ...Object.keys(REFUSED), ...VALUED, ...Object.keys(DIRECTIVES), ...'GqVv']),
  ...[LONG, SERVICES, RUN_FLAGS].flatMap(Object.keys),
  LOG_FORMAT,
];

/**
 * Splits arguments that have several destinations.
 * @param {string[]} argv
 * @returns {{ options: string[], names: string[], line: CommandLine }} options: with their values, as `line` has them
 */
function splitArguments(argv) {
  return new Parser(argv).split();
}

module.exports = { CONTROLS, FLAGS, SUPERVISED, UsageError, VALUED, parseArguments, splitArguments };
