// Channels of node:diagnostics_channel: the messages, their order, and the effect of subscribers that throw.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter, once } from 'node:events';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, behaviors } from '../helpers/peers.mjs';
import { runModule } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const SESSION = ['start', 'ready', 'lost', 'end'].map((step) => `sshtunnel.session.${step}`);
const CONNECTION = ['open', 'end'].map((step) => `sshtunnel.connection.${step}`);
const SOON = { initialDelay: 20, maxDelay: 100 };

const server = await Sshd.start();
after(() => server.stop());

/** The messages published on these channels until the test ends. */
function listen(t, channels = [...SESSION, ...CONNECTION]) {
  const heard = new EventEmitter();
  heard.messages = [];
  const take = (message, name) => {
    heard.messages.push({ name, ...message });
    heard.emit('message');
  };
  heard.stop = () => channels.forEach((name) => unsubscribe(name, take));
  for (const name of channels) subscribe(name, take);
  t.after(heard.stop);
  heard.count = async (count) => {
    while (heard.messages.length < count) await once(heard, 'message');
    return heard.messages.slice(0, count);
  };
  return heard;
}

/** The step of a session and the number of the session. */
const short = ({ name, sessionId }) => [name.replace('sshtunnel.session.', ''), sessionId];

test('a session and a connection in it are published from start to end', async (t) => {
  const heard = listen(t);
  const it = await openTunnel(t, server, behaviors.echo());
  await roundTrip(it, KIB);
  await it.tunnel.promises.shutdown();
  const [start, ready, open, ended, end] = await heard.count(5);
  assert.equal(heard.messages.length, 5);
  const { tunnel } = it;
  const session = { tunnel, sessionId: 1, host: '127.0.0.1', port: server.port };
  assert.deepEqual(start, { name: SESSION[0], ...session });
  assertIncludes(ready, { name: SESSION[1], ...session });
  assert.equal(ready.logonTime, tunnel.stats().sessions.logonTime);
  assert.deepEqual(end, { name: SESSION[3], ...session });
  assertIncludes(open, { name: CONNECTION[0], tunnel });
  const [told] = it.eventLog.all('connection');
  const { connectionId, state, linger, ...rest } = open.connection;
  assertIncludes(told, { connectionId, state, linger });
  assertIncludes(told, rest);
  assert.deepEqual(ended, { name: CONNECTION[1], tunnel, end: it.eventLog.all('disconnected')[0] });
  for (const value of [open.connection, open.connection.linger, ended.end, ended.end.linger])
    assert.ok(Object.isFrozen(value));
  assert.ok(!Object.isFrozen(it.eventLog.all('disconnected')[0]));
});

test('published messages are frozen', async (t) => {
  const frozen = [];
  const take = (message) => frozen.push(Object.isFrozen(message));
  for (const name of SESSION) subscribe(name, take);
  t.after(() => SESSION.forEach((name) => unsubscribe(name, take)));
  const tunnel = makeTunnel(t, server.login, 9);
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
  assert.deepEqual(frozen, [true, true, true]);
});

test('a failed connect publishes the end of its session with the error', async (t) => {
  const heard = listen(t);
  const tunnel = makeTunnel(t, { ...server.login, privateKey: undefined, password: 'wrong' }, 9);
  const failure = await tunnel.promises.connect().catch((error) => error);
  const [start, end] = await heard.count(2);
  assert.deepEqual([start, end].map(short), [
    ['start', 1],
    ['end', 1],
  ]);
  assert.ok(end.error instanceof Error);
  assertIncludes(end.error, { code: 'ERR_SSH_AUTH', message: failure.message });
});

test('a cancelled connect publishes the end of its session', async (t) => {
  const heard = listen(t);
  const tunnel = makeTunnel(t, server.login, 9, {
    hostKey: undefined,
    knownHosts: [],
    hostVerifier: () => new Promise(() => {}),
  });
  const connecting = tunnel.promises.connect();
  await heard.count(1);
  const outcome = assert.rejects(connecting, { code: 'ERR_TUNNEL_CLOSED' });
  await tunnel.promises.shutdown();
  await outcome;
  assert.deepEqual((await heard.count(2)).map(short), [
    ['start', 1],
    ['end', 1],
  ]);
  assert.ok(!('error' in heard.messages[1]));
});

test("an exception of a hostVerifier is the cause of that tunnel's error only", async (t) => {
  const heard = listen(t);
  const reason = new Error('not this one');
  const options = { hostKey: undefined, knownHosts: [], hostVerifier: () => Promise.reject(reason) };
  await assert.rejects(makeTunnel(t, server.login, 9, options).promises.connect(), { cause: reason });
  const [, end] = await heard.count(2);
  assertIncludes(end.error, { code: 'ERR_SSH_HOST_KEY', cause: undefined });
});

test('a disconnect and the next session are published', async (t) => {
  const heard = listen(t, SESSION);
  const it = await openTunnel(t, server, behaviors.echo(), { reconnect: SOON });
  server.killSessions();
  const steps = await heard.count(6);
  assert.deepEqual(steps.map(short), [
    ['start', 1],
    ['ready', 1],
    ['lost', 1],
    ['end', 1],
    ['start', 2],
    ['ready', 2],
  ]);
  for (const { error } of steps.slice(2, 4)) assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
  await it.tunnel.promises.shutdown();
  assert.deepEqual((await heard.count(7)).slice(6).map(short), [['end', 2]]);
});

test('each of several sessions is published', async (t) => {
  const heard = listen(t, SESSION);
  const it = await openTunnel(t, server, behaviors.echo(), { sessions: 3, linger: false });
  while ((await it.tunnel.promises.stats()).sessions.up < 3) {
    const client = await it.connect();
    await client.send(KIB);
    await client.received(KIB);
  }
  await it.tunnel.promises.close({ timeout: 0 });
  const steps = (await heard.count(9)).map(short);
  for (const sessionId of [1, 2, 3]) {
    const own = steps.filter(([, id]) => id === sessionId).map(([step]) => step);
    assert.deepEqual(own, ['start', 'ready', 'end']);
  }
});

test('a late subscriber gets messages after the next call, an unsubscribed one gets none', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  it.tunnel.removeAllListeners('connection').removeAllListeners('disconnected');
  const heard = listen(t, CONNECTION);
  it.tunnel.stats();
  const first = await it.connect();
  await heard.count(1);
  heard.stop();
  it.tunnel.stats();
  const again = listen(t, CONNECTION);
  first.end();
  assertIncludes(await first.ended, { end: 'FIN' });
  // There was no subscriber at the last call, so the end of the first one may be published or not.
  it.tunnel.stats();
  const second = await it.connect();
  for (let count = 1; (await again.count(count)).at(-1).connection?.connectionId !== 2; count++);
  second.end();
  assert.equal(heard.messages.length, 1);
});

test('listeners keep receiving events while subscribers come and go', async (t) => {
  const it = await openTunnel(t, server, behaviors.echo());
  for (let turn = 0; turn < 2; turn++) {
    const heard = listen(t);
    await roundTrip(it, KIB);
    heard.stop();
    await roundTrip(it, KIB);
  }
  assert.equal(it.eventLog.all('connection').length, 4);
  assert.equal(it.eventLog.all('disconnected').length, 4);
});

test('a throwing subscriber is an uncaughtException and affects nothing else', async (t) => {
  const { tunnel, target } = await openTunnel(t, server, behaviors.echo());
  await tunnel.promises.shutdown();
  const options = JSON.stringify({ ...server.login, forwardHost: '127.0.0.1', forwardPort: target.port });
  const { code, stdout, stderr } = await runModule(`
    import { subscribe } from 'node:diagnostics_channel';
    import { once } from 'node:events';
    import net from 'node:net';
    import { SSHTunnel } from './index.js';
    let thrown = 0;
    process.on('uncaughtException', ({ message }) => message === 'of a subscriber' && thrown++);
    const names = ${JSON.stringify([SESSION[0], SESSION[1], CONNECTION[0], CONNECTION[1], SESSION[3]])};
    const heard = [];
    for (const name of names) {
      subscribe(name, () => { throw new Error('of a subscriber'); });
      subscribe(name, () => heard.push(name));
    }
    const tunnel = new SSHTunnel(${options});
    let events = 0;
    for (const name of ['ready', 'listening', 'connection', 'disconnected', 'close']) tunnel.on(name, () => events++);
    await tunnel.promises.startListening();
    const socket = net.connect(tunnel.localPort, '127.0.0.1');
    socket.end('hello').setEncoding('utf8');
    const [text] = await once(socket, 'data');
    const ends = await tunnel.close();
    const { connections } = tunnel.stats();
    console.log(JSON.stringify({ thrown, events, text, clean: connections.clean, ends: ends.length, same: heard.join() === names.join() }));
  `);
  assert.deepEqual([code, stderr], [0, '']);
  const { ends, ...rest } = JSON.parse(stdout);
  assert.deepEqual(rest, { thrown: 5, events: 5, text: 'hello', clean: 1, same: true });
  assert.ok(ends <= 1); // it may have ended before close() was called
});
