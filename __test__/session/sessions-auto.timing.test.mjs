// How `sessions: 'auto'` spreads many connections that come at once: they wait for sessions that connect in time.

import assert from 'node:assert/strict';

import { test } from '../helpers/bounded.mjs';
import { exchange } from '../helpers/peers.mjs';
import { countBySession, logons, openAuto, openMany } from '../helpers/sessions.mjs';
import { Sshd } from '../helpers/sshd.mjs';

/** From this number of connections of each session on, others wait for a session that connects. */
const CROWDED = 48;

async function start(t) {
  const server = await Sshd.start();
  t.after(() => server.stop());
  return server;
}

test('sessions grow with the connections, and no session has more than 48', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own);
  await openMany(it, 400); // all at once
  const counts = countBySession(own, it.target);
  assert.equal(
    Array.from(counts.values()).reduce((sum, count) => sum + count),
    400,
  );
  for (const count of counts.values()) assert.ok(count <= CROWDED, `${count} connections of one session`);
  assert.ok(logons(own) >= counts.size && logons(own) <= 13, `${logons(own)} sessions`);
  assert.deepEqual(it.eventLog.all('sessionError'), []);
  assert.equal(it.eventLog.all('ready').length, 1);
});

test('the connections that wait for the first session are spread, too', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own, { reconnect: { initialDelay: 20, maxDelay: 100 } });
  own.freeze();
  own.killSessions();
  await it.eventLog.next('reconnecting');
  const clients = await Promise.all(Array.from({ length: 300 }, () => it.connect()));
  own.thaw();
  await Promise.all(clients.map((client) => exchange(client, 1)));
  for (const count of countBySession(own, it.target).values())
    assert.ok(count <= CROWDED, `${count} connections of one session`);
  assert.deepEqual(it.eventLog.all('sessionError'), []);
});
