// Files of ssh_config, for each host that they name and for another: as `ssh -G` prints them, and as fromConfig reads
// them.

import { isDeepStrictEqual } from 'node:util';

import { reading, truth } from '../../__test__/helpers/ssh-config.mjs';

/** Hosts of one file that are looked up. */
const MAX_HOSTS = 50;
const STRANGER = 'no-such-host.example';
const kind = 'configurations';

/** The names in Host lines that are no patterns. */
function hosts(text) {
  const found = new Set();
  for (const [, patterns] of text.matchAll(/^[ \t]*Host(?:[ \t]+|[ \t]*=[ \t]*)(.*)$/gim)) {
    for (const name of patterns.replaceAll('"', '').trim().split(/\s+/)) {
      if (/^\w[\w.-]*$/.test(name) && found.size < MAX_HOSTS) found.add(name);
    }
  }
  return found.add(STRANGER);
}

export class Configs {
  *check(file, bytes) {
    const text = bytes.toString('latin1');
    const isConfig = /(?:^|\/)(?:ssh_)?config[^/]*$|\.conf$/.test(file) && /^[ \t]*(?:Host|Match)[ \t=]/im.test(text);
    if (!isConfig || text.includes('\0')) return;
    if (/^[ \t]*Match\b.*\bexec\b|^[ \t]*Include\b/im.test(text)) {
      yield { kind, result: 'policy', reason: 'files with Match exec or Include are left out' };
      return;
    }
    for (const host of hosts(text)) yield { kind, what: host, ...compare(file, host) };
  }
}

function compare(file, host) {
  const [theirs, ours] = [truth(file, host), reading(file, host)];
  if (theirs.error !== undefined && ours.error !== undefined) return { result: 'same', refused: true };
  if (theirs.error !== undefined || ours.error !== undefined) {
    const words = ({ error }) => error?.text.trim().split('\n')[0] ?? 'accepted';
    return { result: 'different', reason: `ssh: ${words(theirs)}; here: ${words(ours)}` };
  }
  if (isDeepStrictEqual(theirs, ours)) return { result: 'same' };
  const members = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])];
  const apart = members.filter((name) => !isDeepStrictEqual(theirs[name], ours[name]));
  const each = apart.map((name) => `${name} ${theirs[name] ?? 'as usual'}; here: ${ours[name] ?? 'as usual'}`);
  return { result: 'different', reason: each.join(', ') };
}
