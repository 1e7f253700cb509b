'use strict';

// Draws the view as lines that fit the terminal, from what the monitor knows and the state of the view.

const { outcome } = require('../output/summary.js');
const { age, amount, clientOf, clock, columns, count, duration, plain, targetOf, wrap } = require('../output/text.js');
const { FRAME, cell, clip, fits, row, share, table, visible, width } = require('./layout.js');
const { KEYS, listed, matches } = require('./state.js');
const { ASCII, bar, paint } = require('./styles.js');
const { briefly, endText, reasonsOf, shorten, wayOf, withoutLoopback } = require('./words.js');

/** @typedef {import('./layout.js').Piece} Piece */
/** @typedef {ReturnType<import('../monitor.js').Monitor['snapshot']>} Snapshot */

/**
 * @typedef {object} Terminal
 * @property {number} rows
 * @property {number} columns
 * @property {boolean} [colors]
 * @property {import('./styles.js').Characters} [characters]
 * @property {boolean} [hasKeys] whether keys can be read
 */

/**
 * The time, a text for the last line, and the URL of the web page.
 * @typedef {{ now?: number, notice?: string, url?: string }} Moment
 */

/** Columns with the blank before. */
const AMOUNT = 9;
const NUMBER = 5;
const ENDED = 7;
const BAR = 6;
const LONG_BAR = 13;
/** From this width on there is room for more. */
const WIDE = 110;
/** With fewer lines than these, every line is needed. */
const LOW = 20;
/** Up to this width there is no room for a time. */
const NARROW = 60;

const MAX_ENDS = 8;
const MAX_MESSAGES = 5;

/** How ends look. @type {Record<string, import('./styles.js').Style | undefined>} */
const OUTCOMES = { ok: undefined, failed: 'bad', cut: 'waiting' };

/**
 * The view as lines, at most `rows` and none wider than `columns`; and as far as they depend on its size, where it is
 * scrolled to and how many lines a page has.
 * @param {Snapshot} snapshot
 * @param {import('./state.js').ViewState} state
 * @param {Terminal} terminal
 * @param {Moment} [moment]
 * @returns {{ lines: string[], first: number, scroll: number, page: number }}
 */
function render(snapshot, state, terminal, moment = {}) {
  return new Picture(snapshot, state, terminal, { now: Date.now(), ...moment }).draw();
}

class Picture {
  #snapshot;
  #state;
  #rows;
  #width;
  #characters;
  #colors;
  #hasKeys;
  #now;
  #notice;
  #url;
  #first;
  #scroll;
  #page = 1;

  /**
   * @param {Snapshot} snapshot
   * @param {import('./state.js').ViewState} state
   * @param {Terminal} terminal
   * @param {Moment} moment
   */
  constructor(snapshot, state, terminal, { now, notice, url }) {
    const { rows, columns: width, characters = ASCII, colors = false, hasKeys = true } = terminal;
    this.#snapshot = snapshot;
    this.#state = state;
    this.#first = state.first;
    this.#scroll = state.scroll;
    this.#rows = rows;
    this.#width = width;
    this.#characters = characters;
    this.#colors = colors;
    this.#hasKeys = hasKeys;
    this.#now = now;
    this.#notice = notice;
    this.#url = url;
  }

  draw() {
    const head = this.#header();
    // A blank line before the last one, where there is room.
    const room = Math.max(0, this.#rows - head.length - (this.#rows < LOW ? 1 : 2));
    const body = { picture: () => this.#sections(room), log: () => this.#log(room), help: () => this.#help(room) };
    const lines = [...head, ...body[this.#state.page]()];
    // The last line stays where it is.
    while (lines.length < this.#rows - 1) lines.push([]);
    const shown = [...lines.slice(0, Math.max(0, this.#rows - 1)), this.#footer()].slice(0, this.#rows);
    return {
      lines: shown.map((line) => this.#paint(line)),
      first: this.#first,
      scroll: this.#scroll,
      page: Math.max(1, this.#page),
    };
  }

  /** @param {Piece[]} line */
  #paint(line) {
    const pieces = clip(line, this.#width, this.#characters.cut);
    const isSelected = line.some(([, style]) => style === 'selected');
    const text = pieces.map(([part, style]) => (this.#colors && !isSelected ? paint(part, style) : part)).join('');
    return this.#colors && isSelected ? paint(text, 'selected') : text;
  }

  // The first and the last line

  #header() {
    /** @type {Piece[]} */
    const name = [['sshtunnel ', 'title'], [this.#snapshot.destination]];
    const state = this.#sessionState();
    if (this.#state.paused) state.unshift([' paused ', 'paused'], ['  ']);
    const gap = this.#width - width(name) - width(state);
    /** @type {Piece[][]} */
    const lines = gap < 2 ? [name, state] : [[...name, [' '.repeat(gap)], ...state]];
    if (this.#url !== undefined) lines.push([['web page ', 'quiet'], [this.#url]]);
    return lines;
  }

  /** @returns {Piece[]} */
  #sessionState() {
    const { closing, connections, session } = this.#snapshot;
    const { on, off } = this.#characters;
    const { state, since, attempt, nextAttempt } = session;
    if (state === 'lost') return [[`${off}disconnected`, 'bad']];
    if (state === 'connecting') return [[`${off}connecting`, 'waiting']];
    if (state === 'reconnecting') {
      const left = Math.ceil((nextAttempt - this.#now) / 1000);
      const when = left > 0 ? `in ${left} s` : `for ${Math.floor((this.#now - nextAttempt) / 1000)} s`;
      return [[`${off}reconnecting, attempt ${attempt} ${when}`, 'waiting']];
    }
    if (closing) return [[`${on}closing, ${count(connections.length, 'connection')} left`, 'waiting']];
    return [[`${on}connected ${duration(this.#now - since)}`, 'good']];
  }

  /** @returns {Piece[]} */
  #footer() {
    const { closing } = this.#snapshot;
    const { filter, page, typing } = this.#state;
    if (typing)
      return [['/', 'key'], [filter], [this.#characters.caret, 'quiet'], ['  Enter keeps it, Esc clears it', 'quiet']];
    if (this.#notice !== undefined) return [[this.#notice, 'waiting']];
    if (!this.#hasKeys) {
      const text = closing
        ? 'connections may finish now; Ctrl-C resets them'
        : 'Ctrl-C lets connections finish, twice resets them';
      return [[text, closing ? 'waiting' : 'quiet']];
    }
    if (page !== 'picture') {
      const names = { Esc: 'back', '↑ ↓': 'scroll' };
      return this.#keys(page === 'log' ? ['Esc', '↑ ↓', '/'] : ['Esc', '↑ ↓'], names);
    }
    /** @type {Piece[]} */
    const start = closing ? [['connections may finish now; q or Ctrl-C resets them  ', 'waiting']] : [];
    return [...start, ...this.#keys(closing ? ['?'] : KEYS.map(({ label }) => label))];
  }

  /** As many of these keys as fit. @returns {Piece[]} */
  #keys(labels, names = {}) {
    /** @type {Piece[]} */
    const pieces = [];
    let room = this.#width;
    for (const { label, short } of KEYS) {
      const name = names[label] ?? short;
      if (name === undefined || !labels.includes(label)) continue;
      const shown = this.#label(label);
      const needed = columns(shown) + 1 + columns(name) + (pieces.length > 0 ? 2 : 0);
      if (needed > room) continue;
      room -= needed;
      if (pieces.length > 0) pieces.push(['  ']);
      pieces.push([shown, 'key'], [` ${name}`, 'quiet']);
    }
    return pieces;
  }

  #label(label) {
    return label.replace('↑ ↓', this.#characters.arrows);
  }

  // The picture

  /** @returns {Piece[][]} */
  #sections(room) {
    const { forwardings, ends, messages } = this.#snapshot;
    const shownForwardings = forwardings.filter(({ name }) => this.#matches(name));
    const connections = listed(this.#snapshot, this.#state);
    const shownEnds = ends.filter((end) => this.#matches(endText(end)));
    const lines = share(room, [
      { least: 3, most: shownForwardings.length },
      // One line that says that there are none.
      { least: 5, most: Math.max(1, connections.length) },
      { least: 1, most: Math.min(messages.length, MAX_MESSAGES) },
      { least: 2, most: Math.min(shownEnds.length, MAX_ENDS) },
    ]);
    return [
      ...this.#section(lines[0], () => this.#forwardings(shownForwardings, lines[0])),
      ...this.#section(lines[1], () => this.#connections(connections, lines[1])),
      ...this.#section(lines[3], () => this.#ends(shownEnds.slice(0, lines[3]))),
      ...this.#section(lines[2], () => this.#messages(messages.slice(-lines[2]))),
    ];
  }

  #section(lines, draw) {
    return lines > 0 ? [[], ...draw()] : [];
  }

  #matches(text) {
    return matches(this.#state.filter, text);
  }

  #forwardings(forwardings, lines) {
    const most = highestRate(forwardings);
    const fitting = forwardings.length > lines ? lines - 1 : lines;
    const rows = forwardings.slice(0, fitting).map((one) => {
      /** @type {Piece[]} */
      const start = one.failed ? [['  '], ['failed ', 'bad']] : [['  ']];
      return {
        names: [one.name, shorten(one.name)].map((name) => [...start, [name]]),
        cells: this.#cells(one, most, number(one.open), number(one.ended)),
      };
    });
    const heading = this.#heading([['Forwards', 'heading']], this.#headings('open', 'ended'));
    return [heading, ...this.#table(rows), ...this.#more('below', forwardings.length - fitting)];
  }

  #connections(connections, lines) {
    const total = this.#snapshot.connections.length;
    const { selected, sort } = this.#state;
    const { first, rows, above, below } = visible(connections.length, lines, this.#state);
    this.#first = first;
    this.#page = rows;
    const most = highestRate(connections);
    const shown = connections.slice(first, first + rows);
    const digits = Math.max(0, ...shown.map(({ connectionId }) => String(connectionId).length));
    const drawn = this.#table(shown.map((one) => this.#connection(one, most, digits, one.connectionId === selected)));
    for (const [at, { connectionId }] of shown.entries()) {
      if (connectionId === selected) drawn[at] = drawn[at].map(([text]) => [text, 'selected']);
    }
    if (connections.length === 0) drawn.push([[total > 0 ? '  none of these' : '  none at the moment', 'quiet']]);
    const counted = connections.length === total ? String(total) : `${connections.length} of ${total}`;
    /** @type {Piece[]} */
    const title = [['Connections', 'heading'], [` ${counted}`]];
    if (total > 1) title.push([` by ${sort}`, 'quiet']);
    const heading = this.#heading([...title, ...this.#filterPieces()], this.#headings('age', ''));
    return [heading, ...this.#more('above', above), ...drawn, ...this.#more('below', below)];
  }

  /** @returns {Piece[]} */
  #filterPieces() {
    return this.#state.filter === ''
      ? []
      : [
          [' matching ', 'quiet'],
          [`"${this.#state.filter}"`, 'waiting'],
        ];
  }

  /** @returns {import('./layout.js').Row} */
  #connection(one, most, digits, isSelected) {
    const { connectionId, state, since } = one;
    const client = plain(clientOf(one));
    const short = withoutLoopback(client);
    const target = plain(targetOf(one));
    /** @type {Piece[]} */
    const start = [[isSelected ? '> ' : '  '], [`#${connectionId} `.padEnd(digits + 2), 'quiet']];
    if (state !== 'open') start.push([`${state} `, 'waiting']);
    const names = [`${client} -> ${target}`, `${short} -> ${target}`, `${short} ${target}`, `-> ${target}`];
    return {
      names: names.map((name) => [...start, [name]]),
      cells: this.#cells(one, most, age(this.#now - since), ''),
    };
  }

  #ends(ends) {
    const isWide = this.#width >= WIDE;
    /** @type {Piece[]} */
    const title = [['Ended', 'heading'], [` ${outcome(this.#snapshot.totals)}`]];
    const names = isWide ? ['up', 'down', 'lost'] : ['bytes', 'lost'];
    const cells = names.map((text) => cell([text, 'quiet'], AMOUNT, 0));
    return [this.#heading(title, cells), ...ends.map((end) => this.#end(end, isWide))];
  }

  #end(end, isWide) {
    const { connectionId, time, bytesUp, bytesDown, outcome: how } = end;
    const lost = lostBy(end);
    const way = wayOf(end);
    const reasons = reasonsOf(end);
    const words = reasons.at(-1);
    /** The forward and the reason, from the best to the shortest. */
    const texts = [
      ...reasons.map((reason) => [`${way}: `, reason]),
      [`${shorten(way)}: `, words],
      [`${briefly(way)}: `, words],
      ['', words],
    ];
    const start = this.#width < NARROW ? `#${connectionId} ` : `${clock(time)} #${connectionId} `;
    const amounts = isWide ? [size(bytesUp), size(bytesDown)] : [size(bytesUp + bytesDown)];
    const cells = [...amounts, /** @type {Piece} */ (lost > 0 ? [amount(lost), 'bad'] : ['-', 'quiet'])];
    return row(
      {
        names: texts.map(([name, reason]) => [['  '], [start, 'quiet'], [name], [reason, OUTCOMES[how]]]),
        cells: cells.map((piece) => cell(piece, AMOUNT, 0)),
      },
      this.#width,
      this.#characters.cut,
    );
  }

  #messages(messages) {
    return [[['Messages', 'heading']], ...messages.map((message) => [['  '], ...messagePieces(message)])];
  }

  /** @param {'above' | 'below'} where @returns {Piece[][]} */
  #more(where, count) {
    return count > 0 ? [[[`  ${this.#characters[where]} ${count} more`, 'quiet']]] : [];
  }

  /** The cells of forwards and connections, which stand below each other. @returns {import('./layout.js').Cell[]} */
  #cells(one, most, number, ended) {
    const long = this.#width < WIDE ? BAR : LONG_BAR;
    return [
      cell([ended], ENDED, 6),
      cell([number], NUMBER, 2),
      cell(size(one.up), AMOUNT, 0),
      cell(size(one.down), AMOUNT, 1),
      cell(rate(one.upRate), AMOUNT, 4),
      cell(rate(one.downRate), AMOUNT, 3),
      { ...cell([bar(this.#characters, rateOf(one), most, long - 1), 'bar'], long, 5), isLeft: true },
    ];
  }

  #headings(number, ended) {
    const empty = { up: 0, down: 0, upRate: 0, downRate: 0 };
    const texts = [ended, number, 'up', 'down', 'up/s', 'down/s', ''];
    return this.#cells(empty, 0, '', '').map((one, at) => ({
      ...one,
      piece: /** @type {Piece} */ ([texts[at], 'quiet']),
    }));
  }

  /** @param {import('./layout.js').Row[]} rows */
  #table(rows) {
    return table(rows, this.#width, this.#characters.cut);
  }

  /** A title with the names of the columns, unless it needs their room. @param {Piece[]} title @returns {Piece[]} */
  #heading(title, cells) {
    return fits(title, cells, this.#width) ? row({ names: [title], cells }, this.#width, this.#characters.cut) : title;
  }

  // Other pages

  /** @returns {Piece[][]} */
  #log(room) {
    const { messages } = this.#snapshot;
    const found = messages.filter((message) => this.#matches(message.text));
    const lines = found.flatMap((message) => this.#wrapped(messagePieces(message, true)));
    /** @type {Piece[]} */
    const title = [['Messages', 'heading'], [` ${found.length}`], ...this.#filterPieces()];
    return this.#scrolled(title, lines, room, { isFromEnd: true });
  }

  /** @returns {Piece[][]} */
  #help(room) {
    const label = Math.max(...KEYS.map((key) => columns(this.#label(key.label)))) + 2;
    const lines = KEYS.flatMap((key) => this.#wrapped([[this.#label(key.label).padEnd(label), 'key'], [key.does]]));
    return this.#scrolled([['Keys', 'heading']], lines, room);
  }

  /** The lines for which there is room, below a title that says how many are hidden. @returns {Piece[][]} */
  #scrolled(title, lines, room, { isFromEnd = false } = {}) {
    const rows = Math.max(1, room - FRAME);
    const most = Math.max(0, lines.length - rows);
    this.#scroll = Math.min(this.#state.scroll, most);
    this.#page = rows;
    const from = isFromEnd ? most - this.#scroll : this.#scroll;
    const hidden = [...this.#more('above', from), ...this.#more('below', most - from)].flat();
    return [[], [...title, ...hidden], ...lines.slice(from, from + rows)];
  }

  /** A line whose last piece continues below itself. @param {Piece[]} pieces @returns {Piece[][]} */
  #wrapped(pieces) {
    const start = pieces.slice(0, -1);
    const [text, style] = pieces.at(-1);
    const indent = 2 + width(start);
    const [first, ...rest] = wrap(text, Math.max(1, this.#width - indent));
    return [
      [['  '], ...start, [first, style]],
      ...rest.map((line) => /** @type {Piece[]} */ ([[' '.repeat(indent)], [line, style]])),
    ];
  }
}

/** @returns {Piece} */
const size = (bytes) => [amount(bytes), bytes > 0 ? undefined : 'quiet'];
/** @returns {Piece} */
const rate = (bytes) => (bytes >= 1 ? [amount(Math.round(bytes))] : ['-', 'quiet']);
const rateOf = ({ upRate, downRate }) => upRate + downRate;
const highestRate = (all) => all.reduce((most, one) => Math.max(most, rateOf(one)), 0);
const number = (value) => (value < 10_000 ? String(value) : `${Math.floor(value / 1000)}k`);

/** @returns {Piece[]} */
function messagePieces({ time, level, text, count: times }, hasLevel = false) {
  const isError = level === 'ERROR' || level === 'FATAL';
  /** @type {Piece[]} */
  const pieces = [[`${clock(time)} `, 'quiet']];
  if (isError || hasLevel) pieces.push([`${level.toLowerCase()} `, isError ? 'bad' : 'quiet']);
  return [...pieces, [times > 1 ? `${text} (x ${times})` : text]];
}

const lostBy = ({ droppedUp, droppedDown, unconfirmedDown }) => droppedUp + droppedDown + unconfirmedDown;

module.exports = { render };
