// Servers that are child processes: started on a free port, with a log file, and stopped.

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';

import { signal, whenFile } from './process.mjs';

const ATTEMPTS = 5; // to get a port that is still free
/** Below the ports that kernels choose themselves, which sockets of suites beside this one take all the time. */
const PORTS = [10_000, 32_768];

/** A port that was free a moment ago, for programs that need it before they listen. */
export async function freePort() {
  for (;;) {
    const port = randomInt(...PORTS);
    const server = net.createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/**
 * Starts a server on a free port.
 * @param listen takes a port; returns whether the server listens on it, or has ended instead
 */
export async function onFreePort(name, logFile, listen) {
  for (let attempt = 1; ; attempt++) {
    if (await listen(await freePort())) return;
    const log = readFileSync(logFile, 'utf8');
    const taken = /Address already in use/.test(log);
    if (!taken || attempt === ATTEMPTS) throw new Error(`${name} did not start:\n${log}`);
  }
}

/**
 * Starts a program with an empty log.
 * @param options.ready what its log says when it listens; the others are those of spawn
 * @returns its process, and whether it will come to listen: false when it ends instead
 */
export function launch(program, args, { logFile, ready, ...options }) {
  writeFileSync(logFile, '');
  // The log is a file instead of a pipe: a test that blocks this process must not block the server.
  const log = openSync(logFile, 'a');
  const child = spawn(program, args, { ...options, stdio: ['ignore', log, log] });
  closeSync(log);
  const failed = once(child, 'exit').then(() => false);
  return { child, listening: Promise.race([whenFile(logFile, ready).then(() => true), failed]) };
}

/** Returns a function that stops a server and removes its folder. */
export function stopper(child, folder, how = 'SIGKILL') {
  const lives = () => child.exitCode === null && child.signalCode === null;
  const kill = () => lives() && signal(child.pid, how);
  process.on('exit', kill);
  return async () => {
    process.off('exit', kill);
    if (lives()) {
      const ended = once(child, 'exit');
      kill();
      await ended;
    }
    folder.remove();
  };
}
