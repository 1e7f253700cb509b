// A link of limited bandwidth between two network namespaces, and an SSH server at its far end.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { findProgram } from './ensure-sshd.mjs';
import { signal } from './process.mjs';
import { Sshd } from './sshd.mjs';

const PROGRAM = fileURLToPath(new URL('slow-link-process.mjs', import.meta.url));
const NEAR = '10.99.0.1';
const FAR = '10.99.0.2';
const DEVICE = 'shaped';
/** As of a home router: what may wait before packets are dropped. */
const QUEUE = '200ms';

const ip = (...args) => spawnSync('ip', args, { encoding: 'utf8' });

let links = 0;

/** Why there can be no such link here, or null. */
export function noSlowLink() {
  if (process.platform !== 'linux' || process.getuid() !== 0) return 'network namespaces need root on Linux';
  const missing = ['ip', 'tc'].filter((name) => !findProgram(name));
  if (missing.length > 0) return `there is no ${missing.join(', ')}: install iproute2`;
  const link = new SlowLink();
  try {
    link.make('1mbit');
    return null;
  } catch (error) {
    return error.message;
  } finally {
    link.remove();
  }
}

export class SlowLink {
  #near = `near-${process.pid}-${(links += 1)}`;
  #far = `far-${process.pid}-${links}`;
  #programs = [];
  #targets;

  /** @param rate of both directions, in the words of tc: '5mbit' */
  static async start(rate, options) {
    const link = new SlowLink();
    process.on('exit', link.remove);
    try {
      link.make(rate);
      link.server = await Sshd.start({ host: FAR, inside: link.inside('far'), ...options });
      link.#targets = link.run('far');
      link.targets = await link.#targets.line();
    } catch (error) {
      await link.stop();
      throw error;
    }
    return link;
  }

  make(rate) {
    const done = ({ status, stderr, error }) => {
      if (status !== 0) throw new Error(`no link of limited bandwidth: ${stderr?.trim() || error?.message}`);
    };
    for (const namespace of [this.#near, this.#far]) done(ip('netns', 'add', namespace));
    const peer = ['type', 'veth', 'peer', 'name', DEVICE, 'netns', this.#far];
    done(ip('link', 'add', 'name', DEVICE, 'netns', this.#near, ...peer));
    for (const [namespace, address] of [
      [this.#near, NEAR],
      [this.#far, FAR],
    ]) {
      done(ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', DEVICE));
      for (const device of ['lo', DEVICE]) done(ip('-n', namespace, 'link', 'set', device, 'up'));
      const shape = ['root', 'tbf', 'rate', rate, 'burst', rate.includes('gbit') ? '256k' : '16k', 'latency', QUEUE];
      done(ip('netns', 'exec', namespace, 'tc', 'qdisc', 'add', 'dev', DEVICE, ...shape));
    }
  }

  #change(...args) {
    const { status, stderr } = ip('-n', this.#near, ...args, 'dev', DEVICE);
    if (status !== 0) throw new Error(stderr);
  }

  /** Adds or removes an address of the near end: 'add' or 'del'. */
  change(verb, address) {
    this.#change('addr', verb, `${address}/24`);
  }

  /** New connections of the near end come from this address of its. */
  prefer(address) {
    this.#change('route', 'replace', `${FAR}/32`, 'src', address);
  }

  /** The words before a command that runs it at an end of the link. */
  inside(end) {
    return [findProgram('ip'), 'netns', 'exec', end === 'near' ? this.#near : this.#far];
  }

  /**
   * Measures from the near end, as slow-link-process.mjs does with these options; gives that and the Mbit/s of each
   * connection of the sink.
   */
  async measure(options) {
    const program = this.run('near', { targets: this.targets, ...options });
    const counts = () => {
      this.#targets.child.stdin.write('\n');
      return this.#targets.line();
    };
    // Those of earlier measurements.
    const old = (await counts()).length;
    await program.line();
    const before = await counts();
    const result = await program.line();
    const after = await counts();
    const up = after.slice(old).map((count, index) => ((count - before[old + index]) * 8e-6) / result.elapsed);
    return { ...result, up };
  }

  /** Runs slow-link-process.mjs at an end of the link; `line` gives the next line that it prints, as a value. */
  run(end, options = {}) {
    const [command, ...args] = [...this.inside(end), process.execPath, PROGRAM, end, JSON.stringify(options)];
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#programs.push(child);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const line = async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`the program at the ${end} end said nothing`);
      return JSON.parse(value);
    };
    return { child, line };
  }

  /** Removes the namespaces with everything that runs in them. */
  remove = () => {
    for (const namespace of [this.#near, this.#far]) {
      const pids = ip('netns', 'pids', namespace).stdout?.split(/\s+/).filter(Boolean) ?? [];
      for (const pid of pids) signal(Number(pid), 'SIGKILL');
      ip('netns', 'del', namespace);
    }
  };

  async stop() {
    process.off('exit', this.remove);
    const ended = this.#programs.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit'));
    for (const child of this.#programs) child.kill('SIGKILL');
    await Promise.all(ended);
    await this.server?.stop();
    this.remove();
  }
}
