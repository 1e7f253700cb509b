// The command `sshtunnel` as a child process, with pipes or at a terminal of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';
import { Target, behaviors } from './peers.mjs';
import { ROOT } from './process.mjs';

export const COMMAND = join(ROOT, 'bin', 'sshtunnel.js');
/** Without it, compiled code would be kept in the home folder of the user who runs the tests. */
export const NO_CACHE = { NODE_DISABLE_COMPILE_CACHE: '1' };

/**
 * The command line of the command for a shell.
 * @param inside a command that runs it with other rights
 */
export function shellLine(args, inside = []) {
  const words = [...inside, process.execPath, COMMAND, ...args];
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
}

/** A target for the test: an echo, unless it is given another behavior. */
export async function echo(t, behavior = behaviors.echo()) {
  const target = await Target.start(behavior);
  t.after(() => target.stop());
  return target;
}

/** The files that the command needs to connect to servers, without any of the user's. */
export class Setting {
  #folder = temporaryFolder('cli');

  constructor(...servers) {
    this.servers = servers;
    this.knownHosts = this.file(
      'known_hosts',
      servers.map((server) => `${server.address} ${server.hostKeys[0].publicKey}\n`).join(''),
    );
    this.key = this.file('key', servers[0].key.privateKey);
  }

  /** A new file that only the user can read. */
  file(name, text) {
    const path = this.missing(name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** The path of a file that does not exist. */
  missing(name) {
    return join(mkdtempSync(join(this.#folder.path, 'in-')), name);
  }

  /** Options of ssh; earlier ones take precedence. */
  options({ key = this.key, knownHosts = this.knownHosts } = {}) {
    const settings = [
      `UserKnownHostsFile=${knownHosts}`,
      'GlobalKnownHostsFile=none',
      'UpdateHostKeys=no',
      'IdentityAgent=none',
      `IdentityFile=${key}`,
    ];
    return ['-F', 'none', '-p', String(this.servers[0].port), ...settings.flatMap((setting) => ['-o', setting])];
  }

  /** Starts the command for the first server with further arguments. */
  start(t, args, { host = '127.0.0.1', ...options } = {}) {
    return Cli.start(t, [...args, ...this.options(options), host], options);
  }

  remove() {
    this.#folder.remove();
  }
}

/** A child process whose output can be awaited. */
class OutputProcess {
  stdout = '';
  stderr = '';

  constructor(t, child) {
    this.child = child;
    for (const name of ['stdout', 'stderr'])
      child[name]?.setEncoding('utf8').on('data', (text) => (this[name] += text));
    /** Its exit status, or the signal that ended it. */
    this.exit = once(child, 'exit').then(([code, signal]) => code ?? signal);
    this.closed = once(child, 'close');
    t.after(async () => {
      child.kill('SIGKILL');
      await this.closed;
    });
  }

  /** Waits until an output matches, and gives the match. */
  async says(name, pattern) {
    const closed = this.closed.then(() => true);
    for (;;) {
      const match = pattern.exec(this[name]);
      if (match) return match;
      const over = await Promise.race([once(this.child[name], 'data').then(() => false), closed]);
      if (over && !pattern.test(this[name]))
        throw new Error(`it ended without ${pattern}:\n${this.stdout}\n${this.stderr}`);
    }
  }

  /** Its status and its outputs, once both are complete. */
  async end() {
    const status = await this.exit;
    await this.closed;
    return { status, stdout: this.stdout, stderr: this.stderr };
  }
}

/** The command with pipes and without a terminal. */
export class Cli extends OutputProcess {
  #read = new Map();

  /**
   * @param inside a command that runs it, with other rights or as a service manager
   * @param command another one than that of the repository
   */
  static start(t, args, { stdin = 'ignore', env = {}, inside = [], command = COMMAND } = {}) {
    // In a process session of its own, so that it has no terminal wherever the tests run.
    const options = {
      cwd: ROOT,
      env: { ...process.env, ...NO_CACHE, ...env },
      stdio: [stdin, 'pipe', 'pipe'],
      detached: true,
    };
    const [program, ...all] = [...inside, process.execPath, command, ...args];
    return new Cli(t, spawn(program, all, options));
  }

  /** The next report of that name. */
  async report(event) {
    for (;;) {
      const lines = this.stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
      const found = lines.filter((line) => line.event === event);
      const from = this.#read.get(event) ?? 0;
      if (found.length > from) {
        this.#read.set(event, from + 1);
        return found[from];
      }
      const length = this.stdout.length;
      await this.says('stdout', new RegExp(`^[^]{${length}}[^]*\\n`));
    }
  }

  signal(name) {
    this.child.kill(name);
  }
}

export const hasTerminal = findProgram('script') !== null;

/** The command at a pseudo-terminal; `stdout` is what the terminal shows. */
export class AtTerminal extends OutputProcess {
  /**
   * @param behind whether the shell stays in front: Ctrl-C makes it end the command
   * @param after a command for the shell that comes when it is over, with its status in $?
   * @param inside a command that runs it with other rights
   */
  static start(
    t,
    args,
    { rows = 24, columns = 80, after = 'echo "status $?"', behind = false, inside = [], env = {} } = {},
  ) {
    const words = shellLine(args, inside);
    // Ctrl-C reaches every process at the terminal: the shell must continue.
    const line = `trap : INT; stty rows ${rows} cols ${columns}; ${behind ? `set -m; ${words} & wait; kill $!; wait $!` : words}; ${after}`;
    const options = {
      cwd: ROOT,
      // Without colors, text is in one piece.
      env: {
        ...process.env,
        ...NO_CACHE,
        TERM: 'xterm',
        SHELL: '/bin/sh',
        NO_COLOR: '1',
        FORCE_COLOR: undefined,
        ...env,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    };
    return new AtTerminal(t, spawn('script', ['-qfec', line, '/dev/null'], options));
  }

  type(text) {
    this.child.stdin.write(text);
  }

  /** Waits for a match in the output behind the previous one. */
  async sees(pattern) {
    const from = this.#seen;
    await this.says('stdout', new RegExp(`^[^]{${from}}[^]*?(?:${pattern.source})`, pattern.flags));
    const match = pattern.exec(this.stdout.slice(from));
    this.#seen = from + match.index + match[0].length;
    return match;
  }

  #seen = 0;
}
