// Repeated rekeying by either side loses no byte.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { MIB, behaviors, patternHash, settled } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, makeTunnel, only, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const SIZE = 256 * MIB;
const server = await Sshd.start({ config: ['RekeyLimit 16M'], logLevel: 'DEBUG1' });
// These never start rekeying by themselves.
const content = await Sshd.start({ logLevel: 'DEBUG1' });
const idle = await Sshd.start({ logLevel: 'DEBUG1' });
after(() => Promise.all([server.stop(), content.stop(), idle.stop()]));

const keyExchanges = (sshd = server) => sshd.log().match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;

test('256 MiB pass both ways at once during rekeying', { timeout: 60_000 }, async (t) => {
  const open = await openTunnel(t, server, behaviors.echo());
  const before = keyExchanges();
  await roundTrip(open, SIZE);
  const count = keyExchanges() - before;
  assert.ok(count >= 10, `${count} key exchanges`);
});

test('rekeying succeeds while the windows are zero', async (t) => {
  const size = 96 * MIB;
  const { tunnel, target, connect } = await openTunnel(t, server, (peer) =>
    target.peers.length === 1 ? peer.send(size) : behaviors.echo()(peer),
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

test('rekeying by bytes follows the option, also when the server rekeys too', async (t) => {
  for (const sshd of [content, server]) {
    const open = await openTunnel(t, sshd, behaviors.echo(), { rekey: { bytes: MIB, seconds: 0 } });
    const before = keyExchanges(sshd);
    await roundTrip(open, 32 * MIB);
    const count = keyExchanges(sshd) - before;
    assert.ok(count >= 16, `${count} key exchanges`);
  }
});

test('rekeying by time follows the option on a quiet session', async (t) => {
  const tunnel = makeTunnel(t, idle.login, 9, { rekey: { seconds: 1 } });
  await tunnel.promises.connect();
  await idle.logged(/(NEWKEYS received[^]*?){3}/); // one of them during the connect
});
