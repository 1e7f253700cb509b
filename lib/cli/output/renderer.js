'use strict';

// One picture of the view, as lines that fit.

const { amount, cut, duration, pad, place, plain } = require('./text.js');

/** Columns that the name of a line keeps, however little room there is. */
const NAME = 40;
/** Columns of an amount, and of a count, with the blank before. */
const AMOUNT = 10;
const COUNT = 7;

/** Lines that ends and messages may take. */
const ENDS = 5;
const MESSAGES = 3;

const FOOTER = {
  false: 'Ctrl-C lets connections finish, twice resets them',
  true: 'connections may finish now; Ctrl-C resets them',
};

/**
 * @typedef {object} Picture
 * @property {string} title whom the session is with
 * @property {boolean} closing
 * @property {import('./traffic.js').Tally} tally
 * @property {import('../forwardings.js').Forwarding[]} forwardings
 * @property {string[]} messages the latest last
 */

/**
 * @param {Picture} picture
 * @param {{ rows: number, columns: number }} size
 * @returns {string[]} no more than `rows` lines, none wider than `columns`
 */
function frame({ title, closing, tally, forwardings, messages }, { rows, columns }, now = performance.now()) {
  let left = Math.max(0, rows - 2);
  const section = (heading, lines, most = lines.length) => {
    // A blank line, the heading, and at least one line below it.
    const count = Math.min(lines.length, most, left - 2);
    if (count < 1) return [];
    left -= count + 2;
    return ['', heading, ...lines.slice(0, count)];
  };
  const row = (...cells) => line(columns, ...cells);
  const amounts = ['up', 'down', 'up/s', 'down/s'].map((text) => [text, AMOUNT]);
  const [said, forwarded] = [
    messages.slice(-MESSAGES),
    forwardings.map((forwarding) => forwardingRow(row, forwarding, tally)),
  ];
  const top = section(row('forwarding', ['open', COUNT], ['ended', COUNT], ...amounts), forwarded);
  const notes = section('messages', said);
  const ends = section(
    row('ended', ...amounts.slice(0, 2), ['lost up', AMOUNT], ['lost down', AMOUNT]),
    tally.ends.slice(0, ENDS).map((end) => endRow(row, end)),
  );
  const open = section(
    row('connection', ...amounts),
    tally.connections.slice(0, rows).map((connection) => connectionRow(row, connection)),
  );
  const header = `${title}  ${tally.session} ${duration(now - tally.since)}`;
  return [header, ...top, ...open, ...ends, ...notes, FOOTER[closing]].slice(0, rows).map((text) => cut(text, columns));
}

/** A name and what stands in columns behind it, as far as there is room. */
function line(width, name, ...cells) {
  let room = width - NAME;
  const fitting = cells.filter(([, wide]) => (room -= wide) >= 0);
  const taken = fitting.reduce((sum, [, wide]) => sum + wide, 0);
  return (
    pad(name, Math.max(0, width - taken)) + fitting.map(([text, wide]) => pad(text, wide, { right: true })).join('')
  );
}

const bytes = (count) => [amount(count), AMOUNT];
const speeds = ({ upRate, downRate }) => [bytes(Math.round(upRate)), bytes(Math.round(downRate))];

function forwardingRow(row, { name, forwards }, tally) {
  const total = { open: 0, ended: 0, up: 0, down: 0, upRate: 0, downRate: 0 };
  for (const { forwardId } of forwards) {
    const { open, ended, traffic } = tally.forward(forwardId);
    total.open += open;
    total.ended += ended;
    for (const member of ['up', 'down', 'upRate', 'downRate']) total[member] += traffic[member];
  }
  const shown = forwards.length > 0 ? plain(name) : `${plain(name)} (failed)`;
  return row(
    shown,
    [String(total.open), COUNT],
    [String(total.ended), COUNT],
    bytes(total.up),
    bytes(total.down),
    ...speeds(total),
  );
}

function connectionRow(row, { info, traffic }) {
  const { connectionId, remoteAddress, remotePort, forwardHost, forwardPort, forwardPath, state } = info;
  const from = remoteAddress ? place(remoteAddress, remotePort) : 'a local program';
  const to = forwardPath ?? (forwardHost ? place(forwardHost, forwardPort) : '');
  const name = `#${connectionId} ${from} -> ${to}${state === 'open' ? '' : ` ${state}`}`;
  return row(plain(name), bytes(traffic.up), bytes(traffic.down), ...speeds(traffic));
}

function endRow(row, { connectionId, code, closedBy, bytesUp, bytesDown, droppedUp, droppedDown }) {
  return row(
    `#${connectionId} ${plain(code)}, ${closedBy}`,
    bytes(bytesUp),
    bytes(bytesDown),
    bytes(droppedUp),
    bytes(droppedDown),
  );
}

module.exports = { frame };
