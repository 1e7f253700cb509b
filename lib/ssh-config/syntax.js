'use strict';

// Takes the lines of an ssh_config file apart, as OpenSSH does. docs/dependencies.md says why no package does it.

const { configError } = require('../errors.js');
const { STAR, fits } = require('./wildcards.js');

/** Keyword, perhaps in quotes, then blanks or one equals sign among blanks, then the rest. */
const LINE = /^(?:"([^"]+)"|([^ \t="]+))(?:[ \t]*=[ \t]*|[ \t]+|$)(.*)$/s;

/** One directive of a file, or of the command line. */
class Line {
  /**
   * @param {number} [number] counted from 1; none on the command line
   * @param {string[]} [args] the words of a directive that was not written as text
   */
  constructor(keyword, rest, file, number, args) {
    this.keyword = keyword;
    /** The text behind the keyword: the form in which commands are used. */
    this.rest = rest;
    this.file = file;
    this.number = number;
    this.args = args ?? splitWords(rest, this);
    /** Whether `rest` begins with the value, without separators. */
    this.exact = false;
  }

  /** An error about this line. */
  error(reason) {
    return configError(reason, this);
  }
}

/**
 * Splits at blanks outside of quotes of either kind. A backslash escapes quotes, backslashes and, outside of quotes,
 * blanks.
 * @param {string} text
 * @param {{ error(reason: string): Error }} line whose text it is
 * @param {{ comments?: boolean }} [options] whether a word that begins with # ends the text
 */
function splitWords(text, line, { comments = true } = {}) {
  const args = [];
  let at = 0;
  const skip = () => {
    while (text[at] === ' ' || text[at] === '\t') at++;
  };
  for (skip(); at < text.length && !(comments && text[at] === '#'); skip()) {
    let word = '';
    let quote = '';
    for (; at < text.length; at++) {
      const character = text[at];
      const next = text[at + 1];
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
    if (quote) throw line.error('a quote is not closed');
    args.push(word);
  }
  return args;
}

/** A line without the blanks around it. A regular expression would take quadratic time over blanks within it. */
function trim(text) {
  let start = 0;
  let end = text.length;
  while (start < end && ' \t\r'.includes(text[start])) start++;
  while (end > start && ' \t\r\f'.includes(text[end - 1])) end--;
  return text.slice(start, end);
}

/**
 * The directives of a text.
 * @param {string} text
 * @param {string} file
 * @param {{ numbered?: boolean }} [options] whether the lines have numbers, as those of a file
 */
function* lines(text, file, { numbered = true } = {}) {
  let count = 0;
  for (const full of text.split('\n')) {
    const number = numbered ? ++count : undefined;
    const trimmed = trim(full);
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const [, quoted, plain, rest] = LINE.exec(trimmed) ?? [];
    if (rest === undefined) throw configError('the line does not begin with a directive', { file, number });
    if (rest === '') throw configError(`there is no argument after ${quoted ?? plain}`, { file, number });
    yield new Line(quoted ?? plain, rest, file, number);
  }
}

/** The directive of a flag on the command line: its value is one word, whatever is in it. */
function flagLine(keyword, value, file) {
  return Object.assign(new Line(keyword, value, file, undefined, [value]), { exact: true });
}

/** Whether a pattern matches all of `text`: `*` stands for any characters, `?` for one. */
function matches(pattern, text) {
  const matcher = (character) => {
    if (character === '*') return STAR;
    return character === '?' ? () => true : (other) => other === character;
  };
  return fits(pattern.split('').map(matcher), text);
}

/** Whether one of several patterns matches, and none after a `!` does. */
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

module.exports = { Line, flagLine, lines, matches, matchesAny, splitWords };
