// Prometheus's text format.

import assert from 'node:assert/strict';

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([^{ ]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\d+(?:\.\d+)?(?:e-?\d+)?)$/;

/**
 * The samples by name and labels. Asserts that each line is valid and each family is complete and occurs once.
 * @param {string} text
 * @returns {Map<string, number>}
 */
export function parseMetrics(text) {
  assert.ok(text.endsWith('\n'));
  const samples = new Map();
  const types = new Map();
  let family;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, word, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (word === 'HELP') {
      assert.match(name, NAME);
      assert.ok(!types.has(name), `${name} comes twice`);
      family = name;
    } else if (word === 'TYPE') {
      assert.equal(name, family);
      assert.ok(['counter', 'gauge'].includes(rest), line);
      assert.equal(name.endsWith('_total'), rest === 'counter', line);
      types.set(name, rest);
    } else {
      const [, sample, labels = '', value] = SAMPLE.exec(line) ?? assert.fail(line);
      assert.equal(sample, family);
      const key = `${sample}${labels}`;
      assert.ok(!samples.has(key), `${key} comes twice`);
      samples.set(key, Number(value));
    }
  }
  return samples;
}
