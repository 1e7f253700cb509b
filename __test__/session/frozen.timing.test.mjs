// A process that is frozen for longer than each of its time limits, as by a container's freezer or a suspended machine:
// it does not take its own pause for silent peers, and still detects dead ones.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting } from '../helpers/cli.mjs';
import { KIB, MIB, Target, behaviors, connect, exchange, patternHash } from '../helpers/peers.mjs';
import { Child, signal } from '../helpers/process.mjs';
import { connectSocks, greeting, request5 } from '../helpers/socks.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const [server, hop] = await Promise.all([Sshd.start(), Sshd.start()]);
after(() => Promise.all([server.stop(), hop.stop()]));

/** Every limit in these tests, in milliseconds, and how long the process is frozen: for longer. */
const LIMIT = 1000;
const FROZEN = 2500;

/** A tunnel in a process of its own, its target, and a client that is connected. */
async function open(t, options, { behavior = behaviors.echo(), login = server.login, ...how } = {}) {
  const target = await Target.start(behavior);
  t.after(() => target.stop());
  const child = await Child.start('./frozen-process.mjs');
  t.after(() => child.stop());
  const port = await child.ask(
    'listen',
    { ...login, forwardHost: '127.0.0.1', forwardPort: target.port, ...options },
    how,
  );
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  const connectThrough = async (options) => {
    const client = await connect(port, options);
    clients.push(client);
    return client;
  };
  return { child, target, port, connect: connectThrough };
}

/** Freezes the process; `meanwhile` happens while it is frozen. */
async function freeze(child, { time = FROZEN, meanwhile = () => {} } = {}) {
  signal(child.pid, 'SIGSTOP');
  try {
    // The duration of the pause is what is tested, and no event happens in it.
    await Promise.all([sleep(time), meanwhile()]);
  } finally {
    signal(child.pid, 'SIGCONT');
  }
}

const nothing = { errors: [], ends: [] };

for (const [name, login] of [
  ['a session', server.login],
  [
    'a session behind a jump host',
    { ...server.login, jump: { ...hop.login, keepaliveInterval: LIMIT / 4, keepaliveCountMax: 2 } },
  ],
  [
    'a session behind a program',
    {
      ...server.login,
      proxyCommand: `${process.execPath} -e 'const s = net.connect(%p, "%h"); s.on("error", () => {}); process.stdin.pipe(s).pipe(process.stdout.on("error", () => {}))'`,
    },
  ],
  ['each of several sessions', { ...server.login, sessions: 2 }],
]) {
  test(`${name} survives a pause without keepalives`, async (t) => {
    const { child, connect } = await open(t, { keepaliveInterval: LIMIT / 4, keepaliveCountMax: 2 }, { login });
    const clients = [await connect(), await connect()];
    for (const client of clients) await exchange(client);
    await freeze(child);
    for (const client of clients) await exchange(client);
    assertIncludes(await child.ask('seen'), nothing);
  });
}

test('a server is asked at once after a pause, also without keepalives', async (t) => {
  const own = await Sshd.start({ logLevel: 'DEBUG' });
  t.after(() => own.stop());
  const { child, connect } = await open(t, {}, { login: own.login });
  await exchange(await connect());
  const asked = () => own.log().match(/keepalive@openssh\.com/g)?.length ?? 0;
  const before = asked();
  await freeze(child, { time: 2 * FROZEN });
  await own.logged(new RegExp(`(?:keepalive@openssh\\.com[^]*){${before + 1}}`));
  assertIncludes(await child.ask('seen'), nothing);
});

test('the command keeps its session across a pause', async (t) => {
  const setting = new Setting(server);
  t.after(() => setting.remove());
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const alive = ['-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=1'];
  const command = Cli.start(t, [
    '--json',
    '-N',
    '-L',
    `0:127.0.0.1:${target.port}`,
    ...alive,
    ...setting.options(),
    '127.0.0.1',
  ]);
  const { localPort } = await command.report('listening');
  const client = await connect(localPort);
  t.after(() => client.socket.destroy());
  await exchange(client);
  await freeze(command.child, { time: 2 * FROZEN });
  await exchange(client);
  assert.equal(command.stderr, '');
});

test('a session survives undetected pauses longer than its keepalive interval', async (t) => {
  const { child, connect } = await open(t, { keepaliveInterval: LIMIT / 20, keepaliveCountMax: 2 });
  const client = await connect();
  for (let round = 0; round < 5; round++) {
    await exchange(client);
    await freeze(child, { time: LIMIT / 3 });
  }
  await exchange(client);
  assertIncludes(await child.ask('seen'), nothing);
});

test('a server that died during a pause is detected after it', async (t) => {
  const { child, connect } = await open(t, { keepaliveInterval: LIMIT / 4, keepaliveCountMax: 2 });
  const client = await connect();
  await exchange(client);
  t.after(() => server.thaw());
  await freeze(child, { meanwhile: () => server.freezeSessions() });
  assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
  const [{ code, message }] = (await child.ask('lost')).errors;
  assert.equal(code, 'ERR_SSH_DISCONNECTED');
  assert.match(message, /not responded|answer/);
});

test('bytes waiting from the local client are read before idleTimeout applies', async (t) => {
  const { child, connect } = await open(t, { idleTimeout: LIMIT });
  const client = await connect();
  await exchange(client);
  await freeze(child, { meanwhile: () => client.send(KIB) });
  await client.received(2 * KIB);
  await exchange(client);
  assertIncludes(await child.ask('seen'), nothing);
});

test('bytes waiting from the target are read before idleTimeout applies', async (t) => {
  const { child, target, connect } = await open(t, { idleTimeout: LIMIT }, { behavior: (peer) => peer.read() });
  const client = await connect();
  await client.send(KIB);
  const peer = await target.next();
  await peer.received(KIB);
  await freeze(child, { meanwhile: () => peer.send(KIB) });
  await client.received(KIB);
  assertIncludes(await child.ask('seen'), nothing);
});

test('idleTimeout closes an idle connection after a pause', async (t) => {
  const { child, connect } = await open(t, { idleTimeout: LIMIT });
  const client = await connect();
  await exchange(client);
  await freeze(child);
  assertIncludes(await client.ended, { bytes: KIB, end: 'FIN' });
  assertIncludes((await child.ask('seen', 1)).ends[0], { code: 'ETIMEDOUT' });
});

test('a connect continues after a pause', async (t) => {
  const child = await Child.start('./frozen-process.mjs');
  t.after(() => child.stop());
  t.after(() => server.thaw());
  server.freeze();
  await child.ask('begin', { ...server.login, readyTimeout: LIMIT });
  await freeze(child, { meanwhile: () => server.thaw() });
  await child.ask('connected');
});

test('a connect to a dead server fails after a pause', async (t) => {
  const child = await Child.start('./frozen-process.mjs');
  t.after(() => child.stop());
  t.after(() => server.thaw());
  server.freeze();
  await child.ask('begin', { ...server.login, readyTimeout: LIMIT });
  await freeze(child);
  await assert.rejects(child.ask('connected'), { code: 'ETIMEDOUT' });
});

test('a pending channel opens after a pause', async (t) => {
  const { child, connect } = await open(t, { readyTimeout: LIMIT });
  t.after(() => server.thaw());
  server.freezeSessions();
  const client = await connect();
  while ((await child.ask('states'))[0] !== 'opening');
  await freeze(child, { meanwhile: () => server.thawSessions() });
  await exchange(client);
  assertIncludes(await child.ask('seen'), nothing);
});

test('an unanswered channel open times out after a pause', async (t) => {
  const { child, connect } = await open(t, { readyTimeout: LIMIT });
  t.after(() => server.thaw());
  server.freezeSessions();
  const client = await connect();
  while ((await child.ask('states'))[0] !== 'opening');
  await freeze(child);
  assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
  assertIncludes((await child.ask('seen', 1)).ends[0], { code: 'ETIMEDOUT' });
});

test('a connectionRequest can be answered after a pause', async (t) => {
  const { child, connect } = await open(t, { readyTimeout: LIMIT }, { approves: true });
  const client = await connect();
  await child.ask('approvals', 1);
  await freeze(child);
  await child.ask('approve');
  await exchange(client);
  assertIncludes(await child.ask('seen'), nothing);
});

test('a SOCKS handshake continues after a pause', async (t) => {
  const { child, target, port } = await open(t, { readyTimeout: LIMIT }, { dynamic: true });
  const client = await connectSocks(port);
  t.after(() => client.socket.destroy());
  client.socket.write(greeting(0));
  await client.read().received(2);
  await freeze(child, { meanwhile: () => client.socket.write(request5('127.0.0.1', target.port)) });
  await client.received(2 + 10); // granted, with an IPv4 address
  await exchange(client);
  assertIncludes(await child.ask('seen'), nothing);
});

test('a bounded close delivers what the client reads after a pause', async (t) => {
  const total = 8 * MIB;
  const behavior = (peer) => peer.read().send(total);
  const linger = { l_onoff: 1, l_linger: LIMIT / 1000 };
  const { child, connect } = await open(t, { linger }, { behavior });
  const client = await connect({ read: false });
  await client.send(KIB);
  // All buffers are full; from the close on the client reads.
  while ((await child.ask('states'))[0] !== 'open');
  await child.ask('disconnect');
  await freeze(child, { meanwhile: () => client.read() });
  const { bytes, sha256, end } = await client.ended;
  const [report] = (await child.ask('seen', 1)).ends;
  assert.equal(end, 'FIN', `${bytes} of ${total} bytes; ${JSON.stringify(report)}`);
  assert.equal(sha256, patternHash(bytes));
  assertIncludes(report, { code: 'OK', lingerExpired: false });
});

test('a bounded close resets a stalled client after a pause', async (t) => {
  const behavior = (peer) => peer.read().send(8 * MIB);
  const linger = { l_onoff: 1, l_linger: LIMIT / 1000 };
  const { child, connect } = await open(t, { linger }, { behavior });
  const client = await connect({ read: false });
  await client.send(KIB);
  // More than the kernel acknowledges for a client that does not read.
  await child.ask('taken', MIB / 2);
  await child.ask('disconnect');
  await freeze(child);
  assertIncludes((await child.ask('seen', 1)).ends[0], { code: 'ECONNABORTED', lingerExpired: true });
  assertIncludes(await client.read().ended, { end: 'ECONNRESET' });
});

test('connections finish after a pause within the timeout of close()', async (t) => {
  const { child, connect } = await open(t, {});
  const client = await connect();
  await exchange(client);
  await child.ask('close', LIMIT);
  await freeze(child, { meanwhile: () => client.end() });
  assertIncludes(await client.ended, { bytes: KIB, end: 'FIN' });
  assertIncludes((await child.ask('seen', 1)).ends[0], {
    code: 'OK',
    clean: true,
    reason: 'both directions reached their end of stream',
  });
});

test('closesocket() delivers what the peer reads after a pause', async (t) => {
  const { child } = await open(t, {});
  const target = await Target.start();
  t.after(() => target.stop());
  await child.ask('closesocket', target.port, { l_onoff: 1, l_linger: LIMIT / 1000 }, 32 * MIB);
  const peer = await target.next();
  await freeze(child, { meanwhile: () => peer.read() });
  assertIncludes(await child.ask('closed'), { graceful: true, unsent: 0 });
  peer.end();
  assertIncludes(await peer.ended, { bytes: 32 * MIB, sha256: patternHash(32 * MIB), end: 'FIN' });
});

test('destroy() of a dial() socket delivers what the target reads after a pause', async (t) => {
  const { child } = await open(t, { linger: { l_onoff: 1, l_linger: LIMIT / 1000 } });
  const target = await Target.start();
  t.after(() => target.stop());
  await child.ask('destroy', target.port, 32 * MIB);
  await child.ask('states'); // calls are answered in order, so its time runs by now
  const peer = await target.next();
  await freeze(child, { meanwhile: () => peer.read() });
  assertIncludes(await peer.ended, { bytes: 32 * MIB, sha256: patternHash(32 * MIB), end: 'FIN' });
  await child.ask('closed');
});
