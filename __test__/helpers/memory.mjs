// The memory of another process, as in a core dump.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK = 4 * 2 ** 20;

/** Whether this system lets a process read the memory of its children. */
export function canLook() {
  try {
    closeSync(openSync('/proc/self/mem', 'r'));
    return true;
  } catch {
    return false;
  }
}

/**
 * The parts of a secret by which a copy of it is recognized, also one whose beginning was overwritten when
 * its memory was freed.
 */
export function parts(secret, size = 16) {
  const bytes = Buffer.from(secret);
  const found = [];
  for (let at = 0; at + size <= bytes.length; at += size / 2) found.push(bytes.subarray(at, at + size));
  return found;
}

/**
 * Where writable memory of a process holds one of the needles.
 * @param {Record<string, Buffer[]>} needles parts by name
 * @returns {string[]} names, with the place
 */
export function search(pid, needles) {
  const maps = readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n');
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const longest = Math.max(
    ...Object.values(needles)
      .flat()
      .map((part) => part.length),
  );
  const room = Buffer.alloc(CHUNK);
  const found = [];
  let bytes = 0;
  try {
    for (const line of maps) {
      const [, start, end, what] = /^([\da-f]+)-([\da-f]+) rw\S+ \S+ \S+ \S+\s*(.*)$/.exec(line) ?? [];
      if (start === undefined || what.startsWith('[v')) continue;
      let kept = 0;
      for (let at = parseInt(start, 16); at < parseInt(end, 16); ) {
        const wanted = Math.min(CHUNK - kept, parseInt(end, 16) - at);
        let count;
        try {
          count = readSync(memory, room, kept, wanted, at);
        } catch {
          break; // a page that nobody can read, such as a guard
        }
        const seen = room.subarray(0, kept + count);
        for (const [name, some] of Object.entries(needles)) {
          for (const [index, part] of some.entries()) {
            if (seen.includes(part)) found.push(`part ${index} of ${name} in ${what || 'anonymous memory'}`);
          }
        }
        bytes += count;
        at += count;
        if (count === 0) break;
        // The reads overlap, so that the second finds what spans both.
        kept = Math.min(longest - 1, seen.length);
        room.copyWithin(0, seen.length - kept, seen.length);
      }
    }
  } finally {
    closeSync(memory);
  }
  if (bytes < 2 ** 20) throw new Error(`only ${bytes} bytes of process ${pid} could be read`);
  return [...new Set(found)];
}
