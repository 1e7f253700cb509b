'use strict';

// What may follow the words of a command line.

const { VALUED } = require('../arguments.js');
const { COMMANDS, FLAGS } = require('../help.js');
const values = require('./values.js');

/**
 * A word that may follow.
 * @typedef {{ value: string, text?: string }} Candidate
 */

const entries = Object.values(FLAGS).flat();

/** The entry of a flag among those of the command and those of a subcommand. */
const entryOf = (flag, more = []) => [...more, ...entries].find(({ names }) => names.includes(flag));

/**
 * The values that an option may have, for the part that is typed.
 * @param {import('../help.js').Entry} entry
 * @param {string} written
 * @param {import('./values.js').Given} given
 * @returns {Candidate[]}
 */
function valuesOf({ completes }, written, given) {
  return completes === undefined ? [] : values[completes](written, given);
}

/** A cluster of flags, as far as the one that has a value. */
function cluster(word) {
  const at = [...word].findIndex((letter, index) => index > 0 && VALUED.includes(letter));
  return at < 0 ? undefined : { flag: `-${word[at]}`, head: word.slice(0, at + 1), value: word.slice(at + 1) };
}

/**
 * The entry of the flag whose value the next word is.
 * @param {string} word
 * @param {import('../help.js').Entry[]} more
 */
function opened(word, more) {
  if (word.startsWith('--') || more.some(({ names }) => names.includes(word))) {
    const entry = entryOf(word, more);
    return entry?.value ? entry : undefined;
  }
  if (!word.startsWith('-')) return undefined;
  const { flag, value } = cluster(word) ?? {};
  return value === '' ? entryOf(flag, more) : undefined;
}

/**
 * What the words before say.
 * @param {string[]} words
 * @param {import('../help.js').Entry[]} more flags of a subcommand
 * @returns {{ pending?: import('../help.js').Entry, given: import('./values.js').Given }} pending: the flag that lacks its
 *   value
 */
function readBefore(words, more) {
  /** @type {import('./values.js').Given} */
  const given = { names: [], configFile: undefined };
  let pending;
  for (const word of words) {
    if (pending !== undefined) {
      if (pending.names[0] === '-F') given.configFile = word;
      pending = undefined;
    } else if (word.startsWith('-') && word !== '-') {
      pending = opened(word, more);
    } else {
      given.names.push(word);
    }
  }
  return { pending, given };
}

/** The flags, each by its names. @returns {Candidate[]} */
const flagsOf = (list) =>
  list.flatMap(({ names, text }) => names.map((value) => ({ value: value.split(' ')[0], text })));

/**
 * @param {string[]} words behind the name of the command; the last one is to be completed
 * @returns {Candidate[]}
 */
function candidates(words) {
  const current = words.at(-1) ?? '';
  const command = COMMANDS.find(({ names }) => words.length > 1 && names.includes(words[0]));
  const before = words.slice(command === undefined ? 0 : 1, -1);
  const isPlain = command === undefined || command.names[0] === 'run';
  const takesFlags = isPlain || command.names[0] === 'up';
  const own = command?.flags ?? [];
  // What follows is for the program that is run.
  if (command !== undefined && before.includes('--')) return [];
  const { pending, given } = readBefore(before, own);
  if (pending !== undefined) return start(valuesOf(pending, current, given), current);
  if (current.startsWith('-')) {
    const { flag, head, value } = (!current.startsWith('--') && cluster(current)) || {};
    const joined = value && entryOf(flag, own);
    if (joined) {
      const found = start(valuesOf(joined, value, given), value);
      return found.map((each) => ({ ...each, value: head + each.value }));
    }
    return start(flagsOf(takesFlags ? [...own, ...entries] : own), current);
  }
  if (!isPlain) return start(valuesOf(command, current, given), current);
  if (given.names.length > 0) return [];
  const first = words.length > 1 ? [] : COMMANDS.flatMap(({ names: [value], text }) => ({ value, text }));
  return start([...first, ...values.hosts(current, given)], current);
}

/** The values with this prefix, each once. */
function start(list, written) {
  const seen = new Set();
  return list.filter(({ value }) => value.startsWith(written) && !seen.has(value) && seen.add(value));
}

module.exports = { candidates };
