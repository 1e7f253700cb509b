'use strict';

// Paths with wildcards, as the glob(3) of OpenSSH expands them: `*`, `?`, `[a-z]`, and a backslash before a character that
// stands for itself, all of them for bytes. Node.js has no such function before version 22, and that one takes braces,
// too. Texts here have a character for each byte.

const fs = require('node:fs');
const path = require('node:path');

const { STAR, fits } = require('./wildcards.js');

/** On Windows a backslash separates folders. */
const ESCAPES = process.platform !== 'win32';
const SEPARATORS = ESCAPES ? /\/+/ : /[\\/]+/;

/** Character classes of POSIX, for ASCII. */
const CLASSES = {
  alnum: /[a-z0-9]/i,
  alpha: /[a-z]/i,
  blank: /[ \t]/,
  cntrl: /\p{Cc}/u,
  digit: /[0-9]/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /\s/,
  upper: /[A-Z]/,
  xdigit: /[0-9a-f]/i,
};

/**
 * Reads the set between brackets.
 * @param {string} pattern
 * @param {number} start the place after the opening bracket
 * @returns {{ matcher: (character: string) => boolean, end: number } | undefined} undefined if the bracket is not closed
 */
function readSet(pattern, start) {
  let at = start;
  const negated = pattern[at] === '!';
  if (negated) at += 1;
  const members = [];
  for (const first = at; at < pattern.length; ) {
    if (pattern[at] === ']' && at > first) {
      const includes = (character) => members.some((member) => member(character));
      return { matcher: (character) => includes(character) !== negated, end: at + 1 };
    }
    const named = /^\[:([a-z]+):\]/.exec(pattern.slice(at, at + 12));
    if (named !== null) {
      const set = CLASSES[named[1]];
      // As in OpenSSH, nothing matches then.
      if (set === undefined) return { matcher: () => false, end: pattern.length };
      members.push((character) => set.test(character));
      at += named[0].length;
      continue;
    }
    const bound = () => {
      if (ESCAPES && pattern[at] === '\\' && at + 1 < pattern.length) at += 1;
      return pattern[at++];
    };
    const low = bound();
    let high = low;
    if (pattern[at] === '-' && at + 1 < pattern.length && pattern[at + 1] !== ']') {
      at += 1;
      high = bound();
    }
    members.push((character) => low <= character && character <= high);
  }
  return undefined;
}

/**
 * The matchers of a name's pattern.
 * @param {string} pattern
 * @returns {{ matchers: (symbol | ((character: string) => boolean))[], plain?: string }} plain: the name, if the pattern
 *   has no wildcard
 */
function compile(pattern) {
  const matchers = [];
  let plain = '';
  let isPlain = true;
  for (let at = 0; at < pattern.length; ) {
    let character = pattern[at++];
    if (character === '*') {
      matchers.push(STAR);
      isPlain = false;
      continue;
    }
    const set = character === '[' ? readSet(pattern, at) : undefined;
    if (character === '?' || set !== undefined) {
      matchers.push(set?.matcher ?? (() => true));
      at = set?.end ?? at;
      isPlain = false;
      continue;
    }
    if (ESCAPES && character === '\\' && at < pattern.length) character = pattern[at++];
    const literal = character;
    matchers.push((other) => other === literal);
    plain += literal;
  }
  return isPlain ? { matchers, plain } : { matchers };
}

/** The bytes of a path. */
const bytes = (text) => Buffer.from(text, 'latin1');

/** The names in a folder; none if it is not a folder that can be read. */
function namesIn(folder) {
  try {
    return fs.readdirSync(bytes(folder), 'latin1');
  } catch {
    return [];
  }
}

/**
 * The files that match an absolute path with wildcards, sorted by their bytes. A dot in front of a name is matched only by
 * a dot.
 * @param {string} pattern
 * @returns {string[]}
 */
function glob(pattern) {
  const { root } = path.parse(pattern);
  let found = [root];
  const rest = Buffer.from(pattern.slice(root.length)).toString('latin1');
  for (const part of rest.split(SEPARATORS).filter(Boolean)) {
    const { matchers, plain } = compile(part);
    found = found.flatMap((folder) => {
      if (plain !== undefined) return [path.join(folder, plain)];
      const visible = namesIn(folder).filter((name) => part.startsWith('.') || !name.startsWith('.'));
      return visible.filter((name) => fits(matchers, name)).map((name) => path.join(folder, name));
    });
  }
  const files = found.map(bytes).sort(Buffer.compare);
  return files.filter((file) => fs.existsSync(file)).map(String);
}

module.exports = { glob };
