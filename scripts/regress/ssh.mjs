// ssh for OpenSSH's regress scripts: the command sshtunnel, and outside of it what a tunnel does not do by design.
//
// A remote command travels through the tunnel: the command is started with the same flags and a forward from a socket of
// this process to the stand-in's (`-L own:stand-in`), and the stand-in runs the remote command. Calls with ControlPath
// are answered by the process that keeps a command in the background. Nothing here speaks SSH, reads ssh_config or
// decides whether a call succeeds: where the command ends, this process ends with its status.
//
//   REGRESS_FOLDER   the folder of the script: the stand-in's socket, and the list of calls

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, rmSync, watch } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseCall } from './call.mjs';
import { control, keep } from './control.mjs';
import { runBehind } from './relay.mjs';

const COMMAND = fileURLToPath(new URL('../../bin/sshtunnel.js', import.meta.url));
const FOLDER = process.env.REGRESS_FOLDER;
const STAND_IN = join(FOLDER, 'stand-in');

const call = parseCall(process.argv.slice(2));
const note = (how) =>
  appendFileSync(join(FOLDER, 'calls'), `${JSON.stringify({ how, args: process.argv.slice(2) })}\n`);

/** The command, with the streams of this process; signals are passed on, and end this process after it. */
function startCommand(args, stdio = ['inherit', 'inherit', 'inherit']) {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(name, () => {
      // The second one resets what the first would let finish.
      for (const _ of [1, 2]) child.kill(name);
    });
  }
  const ended = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  return { child, ended };
}

/** Ends this process as another one has ended. */
function endAs({ code, signal }) {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** Waits until a path is there, or the command has ended. */
async function appears(folder, path, ended) {
  const watcher = watch(folder);
  const there = new Promise((resolve) => {
    const look = () => existsSync(path) && resolve(true);
    watcher.on('change', look);
    look();
  });
  const found = await Promise.race([there, ended.then(() => false)]);
  watcher.close();
  return found;
}

/** Runs a remote command in the foreground. */
async function relayed() {
  if (call.option('clearallforwardings')?.toLowerCase() === 'yes') {
    console.error('regress: ClearAllForwardings clears the forward to the stand-in, so the remote command is not run');
    return { code: 255, signal: null };
  }
  const folder = mkdtempSync(join(FOLDER, 'own-'));
  try {
    const own = join(folder, 's');
    const { child, ended } = startCommand([...call.args, '-L', `${own}:${STAND_IN}`], ['ignore', 'inherit', 'inherit']);
    if (!(await appears(folder, own, ended))) return await ended;
    const input = call.has('n') ? undefined : process.stdin;
    const first = await Promise.race([runBehind(own, call.command, { input }), ended]);
    // The command has ended while the remote command ran.
    if (typeof first === 'object') return first;
    child.kill('SIGTERM');
    const end = await ended;
    return end.code === 0 ? { code: first, signal: null } : end;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Is the command from here on. */
function unchanged() {
  process.argv = [process.execPath, COMMAND, ...call.args];
  createRequire(import.meta.url)(COMMAND);
}

if (call.has('O')) {
  note('control');
  process.exit(await control(call));
} else if (call.has('f') && (call.command !== undefined || call.controlPath !== undefined)) {
  note('background');
  endAs(await keep(call, { startCommand, folder: FOLDER, standIn: STAND_IN }));
} else if (call.command !== undefined) {
  note('relayed');
  endAs(await relayed());
} else {
  note('unchanged');
  unchanged();
}
