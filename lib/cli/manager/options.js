'use strict';

// The command lines of the subcommands, and how they fail.

const { parseArgs } = require('node:util');

const { time } = require('../../ssh-config/values.js');
const { flagLine } = require('../../ssh-config/syntax.js');
const { MAX_MILLISECONDS } = require('../../validate/primitives.js');
const { ControlError } = require('../control/client.js');
const { writeError } = require('../output/standard-error.js');
const { plain } = require('../output/text.js');
const { FAILED } = require('../status.js');
const { ManagerError } = require('./places.js');

/** How the subcommands are used. */
const USAGE = {
  up: '[option of sshtunnel ...] [name ...]',
  down: '[--force] [--timeout time] --all | name ...',
  restart: '[--force] [--timeout time] name ...',
  ls: '[-F configfile] [--json]',
  status: '[-F configfile] [--json] name',
  logs: '[-f] [-n lines] [-v] [--json] name',
};

const flag = { type: /** @type {const} */ ('boolean') };
const text = { type: /** @type {const} */ ('string') };
const OPTIONS = {
  down: { all: flag, force: flag, timeout: text },
  restart: { force: flag, timeout: text },
  ls: { json: flag, config: { ...text, short: 'F' } },
  status: { json: flag, config: { ...text, short: 'F' } },
  logs: {
    follow: { ...flag, short: 'f' },
    json: flag,
    lines: { ...text, short: 'n' },
    verbose: { ...flag, short: 'v' },
  },
};

/** @param {string} word of the subcommand */
const usageOf = (word) => `usage: sshtunnel ${word} ${USAGE[word]}`;

/** An error of the command line. @param {string} word @param {string} reason */
function usageError(word, reason) {
  return new ManagerError(`${word}: ${reason}\n${usageOf(word)}`);
}

/**
 * Reads the arguments of a subcommand.
 * @param {string} word of the subcommand
 * @param {string[]} argv
 * @param {{ min?: number, max?: number }} [count] of names
 * @returns {{ values: any, names: string[] } | undefined} undefined: the usage was asked for, and is printed
 */
function readOptions(word, argv, { min = 0, max = Infinity } = {}) {
  /** @type {{ values: any, positionals: string[] }} */
  let parsed;
  try {
    parsed = parseArgs({ args: argv, options: { ...OPTIONS[word], help: flag }, allowPositionals: true });
  } catch (error) {
    throw usageError(word, error.message.split('. ')[0]);
  }
  const { values, positionals } = parsed;
  if (values.help) {
    process.stdout.write(`${usageOf(word)}\n`);
    return undefined;
  }
  const names = [...new Set(positionals)];
  if (names.length < min) throw usageError(word, 'a name is missing');
  if (names.length > max) throw usageError(word, 'too many arguments');
  return { values, names };
}

/** How a tunnel is closed, by --force and --timeout. @returns {{ force?: boolean, timeout?: number }} */
function readHow({ force, timeout }) {
  if (timeout === undefined) return { force };
  const seconds = time(flagLine('--timeout', timeout, 'command line'));
  return { force, timeout: seconds === undefined ? undefined : Math.min(seconds * 1000, MAX_MILLISECONDS) };
}

/** Runs a subcommand. @param {(argv: string[]) => Promise<number>} run */
function subcommand(run) {
  return async (argv) => {
    // The reader has seen enough, as `head` has.
    process.stdout.on('error', () => process.exit(FAILED));
    try {
      return await run(argv);
    } catch (error) {
      if (!(error instanceof ManagerError || error instanceof ControlError)) throw error;
      for (const line of `sshtunnel: ${error.message}`.split('\n')) writeError(`${plain(line)}\n`);
      return FAILED;
    }
  };
}

module.exports = { readHow, readOptions, subcommand, usageError, usageOf };
