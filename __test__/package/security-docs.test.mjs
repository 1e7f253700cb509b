// docs/security.md: its tables are complete, every test that it names exists, and no identifier appears twice.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT } from '../helpers/process.mjs';

const page = readFileSync(join(ROOT, 'docs/security.md'), 'utf8');
const NUMBER = /\b(?:CVE-\d{4}-\d{4,}|RUSTSEC-\d{4}-\d{4}|GHSA(?:-[0-9a-z]{4}){3})\b/g;

/** The rows of the tables about vulnerabilities: their cells. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && /^\| (?:CVE|GHSA|RUSTSEC)-/.test(line))
  .map((line) => line.slice(2, -2).split(' | '));

function pathOf(file) {
  if (file.startsWith('ssh-proto/')) return join(ROOT, 'crates/ssh-proto/src', file.slice('ssh-proto/'.length));
  return join(ROOT, file.endsWith('.test.mjs') ? join('__test__', file) : file);
}

test('every row has identifiers, a description and tests', () => {
  assert.ok(rows.length > 50);
  for (const cells of rows) {
    assert.equal(cells.length, 4, cells.join(' | '));
    const [numbers, what, here, kept] = cells;
    assert.equal(numbers.replaceAll(NUMBER, '#').replaceAll(', ', ''), '#'.repeat(numbers.split(', ').length), numbers);
    assert.ok(what.length > 20 && here.length > 5, numbers);
    for (const part of kept.split('; ')) assert.match(part, /^`[^`]+`: `[^`]+`(, `[^`]+`)*$/, numbers);
  }
});

test('every named test exists', () => {
  const named = [...page.matchAll(/`([^`]+\.(?:rs|mjs))`:\s+((?:`[^`]+`(?:,\s+)?)+)/g)];
  assert.ok(named.length > rows.length);
  for (const [, file, titles] of named) {
    assert.ok(existsSync(pathOf(file)), `there is no ${file}`);
    const source = readFileSync(pathOf(file), 'utf8');
    for (const [, title] of titles.matchAll(/`([^`]+)`/g)) {
      const found = file.endsWith('.rs') ? source.includes(`fn ${title}()`) : source.includes(title);
      assert.ok(found, `${file} has no test '${title}'`);
    }
  }
});

test('no identifier appears twice', () => {
  const numbers = page.match(NUMBER);
  const twice = numbers.filter((number, at) => numbers.indexOf(number) !== at);
  assert.deepEqual(twice, []);
  assert.ok(numbers.length > 100);
});
