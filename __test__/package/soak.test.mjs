// The soak, for some seconds: it finds no fault, and detects faults made on purpose.

import assert from 'node:assert/strict';

import { test } from '../helpers/bounded.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const LIMIT = 120_000;

const soak = (...args) => run(process.execPath, ['scripts/soak.mjs', ...args], { cwd: ROOT, timeout: LIMIT });

test('the soak finds no fault in 20 seconds', { timeout: LIMIT }, async () => {
  const { code, stdout, stderr } = await soak('--seconds', '20');
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /nothing wrong/);
});

for (const [broken, told] of [
  ['bytes', /WRONG: play .* bytes that are not what the target sent/],
  ['report', /WRONG: connection 1: 'disconnected' twice/],
  ['descriptor', /WRONG: \d+ descriptors with nothing open/],
]) {
  test(`the soak detects a fault: ${broken}`, { timeout: LIMIT }, async () => {
    const { code, stdout, stderr } = await soak('--seconds', '8', '--induce', broken);
    assert.equal(code, 1, stdout + stderr);
    assert.match(stderr, told);
  });
}
