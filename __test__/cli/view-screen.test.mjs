// What the view writes to the terminal: whole pictures at once, and of these only the lines that have changed.

import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';

const { Screen } = createRequire(import.meta.url)('../../lib/cli/view/screen.js');

/** A screen that writes to a file, and what it has written since the last time. */
function recorded(t) {
  const folder = temporaryFolder('screen');
  const file = folder.write('');
  const descriptor = openSync(file, 'a');
  const screen = new Screen(descriptor);
  t.after(() => (screen.close(), closeSync(descriptor), folder.remove()));
  let read = 0;
  const written = () => {
    const text = readFileSync(file, 'utf8').slice(read);
    read += text.length;
    return text;
  };
  return { screen, written };
}

const frame = (text) => `\x1b[?2026h${text}\x1b[?2026l`;

test('a picture is written at once, and then only the lines that have changed', (t) => {
  const { screen, written } = recorded(t);
  screen.enter();
  assert.equal(written(), '\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J');
  screen.show(['one', 'two', 'three']);
  assert.equal(written(), frame('\x1b[2J\x1b[1Hone\x1b[K\x1b[2Htwo\x1b[K\x1b[3Hthree\x1b[K'));
  screen.show(['one', 'two', 'three']);
  assert.equal(written(), '');
  screen.show(['one', '世界', 'three']);
  assert.equal(written(), frame('\x1b[2H世界\x1b[K'));
  screen.show(['one']);
  assert.equal(written(), frame('\x1b[2H\x1b[J'));
  screen.clear();
  screen.show(['one']);
  assert.equal(written(), frame('\x1b[2J\x1b[1Hone\x1b[K'));
  screen.leave();
  assert.equal(written(), '\x1b[?25h\x1b[?1049l');
});
