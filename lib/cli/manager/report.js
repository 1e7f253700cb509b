'use strict';

// What the subcommands print of tunnels.

const { outcome } = require('../output/summary.js');
const { amount, columns, cut, duration, pad, plain } = require('../output/text.js');

/** Columns of the table where standard output is no terminal; with fewer than this, it has no times. */
const WIDTH = 80;
const NARROW = 60;
/** Columns of its cells. */
const MAX_NAME = 20;
const STATE = 13;
const TIME = 10;

/** A time of the day, and its date, on this machine. @param {number | string} time */
function moment(time) {
  const date = new Date(time);
  const two = (number) => String(number).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`;
}

/** The forwards of a tunnel. */
function forwardNames({ forwards = [] }) {
  return forwards.map(({ name, failed }) => `${plain(name)}${failed ? ' (failed)' : ''}`);
}

/** When the next attempt is, and why there has to be one. */
function trouble({ reason, attempt, nextAttempt }, now = Date.now()) {
  const left = nextAttempt === undefined ? 0 : Math.ceil((nextAttempt - now) / 1000);
  const next = attempt === undefined ? undefined : `attempt ${attempt}${left > 0 ? ` in ${left} s` : ''}`;
  return [next, reason === undefined ? undefined : plain(reason)].filter(Boolean).join(': ');
}

/** A tunnel on one line, for `up` and `down`. */
function tunnelLine(tunnel) {
  const { name, state, destination, summary } = tunnel;
  const details = {
    up: () => [destination && plain(destination), ...forwardNames(tunnel)],
    down: () => [summary?.ended > 0 && outcome(summary), trouble(tunnel)],
    connecting: () => [],
    closing: () => ['connections may finish'],
    reconnecting: () => [trouble(tunnel)],
    failed: () => [trouble(tunnel)],
  };
  return `${plain(name)}: ${[plain(state), ...(details[state]?.() ?? []).filter(Boolean)].join(', ')}`;
}

/** What a table has room for beside the state. */
function note(tunnel) {
  const forwards = forwardNames(tunnel);
  if (tunnel.state === 'up') return forwards;
  const reason = trouble(tunnel);
  // Why a tunnel is not up comes before what it would be good for.
  return reason === '' ? forwards : [reason];
}

/** As many of the parts as fit, and how many more there are. */
function fitting(parts, width) {
  for (let count = parts.length; count > 1; count--) {
    const more = parts.length - count;
    const text = `${parts.slice(0, count).join(', ')}${more > 0 ? `, ${more} more` : ''}`;
    if (columns(text) <= width) return text;
  }
  if (parts.length < 2) return cut(parts[0] ?? '', width);
  const rest = `, ${parts.length - 1} more`;
  return `${cut(parts[0], width - rest.length)}${rest}`;
}

/**
 * The lines of `ls`.
 * @param {any[]} tunnels
 * @param {{ width?: number, now?: number }} [options]
 */
function table(tunnels, { width = WIDTH, now = Date.now() } = {}) {
  const longest = Math.max(4, ...tunnels.map(({ name }) => columns(plain(name))));
  const nameWidth = Math.min(longest, MAX_NAME) + 1;
  const timeWidth = width < NARROW ? 0 : TIME;
  const row = (name, state, time, text) =>
    cut(`${pad(name, nameWidth - 1)} ${pad(state, STATE)}${pad(time, timeWidth)}${text}`.trimEnd(), width);
  const room = width - nameWidth - STATE - timeWidth;
  const rows = tunnels.map((tunnel) => {
    const { name, state, since } = tunnel;
    const time = since === undefined || state === 'down' ? '' : duration(Math.max(0, now - since));
    return row(plain(name), state, time, fitting(note(tunnel), room));
  });
  return [row('NAME', 'STATE', 'FOR', 'FORWARDS'), ...rows];
}

/** The lines of `status`. */
function statusLines(tunnel, snapshot, now = Date.now()) {
  const { name, state, destination, pid, since } = tunnel;
  const number = pid === undefined ? undefined : `process ${pid}`;
  const time = since === undefined || state === 'down' ? '' : ` since ${moment(since)} (${duration(now - since)})`;
  const head = [`${plain(name)}: ${state}${time}`, destination && plain(destination), number];
  const lines = [head.filter(Boolean).join(', ')];
  const reason = trouble(tunnel);
  if (reason !== '') lines.push(`  ${reason}`);
  const forwards = snapshot?.forwardings ?? tunnel.forwards ?? [];
  for (const forward of forwards) {
    const { open, ended, up, down, failed } = forward;
    const counts = open === undefined ? '' : `  ${open} open, ${ended} ended, ${amount(up)} up, ${amount(down)} down`;
    lines.push(`  ${plain(forward.name)}${failed ? ' (failed)' : ''}${counts}`);
  }
  if (snapshot !== undefined) lines.push(`  ${outcome(snapshot.totals)}`);
  if (snapshot?.page !== undefined) lines.push(`  ${plain(snapshot.page)}`);
  return lines;
}

module.exports = { moment, statusLines, table, tunnelLine };
