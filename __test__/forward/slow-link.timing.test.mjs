// Requests beside bulk data over a link of 5 Mbit/s, where queues are long.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { SlowLink, noSlowLink } from '../helpers/slow-link.mjs';

const RATE = 5; // Mbit/s: a packet of 32 KiB takes 52 ms, a window of 2 MiB 3.4 s
const skip = noSlowLink() ?? false;
const link = skip ? null : await SlowLink.start(`${RATE}mbit`);
after(() => link?.stop());

/** Measures through a tunnel at the near end, which ends then. */
const measure = (options) => link.measure({ login: link.server.login, seconds: 5, ...options });

for (const [name, options] of Object.entries({
  'an upload': { up: 1 },
  'a download': { down: 1 },
  'four uploads': { up: 4 },
  'four downloads': { down: 4 },
  'both directions': { up: 1, down: 1 },
})) {
  test(`requests do not wait behind ${name} on a slow link`, { skip }, async () => {
    const { beside, up, down } = await measure(options);
    // A queue of the kernel, or of the server, takes one to three seconds.
    assert.ok(beside.asked > 0 && beside.p50 < 500, `${beside.p50} ms`);
    for (const way of [up, down].filter((rates) => rates.length > 0)) {
      const rate = way.reduce((sum, one) => sum + one, 0);
      assert.ok(rate > RATE * 0.6, `${rate} Mbit/s`);
    }
  });
}

for (const way of ['up', 'down']) {
  test(`requests do not wait behind bulk data ${way} through a jump host on a slow link`, { skip }, async () => {
    const { beside } = await measure({ [way]: 1, login: { ...link.server.login, jump: link.server.login } });
    assert.ok(beside.asked > 0 && beside.p50 < 700, `${beside.p50} ms`);
  });

  test(`connections with bulk data ${way} have equal shares, beside requests or alone`, { skip }, async () => {
    // Alone, what the first of them has put into the queues counts for some seconds.
    for (const [askers, least] of [
      [0, 0.5],
      [1, 0.8],
    ]) {
      const rates = (await measure({ [way]: 3, askers, late: 1, settle: 3 }))[way];
      assert.ok(Math.min(...rates) >= least * Math.max(...rates), `${rates} Mbit/s with ${askers} that ask`);
    }
  });
}
