'use strict';

// Text for a terminal: without control characters, and cut to its width.

/** Control characters, marks of direction, separators of lines; the same as in src/text.rs of ssh-proto. */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Characters that have no column of their own. */
const ATTACHED = /^[\p{M}\u200c\u200d]$/u;

/** Characters that have two: of East Asia, and emoji. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18d7f}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]$|^\p{Emoji_Presentation}$/u;

/** Text that cannot control a terminal: a tab becomes a blank, other control characters a question mark. */
function plain(text) {
  return String(text).replace(UNSEEN, (character) => (character === '\t' ? ' ' : '?'));
}

function widthOf(character) {
  if (ATTACHED.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** The number of columns of a plain text. */
function columns(text) {
  let count = 0;
  for (const character of text) count += widthOf(character);
  return count;
}

/** The beginning of a plain text, at most `width` columns of it. */
function cut(text, width) {
  let taken = 0;
  let result = '';
  for (const character of text) {
    taken += widthOf(character);
    if (taken > width) return result;
    result += character;
  }
  return result;
}

/** A plain text in exactly `width` columns. */
function pad(text, width, { right = false } = {}) {
  const fitting = cut(text, width);
  const blanks = ' '.repeat(Math.max(0, width - columns(fitting)));
  return right ? blanks + fitting : fitting + blanks;
}

/** A plain text in lines of at most `width` columns, cut at blanks if there are any. */
function wrap(text, width) {
  const lines = [];
  let rest = text;
  while (columns(rest) > width) {
    // A wide character may not fit at all.
    const fitting = cut(rest, width) || Array.from(rest)[0];
    const blank = rest[fitting.length] === ' ' ? fitting.length : fitting.lastIndexOf(' ');
    const line = blank > 0 ? fitting.slice(0, blank) : fitting;
    lines.push(line);
    rest = rest.slice(line.length).trimStart();
    if (rest === '') return lines;
  }
  return [...lines, rest];
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** An amount of bytes in at most eight columns. */
function amount(bytes) {
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** A time in milliseconds as hours, minutes and seconds. */
function duration(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const two = (number) => String(number).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** A time in milliseconds in its largest unit, in at most four columns. */
function age(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** The time of day of milliseconds since 1970, here. */
function clock(time) {
  const date = new Date(time);
  const two = (number) => String(number).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A number with its noun: `1 connection`, `2 connections`. */
function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** A host and a port, as ssh writes them: `[::1]:22`. */
function place(host, port) {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** In place of the address of a connection that has none: it came by a Unix socket. */
const LOCAL_CLIENT = 'a local client';

/** Where a connection comes from. @param {{ remoteAddress?: string, remotePort?: number }} info */
function clientOf({ remoteAddress, remotePort }) {
  return remoteAddress ? place(remoteAddress, remotePort) : LOCAL_CLIENT;
}

/**
 * The target of a connection; empty before a SOCKS client has requested one.
 * @param {{ forwardHost?: string, forwardPort?: number, forwardPath?: string }} info
 */
function targetOf({ forwardHost, forwardPort, forwardPath }) {
  return forwardPath ?? (forwardHost ? place(forwardHost, forwardPort) : '');
}

module.exports = {
  LOCAL_CLIENT,
  age,
  amount,
  clientOf,
  clock,
  columns,
  count,
  cut,
  duration,
  pad,
  place,
  plain,
  targetOf,
  wrap,
};
