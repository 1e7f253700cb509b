// `sessions: 'auto'`: as many sessions as the connections need and the server allows.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { message } from '../helpers/messages.mjs';
import { KIB, MIB, exchange } from '../helpers/peers.mjs';
import { signal } from '../helpers/process.mjs';
import { countBySession, leave, logons, open, openAuto, openMany, transfer } from '../helpers/sessions.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const TOO_MANY_CONNECTIONS = 12; // RFC 4253 section 11.1
const CROWDED = 48; // from this number of connections of each session on, others wait for one that connects

async function start(t, options) {
  const server = await Sshd.start(options);
  t.after(() => server.stop());
  return server;
}

function noErrors({ eventLog }) {
  for (const name of ['error', 'sessionError', 'close', 'reconnecting']) assert.deepEqual(eventLog.all(name), [], name);
}

const server = await Sshd.start();
after(() => server.stop());

test('a tunnel with few connections has one session', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own);
  await openMany(it, 31);
  assert.equal(logons(own), 1);
  assertIncludes((await it.tunnel.promises.stats()).sessions, { up: 1, logons: 1 });
});

test('sessions grow with the connections', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own);
  while (countBySession(own, it.target).size < 5) await openMany(it, 8);
  assert.ok(it.tunnel.stats().sessions.up >= 5);
  noErrors(it);
  assert.equal(it.eventLog.all('ready').length, 1);
});

test('connectionsEach is the number of connections from which on there is another session, and max limits them', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own, { sessions: { max: 2, connectionsEach: 3 } });
  for (let count = 0; count < 3; count++) await open(it);
  assert.equal(logons(own), 1);
  const fourth = await open(it);
  while ((await it.tunnel.promises.stats()).sessions.up < 2) await exchange(fourth.client, 1);
  const sessions = [];
  for (let count = 0; count < 3; count++) sessions.push((await open(it)).session);
  assert.equal(new Set(sessions).size, 1);
  assert.notEqual(sessions[0], fourth.session);
  for (let count = 0; count < 6; count++) await open(it);
  assert.equal(logons(own), 2);
  assert.deepEqual(Array.from(countBySession(own, it.target).values()).sort(), [6, 7]);
});

test('a session without connections is not used while another has room', async (t) => {
  const it = await openAuto(t, server, { sessions: { connectionsEach: 2 } });
  const [first, , third] = [await open(it), await open(it), await open(it)];
  let fourth = await open(it);
  while (fourth.session === first.session) {
    await leave(it, fourth);
    fourth = await open(it);
  }
  await leave(it, fourth);
  await leave(it, third);
  await leave(it, first);
  for (let count = 0; count < 5; count++) {
    const one = await open(it);
    assert.equal(one.session, first.session);
    await leave(it, one);
  }
  noErrors(it);
});

test('a server that is busy (MaxStartups) is asked again, and that is no error', async (t) => {
  const own = await start(t, { maxStartups: '2:100:2' });
  const it = await openAuto(t, own, { sessions: { connectionsEach: 1 } });
  const holders = await Promise.all(
    [1, 2].map(async () => {
      const socket = net.connect(own.port, '127.0.0.1');
      await once(socket, 'data'); // its identification: not authenticated
      return socket;
    }),
  );
  t.after(() => holders.forEach((socket) => socket.destroy()));
  await open(it);
  const second = await open(it);
  await own.logged(/^drop connection/m);
  await transfer(second.client, KIB);
  while ((await it.tunnel.promises.stats()).sessions.logonFailures === 0) await exchange(await it.connect());
  for (const socket of holders) socket.destroy();
  // Each connection asks for a session; the server is asked when the wait is over.
  while ((await it.tunnel.promises.stats()).sessions.up < 3) await exchange(await it.connect(), 1);
  noErrors(it);
});

/** An ssh2 server that ends sessions beyond a limit as `refuse` does. */
async function startLimited(t, refuse) {
  const limited = { most: 2, refused: 0 };
  const authenticate = (context, session) => {
    if (context.method === 'none') return context.reject(['password']);
    if (ssh2.sessions <= limited.most) return context.accept();
    limited.refused++;
    refuse(session);
  };
  const ssh2 = await Ssh2Server.start({ authenticate });
  t.after(() => ssh2.stop());
  return Object.assign(limited, { ssh2 });
}

const REFUSALS = {
  'ends them': [(session) => session.end(), 2],
  'says so': [(session) => session.send(message(1, TOO_MANY_CONNECTIONS, 'too many', '')) ?? session.end(), 1],
};

for (const [how, [refuse, asked]] of Object.entries(REFUSALS)) {
  test(`a server that limits sessions and ${how} is not asked for more until one is lost`, async (t) => {
    const limited = await startLimited(t, refuse);
    const each = 8;
    const it = await openAuto(t, limited.ssh2, { sessions: { connectionsEach: each } });
    const counts = async () => (await it.tunnel.promises.stats()).sessions;
    const clients = [];
    const more = async () => {
      clients.push(await it.connect());
      await exchange(clients.at(-1), 1);
    };
    const wait = () => exchange(clients[0], 1);
    while (clients.length < each + 1) await more();
    while ((await counts()).up < 2) await wait();
    while (clients.length < 2 * each + 2) await more(); // the last one starts a third session
    while ((await counts()).logonFailures < 1) await wait();
    while ((await counts()).logonFailures < asked) await more();
    for (let count = 0; count < 100; count++) await more();
    assert.equal(limited.refused, asked);
    assertIncludes(await counts(), { up: 2, logonFailures: asked, losses: 0 });
    noErrors(it);
    for (const client of clients) await exchange(client, 1);

    limited.most = Infinity;
    limited.ssh2.dropSessions(1);
    await it.eventLog.next('sessionError');
    while ((await counts()).up < 3) await more();
    assertIncludes(await counts(), { losses: 1, logonFailures: asked });
  });
}

test('connections do not wait long for a session that does not come up', async (t) => {
  let asked = 0;
  const hostVerifier = () => ++asked === 1 || new Promise(() => {});
  const it = await openAuto(t, server, { hostKey: undefined, knownHosts: [], hostVerifier });
  await openMany(it, CROWDED + 40);
  assert.equal(countBySession(server, it.target).size, 1);
  assert.ok(asked > 1);
  assertIncludes((await it.tunnel.promises.stats()).sessions, { up: 1, logonFailures: 0 });
  noErrors(it);
});

test('the failure of a further session ends no connection, open or waiting', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own);
  own.authorizeNobody();
  await openMany(it, 200);
  assert.equal((await it.eventLog.next('sessionError')).code, 'ERR_SSH_AUTH');
  assert.equal(it.eventLog.all('sessionError').length, 1);
  assert.deepEqual(it.eventLog.all('disconnected'), []);
  assert.deepEqual(Array.from(countBySession(own, it.target).values()), [200]);
});

test('shutdown() ends a tunnel whose further sessions connect, and the connections that wait for them', async (t) => {
  let asked = 0;
  let verifying;
  const isVerifying = new Promise((resolve) => (verifying = resolve));
  const answers = [];
  const hostVerifier = () => {
    if (++asked === 1 || it.eventLog.all('close').length > 0) return true;
    verifying();
    return new Promise((answer) => answers.push(answer));
  };
  const it = await openAuto(t, server, { hostKey: undefined, knownHosts: [], hostVerifier, linger: false });
  await openMany(it, CROWDED);
  await isVerifying;
  const waiting = await it.connect();
  while ((await it.tunnel.promises.connections()).length <= CROWDED);
  await it.tunnel.promises.shutdown();
  assertIncludes(await waiting.ended, { bytes: 0, end: 'ECONNRESET' });
  const ends = it.eventLog.all('disconnected');
  assert.equal(ends.length, CROWDED + 1);
  assert.equal(it.eventLog.names().at(-1), 'close');
  assert.deepEqual(it.eventLog.all('sessionError'), []);
  const nothing = { logonFailures: 0, losses: 0 };
  assertIncludes((await it.tunnel.promises.stats()).sessions, { up: 0, logons: 1, ...nothing });

  // A late answer brings no session up.
  for (const answer of answers) answer(true);
  await it.tunnel.promises.startListening();
  await transfer(await it.connect(), MIB);
  assertIncludes((await it.tunnel.promises.stats()).sessions, { up: 1, logons: 2, ...nothing });
});

test('the loss of some of many sessions ends only their connections, and others take their place', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own, { sessions: { connectionsEach: 2 } });
  const opened = [];
  while (countBySession(own, it.target).size < 6) opened.push(await open(it));
  const lost = Array.from(countBySession(own, it.target).keys()).slice(0, 2);
  const isLost = ({ session }) => lost.includes(session);
  for (const pid of lost) signal(pid, 'SIGKILL');
  for (const { client } of opened.filter(isLost)) assertIncludes(await client.ended, { end: 'ECONNRESET' });
  for (let count = 0; count < 2; count++) await it.eventLog.next('sessionError');
  for (const { client } of opened.filter((one) => !isLost(one))) await exchange(client);
  const { sessions } = await it.tunnel.promises.stats();
  assert.equal(sessions.losses, 2);
  while ((await it.tunnel.promises.stats()).sessions.up < 6) await exchange((await open(it)).client);
  for (const name of ['error', 'close', 'reconnecting']) assert.deepEqual(it.eventLog.all(name), []);
  assert.equal(it.tunnel.listening, true);
});

test('a remote forward moves to another session, and its connections count', async (t) => {
  const own = await start(t);
  const it = await openAuto(t, own, { sessions: { connectionsEach: 1 } });
  const first = await open(it);
  const forward = await it.tunnel.promises.forwardRemote({ forwardHost: '127.0.0.1', forwardPort: it.target.port });
  const { remotePort } = forward;
  const inbound = await it.connect({ port: remotePort });
  await exchange(inbound);
  await it.target.next();
  let other = await open(it);
  while (other.session === first.session) other = await open(it);
  signal(first.session, 'SIGKILL');
  await inbound.ended;
  await it.eventLog.next('sessionError');
  await exchange(other.client);
  while (!forward.listening) await exchange(other.client, 1);
  assert.equal(forward.remotePort, remotePort);
  await transfer(await it.connect({ port: remotePort }), MIB);
});
