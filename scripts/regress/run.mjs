// Runs one regress script with the shim as its ssh, in a folder of its own, and reads what came of it.

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePort } from '../../__test__/helpers/daemon.mjs';
import { findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { endProcesses } from './processes.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Programs of the package that scripts expect in their folder. */
const PROGRAMS = ['check-perm', 'mkdtemp', 'modpipe', 'netcat', 'setuid-allowed'];
const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

/** Seconds for one script. */
const LIMIT = 400;

/** @param {string} folder @param {string} [keys] a folder with the keys that test-exec.sh would make first */
function prepare(folder, scripts, keys) {
  mkdirSync(folder);
  for (const name of PROGRAMS) symlinkSync(join(scripts, name), join(folder, name));
  const made = keys === undefined ? [] : readdirSync(keys).filter((name) => existsSync(join(keys, `${name}.pub`)));
  for (const name of made.flatMap((key) => [key, `${key}.pub`])) copyFileSync(join(keys, name), join(folder, name));
  // A path with blanks would be two words to scp and sftp.
  const ssh = join(folder, 'ssh');
  writeFileSync(ssh, `#!/bin/sh\nexec '${process.execPath}' '${here('ssh.mjs')}' "$@"\n`, { mode: 0o755 });
  // Debian creates this folder at boot.
  if (process.getuid() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  return ssh;
}

/** Starts the stand-in for sessions of the server; gives what ends it. */
async function startStandIn(folder, env) {
  const child = spawn(process.execPath, [here('stand-in.mjs'), folder], {
    cwd: userInfo().homedir,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  child.stdin.on('error', () => {});
  const isReady = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
  if (!isReady) throw new Error('the stand-in has not started');
  return () => (child.stdin.end(), ended);
}

/** The lines of `fail`, each with the line of `trace` or `verbose` before it. */
export function failures(log) {
  const found = [];
  let context = '';
  const lines = log.split('\n');
  for (const [at, line] of lines.entries()) {
    const [, trace] = /^trace: (.*)$/.exec(line) ?? [];
    if (trace !== undefined) context = trace;
    const [, fail] = /^FAIL: (.*)$/.exec(line) ?? [];
    // Each failure is logged with all lines since its trace, so only the last one of them is new.
    const next = lines[at + 1];
    const isLast = next === '' && (lines[at + 2] === undefined || /^trace: |^$/.test(lines[at + 2]));
    if (fail !== undefined && isLast) found.push({ context, fail });
  }
  return found;
}

function callsOf(folder) {
  const file = join(folder, 'calls');
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const textOf = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '');

/**
 * Runs a script.
 * @param {string} script the path of the script
 * @param {{ scripts: string, folder: string, keys?: string, route?: 'local' | 'remote', verbose?: boolean }} options
 *   folder: a new one; route: the kind of forward by which remote commands travel
 * @returns {Promise<{ code: number | null, late: boolean, skipped: string | undefined, failures: { context: string,
 *   fail: string }[], calls: { how: string, args: string[] }[], left: string[], seconds: number, output: string }>}
 */
export async function runScript(script, { scripts, folder, keys, route = 'local', verbose = false }) {
  const since = performance.now();
  const ssh = prepare(folder, scripts, keys);
  const mark = randomUUID();
  const env = {
    ...process.env,
    REGRESS_RUN: mark,
    REGRESS_FOLDER: folder,
    REGRESS_ROUTE: route,
    // Of mkdtemp and ssh-agent, which leave their folders where a script is ended.
    TMPDIR: folder,
    BUILDDIR: scripts,
    TEST_SHELL: 'sh',
    TEST_SSH_PORT: String(await freePort()),
    TEST_SSH_SSH: ssh,
    TEST_SSH_SSHD: findProgram('sshd'),
    TEST_SSH_SFTPSERVER: SFTP_SERVER,
    TEST_SSH_UNSAFE_PERMISSIONS: '1',
    TEST_SSH_TRACE: verbose ? 'yes' : '',
    TEST_MALLOC_OPTIONS: 'C',
  };
  const endAll = () => endProcesses(`REGRESS_RUN=${mark}`, folder);
  // Before the folder is removed.
  process.prependListener('exit', endAll);
  const stopStandIn = await startStandIn(folder, env);
  const child = spawn('sh', [join(scripts, 'test-exec.sh'), folder, script], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
      if (verbose) process.stdout.write(text);
    });
  }
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    endAll();
  }, LIMIT * 1000);
  const [code] = await once(child, 'exit');
  clearTimeout(limit);
  await stopStandIn();
  const left = endAll();
  process.off('exit', endAll);
  return {
    code,
    late,
    left,
    output,
    skipped: /^skip(?:ped|ping)?:? ?(.*)$/im.exec(output)?.[1],
    failures: failures(textOf(join(folder, 'failed-regress.log'))),
    calls: callsOf(folder),
    seconds: (performance.now() - since) / 1000,
  };
}
