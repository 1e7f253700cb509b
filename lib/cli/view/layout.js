'use strict';

// Lines for the terminal, made of pieces: how wide they are, where they are cut, and which cells a table has room for.

const { columns, cut } = require('../output/text.js');

/** A part of a line: a plain text, and a style. @typedef {[text: string, style?: import('./styles.js').Style]} Piece */
/**
 * A cell to the right of the name of a line. Those of the highest rank are left out first.
 * @typedef {{ piece: Piece, width: number, rank: number, isLeft?: boolean }} Cell
 */
/** A line of a table: names from the best to the shortest, and cells. @typedef {{ names: Piece[][], cells: Cell[] }} Row */

/** The name of a line has at least this share of it, and this many columns. */
const NAME_SHARE = 0.37;
const MIN_NAME = 18;
/** The blank line and the heading of a section. */
const FRAME = 2;

/** @param {Piece[]} line */
const width = (line) => line.reduce((sum, [text]) => sum + columns(text), 0);

/** The beginning of a line, which ends in a mark if it is cut. @param {Piece[]} line @returns {Piece[]} */
function clip(line, most, mark) {
  if (width(line) <= most) return line;
  /** @type {Piece[]} */
  const pieces = [];
  let left = Math.max(0, most - columns(mark));
  for (const [text, style] of line) {
    const fitting = cut(text, left);
    pieces.push([fitting, style]);
    left -= columns(fitting);
    if (fitting !== text) return [...pieces, [cut(mark, most), style]];
  }
  return pieces;
}

/** A line in exactly this many columns. @param {Piece[]} line @returns {Piece[]} */
function fill(line, most, mark) {
  const pieces = clip(line, most, mark);
  return [...pieces, [' '.repeat(Math.max(0, most - width(pieces)))]];
}

/** @returns {Cell} */
const cell = (piece, width, rank) => ({ piece, width, rank });

/** A cell with its blanks. @param {Cell} cell @returns {Piece[]} */
function cellPieces({ piece: [text, style], width, isLeft = false }) {
  const blanks = ' '.repeat(Math.max(0, width - 1 - columns(text)));
  return isLeft ? [[' '], [text, style], [blanks]] : [[` ${blanks}`], [text, style]];
}

/** The cells for which a line has room, and the columns that are left for its name. @param {Cell[]} cells */
function arrange(cells, full) {
  const byRank = [...cells].sort((a, b) => a.rank - b.rank);
  let left = full - Math.max(MIN_NAME, Math.floor(full * NAME_SHARE));
  const end = byRank.findIndex((one) => (left -= one.width) < 0);
  const taken = end < 0 ? byRank : byRank.slice(0, end);
  const [first, ...rest] = cells.filter((one) => taken.includes(one));
  if (first === undefined) return { shown: [], room: full };
  // The name may use blanks of the first cell.
  const needed = first.isLeft ? first.width : Math.min(first.width, columns(first.piece[0]) + 2);
  const shown = [{ ...first, width: needed }, ...rest];
  return { shown, room: Math.max(0, full - shown.reduce((sum, one) => sum + one.width, 0)) };
}

/** Whether a name fits beside the cells for which there is room. @param {Piece[]} name @param {Cell[]} cells */
function fits(name, cells, full) {
  return width(name) <= arrange(cells, full).room;
}

/**
 * A line of a table: the first of the names that fits, and the cells behind it for which there is room.
 * @param {Row} row
 * @param {number} full its columns
 * @param {string} mark what a name that is cut ends in
 * @returns {Piece[]}
 */
function row({ names, cells }, full, mark) {
  const { shown, room } = arrange(cells, full);
  const name = names.find((line) => width(line) <= room) ?? names.at(-1);
  return [...fill(name, room, mark), ...shown.flatMap(cellPieces)];
}

/**
 * Lines of a table whose names are all of the same kind: the first one that fits in every line.
 * @param {Row[]} rows with as many names each
 * @param {number} full
 * @param {string} mark
 */
function table(rows, full, mark) {
  const kinds = rows[0]?.names.map((_, kind) => kind) ?? [];
  const kind = kinds.find((at) => rows.every(({ names, cells }) => fits(names[at], cells, full))) ?? kinds.at(-1);
  return rows.map(({ names, cells }) => row({ names: [names[kind]], cells }, full, mark));
}

/**
 * Shares lines among sections: each gets the least that it needs, in this order, and then as much as it can use.
 * @param {{ least: number, most: number }[]} sections
 * @returns {number[]} the lines of each below its heading; 0 if it is left out
 */
function share(room, sections) {
  let left = room;
  const given = sections.map(({ least, most }) => {
    const lines = Math.min(least, most, left - FRAME);
    if (lines < 1) return 0;
    left -= lines + FRAME;
    return lines;
  });
  return given.map((lines, at) => {
    const more = lines === 0 ? 0 : Math.min(sections[at].most - lines, left);
    left -= more;
    return lines + more;
  });
}

/**
 * Which entries of a list are visible in this number of lines, the selected one among them, and how many are hidden above and
 * below.
 * @param {number} count
 * @param {number} lines
 * @param {{ first: number, selected?: number, at: number }} state
 */
function visible(count, lines, state) {
  const { first, selected, at } = state;
  if (count <= lines) return { first: 0, rows: count, above: 0, below: 0 };
  const hasMarks = lines >= 3;
  const rowsFrom = (from) => {
    if (!hasMarks) return lines;
    const rows = from > 0 ? lines - 1 : lines;
    return from + rows < count ? rows - 1 : rows;
  };
  let from = Math.max(0, Math.min(first, count - (hasMarks ? lines - 1 : lines)));
  if (selected !== undefined) {
    from = Math.min(from, at);
    while (at >= from + rowsFrom(from)) from += 1;
  }
  // In place of "1 more" there is room for that one.
  if (hasMarks && from === 1) from = 0;
  const rows = rowsFrom(from);
  return { first: from, rows, above: hasMarks ? from : 0, below: hasMarks ? count - from - rows : 0 };
}

module.exports = { FRAME, cell, clip, fits, row, share, table, visible, width };
