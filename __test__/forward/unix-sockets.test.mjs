// Local forwards from and to Unix sockets.

import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, PATTERN, behaviors, patternHash, settled } from '../helpers/peers.mjs';
import { descriptors } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { SIZE, WHOLE, makeForwarding, roundTrip, socketFolder, to } from '../helpers/forwards.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const { path, remove } = socketFolder();
after(async () => {
  await server.stop();
  remove();
});

describe('Unix sockets', () => {
  test('forward to a port, from a port, and to each other', async (t) => {
    const { tunnel, eventLog, target, client } = makeForwarding(t, server);
    const echo = await target(behaviors.echo());
    const behind = path();
    const remoteEnd = await target(behaviors.echo(), behind);
    for (const [options, it] of [
      [{ localPath: path(), ...to(echo) }, echo],
      [{ forwardPath: behind }, remoteEnd],
      [{ localPath: path(), forwardPath: behind }, remoteEnd],
    ]) {
      const forward = await tunnel.promises.forwardLocal(options);
      assertIncludes(forward, options);
      const local = await client(forward.localPath ?? forward.localPort);
      const info = await eventLog.next('connection');
      assertIncludes(info, {
        forwardId: forward.forwardId,
        forwardPath: options.forwardPath,
        forwardPort: options.forwardPort,
      });
      assert.equal('remoteAddress' in info, options.localPath === undefined);
      await roundTrip(local, it);
      assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true, bytesUp: SIZE, bytesDown: SIZE });
    }
  });

  test('have mode 600 whatever the umask, and are removed by stop()', async (t) => {
    const { tunnel } = makeForwarding(t, server);
    for (const mask of [0o000, 0o022]) {
      const before = process.umask(mask);
      t.after(() => process.umask(before));
      const forward = await tunnel.promises.forwardLocal({ localPath: path(), forwardHost: 'h', forwardPort: 1 });
      process.umask(before);
      const file = statSync(forward.localPath);
      assert.ok(file.isSocket());
      assert.equal((file.mode & 0o777).toString(8), '600');
      await forward.promises.stop();
      assert.equal(existsSync(forward.localPath), false);
    }
  });

  test('never replace an existing file', async (t) => {
    const { tunnel } = makeForwarding(t, server);
    const at = path();
    writeFileSync(at, 'mine');
    t.after(() => rmSync(at));
    const asked = tunnel.promises.forwardLocal({ localPath: at, forwardHost: 'h', forwardPort: 1 });
    await assert.rejects(asked, { code: 'EADDRINUSE', syscall: 'listen', address: at });
    assert.ok(statSync(at).isFile());
    const nowhere = path('missing', 'a:80');
    await assert.rejects(
      tunnel.promises.forwardLocal({ localPath: nowhere, forwardHost: 'h', forwardPort: 1 }),
      (error) => {
        assertIncludes(error, { code: 'ENOENT', address: nowhere, port: undefined });
        return true;
      },
    );
  });

  test('are refused if the server cannot reach or does not support them', async (t) => {
    const ssh2 = await Ssh2Server.start({ onOpen: (open) => open.accept() });
    t.after(() => ssh2.stop());
    for (const [it, code] of [
      [server, 'ERR_SSH_OPEN_CONNECT_FAILED'],
      [ssh2, /^ERR_SSH_OPEN_/],
    ]) {
      const { tunnel, eventLog, client } = makeForwarding(t, it);
      const forward = await tunnel.promises.forwardLocal({ forwardPath: path('nobody') });
      const local = await client(forward.localPort);
      assert.equal((await local.ended).end, 'ECONNRESET');
      const end = await eventLog.next('disconnected');
      assert.match(end.code, new RegExp(code));
    }
  });

  /** What the local client sees, without a reset on a Unix socket, and the report. */
  const SEES = {
    'the remote end ends': { event: ({ remoteEnd }) => remoteEnd.end(), graceful: ['FIN', 'OK', 'graceful'] },
    'the session is lost': { event: () => server.killSessions(), graceful: ['FIN', 'ERR_SSH_DISCONNECTED', 'reset'] },
    'disconnect()': {
      event: ({ tunnel, id }) => tunnel.promises.disconnect(id),
      graceful: ['FIN', 'OK', 'graceful'],
      hard: ['FIN', 'ECONNABORTED', 'reset'],
    },
  };
  for (const [name, { event, graceful, hard = graceful }] of Object.entries(SEES)) {
    for (const [column, linger, [end, code, closedBy]] of [
      ['graceful', true, graceful],
      ['hard', false, hard],
    ]) {
      test(`${name}: ${column}`, async (t) => {
        const { tunnel, eventLog, target, client } = makeForwarding(t, server, { linger });
        const it = await target((peer) => peer.read());
        const forward = await tunnel.promises.forwardLocal({ localPath: path(), ...to(it) });
        const local = await client(forward.localPath);
        const { connectionId: id } = await eventLog.next('connection');
        const remoteEnd = await it.next();
        await remoteEnd.send(SIZE);
        await local.received(SIZE);
        await local.send(KIB);
        await remoteEnd.received(KIB);
        const happened = event({ tunnel, remoteEnd, id });
        const seen = await local.ended;
        local.end();
        await happened;
        assertIncludes(seen, { bytes: SIZE, sha256: WHOLE.sha256, end });
        assertIncludes(await eventLog.next('disconnected'), {
          code,
          closedBy,
          bytesUp: KIB,
          bytesDown: SIZE,
          droppedDown: 0,
        });
      });
    }
  }

  test('written bytes stay readable after a hard close', async (t) => {
    const { tunnel, eventLog, target, client } = makeForwarding(t, server, { linger: false });
    const it = await target((peer) => peer.send(Infinity));
    const forward = await tunnel.promises.forwardLocal({ localPath: path(), ...to(it) });
    const local = await client(forward.localPath, { read: false });
    const { connectionId } = await eventLog.next('connection');
    await settled(async () => (await tunnel.promises.connections())[0].bytesDown);
    await tunnel.promises.disconnect(connectionId);
    const { code, closedBy, bytesDown, droppedDown } = await eventLog.next('disconnected');
    assert.deepEqual([code, closedBy, bytesDown > 0, droppedDown > 0], ['ECONNABORTED', 'reset', true, true]);
    assertIncludes(await local.read().ended, { bytes: bytesDown, sha256: patternHash(bytesDown), end: 'FIN' });
  });

  test('a local client whose bytes were not read gets ECONNRESET from a reset', async (t) => {
    const { tunnel, eventLog, target, client } = makeForwarding(t, server, { linger: false });
    const it = await target();
    const forward = await tunnel.promises.forwardLocal({ localPath: path(), ...to(it) });
    const local = await client(forward.localPath);
    const { connectionId } = await eventLog.next('connection');
    local.send(20 * MIB);
    await settled(() => local.accepted);
    await tunnel.promises.disconnect(connectionId);
    assert.ok(['ECONNRESET', 'EPIPE'].includes((await local.ended).end));
    const end = await eventLog.next('disconnected');
    assert.ok(end.droppedUp > 0);
  });

  test('a local client that closes with unread bytes resets the connection', async (t) => {
    const { tunnel, eventLog, target, client } = makeForwarding(t, server);
    const it = await target();
    const forward = await tunnel.promises.forwardLocal({ localPath: path(), ...to(it) });
    const local = await client(forward.localPath, { read: false });
    await eventLog.next('connection');
    const remoteEnd = await it.next();
    await local.send(KIB);
    await remoteEnd.send(PATTERN.length);
    await settled(async () => (await tunnel.promises.connections())[0].bytesDown);
    local.socket.destroy();
    const end = await eventLog.next('disconnected');
    assertIncludes(end, { code: 'ECONNRESET', bytesUp: KIB });
    assertIncludes(await remoteEnd.read().ended, { bytes: KIB });
  });
});

test('leave no descriptors', async (t) => {
  const { tunnel, target, client } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const one = async () => {
    const forwards = [
      await tunnel.promises.forwardLocal(to(echo)),
      await tunnel.promises.forwardLocal({ localPath: path(), ...to(echo) }),
    ];
    for (const it of forwards) await roundTrip(await client(it.localPath ?? it.localPort), echo);
    await tunnel.promises.shutdown();
    return settled(descriptors);
  };
  const before = await one();
  for (let round = 0; round < 3; round++) assert.ok((await one()) <= before);
});
