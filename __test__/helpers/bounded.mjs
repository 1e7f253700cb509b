// `test` of node:test with a timeout.

import { test as unbounded } from 'node:test';

const USUAL = 30_000; // ms; far above what any test needs on two busy cores

export function test(name, ...rest) {
  const body = rest.pop();
  return unbounded(name, { timeout: USUAL, ...rest[0] }, body);
}
