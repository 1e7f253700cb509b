'use strict';

// Colors and characters of the view. The colors are the terminal's own sixteen, which suit its background, and say
// nothing that the text does not say.

const { inspect } = require('node:util');

/** What a piece of text means, and how it looks: names of Node.js's table. */
const STYLES = {
  title: ['bold'],
  heading: ['bold'],
  key: ['bold'],
  quiet: ['dim'],
  good: ['green'],
  waiting: ['yellow'],
  bad: ['red'],
  bar: ['cyan'],
  selected: ['inverse'],
  paused: ['inverse'],
};

/** Characters for terminals that show Unicode, and for others. */
const UNICODE = {
  bar: [...' ▏▎▍▌▋▊▉█'],
  above: '↑',
  below: '↓',
  arrows: '↑ ↓',
  cut: '…',
  caret: '▏',
  on: '● ',
  off: '○ ',
};
const ASCII = { bar: [' ', '#'], above: '^', below: 'v', arrows: 'Up Dn', cut: '~', caret: '_', on: '', off: '' };

/** @typedef {typeof UNICODE} Characters */
/** @typedef {keyof typeof STYLES} Style */

/** A text as it looks on a terminal with colors. @param {string} text @param {Style} [style] */
function paint(text, style) {
  if (style === undefined || text === '') return text;
  const codes = STYLES[style].map((name) => inspect.colors[name]);
  const sequence = (at) => codes.map((pair) => `\x1b[${pair[at]}m`).join('');
  return `${sequence(0)}${text}${sequence(1)}`;
}

/**
 * What a terminal can show. Node.js decides about colors by NO_COLOR, FORCE_COLOR and TERM; characters depend on the locale.
 * @param {import('node:tty').WriteStream} output
 */
function abilities(output, env = process.env) {
  const { LC_ALL, LC_CTYPE, LANG } = env;
  const isUnicode = process.platform === 'win32' || /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
  return { colors: output.getColorDepth(env) > 1, characters: isUnicode ? UNICODE : ASCII };
}

/**
 * A bar that is as much of its width as `value` is of `most`; never empty for a value above 0.
 * @param {Characters} characters
 */
function bar({ bar: steps }, value, most, width) {
  if (!(value > 0)) return '';
  const parts = steps.length - 1;
  const filled = Math.max(1, Math.min(width * parts, Math.round((value / most) * width * parts)));
  const rest = filled % parts;
  return steps[parts].repeat((filled - rest) / parts) + (rest > 0 ? steps[rest] : '');
}

module.exports = { ASCII, UNICODE, abilities, bar, paint };
