// This process as the system sees it, and child processes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, readlinkSync, watch } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// Every server and every temporary folder has a listener for the exit of this process.
process.setMaxListeners(0);

// The test runner ends a suite that takes too long with SIGTERM, which alone would not
// clean up: an exit stops servers and removes temporary folders.
process.once('SIGTERM', () => process.exit(143));

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What a descriptor of this process leads to, or null. */
function target(descriptor) {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return null; // the folder that was read
  }
}

/** How many descriptors this process holds, without that of random numbers: Node.js for musl opens it when it first needs some. */
export function descriptors() {
  const targets = readdirSync('/proc/self/fd').map(target);
  return targets.filter((path) => path !== null && path !== '/dev/urandom').length;
}

/** Waits until a condition holds: for what another process or the kernel does there is no event. */
export async function until(holds) {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Waits until this process holds no more descriptors than that. */
export async function descriptorsBack(count) {
  await until(() => descriptors() <= count);
  assert.equal(descriptors(), count);
}

/** The time on a clock that all processes share, in milliseconds. */
export const moment = () => Number(process.hrtime.bigint()) / 1e6;

/** The kernel's wait channel of the threads with this name; '0' for running ones. */
export function waits(name) {
  const read = (task, file) => readFileSync(`/proc/self/task/${task}/${file}`, 'utf8').trim();
  const tasks = readdirSync('/proc/self/task').filter((task) => read(task, 'comm') === name);
  return tasks.map((task) => read(task, 'wchan'));
}

/** Resident memory of this process in bytes, after a garbage collection. */
export function memory() {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  gc();
  gc();
  const pages = Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]);
  return pages * 4096;
}

/** The descendants of a process, parents first. */
export function descendants(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let stat;
    try {
      stat = readFileSync(`/proc/${name}/stat`, 'latin1');
    } catch {
      continue; // ended since the directory was read
    }
    // The name in parentheses may hold anything; state and parent follow the last one.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [];
  const visit = (parent) => {
    for (const child of children.get(parent) ?? []) {
      found.push(child);
      visit(child);
    }
  };
  visit(pid);
  return found;
}

/** The TCP sockets of this machine as the kernel lists them: both ends as address and port in hexadecimal. */
export function tcpSockets() {
  const rows = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`/proc/net/${name}`, 'latin1').trim().split('\n').slice(1),
  );
  const fields = rows.map((row) => row.trim().split(/\s+/));
  return fields.map(([, local, remote, state, , , , , , inode]) => ({ local, remote, listens: state === '0A', inode }));
}

/** The suffix of a port in such a list. */
export const portName = (port) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;

/** The sockets of this machine that listen on a port. */
export const listeners = (port) =>
  tcpSockets().filter(({ listens, local }) => listens && local.endsWith(portName(port)));

/** Whether a process exists that is not a zombie. */
export function isAlive(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Whether a process has the socket with this inode. */
export function hasSocket(pid, inode) {
  const name = `socket:[${inode}]`;
  // Either may have gone since it was listed.
  const read = (list, none) => {
    try {
      return list();
    } catch {
      return none;
    }
  };
  const descriptors = read(() => readdirSync(`/proc/${pid}/fd`), []);
  return descriptors.some((fd) => read(() => readlinkSync(`/proc/${pid}/fd/${fd}`), '') === name);
}

export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** Waits until a file matches, and gives the match. */
export function whenFile(path, pattern) {
  return new Promise((resolve) => {
    const watcher = watch(path, { persistent: false });
    const look = () => {
      const match = pattern.exec(readFileSync(path, 'utf8'));
      if (!match) return;
      watcher.close();
      resolve(match);
    };
    watcher.on('change', look);
    look();
  });
}

/** Runs a command to its end: its exit code or signal and what it printed. */
export async function run(command, args, { timeout = 30_000, ...options } = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (output[name] += text));
  }
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeout);
  const [code, signalName] = await once(child, 'close');
  clearTimeout(limit);
  return { code, signal: signalName, late, ...output };
}

/** Runs an ES module given as text, with the repository as its folder. */
export function runModule(source, { args = [], ...options } = {}) {
  const all = ['--input-type=module', '--eval', source, '--', ...args];
  return run(process.execPath, all, { cwd: ROOT, ...options });
}

/** The id of a child's first message, which answers no call. */
const STARTED = 0;

/**
 * A child that runs one of the helpers: `child.ask(method, ...arguments)`
 * calls a function that it passed to `answer` below.
 */
export class Child {
  #process;
  #pending = new Map();
  #count = STARTED;

  /**
   * @param options.descriptors how many it may have open
   * @param options.inside a command that runs it elsewhere, such as in a network namespace
   */
  static async start(file, { descriptors, inside = [] } = {}) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    // Only a shell can lower the limit; exec keeps the process and its channel to us.
    const limit = descriptors ? ['sh', '-c', `ulimit -n ${descriptors} && exec "$0" "$@"`] : [];
    const [command, ...args] = [...inside, ...limit, process.execPath, path];
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'];
    return Child.of(spawn(command, args, { stdio }), file);
  }

  /** Wraps a process that runs one of the helpers and was started by other means. */
  static async of(process, name) {
    const child = new Child();
    child.#process = process;
    child.#process.on('message', ({ id, result, error }) => {
      const { resolve, reject } = child.#pending.get(id);
      child.#pending.delete(id);
      if (error) reject(Object.assign(new Error(error.message), { code: error.code }));
      else resolve(result);
    });
    child.#process.on('exit', (code, signalName) => {
      for (const { reject } of child.#pending.values()) {
        reject(new Error(`${name} ended: ${signalName ?? code}`));
      }
    });
    await new Promise((resolve, reject) => child.#pending.set(STARTED, { resolve, reject }));
    return child;
  }

  get pid() {
    return this.#process.pid;
  }

  ask(method, ...args) {
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      this.#pending.set(id, { resolve, reject });
      this.#process.send({ id, method, args }, (error) => error && reject(error));
    });
  }

  /** The code that it exited with, or the signal; null while it lives. */
  get exited() {
    return this.#process.exitCode ?? this.#process.signalCode;
  }

  /** Waits at most so long for its end, and gives `exited`. */
  async ended(limit) {
    const timeout = AbortSignal.timeout(limit);
    try {
      if (this.exited === null) await once(this.#process, 'exit', { signal: timeout });
    } catch {
      throw Object.assign(new Error(`still alive after ${limit} ms`), { code: 'ETIMEDOUT' });
    }
    return this.exited;
  }

  async stop() {
    if (this.exited !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }
}

/** The child's side of `Child`: answers with these functions, and ends with its parent. */
export function answer(methods) {
  process.on('message', async ({ id, method, args }) => {
    try {
      const result = await methods[method](...args);
      process.send({ id, result });
    } catch ({ code, message }) {
      process.send({ id, error: { code, message } });
    }
  });
  process.on('disconnect', () => process.exit());
  // Earlier calls may be lost: a worker of a cluster reads its messages from the first on.
  process.send({ id: STARTED });
}
