'use strict';

// Draws the view as lines that fit the terminal.

const { LOCAL_CLIENT, amount, cut, duration, pad, place, plain } = require('./text.js');

/** Columns of a line's name, however little room there is. */
const NAME = 40;
/** Columns of an amount, and of a count, with the blank before. */
const AMOUNT = 10;
const COUNT = 7;

/** Lines of the sections of ends and messages. */
const MAX_ENDS = 5;
const MAX_MESSAGES = 3;

const FOOTER = {
  false: 'Ctrl-C lets connections finish, twice resets them',
  true: 'connections may finish now; Ctrl-C resets them',
};

/**
 * @param {import('../monitor.js').Monitor} monitor
 * @param {{ rows: number, columns: number }} size
 * @returns {string[]} no more than `rows` lines, none wider than `columns`
 */
function render(monitor, { rows, columns }, now = Date.now()) {
  const { destination, closing, session, forwardings, messages } = monitor;
  let left = Math.max(0, rows - 2);
  const section = (heading, lines, max = lines.length) => {
    // A blank line, the heading, and at least one line below it.
    const count = Math.min(lines.length, max, left - 2);
    if (count < 1) return [];
    left -= count + 2;
    return ['', heading, ...lines.slice(0, count)];
  };
  const row = (...cells) => line(columns, ...cells);
  const amounts = ['up', 'down', 'up/s', 'down/s'].map((text) => [text, AMOUNT]);
  // In the order of importance, which is not that of the screen.
  const top = section(
    row('forwarding', ['open', COUNT], ['ended', COUNT], ...amounts),
    forwardings.map((forwarding) => forwardingRow(row, forwarding, monitor)),
  );
  const notes = section(
    'messages',
    messages.slice(-MAX_MESSAGES).map(({ text }) => text),
  );
  const ends = section(
    row('ended', ...amounts.slice(0, 2), ['lost up', AMOUNT], ['lost down', AMOUNT]),
    monitor.ends.slice(0, MAX_ENDS).map((end) => endRow(row, end)),
  );
  const open = section(
    row('connection', ...amounts),
    monitor.connections.slice(0, rows).map((connection) => connectionRow(row, connection)),
  );
  const attempt = session.attempt === undefined ? '' : `, attempt ${session.attempt},`;
  const header = `sshtunnel ${destination}  ${session.state}${attempt} ${duration(now - session.since)}`;
  return [header, ...top, ...open, ...ends, ...notes, FOOTER[closing]].slice(0, rows).map((text) => cut(text, columns));
}

/** A name and the cells behind it, as far as there is room. */
function line(width, name, ...cells) {
  let room = width - NAME;
  const fitting = cells.filter(([, wide]) => (room -= wide) >= 0);
  const taken = fitting.reduce((sum, [, wide]) => sum + wide, 0);
  return (
    pad(name, Math.max(0, width - taken)) + fitting.map(([text, wide]) => pad(text, wide, { right: true })).join('')
  );
}

const bytes = (count) => [amount(count), AMOUNT];
const rates = ({ upRate, downRate }) => [bytes(Math.round(upRate)), bytes(Math.round(downRate))];

function forwardingRow(row, forwarding, monitor) {
  const { name, forwards } = forwarding;
  const total = monitor.total(forwarding);
  const shown = forwards.length > 0 ? plain(name) : `${plain(name)} (failed)`;
  return row(
    shown,
    [String(total.open), COUNT],
    [String(total.ended), COUNT],
    bytes(total.up),
    bytes(total.down),
    ...rates(total),
  );
}

function connectionRow(row, { info, flow }) {
  const { connectionId, remoteAddress, remotePort, forwardHost, forwardPort, forwardPath, state } = info;
  const from = remoteAddress ? place(remoteAddress, remotePort) : LOCAL_CLIENT;
  const to = forwardPath ?? (forwardHost ? place(forwardHost, forwardPort) : '');
  const name = `#${connectionId} ${from} -> ${to}${state === 'open' ? '' : ` ${state}`}`;
  return row(plain(name), bytes(flow.up), bytes(flow.down), ...rates(flow));
}

function endRow(row, end) {
  const { connectionId, code, closedBy, bytesUp, bytesDown, droppedUp, droppedDown, unconfirmedDown } = end;
  return row(
    `#${connectionId} ${plain(code)}, ${closedBy}`,
    bytes(bytesUp),
    bytes(bytesDown),
    bytes(droppedUp),
    // What is not known to be delivered may be lost.
    bytes(droppedDown + unconfirmedDown),
  );
}

module.exports = { render };
