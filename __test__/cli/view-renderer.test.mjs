// The lines of the view: they fit every terminal, and say what is known.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { stripVTControlCharacters } from 'node:util';

import { test } from '../helpers/bounded.mjs';

const require = createRequire(import.meta.url);
const { Monitor } = require('../../lib/cli/monitor.js');
const { summary } = require('../../lib/cli/output/summary.js');
const { columns, plain } = require('../../lib/cli/output/text.js');
const { render } = require('../../lib/cli/view/renderer.js');
const { INITIAL } = require('../../lib/cli/view/state.js');
const { ASCII, UNICODE, abilities, bar, paint } = require('../../lib/cli/view/styles.js');

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

const info = (connectionId, members = {}) => ({
  connectionId,
  forwardId: 1,
  remoteAddress: '127.0.0.1',
  remotePort: 40_000 + connectionId,
  forwardHost: 'db.internal',
  forwardPort: 5432,
  state: 'open',
  bytesUp: 0,
  bytesDown: 0,
  ...members,
});

const end = (connectionId, members = {}) => ({
  connectionId,
  forwardId: 1,
  code: 'OK',
  reason: 'both directions reached their end of stream',
  clean: true,
  closedBy: 'graceful',
  bytesUp: 1,
  bytesDown: 1,
  droppedUp: 0,
  droppedDown: 0,
  unconfirmedDown: 0,
  lingerExpired: false,
  ...members,
});

/** A monitor with a forward, and this many connections; the last one is the busiest. */
function monitorWith(count, members) {
  const monitor = new Monitor();
  monitor.destination = 'me@bastion:22';
  monitor.session = { state: 'connected', since: NOW - 61_000 };
  monitor.forwardings = [
    { kind: 'local', name: '-L 127.0.0.1:5432 -> db.internal:5432', from: '', to: '', forwards: [{ forwardId: 1 }] },
  ];
  const all = Array.from({ length: count }, (_, at) => info(at + 1, members));
  monitor.sample(all, 0);
  monitor.sample(
    all.map((one) => ({ ...one, bytesDown: one.connectionId * 1024 })),
    1000,
  );
  return monitor;
}

/** What is shown of a monitor. */
function draw(monitor, state = {}, terminal = {}, moment = {}) {
  const size = { rows: 24, columns: 79, characters: UNICODE, ...terminal };
  return render(monitor.snapshot(), { ...INITIAL, ...state }, size, { now: NOW, ...moment });
}
const textOf = (...args) => draw(...args).lines.join('\n');

test('the view fits every terminal size, with wide characters, and in colors', () => {
  const monitor = monitorWith(300, { forwardHost: '主机\x1b[31m'.repeat(9) });
  for (let connectionId = 1; connectionId < 20; connectionId++) monitor.ended(end(connectionId, { forwardId: 2 }));
  const name = `-L 127.0.0.1:1 -> ${'主'.repeat(60)}:2`;
  monitor.forwardings = Array.from({ length: 5 }, (_, at) => ({ name, forwards: at > 0 ? [{ forwardId: at }] : [] }));
  for (const text of ['one', 'two', '主'.repeat(300)]) monitor.message('ERROR', text);
  const pages = [
    { selected: 7, at: 293 },
    { filter: '主', typing: true },
    { page: 'log' },
    { page: 'help', paused: true },
  ];
  for (const rows of [1, 2, 3, 5, 10, 24, 60]) {
    for (const width of [1, 10, 30, 39, 59, 79, 119, 199]) {
      for (const [at, state] of pages.entries()) {
        const terminal = { rows, columns: width, colors: at % 2 === 0 };
        const { lines, page } = draw(monitor, state, terminal, { notice: at === 0 ? '主'.repeat(150) : undefined });
        assert.ok(page >= 1);
        assert.equal(lines.length, rows);
        for (const line of lines.map(stripVTControlCharacters)) {
          assert.ok(columns(line) <= width, `${columns(line)} of ${width}: ${line}`);
          assert.equal(plain(line), line);
        }
      }
    }
  }
});

test('everything that is known is shown where there is room', () => {
  const monitor = monitorWith(2);
  monitor.ended(end(7, { clean: false, closedBy: 'reset', code: 'ECONNRESET', reason: 'reset', droppedDown: 59_392 }));
  monitor.forwardings.push({ name: '-R localhost:9000 -> localhost:3000', forwards: [] });
  for (let times = 0; times < 3; times++) monitor.message('INFO', 'Connection to bastion closed by remote host.');
  monitor.message('ERROR', 'bind [127.0.0.1]:80: Permission denied');
  const text = textOf(monitor, {}, { columns: 119, rows: 40 });
  for (const part of [
    /^sshtunnel me@bastion:22 +● connected 00:01:01$/m,
    /^ {2}-L 127\.0\.0\.1:5432 -> db\.internal:5432 +1 +2 +0 B +3\.0 KiB +- +3\.0 KiB █{12}$/m,
    /^ {2}failed -R localhost:9000 -> localhost:3000/m,
    /^Connections 2 by rate/m,
    /^ {2}#2 127\.0\.0\.1:40002 -> db\.internal:5432 +0s +0 B +2\.0 KiB +- +2\.0 KiB █{12}$/m,
    /^ {2}#1 .* 1\.0 KiB █{6} *$/m,
    /^Ended 1 connection, 1 cut, 58\.0 KiB lost +up +down +lost$/m,
    /^ {2}\d\d:\d\d:\d\d #7 -L 127\.0\.0\.1:5432 -> db\.internal:5432: reset +1 B +1 B +58\.0 KiB$/m,
    /^ {2}\d\d:\d\d:\d\d Connection to bastion closed by remote host\. \(x 3\)$/m,
    /^ {2}\d\d:\d\d:\d\d error bind \[127\.0\.0\.1\]:80: Permission denied$/m,
    /^q quit {2}\? help {2}↑ ↓ move .* l log$/m,
  ])
    assert.match(text, part);
});

test('names of forwards and connections give way to numbers on narrow terminals', () => {
  const monitor = monitorWith(1);
  monitor.ended(end(7));
  const row = (width, pattern) => draw(monitor, {}, { columns: width }).lines.find((line) => pattern.test(line));
  assert.match(row(79, /-L.*5432 +1 /), /^ {2}-L :5432 -> db\.internal:5432 /);
  assert.match(row(79, /#1 /), /^ {2}#1 :40001 -> db\.internal:5432 +0s +0 B +1\.0 KiB +- +1\.0 KiB █████$/);
  assert.match(row(39, /#1 /), /^ {2}#1 -> db\.internal:5432 +0 B +1\.0 KiB$/);
  assert.match(row(79, /#7 /), /#7 -L 127\.0\.0\.1:5432 -> db\.internal:5432: complete +2 B +-$/);
  assert.match(row(39, /#7 /), /^ {2}#7 -L :5432: complete +2 B +-$/);
  assert.match(row(20, /#7 /), /^ {2}#7 complete *$/);
  assert.match(row(20, /#1 /), /^ {2}#1 -> db\.internal…$/);
});

test('the header says the state of the session, and counts down to the next attempt', () => {
  const monitor = monitorWith(1);
  const header = (members, now = NOW) => {
    Object.assign(monitor, members);
    return draw(monitor, {}, {}, { now }).lines[0];
  };
  const reconnecting = { state: 'reconnecting', since: NOW, attempt: 3, nextAttempt: NOW + 7500 };
  assert.match(header({ session: reconnecting }), /○ reconnecting, attempt 3 in 8 s$/);
  assert.match(header({ session: reconnecting }, NOW + 7499), /attempt 3 in 1 s$/);
  assert.match(header({ session: reconnecting }, NOW + 7500), /attempt 3 for 0 s$/);
  assert.match(header({ session: reconnecting }, NOW + 9500), /attempt 3 for 2 s$/);
  assert.match(header({ session: { state: 'lost', since: NOW } }), /○ disconnected$/);
  assert.match(header({ session: { state: 'connecting', since: NOW } }), /○ connecting$/);
  assert.match(header({ session: { state: 'connected', since: NOW }, closing: true }), /● closing, 1 connection left$/);
  assert.match(draw(monitor).lines.at(-1), /^connections may finish now; q or Ctrl-C resets them {2}\? help$/);
  assert.match(draw(monitor, {}, { hasKeys: false }).lines.at(-1), /^connections may finish now; Ctrl-C resets them$/);
  const [name, state] = draw(monitor, {}, { columns: 39 }).lines;
  assert.deepEqual([name, state], ['sshtunnel me@bastion:22', '● closing, 1 connection left']);
  assert.match(draw(monitor, {}, {}, { url: 'http://127.0.0.1:1/?token=x' }).lines[1], /^web page http:\S+$/);
});

test('every connection can be scrolled to, and what is hidden is counted', () => {
  const monitor = monitorWith(50);
  const visible = (state) => {
    const { lines, ...rest } = draw(monitor, { sort: 'age', ...state });
    const text = lines.join('\n');
    const ids = Array.from(text.matchAll(/^[> ] #(\d+) /gm), ([, id]) => Number(id));
    const [, above = '0'] = /↑ (\d+) more/.exec(text) ?? [];
    const [, below = '0'] = /↓ (\d+) more/.exec(text) ?? [];
    assert.equal(Number(above) + ids.length + Number(below), 50);
    assert.equal(rest.page, ids.length);
    assert.equal(ids[0], rest.first + 1);
    return { ids, first: rest.first };
  };
  assert.equal(visible({}).ids[0], 1);
  let first = 0;
  for (let at = 0; at < 50; at++) {
    const shown = visible({ selected: at + 1, at, first });
    assert.ok(shown.ids.includes(at + 1));
    first = shown.first;
  }
  assert.equal(visible({ first }).ids.at(-1), 50);
  for (let at = 49; at >= 0; at--) {
    const shown = visible({ selected: at + 1, at, first });
    assert.ok(shown.ids.includes(at + 1));
    first = shown.first;
  }
  assert.equal(first, 0);
  assert.equal(visible({ first: 1000 }).ids.at(-1), 50, 'there may have been more');
});

test('the selected connection is marked, with and without colors', () => {
  const monitor = monitorWith(2);
  const state = { selected: 2, at: 0 };
  const marked = (terminal) => draw(monitor, state, terminal).lines.find((line) => line.includes('#2'));
  assert.match(marked({}), /^> #2 /);
  assert.match(marked({ colors: true }), /^\x1b\[7m> #2 [^\x1b]*\x1b\[27m$/);
});

test('sort order, filter, pause and notices are shown', () => {
  const monitor = monitorWith(12);
  assert.match(textOf(monitor, { sort: 'target' }), /^Connections 12 by target/m);
  const filtered = textOf(monitor, { filter: '#12' });
  assert.match(filtered, /^Connections 1 of 12 by rate matching "#12"/m);
  assert.doesNotMatch(filtered, /#11 |-L/);
  assert.match(textOf(monitor, { filter: 'nothing' }), /none of these/);
  assert.match(textOf(monitorWith(0)), /none at the moment/);
  assert.match(textOf(monitor, { filter: 'ab', typing: true }), /\n\/ab▏ {2}Enter keeps it, Esc clears it$/);
  assert.match(textOf(monitor, { paused: true }), /^sshtunnel .* paused {2,}● connected/);
  assert.match(textOf(monitor, {}, {}, { notice: 'Resetting #1.' }), /\nResetting #1\.$/);
  assert.match(textOf(monitor, {}, { hasKeys: false }), /\nCtrl-C lets connections finish, twice resets them$/);
});

test('ends have their forward and their reason in words', () => {
  const monitor = monitorWith(0);
  monitor.forwardings.push({ name: '-D 127.0.0.1:1080 -> SOCKS', forwards: [{ forwardId: 2 }] });
  monitor.sample([info(9, { forwardId: 2, forwardHost: 'wiki', forwardPort: 80 })], 2000);
  const shown = (members, connectionId = 1) => {
    monitor.ended(end(connectionId, { clean: false, closedBy: 'reset', ...members }));
    return draw(monitor, {}, { columns: 159 }).lines.find((line) => line.includes(`#${connectionId} -`));
  };
  assert.match(shown({ code: 'OK', reason: 'closed by close()', closedBy: 'graceful' }), /-L .*: closed +1 B/);
  assert.match(shown({ code: 'ECONNABORTED', reason: 'closed by reset()' }), /: reset by this command +1 B/);
  assert.match(shown({ code: 'ECONNABORTED', lingerExpired: true }), /by this command, as its linger time ran out/);
  assert.match(
    shown({ code: 'ERR_SSH_DISCONNECTED', reason: 'the SSH session disconnected: \x1b' }),
    /: the SSH session disconnected: \? +1 B/,
  );
  assert.match(
    shown({
      code: 'ERR_SSH_OPEN_CONNECT_FAILED',
      reason: 'the server refused: '.repeat(10),
      description: 'refused\x1b',
    }),
    /: connect failed: refused\? +1 B/,
  );
  assert.match(shown({ code: 'ETIMEDOUT', reason: 'no data for idleTimeout' }), /: no data for idleTimeout/);
  assert.match(shown({ code: 'OK', clean: true, forwardId: 2 }, 9), /#9 -D 127\.0\.0\.1:1080 -> wiki:80: complete/);
  monitor.forwardings = [];
  assert.match(shown({ code: 'OK', clean: true }, 8) ?? textOf(monitor), /#8/);
});

test('the log has all messages with levels, wraps long ones, and scrolls', () => {
  const monitor = monitorWith(0);
  for (let at = 0; at < 40; at++) monitor.message('INFO', `message ${at}`);
  monitor.message('ERROR', 'long '.repeat(30).trim());
  const log = (state, terminal) => draw(monitor, { page: 'log', ...state }, terminal);
  const { lines, page } = log({});
  assert.match(lines.join('\n'), /^Messages 41 {2}↑ 24 more$/m);
  assert.match(lines.join('\n'), /\d\d error long long/);
  assert.equal(lines.filter((line) => /^ +long/.test(line)).length, 2, 'the second and the third line of it');
  assert.equal(page, 19);
  const scrolled = log({ scroll: 5 });
  assert.match(scrolled.lines.join('\n'), /^Messages 41 {2}↑ 19 more {2}↓ 5 more$/m);
  const top = log({ scroll: Infinity });
  assert.equal(top.scroll, 24);
  assert.match(top.lines.join('\n'), /message 0$/m);
  assert.match(log({ filter: 'message 7' }).lines.join('\n'), /^Messages 1 matching "message 7"$/m);
  assert.match(log({}).lines.at(-1), /^↑ ↓ scroll {2}\/ filter {2}Esc back$/);
});

test('the help fits 40 columns, and scrolls where it is longer than the screen', () => {
  const monitor = monitorWith(0);
  const help = (state, terminal) => draw(monitor, { page: 'help', ...state }, terminal);
  const text = help({}).lines.join('\n');
  for (const part of [/^Keys$/m, /^ {2}q +lets connections finish/m, /^ {2}X +resets the selected/m, /^ {2}↑ ↓ /m])
    assert.match(text, part);
  const narrow = help({}, { columns: 39, rows: 10 });
  assert.match(narrow.lines.join('\n'), /^Keys {2}↓ \d+ more$/m);
  const { scroll, lines } = help({ scroll: Infinity }, { columns: 39, rows: 10 });
  assert.ok(Number.isFinite(scroll));
  assert.match(lines.join('\n'), /^Keys {2}↑ \d+ more$/m);
  assert.match(lines.at(-2), /anew/);
});

test('without Unicode, everything but names is ASCII', () => {
  const monitor = monitorWith(50);
  monitor.ended(end(7));
  monitor.message('INFO', 'a message that is cut '.repeat(5));
  for (const state of [{}, { page: 'log' }, { page: 'help' }, { first: 10, typing: true }]) {
    for (const columns of [39, 79])
      assert.match(textOf(monitor, state, { characters: ASCII, columns }), /^[\n\x20-\x7e]*$/);
  }
  assert.match(textOf(monitor, {}, { characters: ASCII }), /KiB #####$/m);
});

test('colors only repeat what the text says', () => {
  const monitor = monitorWith(3, { state: 'opening' });
  monitor.ended(end(7, { clean: false, closedBy: 'reset', code: 'ECONNRESET', droppedDown: 5 }));
  monitor.forwardings[0].forwards = [];
  const colored = draw(monitor, {}, { colors: true });
  const text = colored.lines.join('\n');
  assert.match(text, /\x1b\[32m● connected/);
  assert.match(text, /\x1b\[31mfailed /);
  assert.match(text, /\x1b\[33mopening /);
  assert.match(text, /\x1b\[31m5 B\x1b\[39m/);
  assert.deepEqual(colored.lines.map(stripVTControlCharacters), draw(monitor).lines);
});

test('bars are shares of the highest rate', () => {
  const parts = [0, 1, 12, 50, 99, 100].map((value) => bar(UNICODE, value, 100, 5));
  assert.deepEqual(parts, ['', '▏', '▋', '██▌', '█████', '█████']);
  assert.deepEqual(
    [0, 1, 50, 100].map((value) => bar(ASCII, value, 100, 5)),
    ['', '#', '###', '#####'],
  );
  assert.equal(bar(UNICODE, 1, 0, 5), '█████');
  assert.equal(paint('x', 'bad'), '\x1b[31mx\x1b[39m');
  assert.equal(paint('x'), 'x');
});

test('the locale decides about characters', () => {
  const output = { getColorDepth: () => 4 };
  const characters = (env) => abilities(output, env).characters;
  for (const env of [{ LANG: 'de_DE.UTF-8' }, { LC_ALL: 'C.utf8', LANG: 'C' }, { LC_CTYPE: 'UTF-8', LC_ALL: '' }])
    assert.equal(characters(env), UNICODE);
  for (const env of [{}, { LANG: 'C' }, { LC_ALL: 'C', LANG: 'de_DE.UTF-8' }, { LANG: 'de_DE.ISO-8859-1' }])
    assert.equal(characters(env), ASCII);
  assert.equal(abilities({ getColorDepth: () => 1 }, {}).colors, false);
});

test('the summary counts connections, those that were cut, and bytes', () => {
  const totals = { ended: 0, failed: 0, cut: 0, lost: 0 };
  assert.equal(summary(totals, 0), 'no connections; up for 00:00:00');
  assert.equal(summary({ ...totals, ended: 1 }, 1000), '1 connection, none cut; up for 00:00:01');
  assert.equal(
    summary({ ended: 80, failed: 0, cut: 4, lost: 59_392 }, 761_000),
    '80 connections, 4 cut, 58.0 KiB lost; up for 00:12:41',
  );
  assert.equal(
    summary({ ended: 3, failed: 2, cut: 1, lost: 0 }, 86_400_000),
    '3 connections, 2 failed, 1 cut; up for 24:00:00',
  );
});

test('the monitor counts ends by what became of them, and the time with a session', () => {
  const monitor = new Monitor();
  for (const members of [
    {},
    { code: 'ETIMEDOUT', clean: false },
    { code: 'ECONNRESET', clean: false, closedBy: 'reset' },
    { code: 'ERR_SSH_CHANNEL_CLOSED', clean: false, droppedUp: 3 },
    { code: 'ERR_SSH_OPEN_CONNECT_FAILED', clean: false, closedBy: 'reset' },
  ])
    monitor.ended(end(1, members));
  assert.deepEqual(monitor.totals, { ended: 5, failed: 1, cut: 2, lost: 3 });
  monitor.session = { state: 'connected', since: Date.now() - 5000 };
  assert.ok(monitor.upTime() >= 5000);
  monitor.setSession('reconnecting', { attempt: 1, delay: 10 });
  assert.ok(monitor.upTime() >= 5000);
  assert.equal(monitor.upTime(Date.now() + 60_000), monitor.upTime());
});
