// Remote forwards with a scripted server: its requests, its replies and its channels.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { behaviors, refusingPort } from '../helpers/peers.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { assertIncludes, openRemote, withoutForward } from '../helpers/tunnels.mjs';

const SOON = { initialDelay: 20, maxDelay: 100 };

describe('an ssh2 server', () => {
  /** A scripted server that records requests and opens channels on request. */
  async function start(t, answer) {
    const at = await Ssh2Server.start();
    t.after(() => at.stop());
    const asked = [];
    const clients = [];
    at.server.on('connection', (client) => {
      clients.push(client);
      client.on('request', (accept, reject, name, info) => {
        asked.push([name, info]);
        answer({ accept, reject, name, info, client });
      });
    });
    return { at, asked, clients };
  }

  /** Opens a forwarded-tcpip channel; returns it, or the reason of its rejection. */
  const offer = (client, port, from = ['192.0.2.1', 4000], host = 'localhost') =>
    new Promise((resolve, reject) => {
      client.forwardOut(host, port, ...from, (error, channel) => (error ? reject(error) : resolve(channel)));
    });

  test('gets the request, and can open no other channels', async (t) => {
    const { at, asked, clients } = await start(t, ({ accept }) => accept(4711));
    const it = await openRemote(t, at, behaviors.echo(), { remote: { remoteHost: '' } });
    await it.tunnel.promises.connect();
    assert.deepEqual(asked, [['tcpip-forward', { bindAddr: '', bindPort: 0 }]]);
    assertIncludes(it.forward, { remoteHost: '', remotePort: 4711 });
    await assert.rejects(offer(clients[0], 4712), { reason: 1 });
    const channel = await offer(clients[0], 4711, ['203.0.113.9', 65_535], '198.51.100.1');
    assertIncludes(await it.eventLog.next('connection'), { remoteAddress: '203.0.113.9', remotePort: 65_535 });
    channel.write('ping');
    const [data] = await once(channel, 'data');
    assert.equal(String(data), 'ping');
    channel.end();
    await it.eventLog.next('disconnected');
    await it.forward.promises.stop();
    assert.deepEqual(asked[1], ['cancel-tcpip-forward', { bindAddr: '', bindPort: 4711 }]);
    await assert.rejects(offer(clients[0], 4711), { reason: 1 });
  });

  test('gets a refusal without details when a target is unreachable', async (t) => {
    const refusing = await refusingPort();
    t.after(() => refusing.stop());
    const { at, clients } = await start(t, ({ accept }) => accept());
    await openRemote(t, at, behaviors.echo(), { remote: { remotePort: 4711, forwardPort: refusing.port } });
    await assert.rejects(
      offer(clients[0], 4711),
      (error) => error.reason === 2 && error.message.endsWith(': connect failed'),
    );
  });

  test('that opens a channel before its reply is accepted', async (t) => {
    let offered;
    const { at } = await start(t, ({ accept, client, info }) => {
      offered = offer(client, info.bindPort);
      offered.then(
        () => accept(),
        () => accept(),
      );
    });
    const it = await openRemote(t, at, behaviors.echo(), { remote: { remotePort: 4711 } });
    const channel = await offered;
    channel.write('ping');
    assert.equal(String((await once(channel, 'data'))[0]), 'ping');
    await it.eventLog.next('connection');
  });

  test('that refuses to cancel is reported, and can open no more channels', async (t) => {
    const { at, clients } = await start(t, ({ accept, reject, name }) =>
      name === 'tcpip-forward' ? accept() : reject(),
    );
    const it = await openRemote(t, at, behaviors.echo(), { remote: { remotePort: 4711 } });
    await it.tunnel.promises.connect();
    await assert.rejects(it.forward.promises.stop(), { code: 'ERR_SSH_FORWARD_REFUSED', message: /localhost:4711/ });
    assert.deepEqual([it.forward.listening, it.tunnel.forwards()], [false, []]);
    await assert.rejects(offer(clients[0], 4711), { reason: 1 });
  });

  test('that never replies does not delay shutdown()', async (t) => {
    const { at } = await start(t, () => {});
    const { tunnel } = withoutForward(t, at.login);
    const asked = once(at.server, 'connection').then(([client]) => once(client, 'request'));
    const waiting = tunnel.promises.forwardRemote({ forwardHost: '127.0.0.1', forwardPort: 9 });
    const failed = assert.rejects(waiting, { code: 'ERR_TUNNEL_CLOSED' });
    await asked;
    await tunnel.promises.shutdown();
    await failed;
  });

  test('that refuses a port after a reconnect keeps the other forwards', async (t) => {
    let refuses = false;
    const { at } = await start(t, ({ accept, reject }) => (refuses ? reject() : accept()));
    const it = await openRemote(t, at, behaviors.echo(), {
      options: { reconnect: SOON, readyTimeout: 1000 },
      remote: { remotePort: 4711 },
    });
    await it.tunnel.promises.connect();
    const errors = [];
    it.tunnel.on('forwardError', (error, forwardId) => errors.push([error.code, forwardId]));
    const told = once(it.tunnel, 'forwardError');
    refuses = true;
    at.dropSessions();
    await told;
    assert.deepEqual(errors, [['ERR_SSH_FORWARD_REFUSED', 1]]);
    assert.deepEqual([it.forward.listening, it.tunnel.forwards()], [false, []]);
    assert.deepEqual(it.eventLog.all('error'), []);
  });
});
