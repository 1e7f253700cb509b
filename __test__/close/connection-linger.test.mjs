// The Linger of an existing connection can be read and set until it has ended.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, behaviors, settled } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, only, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const GRACEFUL = { l_onoff: 0, l_linger: 0 };
const HARD = { l_onoff: 1, l_linger: 0 };
const BOUNDED = { l_onoff: 1, l_linger: 60 };

/** A connection after an exchange: its event and its client. */
async function openOne({ eventLog, connect }) {
  const client = await connect();
  await client.send(KIB);
  await client.received(KIB);
  client.ended.then(() => client.end());
  return { client, connection: await eventLog.next('connection') };
}

test('connection.setLinger() and setLingerOption() work in three forms', async (t) => {
  const { connection } = await openOne(await openTunnel(t, server, behaviors.echo()));
  assert.equal(connection.getLinger(), true);
  assert.deepEqual(connection.getLingerOption(), GRACEFUL);
  assert.equal(connection.setLinger(false), undefined);
  assert.equal(connection.getLinger(), false);
  assert.deepEqual(connection.getLingerOption(), HARD);

  const heard = [];
  await new Promise((resolve) => {
    assert.equal(
      connection.setLingerOption(BOUNDED, (...args) => heard.push(args)),
      undefined,
    );
    assert.equal(
      connection.getLinger((...args) => heard.push(args)),
      undefined,
    );
    connection.getLingerOption((...args) => resolve(heard.push(args)));
    assert.deepEqual(heard, [], 'never synchronously');
  });
  assert.deepEqual(heard, [
    [null, undefined],
    [null, true],
    [null, BOUNDED],
  ]);

  assert.equal(await connection.promises.setLinger(true), undefined);
  assert.equal(await connection.promises.getLinger(), true);
  assert.deepEqual(await connection.promises.getLingerOption(), GRACEFUL);
  await connection.promises.setLingerOption({ l_onoff: 65535, l_linger: 65535 });
  assert.deepEqual(connection.getLingerOption(), { l_onoff: 65535, l_linger: 65535 });
});

test('connection.setLinger() changes only that connection', async (t) => {
  const opened = await openTunnel(t, server, behaviors.echo());
  const { tunnel, eventLog } = opened;
  const ones = [await openOne(opened), await openOne(opened), await openOne(opened)];
  ones[0].connection.setLinger(false);
  const listed = await tunnel.promises.connections();
  listed[1].setLingerOption(BOUNDED);
  assert.deepEqual(
    (await tunnel.promises.connections()).map(({ linger }) => linger),
    [HARD, BOUNDED, GRACEFUL],
  );
  assert.deepEqual(listed[0].linger, HARD);
  assert.deepEqual(listed[1].linger, GRACEFUL, 'as at the moment of asking');
  assert.equal(tunnel.getLinger(), true);
  for (const [at, { client, connection }] of ones.entries()) {
    await tunnel.promises.disconnect(connection.connectionId);
    assertIncludes(await client.ended, { bytes: KIB, end: at === 0 ? 'ECONNRESET' : 'FIN' });
    assertIncludes(await eventLog.next('disconnected'), { linger: [HARD, BOUNDED, GRACEFUL][at] });
  }
});

test('connection.setLinger() works while a connectionRequest is pending', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const asked = new Promise((resolve) => tunnel.on('connectionRequest', resolve));
  const client = await connect();
  const request = await asked;
  (await only(tunnel)).setLinger(false);
  request.accept();
  await client.send(KIB);
  await client.received(KIB);
  await tunnel.promises.disconnect(request.connectionId);
  assert.equal((await client.ended).end, 'ECONNRESET');
  assert.deepEqual((await eventLog.next('disconnected')).linger, HARD);
});

test('connection.setLinger() applies to a closing connection and fails for an ended one', async (t) => {
  const opened = await openTunnel(t, server, behaviors.endless());
  const { tunnel, eventLog, connect } = opened;
  const client = await connect({ read: false });
  const connection = await eventLog.next('connection');
  await settled(async () => (await only(tunnel)).bytesDown);
  const disconnected = tunnel.promises.disconnect(connection.connectionId);
  while ((await only(tunnel)).state !== 'closing');
  connection.setLingerOption(BOUNDED);
  assert.deepEqual(connection.getLingerOption(), BOUNDED);
  await new Promise((resolve, reject) => connection.setLinger(true, (error) => (error ? reject(error) : resolve())));
  assert.deepEqual((await only(tunnel)).linger, GRACEFUL);
  await connection.promises.setLingerOption(HARD);
  await disconnected;
  assert.equal((await client.read().ended).end, 'ECONNRESET');
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNABORTED', clean: false, linger: HARD });

  const over = { code: 'ERR_TUNNEL_NO_CONNECTION' };
  assert.throws(() => connection.setLinger(false), over);
  assert.equal(await new Promise((resolve) => connection.setLinger(false, ({ code }) => resolve(code))), over.code);
  await assert.rejects(connection.promises.setLingerOption(HARD), over);
  assert.throws(() => connection.getLinger(), over);
  await assert.rejects(connection.promises.getLingerOption(), over);
});

test('connection.setLinger() rejects invalid values and changes nothing', async (t) => {
  const { connection } = await openOne(await openTunnel(t, server, behaviors.echo()));
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };
  for (const wrong of [undefined, null, 0, 'yes', HARD]) {
    assert.throws(() => connection.setLinger(wrong), type);
    await assert.rejects(connection.promises.setLinger(wrong), type);
  }
  for (const wrong of [undefined, null, true, 5, {}, { l_onoff: 1 }, { l_onoff: true, l_linger: 0 }]) {
    assert.throws(() => connection.setLingerOption(wrong), type);
  }
  for (const wrong of [-1, 65536, 1.5, NaN]) {
    assert.throws(() => connection.setLingerOption({ l_onoff: 1, l_linger: wrong }), range);
  }
  for (const callback of [null, 5, {}]) {
    assert.throws(() => connection.setLinger(false, callback), type);
    assert.throws(() => connection.getLinger(callback), type);
  }
  assert.deepEqual(connection.getLingerOption(), GRACEFUL);
});
