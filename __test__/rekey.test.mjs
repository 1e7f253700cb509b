// A server that asks for new keys again and again loses no byte.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from './helpers/bounded.mjs';
import { MIB, behaviours, patternHash, settled } from './helpers/peers.mjs';
import { Sshd } from './helpers/sshd.mjs';
import { assertIncludes, only, openTunnel, thereAndBack } from './helpers/tunnels.mjs';

const SIZE = 256 * MIB;
const server = await Sshd.start({ config: ['RekeyLimit 16M'], logLevel: 'DEBUG1' });
after(() => server.stop());

const keyExchanges = () => server.log().match(/SSH2_MSG_NEWKEYS received/g).length;

test('256 MiB there and back at once', { timeout: 60_000 }, async (t) => {
  const open = await openTunnel(t, server, behaviours.echo());
  const before = keyExchanges();
  await thereAndBack(open, SIZE);
  const count = keyExchanges() - before;
  assert.ok(count >= 10, `${count} key exchanges`);
});

test('new keys while the windows are empty', async (t) => {
  const size = 96 * MIB;
  const { tunnel, target, connect } = await openTunnel(t, server, (peer) =>
    target.peers.length === 1 ? peer.send(size) : behaviours.echo()(peer),
  );
  const stalled = await connect({ read: false });
  await target.next();
  await settled(async () => (await only(tunnel)).bytesDown);
  const other = await connect();
  await other.send(size);
  other.end();
  assertIncludes(await other.ended, { bytes: size, sha256: patternHash(size), end: 'FIN' });
  await stalled.read().received(size);
  assertIncludes(stalled.report(), { sha256: patternHash(size), end: null });
});
