'use strict';

// Reads ssh_config files for one host: which sections apply, and the first value of each directive.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { configError } = require('../errors.js');
const { hostFault, ipVersion, isUser } = require('../validate/names.js');
const { directive } = require('./directives.js');
const { isForeign } = require('./file-access.js');
const { glob } = require('./glob.js');
const { flagLine, lines, matchesAny } = require('./syntax.js');
const { expand, expandCommand, expandHome, expandVariables } = require('./tokens.js');

/** Largest depth of files that include others, as in OpenSSH. */
const MAX_DEPTH = 16;

/**
 * A directive that applies.
 * @typedef {{ name: string, value: any, line: import('./syntax.js').Line }} Setting the value as its directive reads it
 */

/** The directives for one host. */
class Reader {
  /** First values by name. @type {Map<string, Setting>} */
  settings = new Map();
  /** Every value of directives that may be repeated. @type {Map<string, Setting[]>} */
  lists = new Map();
  /** Directives that apply and are ignored. @type {(Setting & { reason: string, refuses?: (reader: Reader, given: any) => boolean })[]} */
  ignored = [];
  /** A Match asks for a second pass, with the host's final name. */
  #again = false;
  #final = false;
  /** Whether the host's name is final. */
  #isNamed = false;
  /** The name that Host and `Match host` compare. */
  #host;
  /** The names that Host lines have. @type {Set<string> | undefined} */
  #names;

  /**
   * @param {import('./context.js').Context} context
   * @param {{ host: string, hostName?: string, port?: number, username?: string }} destination with
   *   values that win over the files
   */
  constructor(context, destination) {
    this.context = context;
    this.host = destination.host;
    this.#host = destination.host;
    this.given = destination;
  }

  /**
   * The names of all Host lines, without patterns, in the order of the files. No section applies meanwhile, so that no
   * command is run.
   * @param {import('./context.js').Context} context
   */
  static names(context) {
    const reader = new Reader(context, { host: 'localhost' });
    reader.#names = new Set();
    reader.#pass(false);
    return [...reader.#names];
  }

  /** The first value of a directive, or undefined. */
  value(name) {
    return this.settings.get(name)?.value;
  }

  /** Every value of a directive that may be repeated. @returns {Setting[]} */
  list(name) {
    return this.lists.get(name) ?? [];
  }

  /** Reads the files that ssh would read. */
  read() {
    this.#pass();
    // The name is final now; names ignore case.
    this.#host = this.hostName.toLowerCase();
    this.#isNamed = true;
    if (!this.#again && (this.value('CanonicalizeHostname') ?? 'no') === 'no') return;
    this.#final = true;
    this.#pass();
  }

  /** The name or address to connect to, as far as the files are read. */
  get hostName() {
    if (this.#isNamed) return this.#host;
    if (this.given.hostName !== undefined) return this.given.hostName;
    const setting = this.settings.get('HostName');
    if (setting === undefined) return this.host;
    const name = expand(setting.value, { h: this.host }, setting.line);
    const reason = hostFault(name);
    if (reason !== undefined) throw setting.line.error(`HostName ${reason}`);
    return name;
  }

  get port() {
    return this.given.port ?? this.value('Port') ?? 22;
  }

  get username() {
    return this.given.username ?? this.value('User') ?? this.context.user;
  }

  /** Values of the tokens, by their letters. */
  get tokens() {
    const { home, hostname, uid, user } = this.context;
    const [jump] = this.value('ProxyJump')?.slice(-1) ?? [];
    const tokens = {
      d: home,
      h: this.hostName,
      i: String(uid),
      j: jump?.host ?? '',
      k: this.value('HostKeyAlias') ?? this.host,
      L: hostname.split('.')[0],
      l: hostname,
      n: this.host,
      p: String(this.port),
      r: this.username || undefined,
      u: user || undefined,
      get C() {
        const { createHash } = require('node:crypto');
        const { l, h, p, r, j } = tokens;
        return r === undefined ? undefined : createHash('sha1').update(`${l}${h}${p}${r}${j}`).digest('hex');
      },
    };
    return tokens;
  }

  /** @param {boolean} [active] whether what is read applies */
  #pass(active = true) {
    const { command, configFile, userFile, systemFile } = this.context;
    for (const line of command?.lines ?? []) this.#flag(line);
    if (configFile === undefined) {
      if (userFile !== undefined) this.#file(userFile, { own: true, checked: true, active });
      this.#file(systemFile, { own: false, checked: false, active });
    } else if (configFile.toLowerCase() !== 'none' && !this.#file(configFile, { own: true, checked: false, active })) {
      throw configError('there is no such file', { file: configFile });
    }
  }

  /** Reads a flag of the command line: the text of -o, or a keyword and its argument. */
  #flag(line) {
    const directives =
      typeof line === 'string'
        ? [...lines(line, COMMAND_LINE, { numbered: false })]
        : [flagLine(...line, COMMAND_LINE)];
    for (const each of directives) {
      const { name } = directive(each.keyword, true) ?? {};
      // As with ssh, a flag sets one directive.
      if (IN_FILES.includes(name)) throw each.error(`${name} is for files only`);
      if (each.exact && name === 'ProxyJump') this.#refuseBoth(each, ['ProxyCommand', 'ProxyJump']);
    }
    this.#apply(directives, { own: true, depth: 0, active: true });
    const user = this.settings.get('User');
    if (user?.line.file === COMMAND_LINE && !isUser(user.value))
      throw user.line.error(`'${user.value}' is not a valid user name`);
  }

  /** Refuses -J after a -o that has the route, as ssh does. */
  #refuseBoth(jump, names) {
    const lines = names.flatMap((name) => this.settings.get(name)?.line ?? []);
    const other = lines.find(({ file, exact }) => file === COMMAND_LINE && !exact);
    if (other !== undefined) throw jump.error(`-J cannot be given together with ${other.keyword}`);
  }

  /**
   * Reads a file, if it exists.
   * @param {string} file
   * @param {{ own: boolean, checked: boolean, depth?: number, active?: boolean }} how own: a file of
   *   the user, not of the system; checked: refused if others can write it
   */
  #file(file, { own, checked, depth = 0, active = true }) {
    if (depth > MAX_DEPTH) throw configError(`files include each other more than ${MAX_DEPTH} deep`, { file });
    const text = this.#text(file, checked, depth > 0);
    if (text === undefined) return false;
    this.#apply(lines(text, file), { own, depth, active });
    return true;
  }

  #apply(directives, { own, depth, active }) {
    let applies = active;
    for (const line of directives) {
      const known = directive(line.keyword, this.context.command !== undefined);
      if (known === undefined) {
        // The line that has it ignored need not apply to a list of names.
        if (this.#names !== undefined || this.#ignores(line.keyword)) continue;
        throw line.error(`unknown directive ${line.keyword}`);
      }
      if (known.name === 'Host') applies = this.#isHost(line) && active;
      else if (known.name === 'Match') applies = this.#isMatch(line, active) && active;
      else if (known.name === 'Include') this.#include(line, { own, depth, active: applies });
      else this.#set(known, line, applies);
    }
  }

  #text(file, checked, included) {
    let descriptor;
    try {
      descriptor = fs.openSync(file, 'r');
    } catch (error) {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw configError(error.message, { file }, error);
    }
    try {
      if (checked && isForeign(file, descriptor, this.context.uid)) {
        throw configError('others than its user may write it, or own it', { file });
      }
      return fs.readFileSync(descriptor, 'utf8');
    } catch (error) {
      // As ssh, which finds nothing in a folder.
      if (error.code === 'EISDIR' && included) return '';
      throw error.code === 'ERR_SSH_CONFIG' ? error : configError(error.message, { file }, error);
    } finally {
      fs.closeSync(descriptor);
    }
  }

  #ignores(keyword) {
    const patterns = this.value('IgnoreUnknown');
    return patterns !== undefined && matchesAny(patterns.toLowerCase().split(','), keyword.toLowerCase());
  }

  /**
   * @param {import('./directives.js').Directive} directive
   * @param {import('./syntax.js').Line} line
   * @param {boolean} applies
   */
  #set({ name, read, many, irrelevant, reason, harmless, refuses }, line, applies) {
    if (irrelevant && !(read && this.context.command)) return;
    // Lines for other hosts have to be valid, too.
    const value = read ? read(line) : line.args.join(' ');
    if (!applies) return;
    const setting = { name, value, line };
    if (many) {
      const list = this.list(name);
      // A second pass reads the same lines again.
      if (list.some((other) => JSON.stringify(other.value) === JSON.stringify(value))) return;
      this.lists.set(name, [...list, setting]);
    } else {
      if (this.settings.has(name)) return;
      // The first of ProxyJump and ProxyCommand wins; `ProxyJump none` is not one.
      if (name === 'ProxyJump' && value.length > 0 && this.settings.has('ProxyCommand')) return;
      if (name === 'ProxyCommand' && this.value('ProxyJump')?.length > 0) return;
      this.settings.set(name, setting);
    }
    if (reason !== undefined && !harmless.includes(line.args[0]?.toLowerCase()))
      this.ignored.push({ ...setting, reason, refuses });
  }

  #isHost(line) {
    if (line.args.includes('')) throw line.error('an empty pattern');
    for (const name of line.args) if (!/[*?!]/.test(name)) this.#names?.add(name);
    return matchesAny(line.args, this.#host);
  }

  #isMatch(line, active) {
    const { args } = line;
    const criteria = [];
    for (let at = 0; at < args.length; at++) {
      const negated = args[at].startsWith('!');
      let [name, argument] = args[at].slice(negated ? 1 : 0).split(/=(.*)/s);
      name = name.toLowerCase();
      if (name === 'all') {
        if (criteria.length > 1 || at < args.length - 1) throw line.error("'all' goes with no other criterion");
      } else if (!PASSES.includes(name)) {
        if (!CRITERIA.includes(name)) throw line.error(`unknown criterion ${name}`);
        argument ??= args[++at];
        if (argument === undefined || (argument === '' && name !== 'tagged' && name !== 'command')) {
          throw line.error(`Match ${name} lacks its argument`);
        }
      }
      criteria.push({ name, negated, argument });
    }
    if (criteria.length === 0) throw line.error('Match lacks its criteria');
    let holds = active;
    let unknown;
    for (const { name, negated, argument } of criteria) {
      // A command is run only if all criteria before it hold.
      if (name === 'exec' && (!holds || unknown)) continue;
      const met = this.#meets(name, argument, line);
      if (met === undefined) unknown ??= name;
      else if (met === negated) holds = false;
      if (name === 'final' && !negated) this.#again = true;
    }
    // Such a section cannot be left out: it may refuse something.
    if (holds && unknown) throw line.error(`Match ${unknown} is not supported`);
    return holds;
  }

  /** Whether a criterion is met; undefined if it is not supported. */
  #meets(name, argument, line) {
    switch (name) {
      case 'all':
        return true;
      case 'canonical':
      case 'final':
        return this.#final;
      case 'host':
        return matchesAny(argument.toLowerCase().split(','), this.hostName.toLowerCase());
      case 'originalhost':
        return matchesAny(argument.toLowerCase().split(','), this.host.toLowerCase());
      case 'user':
        return matchesAny(argument.split(','), this.username);
      case 'localuser':
        return matchesAny(argument.split(','), this.context.user);
      case 'tagged': {
        const tag = this.value('Tag') ?? '';
        return tag === '' ? argument === '' : matchesAny(argument.split(','), tag);
      }
      case 'command': // a tunnel runs none
        return argument === '';
      case 'sessiontype':
        return matchesAny(argument.split(','), 'none');
      case 'exec':
        return this.#succeeds(expandCommand(argument, this.tokens, line), line);
      case 'localnetwork':
        return isLocalNetwork(argument.split(','), line);
      default: // 'version'
        return undefined;
    }
  }

  /** Whether a command exits with 0, in the user's shell as with ssh. */
  #succeeds(command, line) {
    const shell = this.context.variables.SHELL || '/bin/sh';
    const { spawnSync } = require('node:child_process');
    const { error, status } = spawnSync(shell, ['-c', command], { stdio: ['ignore', 'ignore', 'inherit'] });
    if (error) throw line.error(`cannot run '${command}': ${error.message}`);
    return status === 0;
  }

  #include(line, { own, depth, active }) {
    if (line.args.includes('')) throw line.error('an empty path');
    const { home, systemFolder, userFolder, variables } = this.context;
    for (const argument of line.args) {
      let pattern = expandVariables(argument, variables, line);
      if (pattern.startsWith('~')) {
        if (!own) throw line.error(`'${argument}' in a file of the system`);
        pattern = expandHome(pattern, home, line);
      } else if (!path.isAbsolute(pattern)) {
        const folder = own ? userFolder : systemFolder;
        if (folder === undefined) throw line.error(`the user's home folder is not known, for '${argument}'`);
        pattern = path.join(folder, pattern);
      }
      for (const file of glob(pattern)) this.#file(file, { own, checked: true, depth: depth + 1, active });
    }
  }
}

/** The file of directives on the command line. */
const COMMAND_LINE = 'command line';
/** Directives that are for files only. */
const IN_FILES = ['Host', 'Include', 'Match'];
/** Criteria without an argument, about the passes. */
const PASSES = ['canonical', 'final'];
const CRITERIA = 'command exec host localnetwork localuser originalhost sessiontype tagged user version'.split(' ');

/** Whether this machine has an address in one of the networks, each an address or `address/bits`. */
function isLocalNetwork(networks, line) {
  const { BlockList } = require('node:net');
  const list = new BlockList();
  for (const network of networks) {
    const [, address, bits] = /^([\da-f.:]+)(?:\/(\d{1,3}))?$/i.exec(network) ?? [];
    const version = ipVersion(address ?? '');
    const most = version === 4 ? 32 : 128;
    if (version === 0 || Number(bits ?? most) > most) throw line.error(`'${network}' is not a network`);
    list.addSubnet(address, Number(bits ?? most), version === 4 ? 'ipv4' : 'ipv6');
  }
  const addresses = Object.values(os.networkInterfaces()).flat();
  return addresses.some(({ address, family }) =>
    list.check(address.split('%')[0], family === 'IPv4' ? 'ipv4' : 'ipv6'),
  );
}

module.exports = { Reader };
