// The processes of a regress script, whatever their parent: found by their environment, or by the folder of the script
// in their command line, because sshd writes its title over both.

import { readFileSync, readdirSync } from 'node:fs';

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended, or is another user's.
    return '';
  }
}

/** The words of a process; empty if it has ended. */
export const commandLine = (pid) => read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();

/**
 * The ids of processes.
 * @param {string} variable of their environment, `NAME=value`
 * @param {string} [text] in the command line of others
 */
export function processes(variable, text) {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const isMine = (pid) => read(`/proc/${pid}/environ`).split('\0').includes(variable);
  return all.filter((pid) => isMine(pid) || (text !== undefined && commandLine(pid).includes(text))).map(Number);
}

/** Ends all such processes except this one. @returns {string[]} their command lines */
export function endProcesses(variable, text) {
  const ended = new Map();
  for (;;) {
    const found = processes(variable, text).filter((pid) => pid !== process.pid && !ended.has(pid));
    if (found.length === 0) return [...ended.values()];
    for (const pid of found) {
      ended.set(pid, commandLine(pid));
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
  }
}
