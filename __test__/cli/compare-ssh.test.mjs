// Common command lines of ssh, run with ssh and with sshtunnel: both reach and reject the same, with the same messages.

import assert from 'node:assert/strict';

import { test } from '../helpers/bounded.mjs';
import { compare, differences } from '../helpers/compare.mjs';

test('sshtunnel behaves as ssh for every command line', { timeout: 240_000 }, async (t) => {
  const rows = await compare();
  assert.ok(rows.length >= 20);
  for (const row of rows) {
    await t.test(row.name, { skip: row.missing && `a tunnel has no ${row.missing}()` }, () => {
      assert.deepEqual(differences(row), [], JSON.stringify(row, null, 2));
    });
  }
});
