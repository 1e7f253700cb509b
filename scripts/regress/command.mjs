// The command sshtunnel as a process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export const COMMAND = fileURLToPath(new URL('../../bin/sshtunnel.js', import.meta.url));

/**
 * Starts the command without standard input and with the outputs of this process.
 * @param {string[]} args
 * @param {Record<string, string>} [variables] of its environment
 */
export function startCommand(args, variables = {}) {
  const child = spawn(process.execPath, [COMMAND, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...variables },
  });
  return { child, ended: once(child, 'exit').then(([code, signal]) => ({ code, signal })) };
}

/** Milliseconds between two signals. */
const INTERVAL = 200;

/** Sends a signal, and again: the second one resets what the first lets finish, and two at once may count as one. */
export function insist(kill) {
  kill();
  setInterval(kill, INTERVAL).unref();
}
