// Other SSH servers with every algorithm and key type in common: 16 MiB both ways with rekeying, and their behaviors.
// docs/interop.md has the results as a table. Optional servers run in part here; `npm run interop` runs all of them.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { matrix } from '../../interop/matrix.mjs';
import { table } from '../../interop/table.mjs';
import { test } from '../helpers/bounded.mjs';

const { servers, missing, stop } = await matrix();
after(async () => {
  console.log(table(servers));
  await stop();
});

for (const server of servers) {
  for (const one of server.cases.filter(({ quick }) => quick)) {
    test(`${server.name}: ${one.kind} ${one.name}`, { skip: one.flaw ?? one.lack }, async (t) => {
      one.error = new Error('did not end');
      await one.run(t);
      one.error = null;
    });
  }
}

for (const { name } of missing) test(name, { skip: 'cannot be had here' }, () => {});

test('every required server was tested with every kind of behavior', () => {
  assert.deepEqual(
    missing.filter(({ optional }) => !optional),
    [],
  );
  for (const { name, cases } of servers) {
    const kinds = new Set(cases.map(({ kind }) => kind));
    for (const kind of ['kex', 'cipher', 'serverHostKey', 'userKey', 'behavior']) {
      assert.ok(kinds.has(kind), `${name}: ${kind}`);
    }
  }
});
