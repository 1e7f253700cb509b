// A machine whose address changes while a session is up: a network namespace in place of a laptop.

import assert from 'node:assert/strict';

import { test } from '../helpers/bounded.mjs';
import { Child } from '../helpers/process.mjs';
import { SlowLink, noSlowLink } from '../helpers/slow-link.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const skip = noSlowLink() ?? false;

/** A tunnel in a process at the near end of a link, with a session. */
async function open(t, options) {
  const link = await SlowLink.start('1gbit', { logLevel: 'DEBUG' });
  t.after(() => link.stop());
  const child = await Child.start('./frozen-process.mjs', { inside: link.inside('near') });
  t.after(() => child.stop());
  await child.ask('listen', { ...link.server.login, forwardHost: '127.0.0.1', forwardPort: 1, ...options });
  return { link, child };
}

/** Waits for a further keepalive request at the server. */
async function asked({ server }, work) {
  const before = server.log().match(/keepalive@openssh\.com/g)?.length ?? 0;
  await work();
  await server.logged(new RegExp(`(?:keepalive@openssh\\.com[^]*){${before + 1}}`));
}

test('a session is asked when a new one would come from another address', { skip }, async (t) => {
  const { link, child } = await open(t, { reconnect: true });
  link.change('add', '10.99.0.3');
  await asked(link, () => link.prefer('10.99.0.3'));
  assertIncludes(await child.ask('seen'), { losses: [], sessions: 1 });
});

test('a session whose address is gone is given up for one from the new address', { skip }, async (t) => {
  const { link, child } = await open(t, { reconnect: { initialDelay: 10 } });
  link.change('del', '10.99.0.1');
  link.change('add', '10.99.0.3');
  const { losses } = await child.ask('reconnected', 2);
  const message = 'this machine does not have the address 10.99.0.1 any more';
  assert.deepEqual(losses[0], { code: 'ERR_SSH_DISCONNECTED', lossReason: 'network', message });
  await link.server.logged(/Accepted publickey for \S+ from 10\.99\.0\.3 /);
});
