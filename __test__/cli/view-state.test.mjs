// What keys make of the state of the view, and which connections it lists.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { test } from '../helpers/bounded.mjs';
import { ROOT } from '../helpers/process.mjs';

const require = createRequire(import.meta.url);
const { INITIAL, KEYS, follow, listed, press } = require('../../lib/cli/view/state.js');

const shown = { ids: [11, 12, 13, 14, 15, 16, 17], lines: 3 };

/** The state and the actions after some keys. */
function after(keys, state = INITIAL, screen = shown) {
  const actions = [];
  for (const key of keys) {
    const next = press(state, key, screen);
    state = next.state;
    if (next.action !== undefined) actions.push(next.action);
  }
  return { state, actions };
}

const connection = (connectionId, members = {}) => ({
  connectionId,
  forwardId: 1,
  state: 'open',
  remoteAddress: '127.0.0.1',
  remotePort: 40_000 + connectionId,
  forwardHost: 'db',
  forwardPort: 5432,
  up: 0,
  down: 0,
  upRate: 0,
  downRate: 0,
  ...members,
});

const ids = (snapshot, state) => listed(snapshot, { ...INITIAL, ...state }).map((one) => one.connectionId);

test('keys move the selection within the list', () => {
  const selected = (...keys) => after(keys).state.selected;
  assert.equal(INITIAL.selected, undefined);
  assert.equal(selected('down'), 11, 'the first key shows where it is');
  assert.equal(selected('up'), 11);
  assert.equal(selected('down', 'down', 'down'), 13);
  assert.equal(selected('down', 'down', 'up', 'up', 'up'), 11);
  assert.equal(selected('end'), 17);
  assert.equal(selected('end', 'down'), 17);
  assert.equal(selected('end', 'up'), 16);
  assert.equal(selected('end', 'home'), 11);
  assert.equal(selected('down', 'pagedown'), 14);
  assert.equal(selected('end', 'pageup'), 14);
  assert.equal(selected('down', 'escape'), undefined);
  assert.equal(after(['down'], INITIAL, { ids: [], lines: 3 }).state.selected, undefined);
});

test('the selection follows its connection, and is gone with it', () => {
  const { state } = after(['down', 'down', 'down']);
  assert.deepEqual(follow(state, [17, 13, 11]), { ...state, at: 1 });
  const gone = follow(state, [11, 12, 14, 15]);
  assert.deepEqual([gone.selected, gone.at], [undefined, 2]);
  const next = press(gone, 'down', { ids: [11, 12, 14, 15], lines: 3 });
  assert.equal(next.state.selected, 14, 'the next key continues where it was');
});

test('keys that end connections and signals are actions', () => {
  assert.deepEqual(after(['x', 'X', 'q', 'ctrl-c', 'ctrl-z', 'ctrl-\\', 'ctrl-l']).actions, [
    'close',
    'reset',
    'quit',
    'interrupt',
    'suspend',
    'abort',
    'redraw',
  ]);
});

test('log and help are pages that scroll, and from which q and Esc return', () => {
  for (const [key, page] of [
    ['l', 'log'],
    ['?', 'help'],
  ]) {
    assert.equal(after([key]).state.page, page);
    for (const back of [key, 'q', 'escape']) {
      const { state, actions } = after([key, back]);
      assert.deepEqual([state.page, actions], ['picture', []], back);
    }
    assert.deepEqual(after([key, 'x', 'X']).actions, [], 'there is no connection to be seen');
    assert.deepEqual(after([key, 'ctrl-c']).actions, ['interrupt']);
  }
  const scroll = (...keys) => after(keys).state.scroll;
  assert.equal(scroll('l', 'up', 'up', 'down'), 1);
  assert.equal(scroll('l', 'pageup', 'end'), 0);
  assert.equal(scroll('l', 'home'), Infinity);
  assert.equal(scroll('?', 'up', 'down', 'down'), 2);
  assert.equal(scroll('?', 'down', 'home'), 0);
  assert.equal(scroll('l', 'up', '?'), 0);
});

test('a filter is typed, kept and cleared', () => {
  const typed = after(['/', 'q', 'X', ' ', 'ü', 'backspace', '世', 'f1', '', 'ctrl-a']);
  assert.deepEqual([typed.state.filter, typed.state.typing, typed.actions], ['qX 世', true, []]);
  const kept = after(['enter', 'q'], typed.state);
  assert.deepEqual([kept.state.filter, kept.state.typing, kept.actions], ['qX 世', false, ['quit']]);
  const cleared = after(['escape'], kept.state);
  assert.equal(cleared.state.filter, '');
  assert.deepEqual(after(['/', 'a', 'escape']).state, INITIAL);
  assert.equal(after(['/', 'a', 'b', 'ctrl-u']).state.filter, '');
  assert.deepEqual(after(['/', 'a', 'ctrl-c', 'down']).actions, ['interrupt']);
  assert.equal(after(['/', 'a', 'down']).state.selected, 11);
  assert.equal(after(['/', '\x1b', '\x9b']).state.filter, '??', 'it cannot control the terminal');
  assert.equal(after(['/', ...'世'.repeat(50)]).state.filter.length, 30);
  assert.equal(after(['down', '/', 'a', 'enter', 'escape']).state.selected, 11, 'first the filter, then the selection');
});

test('pausing and sorting', () => {
  assert.equal(after(['p']).state.paused, true);
  assert.equal(after(['p', 'p']).state.paused, false);
  const sorts = [1, 2, 3, 4].map((times) => after(Array(times).fill('s')).state.sort);
  assert.deepEqual(sorts, ['bytes', 'age', 'target', 'rate']);
});

test('connections are listed by rate, bytes, age or target', () => {
  const snapshot = {
    forwardings: [],
    connections: [
      connection(3, { upRate: 5, down: 1, forwardHost: 'b' }),
      connection(1, { downRate: 9, up: 2, forwardHost: 'c' }),
      connection(2, { upRate: 5, forwardHost: 'a' }),
    ],
  };
  assert.deepEqual(ids(snapshot, { sort: 'rate' }), [1, 2, 3]);
  assert.deepEqual(ids(snapshot, { sort: 'bytes' }), [1, 3, 2]);
  assert.deepEqual(ids(snapshot, { sort: 'age' }), [1, 2, 3]);
  assert.deepEqual(ids(snapshot, { sort: 'target' }), [2, 3, 1]);
  assert.deepEqual(
    snapshot.connections.map((one) => one.connectionId),
    [3, 1, 2],
    'the snapshot stays',
  );
});

test('the filter finds clients, targets, states, numbers and forwards', () => {
  const snapshot = {
    forwardings: [{ name: '-D 127.0.0.1:1080 -> SOCKS', forwardIds: [2] }],
    connections: [
      connection(1),
      connection(2, { state: 'closing' }),
      connection(3, { forwardHost: 'Cache' }),
      connection(4, { forwardId: 2, forwardHost: undefined, forwardPath: '/run/x' }),
      connection(5, { remoteAddress: undefined }),
    ],
  };
  for (const [filter, found] of [
    ['', [1, 2, 3, 4, 5]],
    ['closing', [2]],
    ['cAcHe:5', [3]],
    ['socks', [4]],
    ['/run', [4]],
    ['#3', [3]],
    ['40001', [1]],
    ['a local client', [5]],
    ['nothing', []],
  ])
    assert.deepEqual(ids(snapshot, { sort: 'age', filter }), found, filter);
});

test('docs/command.md has the same keys', () => {
  const page = readFileSync(join(ROOT, 'docs/command.md'), 'utf8');
  const [, section] = /\n## The view\n([^]*?)\n## /.exec(page);
  const rows = Array.from(section.matchAll(/^\| (`.*) \| (.*) \|$/gm), ([, keys, does]) => ({
    label: keys.replaceAll('`', ''),
    does,
  }));
  assert.deepEqual(
    rows,
    KEYS.map(({ label, does }) => ({ label, does })),
  );
});
