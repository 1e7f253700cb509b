// The objects that createTunnel() of sshtunnel-native/tunnel-ssh returns.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Target, behaviors, connect } from '../helpers/peers.mjs';
import { runModule } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { ask, close, happened, open } from '../helpers/tunnel-ssh.mjs';

const sshd = await Sshd.start();
const target = await Target.start(behaviors.echo());
after(() => Promise.all([sshd.stop(), target.stop()]));

const forward = { dstAddr: '127.0.0.1', dstPort: target.port };

/** A tunnel of this package to the echo. */
const openUsual = (t, options) => open(t, { ssh: sshd.login, forward, ...options });

test('the process exits after createTunnel() failed', async () => {
  const { code, stdout } = await runModule(
    `
    import { createTunnel } from './tunnel-ssh.js';
    const [login, dstPort, taken] = JSON.parse(process.argv.at(-1));
    for (const [server, ssh] of [[{ port: taken }, login], [{}, { ...login, hostKey: undefined, knownHosts: [] }]]) {
      await createTunnel({}, server, ssh, { dstPort }).catch(({ code }) => console.log(code));
    }
  `,
    { args: [JSON.stringify([sshd.login, target.port, target.port])] },
  );
  assert.equal(stdout, 'EADDRINUSE\nERR_SSH_HOST_KEY\n');
  assert.equal(code, 0);
});

test("a reconnect emits 'error', then 'ready', and keeps the port", async (t) => {
  const [server, client] = await openUsual(t, { tunnel: { reconnectOnError: { initialDelay: 1 } } });
  const { port } = server.address();
  const heard = [];
  for (const event of ['end', 'close']) client.on(event, () => heard.push(event));
  const error = happened(client, 'error');
  const ready = happened(client, 'ready');
  sshd.killSessions();
  assert.equal((await error)[0].code, 'ERR_SSH_DISCONNECTED');
  await ready;
  assert.deepEqual(server.address(), { address: '127.0.0.1', family: 'IPv4', port });
  await ask(port);
  assert.deepEqual(heard, []);
});

test("a final disconnect emits 'error', then 'end' and 'close' of the client and 'close' of the server", async (t) => {
  const [server, client] = await openUsual(t);
  const heard = [];
  server.on('close', () => heard.push('server close')).on('error', assert.fail);
  for (const event of ['error', 'end', 'close']) client.on(event, () => heard.push(event));
  const closed = happened(client, 'close');
  sshd.killSessions();
  await closed;
  assert.deepEqual(heard, ['error', 'server close', 'end', 'close']);
  assert.equal(server.listening, false);
  // It was not closed by the test, so the first close() succeeds.
  assert.equal(await close(server), undefined);
});

const count = (server) =>
  new Promise((resolve, reject) => server.getConnections((error, number) => (error ? reject(error) : resolve(number))));

test('autoClose waits for the last connection', async (t) => {
  const [server] = await openUsual(t, { tunnel: { autoClose: true } });
  const { port } = server.address();
  const gone = happened(server, 'close');
  const arrival = happened(server, 'connection');
  const peers = [await connect(port)];
  const [first] = await arrival;
  peers.push(await connect(port));
  for (const peer of peers) {
    await peer.send(1);
    await peer.received(1);
  }
  const ended = happened(first, 'close');
  peers[0].socket.destroy();
  await ended;
  // Asked after autoClose has asked the same.
  assert.equal(await count(server), 1);
  assert.equal(server.listening, true);
  peers[1].socket.destroy();
  await gone;
});

test('close() lets connections finish; end() and destroy() do not wait for them', async (t) => {
  for (const way of ['close', 'end', 'destroy']) {
    const [server, client] = await openUsual(t);
    const peer = await connect(server.address().port);
    await peer.send(1);
    await peer.received(1);
    const closed = happened(server, 'close');
    if (way === 'close') {
      server.close();
      assert.equal(server.listening, false);
      assert.equal(server.address(), null);
      await peer.send(1000);
      await peer.received(1001);
      peer.end();
    } else {
      assert.equal(client[way](), client);
    }
    assert.equal((await peer.ended).end, way === 'destroy' ? 'ECONNRESET' : 'FIN');
    peer.socket.destroy();
    await closed;
  }
});

test('connections are counted, ended, reset and refused', async (t) => {
  const [server] = await openUsual(t);
  const { port } = server.address();
  const arrive = async () => {
    const arrival = happened(server, 'connection');
    const peer = await connect(port);
    return [peer, (await arrival)[0]];
  };

  const [ending, first] = await arrive();
  assert.deepEqual(
    [first.remoteAddress, first.remotePort, first.remoteFamily],
    ['127.0.0.1', ending.socket.localPort, 'IPv4'],
  );
  assert.equal(first.localPort, port);
  await ending.send(10);
  await ending.received(10);
  assert.equal(await count(server), 1);
  const closed = happened(first, 'close');
  first.end();
  assert.equal((await ending.ended).end, 'FIN');
  ending.socket.destroy();
  const [hadError, { bytesUp, bytesDown, code }] = await closed;
  assert.deepEqual({ hadError, bytesUp, bytesDown, code }, { hadError: false, bytesUp: 10, bytesDown: 10, code: 'OK' });

  const [cut, second] = await arrive();
  await cut.send(10);
  await cut.received(10);
  second.destroy();
  assert.equal((await cut.ended).end, 'ECONNRESET');

  server.once('connection', (connection) => connection.destroy());
  assert.equal((await (await connect(port)).ended).end, 'ECONNRESET');

  const [resetting, third] = await arrive();
  await resetting.send(10);
  await resetting.received(10);
  const failed = happened(third, 'error');
  const over = happened(third, 'close');
  resetting.reset();
  assert.equal((await failed)[0].code, 'ECONNRESET');
  assert.equal((await over)[0], true);
  assert.equal(await count(server), 0);
});

test('host accepts a name, and an AbortSignal closes', async (t) => {
  const abort = new AbortController();
  const [server] = await openUsual(t, { server: { host: 'localhost', port: '0', signal: abort.signal } });
  const { address, family, port } = server.address();
  assert.equal(family, `IPv${net.isIP(address)}`);
  await ask(port, address);
  const closed = happened(server, 'close');
  abort.abort();
  assert.equal(server.listening, false);
  await closed;
  const [other] = await openUsual(t, { server: { signal: abort.signal } });
  assert.equal(other.listening, false);
  await assert.rejects(openUsual(t, { server: { host: 'name.invalid' } }), { code: /^(ENOTFOUND|EAI_AGAIN)$/ });
});

test('other methods of an ssh2 client throw an error with their name', async (t) => {
  const [, client] = await openUsual(t);
  for (const name of ['exec', 'shell', 'sftp', 'forwardOut', 'forwardIn']) {
    assert.throws(() => client[name]('ls', () => {}), {
      code: 'ERR_METHOD_NOT_IMPLEMENTED',
      message: new RegExp(`client\\.${name}`),
    });
  }
});

test('an unreferenced server lets the process exit', async () => {
  const { code, stdout } = await runModule(
    `
    import { createTunnel } from './tunnel-ssh.js';
    const [server] = await createTunnel({}, {}, ...JSON.parse(process.argv.at(-1)));
    console.log(server.unref() === server, server.ref().unref().listening);
  `,
    { args: [JSON.stringify([sshd.login, forward])] },
  );
  assert.equal(stdout, 'true true\n');
  assert.equal(code, 0);
});
