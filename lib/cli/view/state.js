'use strict';

// What the view shows of all that it knows, and how keys change that. Nothing here reads keys or writes to a terminal.

const { clientOf, columns, plain, targetOf } = require('../output/text.js');

/**
 * The orders of connections, in the order in which the key changes them: what is compared. Equal ones stand in the order of
 * their age.
 */
const ORDERS = {
  rate: ({ upRate, downRate }) => -upRate - downRate,
  bytes: ({ up, down }) => -up - down,
  age: (_) => 0,
  target: (one) => plain(targetOf(one)),
};

/** Columns of a filter. */
const MAX_FILTER = 60;

/** The keys, with what they do; docs/command.md has the same table. `short` is for the last line of the screen. */
const KEYS = [
  {
    label: 'q',
    short: 'quit',
    does: 'lets connections finish and ends, as Ctrl-C does; the second time it resets them',
  },
  { label: '?', short: 'help', does: 'shows the keys' },
  { label: '↑ ↓', short: 'move', does: 'moves the selection among connections; scrolls the log' },
  { label: 'PgUp PgDn', does: 'the same by a screen' },
  { label: 'Home End', does: 'the first and the last' },
  {
    label: '/',
    short: 'filter',
    does: 'shows only what has the text that is typed next; Enter keeps it, Esc clears it',
  },
  { label: 's', short: 'sort', does: 'sorts connections by rate, bytes, age or target' },
  { label: 'x', short: 'close', does: 'closes the selected connection by its Linger' },
  { label: 'X', short: 'reset', does: 'resets the selected connection' },
  { label: 'p', short: 'pause', does: 'stops the picture, and continues it; the tunnel does not stop' },
  { label: 'l', short: 'log', does: 'shows all messages' },
  { label: 'Esc', does: 'returns from log and help; clears the filter, then the selection' },
  { label: 'Ctrl-L', does: 'draws everything anew' },
];

/**
 * @typedef {object} ViewState
 * @property {'picture' | 'log' | 'help'} page
 * @property {keyof typeof ORDERS} sort
 * @property {string} filter what a line has to contain
 * @property {boolean} typing whether characters are for the filter
 * @property {boolean} paused
 * @property {number} [selected] the number of a connection
 * @property {number} at where it is in the list, or was before it ended
 * @property {number} first how many connections are above the visible ones
 * @property {number} scroll by how many lines the log is scrolled back from its end, or the help from its beginning
 */

/** @type {ViewState} */
const INITIAL = {
  page: 'picture',
  sort: 'rate',
  filter: '',
  typing: false,
  paused: false,
  selected: undefined,
  at: 0,
  first: 0,
  scroll: 0,
};

/**
 * What is to be done for a key, beside a change of the state.
 * @typedef {'quit' | 'interrupt' | 'suspend' | 'abort' | 'redraw' | 'close' | 'reset'} Action
 */

const compare = (a, b) => (a < b ? -1 : Number(a > b));
const clamp = (value, least, most) => Math.max(least, Math.min(value, most));

/** Whether a text has that of the filter. */
function matches(filter, text) {
  return text.toLowerCase().includes(filter.toLowerCase());
}

/**
 * The connections that the filter lets through, in their order.
 * @param {ReturnType<import('../monitor.js').Monitor['snapshot']>} snapshot
 * @param {ViewState} state
 */
function listed({ connections, forwardings }, { sort, filter }) {
  const nameOf = (forwardId) => forwardings.find(({ forwardIds }) => forwardIds.includes(forwardId))?.name ?? '';
  const text = (one) =>
    `#${one.connectionId} ${one.state} ${clientOf(one)} ${plain(targetOf(one))} ${nameOf(one.forwardId)}`;
  const found = filter === '' ? connections : connections.filter((one) => matches(filter, text(one)));
  const keyed = found.map((one) => ({ one, key: ORDERS[sort](one) }));
  keyed.sort((a, b) => compare(a.key, b.key) || a.one.connectionId - b.one.connectionId);
  return keyed.map(({ one }) => one);
}

/**
 * The state with a selection among these connections: none, if the selected one has ended. No other takes its place, so
 * that a key that closes it does not close another.
 * @param {ViewState} state
 * @param {number[]} ids
 */
function follow(state, ids) {
  if (state.selected === undefined) return state;
  const at = ids.indexOf(state.selected);
  return at < 0 ? { ...state, selected: undefined } : { ...state, at };
}

/** By how many entries each of these keys moves, on screens of this many lines. */
const MOVES = {
  up: () => -1,
  down: () => 1,
  pageup: (lines) => -lines,
  pagedown: (lines) => lines,
  home: () => -Infinity,
  end: () => Infinity,
};

/** @param {ViewState} state */
function move(state, by, ids) {
  if (state.page === 'help') return { ...state, scroll: Math.max(0, state.scroll + by) };
  if (state.page === 'log') return { ...state, scroll: Math.max(0, state.scroll - by) };
  if (ids.length === 0) return state;
  // The first key only shows where the selection is.
  const at = clamp(state.at + (state.selected === undefined && Number.isFinite(by) ? 0 : by), 0, ids.length - 1);
  return { ...state, at, selected: ids[at] };
}

/** Keys while a filter is typed. @param {ViewState} state @returns {ViewState} */
function type(state, key) {
  const { filter } = state;
  if (key === 'enter') return { ...state, typing: false };
  if (key === 'escape') return { ...state, typing: false, filter: '' };
  if (key === 'backspace') return { ...state, filter: Array.from(filter).slice(0, -1).join('') };
  if (key === 'ctrl-u') return { ...state, filter: '' };
  const text = plain(key);
  // Names of other keys have more than one character.
  return Array.from(text).length === 1 && columns(filter + text) <= MAX_FILTER
    ? { ...state, filter: filter + text }
    : state;
}

/** @param {ViewState} state @returns {ViewState} */
function leave(state) {
  if (state.page !== 'picture') return { ...state, page: 'picture', scroll: 0 };
  if (state.filter !== '') return { ...state, filter: '' };
  return { ...state, selected: undefined };
}

/** Keys that do the same on every page, and while a filter is typed. @type {Record<string, Action>} */
const CONTROLS = { 'ctrl-c': 'interrupt', 'ctrl-z': 'suspend', 'ctrl-\\': 'abort', 'ctrl-l': 'redraw' };

/** Keys for connections. @type {Record<string, Action>} */
const ENDS = { x: 'close', X: 'reset' };

/**
 * @param {ViewState} state
 * @param {string} key a character, or the name of a key: `up`, `pagedown`, `escape`, `ctrl-c`
 * @param {{ ids: number[], lines: number }} shown the listed connections, and how many lines of the page are visible
 * @returns {{ state: ViewState, action?: Action }}
 */
function press(state, key, { ids, lines }) {
  if (Object.hasOwn(CONTROLS, key)) return { state, action: CONTROLS[key] };
  if (Object.hasOwn(MOVES, key)) return { state: move(state, MOVES[key](lines), ids) };
  if (state.typing) return { state: type(state, key) };
  const isPicture = state.page === 'picture';
  if (isPicture && Object.hasOwn(ENDS, key)) return { state, action: ENDS[key] };
  switch (key) {
    case 'escape':
      return { state: leave(state) };
    case 'q':
      return isPicture ? { state, action: 'quit' } : { state: leave(state) };
    case '?':
    case 'l': {
      const page = key === '?' ? 'help' : 'log';
      return { state: state.page === page ? leave(state) : { ...state, page, scroll: 0 } };
    }
    case '/':
      return { state: state.page === 'help' ? state : { ...state, typing: true } };
    case 'p':
      return { state: { ...state, paused: !state.paused } };
    case 's': {
      if (!isPicture) return { state };
      const orders = /** @type {(keyof typeof ORDERS)[]} */ (Object.keys(ORDERS));
      return { state: { ...state, sort: orders[(orders.indexOf(state.sort) + 1) % orders.length] } };
    }
    default:
      return { state };
  }
}

module.exports = { INITIAL, KEYS, follow, listed, matches, press };
