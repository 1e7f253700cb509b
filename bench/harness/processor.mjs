// Processor time and memory of other processes, as the kernel counts them.

import { readFileSync, readdirSync } from 'node:fs';

const TICK = 0.01; // seconds; USER_HZ, which is 100 wherever Linux shows it to programs
const COARSE = 3 * TICK; // two numbers in ticks, cut off each time they are read

const read = (path) => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null; // ended meanwhile
  }
};

/** What a process has used so far: each thread in seconds, and all that it ever had in ticks. */
function usage(pid) {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The name in parentheses may hold anything; utime and stime are the 12th and 13th after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const all = (Number(fields[11]) + Number(fields[12])) * TICK;
  const threads = new Map();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const line = read(`/proc/${pid}/task/${thread}/schedstat`);
    if (line !== null) threads.set(thread, Number(line.split(' ')[0]) / 1e9);
  }
  return { all, threads };
}

function used(before, after) {
  let exact = 0;
  for (const [thread, time] of after.threads) exact += time - (before?.threads.get(thread) ?? 0);
  const coarse = after.all - (before?.all ?? 0);
  // Threads that have ended took their exact count with them; the coarse one has them.
  return coarse - exact > COARSE ? coarse : exact;
}

/** Counts the processor time of processes from now on. */
export class Meter {
  #before = new Map();
  #pids;

  /** @param pids gives the processes, now and at the end; those that are new by then count whole */
  constructor(pids) {
    this.#pids = pids;
    for (const pid of pids()) this.#before.set(pid, usage(pid));
  }

  /** Seconds so far, of those that have not ended: what the others used is not known any more. NaN of nobody. */
  read() {
    if (this.#pids().length === 0) return NaN;
    let seconds = 0;
    for (const pid of this.#pids()) {
      const after = usage(pid);
      if (after !== null) seconds += used(this.#before.get(pid), after);
    }
    return seconds;
  }
}

/**
 * Does the work, and gives its result with the processor time of the tunnel and of its server. A tunnel
 * does not end meanwhile, or the work fails; of sshd, a process without rights ends after each logon.
 */
export async function metered(tunnel, work) {
  const tunnels = new Meter(tunnel.pids);
  const servers = new Meter(tunnel.serverPids);
  const result = await work();
  return { result, processor: tunnels.read(), server: servers.read() };
}

/** Resident bytes of a process: all of it, and what it shares with nobody and no file. */
export function resident(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const field = (text, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)[1]) * 1024;
  return { rss: field(status, 'VmRSS'), anonymous: field(rollup, 'Pss_Anon') };
}
