'use strict';

// `sshtunnel logs`: the log of a tunnel in the background, for people or as it is.

const { objectOf } = require('../control/lines.js');
const { amount, clientOf, pad, place, plain, targetOf } = require('../output/text.js');
const { LogReader } = require('./log-reader.js');
const { readOptions, subcommand, usageError } = require('./options.js');
const { ManagerError, logFile } = require('./places.js');
const { moment } = require('./report.js');

/** Lines that -f shows before the new ones. */
const FOLLOWED = 10;
/** Columns of a level. */
const LEVEL = 8;

const opened = (info) => `connection ${info.connectionId}: ${clientOf(info)} to ${targetOf(info)}`;

const ended = ({ connectionId, reason, bytesUp, bytesDown }) =>
  `connection ${connectionId}: ${reason}; ${amount(bytesUp)} up, ${amount(bytesDown)} down`;

/**
 * Events as messages: their level, and their text. Others have a message beside them, which says the same.
 * @type {Record<string, [level: string, text: (event: any) => string]>}
 */
const EVENTS = {
  message: ['', ({ text }) => text],
  ready: ['INFO', ({ host, port }) => `connected to ${place(host, port)}`],
  started: ['INFO', ({ forwardings = [] }) => `everything listens: ${forwardings.map(({ name }) => name).join(', ')}`],
  connection: ['VERBOSE', opened],
  disconnected: ['VERBOSE', ended],
  closing: ['INFO', ({ force }) => (force ? 'resetting connections' : 'closing')],
  close: ['INFO', () => 'closed'],
  omitted: ['INFO', ({ count }) => `${count} events were left out`],
  ended: ['INFO', ({ status, signal, error }) => `The process has ended: ${error ?? signal ?? `status ${status}`}.`],
};

/** What is shown with -v only. */
const DETAILS = ['VERBOSE'];

/** A line of the log for people; undefined if it is not for them. @param {string} line */
function readable(line, isVerbose) {
  const event = objectOf(line);
  if (event === undefined || !Object.hasOwn(EVENTS, event.event)) return undefined;
  const [usual, text] = EVENTS[event.event];
  const level = usual || String(event.level);
  if (!isVerbose && event.event !== 'message' && DETAILS.includes(level)) return undefined;
  return `${moment(event.time)} ${pad(plain(level), LEVEL)} ${plain(text(event))}`;
}

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run(argv) {
  const parsed = readOptions('logs', argv, { min: 1, max: 1 });
  if (parsed === undefined) return 0;
  const {
    values: { follow, json, lines: count = follow ? String(FOLLOWED) : undefined, verbose },
    names: [name],
  } = parsed;
  if (count !== undefined && !/^\d{1,9}$/.test(count)) throw usageError('logs', '-n requires a number of lines');
  const shown = (lines) => (json ? lines : lines.map((line) => readable(line, verbose)).filter(Boolean));
  const print = (lines) => lines.length > 0 && process.stdout.write(`${lines.join('\n')}\n`);
  const reader = new LogReader(logFile(name));
  const before = reader.lines();
  if (before.length === 0 && !follow) throw new ManagerError(`there is no log of '${name}': it has not been up`);
  const all = shown(before);
  print(count === undefined ? all : all.slice(Math.max(0, all.length - Number(count))));
  if (follow) for await (const lines of reader.follow()) print(shown(lines));
  return 0;
}

module.exports = { run: subcommand(run) };
