// ControlPath, as far as regress scripts use it to ask for a command in the background and to end it: a process that
// keeps a socket at that path for as long as the command runs. It also sends the remote command of `ssh -f host command`.

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { insist, startCommand } from './command.mjs';
import { commandLine, processes } from './processes.mjs';
import { route, runBehind } from './relay.mjs';

/** Milliseconds between two looks at a process that is no child of this one: there is no event for its end. */
const INTERVAL = 50;

const FAILED = { code: 255, signal: null };

function signal(pid, name) {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when a process has ended. */
async function ended(pid) {
  while (signal(pid, 0)) await new Promise((resolve) => setTimeout(resolve, INTERVAL));
}

/** The answers of -O: what is printed. */
const ANSWERS = {
  check: (pid) => `Master running (pid=${pid})\n`,
  // The first signal closes the ports and lets connections finish.
  stop: (pid) => (signal(pid, 'SIGTERM'), 'Stop listening request sent.\n'),
  exit: (pid) => (insist(() => signal(pid, 'SIGTERM')), 'Exit request sent.\n'),
};

/** `-O`: asks the process that keeps the command. @returns {Promise<number>} the exit status */
export async function control({ controlPath, value }) {
  const word = value('O');
  if (!Object.hasOwn(ANSWERS, word)) {
    console.error(`regress: -O ${word} is for shared connections`);
    return 255;
  }
  try {
    const socket = net.connect(controlPath);
    await once(socket, 'connect');
    socket.end(word);
    // As ssh does.
    process.stderr.write(await text(socket));
    return 0;
  } catch {
    console.error(`Control socket connect(${controlPath}): No such file or directory`);
    return 255;
  }
}

/**
 * `-f`: starts the process that keeps the command.
 * @param {import('./call.mjs').Call} call
 * @returns {Promise<{ code: number | null, signal: string | null }>} how the command ended in the foreground
 */
export async function keep({ args, command, controlPath, persists }, folder) {
  const task = JSON.stringify({ args, command, controlPath, persists, folder });
  const keeper = spawn(process.execPath, [fileURLToPath(import.meta.url), task], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(keeper, 'exit').then(() => FAILED);
  const started = once(keeper, 'message').then(([end]) => end);
  return Promise.race([started, ended]);
}

/** The process that keeps a command. */
async function main({ args, command, controlPath, persists, folder }) {
  const id = randomUUID();
  const way = command === undefined ? undefined : route(folder);
  const paths = [controlPath, way?.folder].filter((path) => path !== undefined);
  // Before the command ends: a script that waits for its end may use the paths again.
  const remove = () => paths.splice(0).forEach((path) => rmSync(path, { recursive: true, force: true }));
  // The socket of the command itself does not know about its remote command.
  const own = ['-o', 'ControlMaster=no', ...args, ...(way?.flags ?? [])];
  const end = await startCommand(own, { REGRESS_CALL: id }).ended;
  // A ProxyCommand has the same environment.
  const [pid] = processes(`REGRESS_CALL=${id}`).filter((found) => commandLine(found).includes('sshtunnel'));
  if (end.code !== 0 || pid === undefined) {
    if (end.code === 0) console.error('regress: the command has ended in the background');
    remove();
    process.send(end.code === 0 ? FAILED : end, () => process.exit());
    return;
  }
  if (controlPath !== undefined) {
    const server = net.createServer({ allowHalfOpen: true }, async (socket) => {
      socket.on('error', () => {});
      const word = await text(socket).catch(() => '');
      if (word !== 'check') remove();
      socket.end(ANSWERS[word]?.(pid));
    });
    server.listen(controlPath);
    await once(server, 'listening');
  }
  process.send(end, () => process.disconnect());
  if (command !== undefined) runBehind(way, command).then(() => persists || signal(pid, 'SIGTERM'));
  await ended(pid);
  remove();
  process.exit();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(JSON.parse(process.argv[2]));
