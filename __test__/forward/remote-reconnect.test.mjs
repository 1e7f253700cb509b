// Remote forwards after a disconnect: they return with the next session, end with the tunnel, or move to another session.

import assert from 'node:assert/strict';
import { after, describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, behaviors, connect } from '../helpers/peers.mjs';
import { hasSocket, listeners, portName, signal, tcpSockets } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openRemote, roundTrip } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const SOON = { initialDelay: 20, maxDelay: 100 };

/** A tunnel with a remote forward to a target, of the shared sshd by default. */
const open = (t, behavior, { at = server, ...how } = {}) => openRemote(t, at, behavior, how);

/** Waits until a forward listens again, for which there is no event. */
async function back(tunnel, forward) {
  while (!forward.listening) await tunnel.promises.connections();
}

describe('disconnect', () => {
  for (const fixed of [false, true]) {
    test(`with reconnect requests the ports again: ${fixed ? 'by number' : 'chosen by the server'}`, async (t) => {
      const at = await Sshd.start();
      t.after(() => at.stop());
      const it = await open(t, behaviors.echo(), { at, options: { reconnect: SOON } });
      const { remoteHost, remotePort } = it.forward;
      let { forward } = it;
      if (fixed) {
        await it.tunnel.promises.connect(); // or nothing would keep the session in between
        await it.forward.promises.stop();
        forward = await it.tunnel.promises.forwardRemote({
          remoteHost,
          remotePort,
          forwardHost: '127.0.0.1',
          forwardPort: it.target.port,
        });
      }
      const client = await it.connect();
      await client.send(KIB);
      await client.received(KIB);
      at.killSessions();
      await it.eventLog.next('reconnecting');
      const peer = await it.target.next();
      assertIncludes(await peer.ended, { bytes: KIB, end: 'ECONNRESET' });
      assertIncludes(await it.eventLog.next('disconnected'), { code: 'ERR_SSH_DISCONNECTED' });
      await back(it.tunnel, forward);
      assert.equal(forward.remotePort, remotePort);
      await roundTrip(it, MIB);
      assert.deepEqual(it.tunnel.forwards(), [forward]);
      for (const never of ['error', 'close']) assert.deepEqual(it.eventLog.all(never), []);
    });
  }

  test('without reconnect ends the forwards', async (t) => {
    const at = await Sshd.start();
    t.after(() => at.stop());
    const it = await open(t, behaviors.echo(), { at });
    at.killSessions();
    assert.equal((await it.eventLog.next('error')).code, 'ERR_SSH_DISCONNECTED');
    await it.eventLog.next('close');
    assert.deepEqual([it.forward.listening, it.tunnel.forwards()], [false, []]);
  });

  test('of one of several sessions moves the port to another one', async (t) => {
    const at = await Sshd.start();
    t.after(() => at.stop());
    const it = await open(t, behaviors.echo(), { at, options: { sessions: 2 } });
    const to = { forwardHost: '127.0.0.1', forwardPort: it.target.port };
    const local = await it.tunnel.promises.forwardLocal(to);
    const clients = [];
    t.after(() => {
      for (const { socket } of clients) socket.destroy();
    });
    const { remotePort } = it.forward;
    const home = at.sessions().find((pid) => listeners(remotePort).some(({ inode }) => hasSocket(pid, inode)));
    // Every connection starts another session while each session has one.
    for (let session; session === undefined || session === home; ) {
      clients.push(await connect(local.localPort));
      const near = portName((await it.target.next()).socket.remotePort);
      const end = tcpSockets().find((socket) => !socket.listens && socket.local.endsWith(near));
      session = at.sessions().find((pid) => hasSocket(pid, end.inode));
    }
    signal(home, 'SIGKILL');
    assert.equal((await it.eventLog.next('sessionError')).code, 'ERR_SSH_DISCONNECTED');
    await back(it.tunnel, it.forward);
    assert.equal(it.forward.remotePort, remotePort);
    const client = await it.connect();
    await client.send(MIB);
    await client.received(MIB);
    assert.deepEqual(it.eventLog.all('error'), []);
  });
});
