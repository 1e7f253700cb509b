// reconnect: a disconnected session is set up again, with the same ports, for later connections.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, MIB, behaviors, connect as connectTo, exchange, patternHash } from '../helpers/peers.mjs';
import { Child, runModule } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, openTunnel, withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const SOON = { initialDelay: 20, maxDelay: 100 };
const CUT = { code: 'ERR_SSH_DISCONNECTED', clean: false, closedBy: 'reset' };

/** A tunnel with reconnect, and a client after an exchange. */
async function connected(t, options) {
  const all = { reconnect: SOON, ...options };
  const opened = await openTunnel(t, server, behaviors.echo(), all);
  const client = await opened.connect();
  await exchange(client);
  return { ...opened, client, port: opened.tunnel.localPort };
}

/** The earlier connection is reset behind its bytes, and the same port serves another one. */
async function assertBack({ tunnel, eventLog, connect, client, port }) {
  assertIncludes(await client.ended, { bytes: KIB, sha256: patternHash(KIB), end: 'ECONNRESET' });
  assertIncludes(await eventLog.next('disconnected'), { ...CUT, bytesUp: KIB, bytesDown: KIB, droppedDown: 0 });
  assert.equal(tunnel.localPort, port);
  assert.equal(tunnel.listening, true);
  const next = await connect();
  await next.send(MIB);
  next.end();
  assertIncludes(await next.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  for (const never of ['error', 'close']) assert.deepEqual(eventLog.all(never), []);
  assert.equal(eventLog.all('listening').length, 1);
}

for (const linger of [true, false]) {
  test(`reconnect restores broken sessions: ${linger}`, async (t) => {
    const it = await connected(t, { linger });
    server.killSessions();
    const { attempt, delay, error } = await it.eventLog.next('reconnecting');
    assert.equal(attempt, 1);
    assert.ok(delay >= 10 && delay <= 20, `${delay} ms`);
    assert.ok(error instanceof Error);
    assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
    assert.equal(it.tunnel.listening, true);
    await it.eventLog.next('ready');
    await it.eventLog.next('ready');
    await assertBack(it);
  });
}

const SILENCE = { keepaliveInterval: 100, keepaliveCountMax: 2 };

test('a paused server is detected, and the tunnel reconnects when it continues', async (t) => {
  const it = await connected(t, SILENCE);
  await it.eventLog.next('ready');
  server.freeze();
  t.after(() => server.thaw());
  const { attempt, error } = await it.eventLog.next('reconnecting');
  assert.deepEqual([attempt, error.code], [1, 'ERR_SSH_DISCONNECTED']);
  const late = await it.connect(); // connects between two sessions, and is served
  server.thaw();
  await it.eventLog.next('ready');
  await exchange(late);
  await assertBack(it);
});

test('a tunnel reconnects to a restarted server', async (t) => {
  const it = await connected(t, SILENCE);
  await it.eventLog.next('ready');
  server.freeze();
  await it.eventLog.next('reconnecting');
  await server.restart();
  await it.eventLog.next('ready');
  await assertBack(it);
});

test('a tunnel reconnects after several failed attempts', async (t) => {
  const maxDelay = 200;
  const it = await connected(t, { reconnect: { initialDelay: 20, maxDelay } });
  t.after(() => server.restart()); // also if this test fails
  for (const turn of [1, 2]) {
    await it.eventLog.next('ready');
    const ready = performance.now();
    await server.halt();
    let goesOn;
    let busy = 0;
    for (let count = 1; count <= 4; count++) {
      let { attempt, delay, error } = await it.eventLog.next('reconnecting');
      // The last attempts after the first disconnect may have failed before the server was back.
      while (turn === 2 && count === 1 && attempt > 4)
        ({ attempt, delay, error } = await it.eventLog.next('reconnecting'));
      assert.equal(attempt, count);
      // Until the server is dead, its port still accepts.
      const codes = count === 1 ? ['ERR_SSH_DISCONNECTED'] : ['ECONNREFUSED', 'ERR_SSH_DISCONNECTED'];
      assert.ok(codes.includes(error.code), error.code);
      // A second disconnect continues with the longest delay, unless the session lasted for maxDelay: on a machine that
      // is too busy to tell, the delays may also start over.
      goesOn ??= performance.now() - ready < maxDelay / 2;
      // Such an end before the identification is that of a busy server, and doubles nothing.
      if (count > 1 && error.lossReason === 'unidentified') {
        busy++;
        continue;
      }
      const starting = Math.min(20 * 2 ** (count - 1 - busy), maxDelay);
      const longest = turn === 1 ? starting : maxDelay;
      const shortest = goesOn ? longest : starting;
      assert.ok(delay >= shortest / 2 && delay <= longest, `${delay} ms before attempt ${count}`);
    }
    await server.restart();
  }
  await it.eventLog.next('ready');
  await assertBack(it);
});

test('three losses of short sessions that carried data are three short waits', async (t) => {
  const it = await connected(t, { reconnect: { initialDelay: 100 } });
  for (let turn = 0; turn < 4; turn++) {
    await it.eventLog.next('ready');
    await exchange(await it.connect());
    server.killSessions();
    const { attempt, delay } = await it.eventLog.next('reconnecting');
    assert.equal(attempt, 1);
    assert.ok(delay >= 50 && delay <= 100, `${delay} ms after loss ${turn}`);
  }
});

test('a server that is busy (MaxStartups) is named, and asked again soon', async (t) => {
  const own = await Sshd.start({ maxStartups: '1' });
  t.after(() => own.stop());
  const holder = net.connect(own.port, '127.0.0.1');
  t.after(() => holder.destroy());
  await once(holder, 'data'); // its identification: not authenticated
  const reconnect = { initial: true, initialDelay: 40, maxDelay: 10_000 };
  const { tunnel, eventLog } = withoutForward(t, own.login, { reconnect });
  const connecting = tunnel.promises.connect();
  for (let count = 1; count <= 4; count++) {
    const { attempt, delay, error } = await eventLog.next('reconnecting');
    assert.equal(attempt, count);
    assert.ok(delay >= 20 && delay <= 40, `${delay} ms before attempt ${count}`);
    assertIncludes(error, { code: 'ERR_SSH_DISCONNECTED', lossReason: 'unidentified' });
    assert.match(error.message, /waited for the server to identify itself, as sshd does above MaxStartups/);
    assert.match(error.banner ?? 'Exceeded MaxStartups', /Exceeded MaxStartups/);
  }
  holder.destroy();
  await connecting;
});

test('a session made by connect() reconnects too', async (t) => {
  const tunnel = makeTunnel(t, server.login, 1, { reconnect: SOON });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  await eventLog.next('ready');
  server.killSessions();
  await eventLog.next('reconnecting');
  await eventLog.next('ready');
  assert.equal(tunnel.listening, false);
  await tunnel.promises.startListening();
  assert.deepEqual(eventLog.names(), ['ready', 'reconnecting', 'ready', 'listening']);
});

test('the first delay is about a second by default', async (t) => {
  const { eventLog } = await connected(t, { reconnect: true });
  server.killSessions();
  const { delay } = await eventLog.next('reconnecting');
  assert.ok(delay >= 500 && delay <= 1000, `${delay} ms`);
});

test('a tunnel does not reconnect without the option', async (t) => {
  const { eventLog } = await connected(t, { reconnect: false });
  server.killSessions();
  assert.equal((await eventLog.next('error')).code, 'ERR_SSH_DISCONNECTED');
  await eventLog.next('close');
  assert.deepEqual(eventLog.all('reconnecting'), []);
});

test('20 reconnects leave nothing behind', { timeout: 60_000 }, async (t) => {
  const others = await Child.start('peer-process.mjs');
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => Promise.all([others.stop(), child.stop()]));
  const forwardPort = await others.ask('behavior', 'echo');
  const port = await child.ask('listen', {
    ...server.login,
    forwardHost: '127.0.0.1',
    forwardPort,
    reconnect: SOON,
  });
  const rounds = async (count) => {
    for (let round = 0; round < count; round++) {
      const client = await connectTo(port);
      await exchange(client);
      server.killSessions();
      assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
      client.socket.destroy();
    }
    for (const { code } of await child.ask('ended', count)) assert.equal(code, CUT.code);
    // A connection through the last session: it is up.
    const client = await connectTo(port);
    await exchange(client);
    await client.reset();
    await child.ask('ended', 1);
    return child.ask('resources');
  };
  const before = await rounds(5); // what grows only once has grown
  const after = await rounds(20);
  const grown = after.memory - before.memory;
  t.diagnostic(`memory ${(grown / MIB).toFixed(1)} MiB more`);
  assert.equal(after.descriptors, before.descriptors);
  assert.ok(grown < 4 * MIB, `${grown} bytes more`);
});

test('keyboard-interactive prompts are shown for each session', async (t) => {
  const ssh2 = await Ssh2Server.start({
    authenticate: (context) => {
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
      return context.prompt([{ prompt: 'Code: ', echo: false }], ([code]) => {
        if (code === '123') context.accept();
        else context.reject();
      });
    },
  });
  t.after(() => ssh2.stop());
  const { password, ...login } = ssh2.login;
  const tunnel = makeTunnel(t, login, 1, { tryKeyboard: true, reconnect: SOON });
  const eventLog = new EventLog(tunnel);
  let asked = 0;
  tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => {
    asked++;
    finish(['123']);
  });
  await tunnel.promises.connect();
  await eventLog.next('ready');
  ssh2.dropSessions();
  await eventLog.next('ready');
  assert.equal(asked, 2);
});

/** Runs a program with a tunnel whose session is killed once it has a connection. */
async function breakIn(program, reconnect) {
  const own = await Ssh2Server.start({ onOpen: (open) => open.accept() });
  const options = { ...own.login, forwardHost: '127.0.0.1', forwardPort: 1, reconnect };
  const running = runModule(`
    import net from 'node:net';
    import { SSHTunnel } from './index.js';
    const tunnel = new SSHTunnel(${JSON.stringify(options)});
    await tunnel.promises.startListening();
    net.connect(tunnel.localPort, '127.0.0.1').on('error', () => {});
    ${program}
  `);
  await own.nextChannel();
  own.dropSessions();
  const { code, stdout, stderr } = await running;
  await own.stop();
  return [code, stdout, stderr];
}

test('reconnecting keeps the process alive', async () => {
  const program = `tunnel.once('ready', () => { console.log('ready'); tunnel.shutdown(() => {}); });`;
  assert.deepEqual(await breakIn(program, { initialDelay: 200 }), [0, 'ready\n', '']);
});

test('unref() lets a reconnecting process exit', async () => {
  const program = `tunnel.on('reconnecting', ({ attempt }) => { console.log(attempt); tunnel.unref(); });`;
  assert.deepEqual(await breakIn(program, { initialDelay: 600_000 }), [0, '1\n', '']);
});
