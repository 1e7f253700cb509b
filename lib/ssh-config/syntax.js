'use strict';

// The lines of an ssh_config file, taken apart as OpenSSH takes them apart. docs/dependencies.md says
// why no package does that.

const { configError } = require('../errors.js');

/** Keyword, perhaps in quotes, then blanks or one equals sign among blanks, then the rest. */
const LINE = /^(?:"([^"]+)"|([^ \t="]+))(?:[ \t]*=[ \t]*|[ \t]+|$)(.*)$/s;

/** One directive of a file. */
class Line {
  /** @param {string[]} [args] the words of a directive that was not written as text */
  constructor(keyword, rest, file, number, args) {
    this.keyword = keyword;
    /** What follows the keyword, as it was written: commands are taken so. */
    this.rest = rest;
    this.file = file;
    this.number = number;
    this.args = args ?? this.#split();
    /** Whether `rest` is the value, and no separators are before it. */
    this.exact = false;
  }

  /** The error of this line. */
  error(reason) {
    return configError(reason, this);
  }

  /**
   * Words are parted by blanks unless quotes of either kind hold them together. A backslash stands
   * before quotes, backslashes and, outside of quotes, blanks. A word that begins with # ends it.
   */
  #split() {
    const args = [];
    const { rest } = this;
    let at = 0;
    const skip = () => {
      while (rest[at] === ' ' || rest[at] === '\t') at++;
    };
    for (skip(); at < rest.length && rest[at] !== '#'; skip()) {
      let word = '';
      let quote = '';
      for (; at < rest.length; at++) {
        const character = rest[at];
        const next = rest[at + 1];
        if (character === '\\' && (next === '"' || next === "'" || next === '\\' || (next === ' ' && !quote))) {
          word += next;
          at++;
        } else if (quote) {
          if (character === quote) quote = '';
          else word += character;
        } else if (character === ' ' || character === '\t') {
          break;
        } else if (character === '"' || character === "'") {
          quote = character;
        } else {
          word += character;
        }
      }
      if (quote) throw this.error('a quote is not closed');
      args.push(word);
    }
    return args;
  }
}

/** A line without the blanks around it. A pattern would look at blanks within it again and again. */
function trim(text) {
  let start = 0;
  let end = text.length;
  while (start < end && ' \t\r'.includes(text[start])) start++;
  while (end > start && ' \t\r\f'.includes(text[end - 1])) end--;
  return text.slice(start, end);
}

/** The directives of a text. */
function* lines(text, file) {
  let number = 0;
  for (const full of text.split('\n')) {
    number++;
    const trimmed = trim(full);
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const [, quoted, plain, rest] = LINE.exec(trimmed) ?? [];
    if (rest === undefined) throw configError('it does not begin with a directive', { file, number });
    if (rest === '') throw configError(`there is no argument after ${quoted ?? plain}`, { file, number });
    yield new Line(quoted ?? plain, rest, file, number);
  }
}

/** The directive that a flag of a command line stands for: its value is one word, whatever is in it. */
function flagLine(keyword, value, file) {
  return Object.assign(new Line(keyword, value, file, 1, [value]), { exact: true });
}

/** Whether a pattern in which `*` stands for any characters and `?` for one stands for all of `text`. */
function matches(pattern, text) {
  let at = 0;
  let seen = 0;
  // Where to go on when the last star has to take one more character.
  let star = -1;
  let taken = 0;
  while (seen < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      taken = seen;
    } else if (pattern[at] === '?' || pattern[at] === text[seen]) {
      at++;
      seen++;
    } else if (star >= 0) {
      at = star + 1;
      seen = ++taken;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

/** Whether one of several patterns matches, and none of those after a `!`. */
function matchesAny(patterns, text) {
  let found = false;
  for (const pattern of patterns) {
    const negated = pattern.startsWith('!');
    if (!matches(negated ? pattern.slice(1) : pattern, text)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

module.exports = { Line, flagLine, lines, matches, matchesAny };
