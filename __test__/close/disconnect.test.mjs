// The end of a session delivers the bytes that were sent before it.

import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { MIB, behaviors, patternHash } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, only, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

// More than the system of a target takes that does not read; the server holds the rest.
const SIZE = 4 * MIB;

/** A client that has reset its connection after everything it sent was forwarded. */
async function resetBehindData(t) {
  const { tunnel, eventLog, target, connect } = await openTunnel(t, server, behaviors.idle());
  const client = await connect();
  const remoteEnd = await target.next();
  await client.send(SIZE);
  while ((await only(tunnel)).bytesUp < SIZE);
  await client.reset();
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNRESET', bytesUp: SIZE, droppedUp: 0 });
  return { tunnel, eventLog, remoteEnd };
}

for (const method of ['shutdown', 'close', 'stopListening']) {
  test(`${method}() right after a client reset delivers the bytes sent before it`, async (t) => {
    const { tunnel, eventLog, remoteEnd } = await resetBehindData(t);
    const done = tunnel.promises[method]();
    remoteEnd.read();
    assertIncludes(await remoteEnd.ended, { bytes: SIZE, sha256: patternHash(SIZE) });
    await done;
    await eventLog.next('close');
  });
}

test('a server that never confirms CLOSE delays the disconnect by a bounded time', async (t) => {
  const { tunnel, eventLog } = await resetBehindData(t);
  server.freezeSessions();
  t.after(() => server.thawSessions());
  await tunnel.promises.shutdown();
  await eventLog.next('close');
});
