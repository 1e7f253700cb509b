// Examples run as child processes that print and end on signals.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { ROOT } from './process.mjs';

/** Runs an example until the test ends. */
export function startExample(t, name, { args = [], env = {} } = {}) {
  return startProgram(t, [`examples/${name}.mjs`, ...args], env);
}

/**
 * Runs a program of Node.js until the test ends. `line` waits for a line after the ones that were already
 * matched, `port` for the line with the local port, `exit` for the end of the process.
 */
export function startProgram(t, args, env, node = process.execPath) {
  const child = spawn(node, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close'); // when everything that it printed is here, too
  t.after(() => child.kill('SIGKILL'));
  const printed = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => (printed[stream] += text));
  }
  let read = 0;
  const line = async (pattern) => {
    for (;;) {
      const news = printed.stdout.slice(read);
      const match = pattern.exec(news);
      if (match) {
        read += match.index + match[0].length;
        return match;
      }
      const [more] = await Promise.race([once(child.stdout, 'data'), closed]);
      if (typeof more !== 'string')
        assert.match(printed.stdout.slice(read), pattern, `it ended with ${more}: ${printed.stderr}`);
    }
  };
  return {
    child,
    line,
    port: async () => Number((await line(/^127\.0\.0\.1:(\d+) -> .*\n/m))[1]),
    exit: async () => {
      const [code, signal] = await closed;
      return { code, signal, stderr: printed.stderr };
    },
  };
}

/** The exit of an example without errors. */
export const WELL = { code: 0, signal: null, stderr: '' };
