// Tunnels in the background, with folders and an ssh_config file of their own.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { Cli, Setting } from './cli.mjs';
import { freePort } from './daemon.mjs';
import { temporaryFolder } from './keys.mjs';
import { connect, exchange } from './peers.mjs';
import { isAlive, signal, until } from './process.mjs';

const require = createRequire(import.meta.url);
const { ControlClient } = require('../../lib/cli/control/client.js');

/** The environment of a process; empty if it has ended. */
function environment(pid) {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** Whether a process is a supervisor, which its arguments say. */
function isSupervisor(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('supervise');
  } catch {
    return false; // It has ended.
  }
}

export class Manager {
  #folder = temporaryFolder('manager');
  #setting;
  #hosts = [];

  /** Its tunnels and the supervisor end with the test. */
  static create(t, server) {
    const manager = new Manager(server);
    t.after(() => manager.#remove());
    return manager;
  }

  constructor(server) {
    this.server = server;
    this.#setting = new Setting(server);
    /** The key of hosts that are added from now on. */
    this.key = this.#setting.key;
    for (const name of ['home', 'run', 'state']) mkdirSync(this.#folder.at(name), { mode: 0o700 });
    this.config = this.#folder.at('config');
    this.env = {
      HOME: this.#folder.at('home'),
      XDG_RUNTIME_DIR: this.#folder.at('run'),
      XDG_STATE_HOME: this.#folder.at('state'),
    };
    this.socket = join(this.env.XDG_RUNTIME_DIR, 'sshtunnel', 'supervisor.sock');
    this.state = join(this.env.XDG_STATE_HOME, 'sshtunnel');
    this.wanted = join(this.state, 'tunnels.json');
  }

  at = (name) => this.#folder.at(name);

  log = (name) => join(this.state, `${name}.log`);

  /** Adds a host with these lines; what it needs to connect comes after them. @returns its name */
  host(name, ...lines) {
    this.#hosts.push(`Host ${name}\n${lines.map((line) => `  ${line}\n`).join('')}`);
    const settings = [
      'HostName 127.0.0.1',
      `Port ${this.server.port}`,
      `UserKnownHostsFile ${this.#setting.knownHosts}`,
      'GlobalKnownHostsFile none',
      'UpdateHostKeys no',
      'IdentityAgent none',
      `IdentityFile ${this.key}`,
    ];
    writeFileSync(this.config, `${this.#hosts.join('')}Host *\n${settings.map((line) => `  ${line}\n`).join('')}`);
    return name;
  }

  /** Adds a profile with a local forward to a target. @returns the port */
  async profile(name, target, ...lines) {
    const port = await freePort();
    this.host(name, `LocalForward 127.0.0.1:${port} 127.0.0.1:${target.port}`, ...lines);
    return port;
  }

  /** Starts a subcommand. */
  start(t, ...args) {
    return Cli.start(t, args, { env: this.env });
  }

  /** Runs a subcommand to its end. */
  run(t, ...args) {
    return this.start(t, ...args).end();
  }

  up(t, ...names) {
    return this.run(t, 'up', '-F', this.config, ...names);
  }

  /** What `ls --json` prints. */
  async list(t) {
    const { stdout } = await this.run(t, 'ls', '--json', '-F', this.config);
    return JSON.parse(stdout);
  }

  /** Sends requests to the supervisor, and gives the replies. */
  async ask(...requests) {
    const client = await ControlClient.open(this.socket);
    try {
      const replies = [];
      for (const request of requests) replies.push(await client.ask(request));
      return replies;
    } finally {
      client.close();
    }
  }

  /** What the supervisor has of a tunnel. */
  async tunnel(name) {
    const [{ tunnels }] = await this.ask({ command: 'list' });
    return tunnels.find((tunnel) => tunnel.name === name);
  }

  /** Waits until a tunnel is in a state, and gives what the supervisor has of it. */
  async reaches(name, state) {
    let tunnel;
    await until(async () => {
      tunnel = await this.tunnel(name);
      return tunnel?.state === state;
    });
    return tunnel;
  }

  /** The numbers of all processes of this manager: the supervisor, and those of tunnels. Only Linux tells. */
  processes() {
    if (process.platform !== 'linux') return [];
    const mark = `XDG_STATE_HOME=${this.env.XDG_STATE_HOME}`;
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && environment(name).includes(mark))
      .map(Number)
      .filter(isAlive);
  }

  /** The numbers of the supervisors. */
  supervisors() {
    return this.processes().filter(isSupervisor);
  }

  /** Waits until the supervisor and all tunnels have ended. */
  ended() {
    return until(() => this.processes().length === 0);
  }

  async #remove() {
    await this.ask({ command: 'down', names: [], all: true, force: true }).catch(() => {});
    await until(() => {
      const left = this.processes();
      for (const pid of left) signal(pid, 'SIGKILL');
      return left.length === 0;
    });
    this.#setting.remove();
    this.#folder.remove();
  }
}

/** Sends bytes through a port and back, over a connection that stays. */
export async function answers(port) {
  const client = await connect(port);
  await exchange(client);
  return client;
}
