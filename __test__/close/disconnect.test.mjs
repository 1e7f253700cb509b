// The end of a session does not cost the bytes that were passed on before it.

import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { MIB, behaviours, patternHash } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, only, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

// More than the system of a target takes that does not read; the server holds the rest.
const SIZE = 4 * MIB;

/** A client that has reset its connection; all that it sent was passed on. */
async function resetBehindData(t) {
  const { tunnel, diary, target, connect } = await openTunnel(t, server, behaviours.idle());
  const client = await connect();
  const far = await target.next();
  await client.send(SIZE);
  while ((await only(tunnel)).bytesUp < SIZE);
  await client.reset();
  assertIncludes(await diary.next('disconnected'), { code: 'ECONNRESET', bytesUp: SIZE, droppedUp: 0 });
  return { tunnel, diary, far };
}

for (const method of ['shutdown', 'close', 'stopListening']) {
  test(`${method}() right after a client reset delivers the bytes sent before it`, async (t) => {
    const { tunnel, diary, far } = await resetBehindData(t);
    const done = tunnel.promises[method]();
    far.read();
    assertIncludes(await far.ended, { bytes: SIZE, sha256: patternHash(SIZE) });
    await done;
    await diary.next('close');
  });
}

test('a server that never confirms CLOSE delays the disconnect by a bounded time', async (t) => {
  const { tunnel, diary } = await resetBehindData(t);
  server.freezeSessions();
  t.after(() => server.thawSessions());
  await tunnel.promises.shutdown();
  await diary.next('close');
});
