// A truncated reply: the local client has ended, and the server closes without EOF. The client is reset, in every Linger
// mode.

import assert from 'node:assert/strict';

import { test } from '../helpers/bounded.mjs';
import { RULES, expected } from '../helpers/closing-rules.mjs';
import { COLUMNS } from '../helpers/columns.mjs';
import { HARD } from '../helpers/forced-ends.mjs';
import { PATTERN, settled } from '../helpers/peers.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { EventLog, assertIncludes, makeTunnel, only, openScripted } from '../helpers/tunnels.mjs';

const SIZE = 3000;
for (const [column, linger] of Object.entries(COLUMNS)) {
  test(`CLOSE without EOF after the client's FIN resets the client: ${column}`, async (t) => {
    const { tunnel, eventLog, ssh2, client } = await openScripted(t, { options: { linger } });
    // The event of Node itself, without the check of the kernel's state.
    const told = new Promise((resolve) =>
      client.socket.on('end', () => resolve('end')).on('error', ({ code }) => resolve(code)),
    );
    const remoteEnd = await ssh2.nextChannel();
    client.end();
    await new Promise((ended) => remoteEnd.on('end', ended).resume());
    remoteEnd.write(PATTERN.subarray(0, SIZE));
    remoteEnd.close();
    assert.equal(await told, 'ECONNRESET');
    assert.equal(client.bytes, SIZE);
    const { client: _, ...reported } = expected(RULES.truncated)[column];
    assertIncludes(await eventLog.next('disconnected'), {
      ...reported,
      bytesDown: SIZE,
      droppedDown: 0,
      droppedUp: 0,
      lingerExpired: false,
      reason: 'the remote end closed the channel before it had ended its stream',
    });
    assert.deepEqual(await tunnel.promises.connections(), []);
  });
}

test('CLOSE without EOF resets the client while its FIN is unread because the window is zero', async (t) => {
  const { eventLog, ssh2, client } = await openScripted(t, { onOpen: (open) => open.accept({ window: 0 }) });
  const remoteEnd = await ssh2.nextChannel();
  await eventLog.next('connection');
  client.end();
  await settled(() => 0);
  remoteEnd.write('part');
  remoteEnd.close();
  assertIncludes(await client.ended, { bytes: 4, end: 'ECONNRESET' });
  assertIncludes(await eventLog.next('disconnected'), {
    code: 'ERR_SSH_CHANNEL_CLOSED',
    closedBy: 'reset',
    bytesUp: 0,
    droppedUp: 0,
    bytesDown: 4,
    droppedDown: 0,
    reason: 'the remote end closed the channel before it had ended its stream',
  });
});

test("CLOSE without EOF before the client's FIN ends the stream and is reported", async (t) => {
  const { eventLog, ssh2, client } = await openScripted(t);
  const remoteEnd = await ssh2.nextChannel();
  client.ended.then(() => client.end());
  remoteEnd.write('all, by a server that never says so');
  remoteEnd.close();
  assertIncludes(await client.ended, { bytes: 35, end: 'FIN' });
  assertIncludes(await eventLog.next('disconnected'), {
    code: 'ERR_SSH_CHANNEL_CLOSED',
    clean: false,
    closedBy: 'graceful',
    reason: 'the remote end closed the channel before the local client had ended its stream',
  });
});

test('a stalled client gets every byte before the reset, or what the linger time allows', async (t) => {
  for (const [linger, waits] of [
    [{ l_onoff: 0, l_linger: 0 }, true],
    [{ l_onoff: 1, l_linger: 1 }, false],
    [HARD, false],
  ]) {
    const { tunnel, eventLog, ssh2, client } = await openScripted(t, { options: { linger }, how: { read: false } });
    const remoteEnd = await ssh2.nextChannel();
    client.end();
    await new Promise((ended) => remoteEnd.on('end', ended).resume());
    await new Promise((sent) => remoteEnd.write(PATTERN, sent));
    await settled(async () => (await only(tunnel)).bytesDown);
    remoteEnd.close();
    const ended = eventLog.next('disconnected');
    if (waits) {
      while ((await only(tunnel)).state !== 'closing');
      client.read();
    }
    const end = await ended;
    const seen = await client.read().ended;
    assertIncludes(end, {
      code: 'ERR_SSH_CHANNEL_CLOSED',
      clean: false,
      closedBy: 'reset',
      lingerExpired: linger.l_linger === 1,
    });
    assert.equal(end.droppedDown > 0, !waits);
    assert.equal(end.bytesDown + end.droppedDown, PATTERN.length);
    assertIncludes(seen, { end: 'ECONNRESET', bytes: end.bytesDown });
  }
});

test("a dial() socket gets an error and no 'end'", async (t) => {
  const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
  t.after(() => ssh2.stop());
  const tunnel = makeTunnel(t, ssh2.login, 1);
  const eventLog = new EventLog(tunnel);
  const socket = await tunnel.promises.dial({ host: 'h', port: 80, allowHalfOpen: true });
  const remoteEnd = await ssh2.nextChannel();
  const seen = [];
  socket
    .on('data', ({ length }) => seen.push(length))
    .on('end', () => seen.push('end'))
    .on('error', ({ code }) => seen.push(code));
  socket.end();
  await new Promise((ended) => remoteEnd.on('end', ended).resume());
  remoteEnd.write('part');
  remoteEnd.close();
  await new Promise((closed) => socket.once('close', closed));
  assert.deepEqual(seen, [4, 'ECONNRESET']);
  assertIncludes(await eventLog.next('disconnected'), {
    code: 'ERR_SSH_CHANNEL_CLOSED',
    clean: false,
    closedBy: 'reset',
  });
});
