// sshtunnel-native/promises: the same class, whose methods return promises.

import assert from 'node:assert/strict';
import { EventEmitter, on, once } from 'node:events';
import { createRequire } from 'node:module';
import { after } from 'node:test';

import * as callbacks from '../../index.js';
import * as promises from '../../promises.js';
import { test } from '../helpers/bounded.mjs';
import { KIB, Target, behaviors, connect, exchange, refuses, refusingPort } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
after(() => server.stop());

async function open(t, options) {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const tunnel = new promises.SSHTunnel({
    ...server.login,
    forwardHost: '127.0.0.1',
    forwardPort: target.port,
    ...options,
  });
  t.after(() => tunnel.shutdown({ force: true }));
  return { tunnel, target };
}

test('the module has the names of the package, without the object of promises', () => {
  const { promises: _promises, default: _default, 'module.exports': _exports, ...names } = callbacks;
  const { default: _, 'module.exports': __, ...own } = promises;
  assert.deepEqual(Object.keys(own).sort(), Object.keys(names).sort());
  assert.equal(promises.sshtunnel, promises.SSHTunnel);
  assert.equal(createRequire(import.meta.url)('sshtunnel-native/promises').SSHTunnel, promises.SSHTunnel);
});

test('every method that takes a callback returns a promise', async (t) => {
  const { tunnel, target } = await open(t);
  assert.ok(tunnel instanceof callbacks.SSHTunnel && tunnel instanceof EventEmitter);
  assert.equal(promises.SSHTunnel.name, 'SSHTunnel');
  for (const name of Object.keys(tunnel.promises)) {
    assert.notEqual(promises.SSHTunnel.prototype[name], callbacks.SSHTunnel.prototype[name], name);
  }
  assert.equal(await tunnel.getLinger(), true);
  await tunnel.setLinger(false);
  assert.deepEqual(await tunnel.getLingerOption(), { l_onoff: 1, l_linger: 0 });
  await tunnel.setLingerOption({ l_onoff: 0, l_linger: 0 });
  await tunnel.startListening();

  const opened = once(tunnel, 'connection');
  const client = await connect(tunnel.localPort);
  await exchange(client, KIB);
  const [connection] = await opened;
  assert.equal(await connection.getLinger(), true);
  const [listed] = await tunnel.connections();
  assert.equal(listed.connectionId, connection.connectionId);
  const ends = once(tunnel, 'disconnected');
  await connection.reset();
  assert.equal((await client.ended).end, 'ECONNRESET');
  assert.equal((await ends)[0].code, 'ECONNABORTED');

  const forward = await tunnel.forwardLocal({ forwardHost: '127.0.0.1', forwardPort: target.port });
  const through = await connect(forward.localPort);
  await exchange(through, KIB);
  assert.equal((await forward.stats()).opened, 1);
  await forward.stop();
  assert.ok(await refuses(forward.localPort));

  assert.throws(() => tunnel.connector('127.0.0.1', 'http'), { code: 'ERR_INVALID_ARG_TYPE' });
  const connector = tunnel.connector('127.0.0.1', target.port);
  const made = connector({ host: 'elsewhere' }, 1);
  made.end('made');
  assert.equal(Buffer.concat(await made.toArray()).toString(), 'made');

  const socket = await tunnel.dial('127.0.0.1', target.port);
  socket.end('dialed');
  assert.equal(Buffer.concat(await socket.toArray()).toString(), 'dialed');
  through.end();
  const reports = await tunnel.close();
  assert.ok(reports.every(({ clean }) => clean));
});

test('a bad argument rejects, and nothing blocks', async (t) => {
  const { tunnel } = await open(t);
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  await assert.rejects(tunnel.setLinger(1), refused);
  await assert.rejects(tunnel.close(1), refused);
  await assert.rejects(tunnel.forwardLocal(), refused);
  await assert.rejects(tunnel.dial({}), { code: 'ERR_INVALID_ARG_TYPE' });
  await assert.rejects(tunnel.connect({ signal: AbortSignal.abort() }), { code: 'ABORT_ERR' });
});

test('the stack of a rejection leads to the call', async (t) => {
  const { tunnel } = await open(t, { readyTimeout: 5000 });
  const nobody = await refusingPort();
  t.after(() => nobody.stop());
  const stranger = new promises.SSHTunnel({ ...server.login, username: 'nobody-of-this-name' });
  for (const [fail, code] of [
    [async () => await stranger.connect(), 'ERR_SSH_AUTH'],
    [async () => await stranger.localUrl('redis://cache'), 'ERR_SSH_AUTH'],
    [async () => await tunnel.dial('127.0.0.1', nobody.port), 'ERR_SSH_OPEN_CONNECT_FAILED'],
    [async () => await tunnel.disconnect(7), 'ERR_TUNNEL_NO_CONNECTION'],
    [async () => await tunnel.connect({ signal: AbortSignal.abort() }), 'ABORT_ERR'],
  ]) {
    const error = await fail().catch((reason) => reason);
    assert.equal(error.code, code);
    const [first, ...frames] = error.stack.split('\n');
    assert.ok(first.endsWith(error.message.split('\n')[0]), first);
    assert.match(frames.join('\n'), /at async .*promises\.test\.mjs/);
  }
});

test('events.on iterates over the ends of connections', async (t) => {
  const { tunnel } = await open(t);
  await tunnel.startListening();
  const ends = on(tunnel, 'disconnected');
  for (let count = 0; count < 2; count++) {
    const client = await connect(tunnel.localPort);
    await exchange(client, KIB);
    client.end();
    const { value } = await ends.next();
    assert.equal(value[0].bytesUp, KIB);
  }
  await ends.return();
});

test('events.on ends with the tunnel, and events.once fails with its error', async (t) => {
  const { tunnel, target } = await open(t);
  const forward = await tunnel.forwardLocal({ forwardHost: '127.0.0.1', forwardPort: target.port });
  const codes = [];
  const iterated = (async () => {
    for await (const [{ code }] of on(tunnel, 'disconnected', { close: ['close'] })) codes.push(code);
  })();
  const client = await connect(forward.localPort);
  await exchange(client, KIB);
  client.end();
  await tunnel.close();
  await iterated;
  assert.deepEqual(codes, ['OK']);

  await tunnel.connect();
  const ready = once(tunnel, 'listening');
  server.killSessions();
  await assert.rejects(ready, { code: 'ERR_SSH_DISCONNECTED' });
});

test('an agent sends requests through the tunnel', async (t) => {
  const http = await import('node:http');
  const web = http.createServer((_request, response) => response.end('behind the tunnel'));
  await once(web.listen(0, '127.0.0.1'), 'listening');
  t.after(() => web.close());
  const { tunnel } = await open(t);
  const agent = tunnel.httpAgent();
  const request = http.get({ host: '127.0.0.1', port: web.address().port, agent });
  const [response] = await once(request, 'response');
  assert.equal(Buffer.concat(await response.toArray()).toString(), 'behind the tunnel');
  agent.destroy();
});

const { asyncDispose } = Symbol;
test('a forward and a tunnel are disposed', { skip: asyncDispose === undefined && 'no symbol' }, async (t) => {
  const { tunnel, target } = await open(t);
  const forward = await tunnel.forwardLocal({ forwardHost: '127.0.0.1', forwardPort: target.port });
  await forward[asyncDispose]();
  assert.ok(await refuses(forward.localPort));
  await tunnel.startListening();
  await tunnel[asyncDispose]();
  assert.equal(tunnel.listening, false);
});

test('the functions on sockets return promises', async (t) => {
  const target = await Target.start(behaviors.idle());
  t.after(() => target.stop());
  const { socket } = await connect(target.port);
  await promises.setsockopt(socket, promises.SO_LINGER, { l_onoff: 1, l_linger: 0 });
  assert.deepEqual(await promises.getsockopt(socket, promises.SO_LINGER), { l_onoff: 1, l_linger: 0 });
  await promises.closesocket(socket);
  assert.equal((await (await target.next()).read().ended).end, 'ECONNRESET');
});

test('ssh_config makes a tunnel of the same class', () => {
  const tunnel = promises.SSHTunnel.fromConfig('somewhere', { configFile: '/dev/null', username: 'user' });
  assert.ok(tunnel instanceof promises.SSHTunnel);
});
