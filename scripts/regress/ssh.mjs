// ssh for OpenSSH's regress scripts: the command sshtunnel, and outside of it what a tunnel does not do by design.
//
// A remote command travels through the tunnel: the command is started with the same flags and a forward from a socket of
// this process to the stand-in's (`-L own:stand-in`), and the stand-in runs the remote command. With REGRESS_ROUTE it is
// a remote forward (`-R far:own`). Calls with ControlPath are answered by the process that keeps a command in the
// background. Nothing here speaks SSH, reads ssh_config or decides whether a call succeeds: where the command ends, this
// process ends with its status.
//
//   REGRESS_FOLDER   the folder of the script: the stand-in's socket, and the list of calls
//   REGRESS_ROUTE    'remote': the server of the script forbids local forwards

import { spawnSync } from 'node:child_process';
import { appendFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { parseCall } from './call.mjs';
import { COMMAND, insist, startCommand } from './command.mjs';
import { control, keep } from './control.mjs';
import { route, runBehind } from './relay.mjs';

const FOLDER = process.env.REGRESS_FOLDER;

const call = parseCall(process.argv.slice(2));
const note = (how) =>
  appendFileSync(join(FOLDER, 'calls'), `${JSON.stringify({ how, args: process.argv.slice(2) })}\n`);

/** Ends this process as another one has ended. */
function endAs({ code, signal }) {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** Runs a remote command in the foreground. */
async function relayed() {
  if (call.option('clearallforwardings')?.toLowerCase() === 'yes') {
    console.error('regress: ClearAllForwardings clears the forward to the stand-in, so the remote command is not run');
    return { code: 255, signal: null };
  }
  const way = route(FOLDER, process.env.REGRESS_ROUTE);
  try {
    const { child, ended } = startCommand([...call.args, ...way.flags]);
    // Signals end the command, and this process as it has ended.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => insist(() => child.kill(name)));
    const input = call.has('n') ? undefined : process.stdin;
    const first = await Promise.race([runBehind(way, call.command, { input }), ended]);
    // The command has ended before the remote command did.
    if (typeof first === 'object') return first;
    child.kill('SIGTERM');
    const last = await ended;
    return last.code === 0 ? { code: first, signal: null } : last;
  } finally {
    rmSync(way.folder, { recursive: true });
  }
}

/** Is the command from here on. */
function unchanged() {
  process.argv = [process.execPath, COMMAND, ...call.args];
  createRequire(import.meta.url)(COMMAND);
}

/**
 * -Q: the names that the installed OpenSSH has too, because scripts configure their server with them and expect both to be
 * of one version.
 */
function names() {
  const list = (command, args) => spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const { status, stdout } = list(process.execPath, [COMMAND, ...call.args]);
  const known = list('ssh', ['-Q', call.value('Q')]);
  const all = stdout.split('\n');
  const common = known.status === 0 ? all.filter((name) => known.stdout.split('\n').includes(name)) : all;
  note(common.length === all.length ? 'unchanged' : 'common names');
  process.stdout.write(common.join('\n'));
  return status;
}

if (call.has('Q')) {
  process.exit(names());
} else if (call.has('O')) {
  note('control');
  process.exit(await control(call));
} else if (call.has('f') && (call.command !== undefined || call.controlPath !== undefined)) {
  note('background');
  endAs(await keep(call, FOLDER));
} else if (call.command !== undefined) {
  note('relayed');
  endAs(await relayed());
} else {
  note('unchanged');
  unchanged();
}
