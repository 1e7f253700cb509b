// Servers that are programs of this folder, and servers that inetd would start for each connection.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { stopper } from '../__test__/helpers/daemon.mjs';
import { temporaryFolder } from '../__test__/helpers/keys.mjs';
import { signal } from '../__test__/helpers/process.mjs';

/** Prints the servers' standard error, if requested. */
const errors = process.env.INTEROP_VERBOSE ? 'inherit' : 'ignore';

/**
 * Starts a server with a file of authorized keys and its host keys. It prints its two ports, then
 * `newkeys` after each key exchange; on the second port it rekeys by itself.
 * @param command the program and its arguments
 */
export async function startProgram(name, [program, ...args], { hostKeys, userKeys, authority }) {
  const folder = temporaryFolder(name);
  const authorized = join(folder.path, 'authorized_keys');
  const lines = [...userKeys.map(({ publicKey }) => publicKey), `cert-authority ${authority.publicKey}`];
  writeFileSync(authorized, `${lines.join('\n')}\n`);
  const files = [authorized, ...hostKeys.map(({ file }) => file)];
  const child = spawn(program, [...args, ...files], { stdio: ['pipe', 'pipe', errors] });
  const stop = stopper(child, folder);
  const output = createInterface(child.stdout);
  const first = once(output, 'line');
  const ended = once(child, 'exit').then(() => [undefined]);
  const [line] = await Promise.race([first, ended]);
  if (line === undefined) {
    await stop();
    throw new Error(`the server made of ${name} ended before it listened`);
  }
  let rekeys = 0;
  output.on('line', (said) => (rekeys += said === 'newkeys'));
  const [port, rekeyingPort] = line.split(' ').map(Number);
  return {
    ports: [port],
    rekeyingPort,
    username: 'user',
    password: 'right',
    questions: true,
    open: 'open',
    rekeys: () => rekeys,
    kill: () => signal(child.pid, 'SIGKILL'),
    stop,
  };
}

/**
 * A home folder for the current user with authorized keys: some servers read them from nowhere
 * else. `env` makes programs use it, with Debian's libnss-wrapper. `parent` is for servers that reject a home
 * below a world-writable folder.
 */
export function makeHome(name, userKeys, parent) {
  const folder = temporaryFolder(name, parent);
  const at = (file) => join(folder.path, file);
  const { uid, gid, username } = userInfo();
  writeFileSync(at('passwd'), `${username}:x:${uid}:${gid}::${at('home')}:/bin/sh\n`);
  writeFileSync(at('group'), `${username}:x:${gid}:\n`);
  mkdirSync(at('home/.ssh'), { recursive: true, mode: 0o700 });
  const lines = userKeys.map(({ publicKey }) => `${publicKey}\n`).join('');
  writeFileSync(at('home/.ssh/authorized_keys'), lines, { mode: 0o600 });
  const env = {
    LD_PRELOAD: 'libnss_wrapper.so',
    NSS_WRAPPER_PASSWD: at('passwd'),
    NSS_WRAPPER_GROUP: at('group'),
  };
  return { env, username, at, remove: folder.remove };
}

/**
 * Listens on free ports and starts a program for each connection, with the connection as its standard input and
 * output, so there is no start to wait for.
 */
export class Inetd {
  #children = new Set();
  #listeners = [];

  constructor() {
    process.on('exit', this.kill);
  }

  /** Serves a port with a program, and returns the port. */
  async serve(program, args, env) {
    const listener = net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
      const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: [socket, socket, errors] });
      this.#children.add(child.once('exit', () => this.#children.delete(child)));
      socket.destroy(); // our copy of it
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    this.#listeners.push(listener);
    return listener.address().port;
  }

  kill = () => this.#children.forEach(({ pid }) => signal(pid, 'SIGKILL'));

  async stop() {
    process.off('exit', this.kill);
    for (const listener of this.#listeners) listener.close();
    const ends = [...this.#children].map((child) => once(child, 'exit'));
    this.kill();
    await Promise.all(ends);
  }
}
