// A terminal of its own for a test, by tmux: what it shows, its keys, its size.

import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

import { NO_CACHE, shellLine } from './cli.mjs';
import { findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';
import { ROOT, until } from './process.mjs';

const run = promisify(execFile);

export const hasTmux = findProgram('tmux') !== null;

/** Variables by which the environment of a test decides about colors and characters. */
const DECIDING = ['NO_COLOR', 'FORCE_COLOR', 'NODE_DISABLE_COLORS', 'COLORTERM', 'LC_ALL', 'LC_CTYPE', 'LANG', 'TMUX'];

/** Milliseconds in which everything is shown. */
const LIMIT = 20_000;

export class Tmux {
  #socket;
  #folder = temporaryFolder('tmux');

  /**
   * Starts a shell command in a terminal. When it has ended, the terminal stays.
   * @param {string} line
   * @param {{ columns?: number, rows?: number, env?: Record<string, string> }} [options]
   */
  static start(t, line, { columns = 80, rows = 24, env = {} } = {}) {
    const terminal = new Tmux();
    terminal.#socket = terminal.#folder.at('socket');
    const inherited = Object.entries(process.env).filter(([name]) => !DECIDING.includes(name));
    const all = { ...Object.fromEntries(inherited), ...NO_CACHE, LC_ALL: 'C.UTF-8', SHELL: '/bin/sh', ...env };
    const file = terminal.#folder.write('set -g remain-on-exit on\nset -g status off\nset -s escape-time 0\n');
    // -u: what it is asked for is UTF-8, whatever the locale of the command.
    const args = ['-u', '-S', terminal.#socket, '-f', file, 'new-session', '-d', '-x', columns, '-y', rows, line];
    execFileSync('tmux', args.map(String), { cwd: ROOT, env: all });
    t.after(() => terminal.stop());
    return terminal;
  }

  /**
   * The command in a terminal, in a shell that Ctrl-C does not end, and after it another command, with its status in $?
   * @param {string[]} args
   */
  static command(t, args, { after = 'echo "status $?"', before = ':', ...options } = {}) {
    // The terminal of a shell that has ended would have no cursor.
    return Tmux.start(t, `trap : INT QUIT; ${before}; ${shellLine(args)}; ${after}; exec cat`, options);
  }

  async #ask(...args) {
    const { stdout } = await run('tmux', ['-S', this.#socket, ...args.map(String)]);
    return stdout;
  }

  /** The lines that it shows. @param {{ colors?: boolean }} [options] with escape sequences */
  async lines({ colors = false } = {}) {
    const text = await this.#ask('capture-pane', '-p', ...(colors ? ['-e', '-N'] : []));
    return text.split('\n').slice(0, -1);
  }

  /** Waits until what it shows matches, and gives the match. There is no event for it. */
  async shows(pattern, options) {
    const end = performance.now() + LIMIT;
    let text;
    let match;
    await until(async () => {
      text = (await this.lines(options)).join('\n');
      match = pattern.exec(text);
      return match !== null || performance.now() > end;
    });
    if (match === null) throw new Error(`it does not show ${pattern}, but:\n${text}`);
    return match;
  }

  /** Presses keys, by tmux's names. */
  async press(...keys) {
    await this.#ask('send-keys', ...keys);
  }

  async type(text) {
    await this.#ask('send-keys', '-l', text);
  }

  async resize(columns, rows) {
    await this.#ask('resize-window', '-x', columns, '-y', rows);
  }

  /** A value of tmux, such as pane_tty. */
  async value(name) {
    return (await this.#ask('display', '-p', `#{${name}}`)).trim();
  }

  stop() {
    try {
      execFileSync('tmux', ['-S', this.#socket, 'kill-server'], { stdio: 'ignore' });
    } catch {
      // It has ended with its last terminal.
    }
    this.#folder.remove();
  }
}
