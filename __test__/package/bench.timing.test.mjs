// The benchmark: every peer transfers bytes, and the results have their shape. No test checks speed, but the
// benchmark itself fails where a request takes longer than it measures, so this suite has the machine to itself.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ratio, spread } from '../../bench/harness/statistics.mjs';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { ROOT, run } from '../helpers/process.mjs';

// ms; by itself this suite may have to build the load generator first.
const LIMIT = 280_000;

test('a quick run measures this package and OpenSSH', { timeout: LIMIT }, async (t) => {
  const folder = temporaryFolder('bench');
  t.after(() => folder.remove());
  const file = join(folder.path, 'result.json');
  const args = ['bulk', 'requests', '--quick', '--only', 'ours,ssh', '--no-write', '--json', file];
  const { code, stdout, stderr } = await run(process.execPath, [join('bench', 'run.mjs'), ...args], {
    cwd: ROOT,
    timeout: LIMIT,
  });
  assert.equal(code, 0, stderr);
  const result = JSON.parse(readFileSync(file, 'utf8'));

  assert.equal(result.rounds, 1);
  for (const name of ['processor', 'cores', 'system']) assert.ok(result.machine[name], name);
  for (const name of ['node', 'rustc', 'OpenSSH']) assert.match(result.versions[name], /\d/);
  assert.deepEqual(
    result.parts.map(({ name }) => name),
    ['bulk', 'requests'],
  );
  for (const part of result.parts) {
    assert.ok(part.cases.length >= 3);
    assert.ok(stdout.includes(`## ${part.title}`));
    for (const { name, peers } of part.cases) {
      assert.deepEqual(Object.keys(peers), ['ours', 'ssh']);
      for (const [peer, { failed, reason, rounds, spreads, ratios }] of Object.entries(peers)) {
        assert.equal(failed, 0, `${part.name}, ${name}, ${peer}: ${reason}`);
        for (const { values } of rounds) assert.ok((values.bytes ?? values.count) > 0);
        for (const metric of ['rate', 'processor']) {
          const { median, least, most } = spreads[metric];
          assert.ok(least > 0 && least <= median && median <= most, metric);
          if (peer === 'ssh') assert.ok(ratios[metric].median > 0, metric);
        }
      }
    }
  }
  const moved = result.parts[0].cases.flatMap(({ peers }) =>
    Object.values(peers).map(({ rounds }) => rounds[0].values.bytes),
  );
  assert.ok(
    moved.every((bytes) => bytes >= 2 ** 24),
    `${moved}`,
  );

  assert.ok(result.goals.length > 0);
  for (const { text, limit, figure, met } of result.goals) {
    assert.ok(text && limit && figure);
    assert.equal(typeof met, 'boolean');
  }
});

test('ratios compare results of one round and skip failed rounds', () => {
  const rounds = (...rates) => rates.map((rate) => (rate === null ? { failed: 'why' } : { values: { rate } }));
  const ours = rounds(10, null, 30, 40);
  const other = rounds(5, 1, 10, null);
  assert.deepEqual(ratio(ours, other, 'rate'), { median: 2.5, least: 2, most: 3 });
  assert.equal(ratio(ours, rounds(null), 'rate'), null);
  assert.deepEqual(spread([3, 1, 2]), { median: 2, least: 1, most: 3 });
  assert.equal(spread([]), null);
});
