'use strict';

// Text of others on a terminal: without what would control it, and cut to its width.

/** Controls, marks that turn the direction of writing, separators of lines: nothing that can be seen, as src/text.rs of ssh-proto has it. */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Characters that take no place of their own. */
const ATTACHED = /^[\p{M}\u200c\u200d]$/u;

/** Those that take two: of East Asia, and pictures. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18d7f}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]$|^\p{Emoji_Presentation}$/u;

/** Nothing in it can control a terminal; tabs become blanks, all else a question mark. */
function plain(text) {
  return String(text).replace(UNSEEN, (character) => (character === '\t' ? ' ' : '?'));
}

function widthOf(character) {
  if (ATTACHED.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** How many columns a plain text takes. */
function columns(text) {
  let count = 0;
  for (const character of text) count += widthOf(character);
  return count;
}

/** As much of a plain text as fits into so many columns. */
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

/** A text in exactly so many columns. */
function pad(text, width, { right = false } = {}) {
  const fitting = cut(text, width);
  const blanks = ' '.repeat(Math.max(0, width - columns(fitting)));
  return right ? blanks + fitting : fitting + blanks;
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

/** How hosts and ports are written together, as in files of known hosts: `[::1]:22`. */
function place(host, port) {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

module.exports = { amount, columns, cut, duration, pad, place, plain };
