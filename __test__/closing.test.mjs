// How connections end: each event, each way to close, and both ends asked what they saw.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from './helpers/bounded.mjs';
import {
  KIB, MIB, PATTERN, behaviours, connect as connectTo, patternHash, refuses, refusingPort, settled,
} from './helpers/peers.mjs';
import { REASONS, Ssh2Server } from './helpers/ssh2-server.mjs';
import { Sshd } from './helpers/sshd.mjs';
import { Diary, assertIncludes, makeTunnel, only, openTunnel } from './helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const CLEAN = {
  code: 'OK', clean: true, closedBy: 'graceful', droppedUp: 0, droppedDown: 0, lingerExpired: false,
};

for (const linger of [true, false]) {
  const kind = linger ? 'graceful' : 'hard';
  const structure = linger ? { l_onoff: 0, l_linger: 0 } : { l_onoff: 1, l_linger: 0 };
  /** How an end that the tunnel's owner or the far side brings about looks to the client. */
  const CUT = linger ? { end: 'FIN' } : { end: 'ECONNRESET' };
  const CLOSED_BY = linger ? 'graceful' : 'reset';

  test(`${kind}: FIN of the client travels up, the other way stays open`, async (t) => {
    const size = 8 * MIB;
    const { diary, target, connect } = await openTunnel(t, server, behaviours.replier(size), { linger });
    const client = await connect();
    await client.send(size);
    client.end();
    const whole = { bytes: size, sha256: patternHash(size), end: 'FIN' };
    assertIncludes(await (await target.next()).ended, whole);
    assertIncludes(await client.ended, whole);
    const end = await diary.next('disconnected');
    assertIncludes(end, { ...CLEAN, bytesUp: size, bytesDown: size, linger: structure });
  });

  test(`${kind}: FIN of the far side travels down, the other way stays open`, async (t) => {
    const size = 8 * MIB;
    const { diary, target, connect } = await openTunnel(t, server, behaviours.source(size), { linger });
    const client = await connect();
    assertIncludes(await client.ended, { bytes: size, sha256: patternHash(size), end: 'FIN' });
    await client.send(MIB);
    client.end();
    const far = await (await target.next()).ended;
    assertIncludes(far, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
    assertIncludes(await diary.next('disconnected'), { ...CLEAN, bytesUp: MIB, bytesDown: size });
  });

  test(`${kind}: a reset of the client`, async (t) => {
    const { tunnel, diary, target, connect } = await openTunnel(t, server, behaviours.idle(), { linger });
    const client = await connect();
    const far = await target.next();
    client.send(64 * MIB); // more than everything between the two can hold
    await settled(() => client.accepted);
    await settled(async () => (await only(tunnel)).bytesUp);
    await client.reset();
    const { bytes } = await far.read().ended;
    const end = await diary.next('disconnected');
    assertIncludes(end, { code: 'ECONNRESET', clean: false, bytesUp: bytes, bytesDown: 0 });
    assert.ok(bytes > 0);
    if (linger) assert.equal(end.droppedUp, 0);
    assert.equal(far.report().sha256, patternHash(bytes));
  });

  test(`${kind}: a reset of the client in the midst of data down`, async (t) => {
    const { tunnel, diary, target, connect } = await openTunnel(t, server, behaviours.endless(), {
      linger,
    });
    const client = await connect();
    const far = await target.next();
    await client.received(4 * MIB);
    await client.reset();
    const end = await diary.next('disconnected');
    assertIncludes(end, { code: 'ECONNRESET', clean: false, bytesUp: 0, droppedUp: 0 });
    assert.ok(end.bytesDown >= client.bytes);
    await far.ended; // the far side was told to close
    assert.deepEqual(await tunnel.promises.connections(), []);
  });

  for (const withEof of [false, true]) {
    test(`${kind}: CLOSE ${withEof ? 'with EOF ' : ''}before our EOF`, async (t) => {
      const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
      t.after(() => ssh2.stop());
      const { tunnel, diary, connect } = await openTunnel(t, ssh2, behaviours.idle(), { linger });
      const client = await connect();
      const channel = await ssh2.nextChannel();
      channel.write(PATTERN.subarray(0, MIB / 2));
      await client.received(MIB / 2);
      // Nobody reads the channel: some of this stays behind in the tunnel.
      const sending = client.send(4 * MIB);
      await settled(() => channel.readableLength);
      const arrived = channel.readableLength;
      assert.ok(arrived < 4 * MIB);

      if (withEof) channel.eof();
      channel.close();
      // After EOF the client has its FIN already when the CLOSE comes: then only writing fails.
      const ended = withEof ? { end: 'FIN' } : CUT;
      assertIncludes(await client.ended, { bytes: MIB / 2, sha256: patternHash(MIB / 2), ...ended });
      const sent = await sending;
      client.end();
      const end = await diary.next('disconnected');
      assertIncludes(end, {
        code: 'ERR_SSH_CHANNEL_CLOSED', clean: false, closedBy: withEof ? 'graceful' : CLOSED_BY,
        bytesUp: arrived, bytesDown: MIB / 2, droppedDown: 0,
      });
      assert.ok(end.droppedUp > 0);
      if (linger) assert.equal(arrived + end.droppedUp, sent);
      assert.deepEqual(await tunnel.promises.connections(), []);
    });
  }

  test(`${kind}: CLOSE while the client is stalled`, async (t) => {
    const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
    t.after(() => ssh2.stop());
    const { tunnel, diary, connect } = await openTunnel(t, ssh2, behaviours.idle(), { linger });
    const client = await connect({ read: false });
    const channel = await ssh2.nextChannel();
    const size = PATTERN.length; // fits into the first window: it leaves without the client's help
    await new Promise((sent) => channel.write(PATTERN, sent));
    await settled(async () => (await only(tunnel)).bytesDown);
    channel.eof();
    channel.close();
    if (linger) {
      assertIncludes(await client.read().ended, { bytes: size, sha256: patternHash(size), end: 'FIN' });
      client.end();
    }
    const end = await diary.next('disconnected');
    // Gracefully nothing was lost in either direction: the early CLOSE did no harm.
    const lost = { code: 'ERR_SSH_CHANNEL_CLOSED', clean: false };
    assertIncludes(end, { closedBy: CLOSED_BY, ...(linger ? { code: 'OK', clean: true } : lost) });
    const { bytes } = await client.read().ended;
    assert.equal(end.bytesDown, bytes);
    assert.equal(end.bytesDown + end.droppedDown, size);
  });

  test(`${kind}: an open that the target refuses`, async (t) => {
    const { port, stop } = await refusingPort();
    t.after(stop);
    const tunnel = makeTunnel(t, server.login, port, { linger });
    const diary = new Diary(tunnel);
    await tunnel.promises.startListening();
    const client = await connectTo(tunnel.localPort);
    assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
    assertIncludes(await diary.next('disconnected'), {
      code: 'ERR_SSH_OPEN_CONNECT_FAILED', clean: false, closedBy: 'reset', bytesUp: 0, bytesDown: 0,
    });
    assert.deepEqual(diary.all('connection'), []);
    // Only that connection failed.
    assert.equal(tunnel.listening, true);
  });

  for (const [name, reason] of Object.entries(REASONS)) {
    test(`${kind}: an open refused with ${name}`, async (t) => {
      const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.reject(reason) });
      t.after(() => ssh2.stop());
      const { diary, connect } = await openTunnel(t, ssh2, behaviours.idle(), { linger });
      const client = await connect();
      assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
      assertIncludes(await diary.next('disconnected'), {
        code: `ERR_SSH_OPEN_${name}`, clean: false, closedBy: 'reset', bytesUp: 0, bytesDown: 0,
      });
    });
  }

  test(`${kind}: an open that is never answered`, async (t) => {
    const ssh2 = await Ssh2Server.start({ onOpen: () => {} });
    t.after(() => ssh2.stop());
    const options = { linger, readyTimeout: 500 };
    const { tunnel, diary, connect } = await openTunnel(t, ssh2, behaviours.idle(), options);
    const client = await connect();
    assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
    const end = await diary.next('disconnected');
    assertIncludes(end, { code: 'ETIMEDOUT', clean: false, closedBy: 'reset', bytesUp: 0 });
    assert.equal(tunnel.listening, true);
  });

  test(`${kind}: a session killed in mid stream`, async (t) => {
    const { tunnel, diary, connect } = await openTunnel(t, server, behaviours.endless(), { linger });
    const port = tunnel.localPort;
    const client = await connect();
    await client.received(16 * MIB);
    server.killSessions();
    const { bytes, sha256, end } = await client.ended;
    assert.equal(end, 'ECONNRESET');
    assert.equal(sha256, patternHash(bytes));
    assertIncludes(await diary.next('disconnected'), {
      code: 'ERR_SSH_DISCONNECTED', clean: false, closedBy: 'reset', bytesUp: 0, bytesDown: bytes,
    });
    assert.equal((await diary.next('error')).code, 'ERR_SSH_DISCONNECTED');
    await diary.next('close');
    assert.equal(tunnel.listening, false);
    assert.ok(await refuses(port));
  });

  test(`${kind}: a session killed beside a stalled client`, async (t) => {
    const { tunnel, diary, connect } = await openTunnel(t, server, behaviours.endless(), { linger });
    const client = await connect({ read: false });
    await diary.next('connection');
    await settled(async () => (await only(tunnel)).bytesDown);
    server.killSessions();
    if (linger) {
      // What came from the far side is delivered: nothing of it is dropped.
      const { bytes, end } = await client.read().ended;
      assert.equal(end, 'ECONNRESET');
      const ended = await diary.next('disconnected');
      assertIncludes(ended, { code: 'ERR_SSH_DISCONNECTED', bytesDown: bytes, droppedDown: 0 });
    } else {
      const ended = await diary.next('disconnected');
      assertIncludes(ended, { code: 'ERR_SSH_DISCONNECTED', closedBy: 'reset', clean: false });
      assert.ok(ended.droppedDown > 0);
      const { bytes, end } = await client.read().ended;
      assert.equal(end, 'ECONNRESET');
      assert.equal(bytes, ended.bytesDown);
    }
  });

  test(`${kind}: a target that resets`, async (t) => {
    // OpenSSH tells of a reset as it tells of an end: EOF. The client gets what was sent.
    const { diary, connect } = await openTunnel(t, server, behaviours.resetter(64 * KIB), { linger });
    const client = await connect();
    const { bytes, end } = await client.ended;
    client.end();
    const ended = await diary.next('disconnected');
    assert.equal(ended.bytesDown, bytes);
    assert.equal(ended.closedBy, end === 'FIN' ? 'graceful' : 'reset');
  });

  test(`${kind}: idle for too long`, async (t) => {
    const idleTimeout = 400;
    const options = { linger, idleTimeout };
    const { diary, target, connect } = await openTunnel(t, server, behaviours.echo(), options);
    const client = await connect();
    await client.send(KIB);
    await client.received(KIB);
    const since = performance.now();
    assertIncludes(await client.ended, { bytes: KIB, ...CUT });
    const waited = performance.now() - since;
    assert.ok(waited > idleTimeout - 50 && waited < idleTimeout + 1500, `${waited} ms`);
    client.end();
    assertIncludes(await diary.next('disconnected'), {
      code: 'ETIMEDOUT', clean: false, closedBy: CLOSED_BY, bytesUp: KIB, bytesDown: KIB,
    });
    assertIncludes(await (await target.next()).ended, { bytes: KIB, end: 'FIN' });
  });

  test(`${kind}: shutdown of three connections`, async (t) => {
    const sender = async (peer) => {
      peer.read();
      await peer.send(MIB);
    };
    const { tunnel, diary, target, connect } = await openTunnel(t, server, sender, { linger });
    const port = tunnel.localPort;
    const clients = [await connect(), await connect(), await connect()];
    for (const client of clients) {
      await client.received(MIB);
      client.ended.then(() => client.end());
    }
    await tunnel.promises.shutdown();
    for (const client of clients) {
      assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), ...CUT });
    }
    for (const _ of clients) {
      assertIncludes(await diary.next('disconnected'), {
        code: linger ? 'OK' : 'ECONNABORTED', clean: false, closedBy: CLOSED_BY, bytesDown: MIB,
      });
      await (await target.next()).ended;
    }
    await diary.next('close');
    assert.equal(diary.names().at(-1), 'close');
    assert.equal(tunnel.listening, false);
    assert.ok(await refuses(port));
  });
}

/** A client that resets while neither side reads and both have sent more than there is room for. */
async function resetWhileStuck(t, behaviour) {
  const tunnel = await openTunnel(t, server, behaviour, { linger: true });
  const client = await tunnel.connect({ read: false });
  const far = await tunnel.target.next();
  client.send(64 * MIB);
  await settled(() => client.accepted);
  await settled(async () => (await only(tunnel.tunnel)).bytesDown);
  await client.reset();
  return { ...tunnel, far };
}

test('graceful: a client that resets, then a target that is stuck in both directions dies', async (t) => {
  const sender = (peer) => peer.send(12 * MIB);
  const { diary, far } = await resetWhileStuck(t, sender);
  // What the client had sent waits for the target, which then vanishes.
  await settled(() => far.accepted);
  assert.deepEqual(diary.all('disconnected'), []);
  await far.reset();
  const end = await diary.next('disconnected');
  assertIncludes(end, { code: 'ECONNRESET', clean: false, closedBy: 'reset' });
  assert.ok(end.droppedUp > 0);
  assert.ok(end.droppedDown > 0);
});

test('graceful: a client that resets is not waited for while the target only sends', async (t) => {
  const { diary } = await resetWhileStuck(t, behaviours.endless());
  const end = await diary.next('disconnected');
  assertIncludes(end, { code: 'ECONNRESET', clean: false, closedBy: 'reset' });
  assert.ok(end.droppedUp > 0);
  assert.ok(end.droppedDown > 16 * MIB);
});

test('graceful disconnect with unread input: every byte, then FIN', async (t) => {
  // The trap of the sockets API: a plain close() here sends RST and drops what was not yet sent.
  const size = 2 * MIB;
  const sender = (peer) => peer.send(size);
  const { tunnel, diary, target, connect } = await openTunnel(t, server, sender, { linger: true });
  const client = await connect({ read: false });
  const far = await target.next();
  const sending = client.send(8 * MIB); // the target does not read: it piles up before the tunnel
  await settled(() => client.accepted);
  await settled(async () => (await only(tunnel)).bytesDown);
  const { connectionId } = await only(tunnel);

  const disconnected = tunnel.promises.disconnect(connectionId);
  far.read();
  assertIncludes(await client.read().ended, { bytes: size, sha256: patternHash(size), end: 'FIN' });
  await sending;
  client.end();
  await disconnected;
  const end = await diary.next('disconnected');
  assertIncludes(end, {
    connectionId, code: 'OK', clean: false, closedBy: 'graceful',
    bytesDown: size, droppedDown: 0, lingerExpired: false,
  });
  assertIncludes(await far.ended, { bytes: end.bytesUp, sha256: patternHash(end.bytesUp), end: 'FIN' });
});

test('graceful disconnect of a client that then resets: what had come by then, then the end', async (t) => {
  const { tunnel, diary, target, connect } = await openTunnel(t, server, behaviours.idle(), {
    linger: true,
  });
  const client = await connect();
  const far = await target.next();
  client.send(64 * MIB); // the target does not read: it piles up before the tunnel
  await settled(() => client.accepted);
  const { connectionId } = await only(tunnel);
  const disconnected = tunnel.promises.disconnect(connectionId);
  await tunnel.promises.connections(); // the disconnect has begun
  await client.reset();
  far.read(); // and never ends its own direction
  await disconnected;
  const end = await diary.next('disconnected');
  assertIncludes(end, { connectionId, code: 'ECONNRESET', clean: false });
  const { bytes, sha256 } = await far.ended;
  assert.equal(bytes, end.bytesUp);
  assert.equal(sha256, patternHash(bytes));
});

test('graceful disconnect after the end of the far side: the client did not end, it was cut', async (t) => {
  const { tunnel, diary, target, connect } = await openTunnel(t, server, behaviours.source(KIB), {
    linger: true,
  });
  const client = await connect();
  assertIncludes(await client.ended, { bytes: KIB, end: 'FIN' });
  const far = await target.next();
  await client.send(KIB);
  await far.received(KIB);
  const { connectionId } = await only(tunnel);
  const disconnected = tunnel.promises.disconnect(connectionId);
  assertIncludes(await far.ended, { bytes: KIB, end: 'FIN' });
  await client.send(KIB); // too late
  client.end();
  await disconnected;
  assertIncludes(await diary.next('disconnected'), {
    connectionId, code: 'OK', clean: false, closedBy: 'graceful',
    bytesUp: KIB, droppedUp: KIB, bytesDown: KIB, droppedDown: 0,
  });
});

test('hard disconnect with data under way: ECONNRESET at once', async (t) => {
  const { tunnel, diary, target, connect } = await openTunnel(t, server, behaviours.endless(), {
    linger: false,
  });
  const client = await connect({ read: false });
  const far = await target.next();
  await settled(async () => (await only(tunnel)).bytesDown);
  const { connectionId } = await only(tunnel);

  await tunnel.promises.disconnect(connectionId); // does not wait for the client
  const { bytes, sha256, end } = await client.read().ended;
  assert.equal(end, 'ECONNRESET');
  assert.equal(sha256, patternHash(bytes));
  const ended = await diary.next('disconnected');
  assertIncludes(ended, {
    connectionId, code: 'ECONNABORTED', clean: false, closedBy: 'reset', bytesUp: 0, bytesDown: bytes,
  });
  assert.ok(ended.droppedDown > 0);
  await far.ended;
});

test('hard disconnect with all data delivered: every byte, then ECONNRESET', async (t) => {
  const sender = (peer) => peer.read().send(MIB);
  const { tunnel, diary, connect } = await openTunnel(t, server, sender, { linger: false });
  const client = await connect();
  await client.received(MIB);
  await tunnel.promises.disconnect((await only(tunnel)).connectionId);
  assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'ECONNRESET' });
  assertIncludes(await diary.next('disconnected'), { code: 'ECONNABORTED', bytesDown: MIB });
});

test('graceful disconnect of a stalled client is held until it moves', async (t) => {
  const { tunnel, diary, target, connect } = await openTunnel(t, server, (peer) => {
    if (target.peers.length === 1) peer.send(Infinity);
    else behaviours.echo()(peer);
  }, { linger: true });
  const stalled = await connect({ read: false });
  await target.next();
  await settled(async () => (await only(tunnel)).bytesDown);
  const { connectionId } = await only(tunnel);
  let done = false;
  const disconnected = tunnel.promises.disconnect(connectionId).then(() => (done = true));

  const other = await connect();
  await other.send(KIB);
  await other.received(KIB);
  const state = (await tunnel.promises.connections()).find((it) => it.connectionId === connectionId);
  assert.equal(state.state, 'closing');
  assert.equal(done, false);

  const { bytes, end } = await stalled.read().ended;
  assert.equal(end, 'FIN');
  stalled.end();
  await disconnected;
  assertIncludes(await diary.next('disconnected'), {
    connectionId, code: 'OK', clean: false, closedBy: 'graceful', bytesDown: bytes, droppedDown: 0,
  });
});
