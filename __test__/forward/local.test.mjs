// Local forwards: several ports and Unix sockets of one session, each with its own target.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { KIB, Target, behaviors, refuses, refusingPort } from '../helpers/peers.mjs';
import { memory } from '../helpers/process.mjs';
import { SIZE, WHOLE, makeForwarding, roundTrip, socketFolder, to } from '../helpers/forwards.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, listed } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const { path, remove } = socketFolder();
after(async () => {
  await server.stop();
  remove();
});

test("forwards of one session have their own targets, beside the tunnel's", async (t) => {
  const own = await Target.start(behaviors.echo());
  t.after(() => own.stop());
  const { tunnel, eventLog, target, client } = makeForwarding(t, server, to(own));
  const targets = [await target(behaviors.echo()), await target(behaviors.echo())];
  const forwards = await Promise.all(targets.map((it) => tunnel.promises.forwardLocal(to(it))));
  assert.equal(tunnel.listening, false);
  await tunnel.promises.startListening();
  assert.deepEqual(tunnel.forwards(), forwards);
  assert.equal(new Set([tunnel.localPort, ...forwards.map(({ localPort }) => localPort)]).size, 3);

  const ways = [
    [tunnel.localPort, own, 0],
    ...forwards.map((it, index) => [it.localPort, targets[index], it.forwardId]),
  ];
  for (const [port, remoteEnd, forwardId] of ways) {
    const local = await client(port);
    const info = await eventLog.next('connection');
    assertIncludes(info, {
      forwardId,
      forwardHost: '127.0.0.1',
      forwardPort: remoteEnd.port,
      localPort: port,
      remotePort: local.socket.localPort,
    });
    await roundTrip(local, remoteEnd);
    const end = await eventLog.next('disconnected');
    assertIncludes(end, {
      connectionId: info.connectionId,
      forwardId,
      code: 'OK',
      clean: true,
      bytesUp: SIZE,
      bytesDown: SIZE,
    });
  }
  assert.equal(server.log().match(/^Accepted publickey/gm).length, 1);
  await tunnel.promises.shutdown();
  assert.deepEqual(tunnel.forwards(), []);
  for (const [port] of ways) assert.ok(await refuses(port));
});

test('forwardLocal() returns the address it listens on', async (t) => {
  const { tunnel } = makeForwarding(t, server);
  const forward = await tunnel.promises.forwardLocal({ localHost: 'localhost', forwardHost: 'db', forwardPort: 5432 });
  const { localPort, localHost, ...rest } = forward;
  assert.ok(net.isIP(localHost) && localPort > 0);
  assert.deepEqual(rest, { forwardId: 1, kind: 'local', forwardHost: 'db', forwardPort: 5432 });
  assert.equal(forward.listening, true);
  const at = path();
  const { ...unix } = await tunnel.promises.forwardLocal({ localPath: at, forwardPath: '/run/db.sock' });
  assert.deepEqual(unix, { forwardId: 2, kind: 'local', localPath: at, forwardPath: '/run/db.sock' });
});

test('forwardLocal() works in the blocking and callback forms', async (t) => {
  const { tunnel, target, client } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const first = tunnel.forwardLocal(to(echo));
  assert.equal(first.listening, true);
  const second = await new Promise((resolve, reject) => {
    tunnel.forwardLocal(to(echo), (error, forward) => (error ? reject(error) : resolve(forward)));
  });
  await roundTrip(await client(second.localPort), echo);
  first.stop();
  assert.equal(first.listening, false);
  assert.ok(await refuses(first.localPort));
  await new Promise((resolve) => second.stop(resolve));
  assert.ok(await refuses(second.localPort));
  second.stop();
});

test('a port in use fails one forward and keeps the others', async (t) => {
  const { tunnel, eventLog, target, client } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const forward = await tunnel.promises.forwardLocal(to(echo));
  const taken = tunnel.promises.forwardLocal({ ...to(echo), localPort: forward.localPort });
  await assert.rejects(taken, { code: 'EADDRINUSE', syscall: 'listen', address: '127.0.0.1', port: forward.localPort });
  assert.deepEqual(tunnel.forwards(), [forward]);
  await roundTrip(await client(forward.localPort), echo);
  assert.deepEqual(eventLog.all('error'), []);
});

test('a port in use ends a session that was made for it', async (t) => {
  const holder = await Target.start();
  t.after(() => holder.stop());
  const { tunnel, eventLog } = makeForwarding(t, server);
  const taken = tunnel.promises.forwardLocal({ localPort: holder.port, forwardHost: 'h', forwardPort: 1 });
  await assert.rejects(taken, { code: 'EADDRINUSE' });
  await eventLog.next('close');
  assert.deepEqual(eventLog.names(), ['ready', 'close']);
});

test('stop() closes its port and keeps its connections and other forwards', async (t) => {
  const { tunnel, eventLog, target, client } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const [first, second] = [await tunnel.promises.forwardLocal(to(echo)), await tunnel.promises.forwardLocal(to(echo))];
  const local = await client(first.localPort);
  await eventLog.next('connection');
  const remoteEnd = await echo.next();
  await first.promises.stop();
  assert.deepEqual([first.listening, tunnel.forwards()], [false, [second]]);
  assert.ok(await refuses(first.localPort));

  await local.send(SIZE);
  local.end();
  assertIncludes(await local.ended, WHOLE);
  assertIncludes(await remoteEnd.ended, WHOLE);
  await roundTrip(await client(second.localPort), echo);
  // The last forward ends the session.
  await second.promises.stop();
  await eventLog.next('close');
  const third = await tunnel.promises.forwardLocal(to(echo));
  assert.equal(third.forwardId, 3);
  await roundTrip(await client(third.localPort), echo);
});

test("stopListening() closes only the constructor's port, and the session stays for other forwards", async (t) => {
  const { tunnel, eventLog, target, client } = makeForwarding(t, server, { forwardHost: '127.0.0.1', forwardPort: 1 });
  const echo = await target(behaviors.echo());
  await tunnel.promises.startListening();
  const forward = await tunnel.promises.forwardLocal(to(echo));
  await tunnel.promises.stopListening();
  await roundTrip(await client(forward.localPort), echo);
  assert.deepEqual(eventLog.all('close'), []);
});

test('startListening() fails without forwardHost', async (t) => {
  const { tunnel } = makeForwarding(t, server);
  assert.deepEqual([tunnel.localPort, tunnel.listening], [0, false]);
  const message = 'there is nothing to listen for: the tunnel has no forwardHost';
  const error = { name: 'Error', code: 'ERR_TUNNEL_NO_FORWARD', message };
  assert.throws(() => tunnel.startListening(), error);
  await assert.rejects(tunnel.promises.startListening(), error);
  tunnel.stopListening();
});

test('invalid options throw', async (t) => {
  const { tunnel } = makeForwarding(t, server);
  const target = { forwardHost: 'h', forwardPort: 1 };
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };
  for (const [options, error] of [
    [undefined, type],
    [5, type],
    [null, type],
    [[], type],
    [{}, type],
    [{ forwardHost: 'h' }, type],
    [{ forwardPort: 1 }, type],
    [{ ...target, forwardHost: '' }, value],
    [{ ...target, forwardPort: 0 }, range],
    [{ ...target, forwardPort: 65536 }, range],
    [{ ...target, forwardPort: '1' }, type],
    [{ ...target, localPort: -1 }, range],
    [{ ...target, localPort: 65536 }, range],
    [{ ...target, localHost: 5 }, type],
    [{ ...target, localPath: '' }, value],
    [{ ...target, localPath: 5 }, type],
    [{ ...target, localPath: 'a\0b' }, value],
    [{ ...target, localPath: 'x'.repeat(108) }, value],
    [{ ...target, localPath: '/x', localPort: 0 }, value],
    [{ ...target, localPath: '/x', localHost: '::1' }, value],
    [{ ...target, forwardPath: '/x' }, value],
    [{ forwardPath: '' }, value],
    [{ forwardPath: 5 }, type],
    [{ forwardPath: 'a\0' }, value],
  ]) {
    assert.throws(() => tunnel.forwardLocal(options), error, JSON.stringify(options));
    await assert.rejects(tunnel.promises.forwardLocal(options), error);
  }
  assert.throws(() => tunnel.forwardLocal(target, 5), type);
  assert.deepEqual(tunnel.forwards(), []);
});

test('a failed connect fails every pending forward', async (t) => {
  const refusing = await refusingPort();
  t.after(refusing.stop);
  const { tunnel, eventLog } = makeForwarding(t, server, { port: refusing.port });
  const options = { forwardHost: 'h', forwardPort: 1 };
  const asked = [
    tunnel.promises.forwardLocal(options),
    tunnel.promises.forwardLocal(options),
    tunnel.promises.connect(),
  ];
  // All at once: a promise that rejects while another one is awaited has no handler yet.
  await Promise.all(asked.map((it) => assert.rejects(it, { code: 'ECONNREFUSED' })));
  assert.deepEqual([tunnel.forwards(), eventLog.names()], [[], []]);
});

test('shutdown() fails pending forwards, and later ones start a new session', async (t) => {
  const { tunnel, target, client } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const early = tunnel.promises.forwardLocal(to(echo));
  const down = tunnel.promises.shutdown();
  const late = tunnel.promises.forwardLocal(to(echo));
  await assert.rejects(early, { code: 'ERR_TUNNEL_CLOSED' });
  await down;
  const forward = await late;
  await roundTrip(await client(forward.localPort), echo);
});

test('a final disconnect closes all ports', async (t) => {
  const { tunnel, eventLog, target } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const forwards = [
    await tunnel.promises.forwardLocal(to(echo)),
    await tunnel.promises.forwardLocal({ ...to(echo), localPath: path() }),
  ];
  server.killSessions();
  assert.equal((await eventLog.next('error')).code, 'ERR_SSH_DISCONNECTED');
  await eventLog.next('close');
  assert.deepEqual(tunnel.forwards(), []);
  assert.ok(await refuses(forwards[0].localPort));
  assert.equal(existsSync(forwards[1].localPath), false);
});

test('with reconnect all ports stay, and connections wait for the next session', async (t) => {
  const { tunnel, eventLog, target, client } = makeForwarding(t, server, { reconnect: { initialDelay: 1 } });
  const targets = [await target(behaviors.echo()), await target(behaviors.echo())];
  const at = path();
  const forwards = [
    await tunnel.promises.forwardLocal(to(targets[0])),
    await tunnel.promises.forwardLocal({ ...to(targets[1]), localPath: at }),
  ];
  await eventLog.next('ready');
  const cut = await client(forwards[0].localPort);
  await eventLog.next('connection');
  await targets[0].next();
  await cut.send(KIB);
  await cut.received(KIB);
  server.killSessions();
  assert.equal((await cut.ended).end, 'ECONNRESET');
  assert.deepEqual(
    forwards.map(({ listening }) => listening),
    [true, true],
  );
  const waiting = [await client(forwards[0].localPort), await client(at)];
  for (const [index, it] of waiting.entries()) await roundTrip(it, targets[index]);
  await eventLog.next('ready');
});

test('stop() ends only its own waiting connections', async (t) => {
  const { tunnel, eventLog, target, client } = makeForwarding(t, server, { reconnect: { initialDelay: 60_000 } });
  const echo = await target(behaviors.echo());
  const [first, second] = [await tunnel.promises.forwardLocal(to(echo)), await tunnel.promises.forwardLocal(to(echo))];
  server.killSessions();
  await eventLog.next('reconnecting');
  const [gone, kept] = [await client(first.localPort), await client(second.localPort)];
  await listed(tunnel, 2);
  await first.promises.stop();
  assert.equal((await gone.ended).end, 'ECONNRESET');
  assertIncludes(await eventLog.next('disconnected'), { forwardId: first.forwardId, code: 'ECONNABORTED' });
  await tunnel.promises.connect();
  await roundTrip(kept, echo);
});

test('several sessions serve all forwards', async (t) => {
  const { tunnel, target, client } = makeForwarding(t, server, { sessions: 2 });
  const targets = [await target(behaviors.echo()), await target(behaviors.echo())];
  const at = path();
  const forwards = [
    await tunnel.promises.forwardLocal(to(targets[0])),
    await tunnel.promises.forwardLocal({ ...to(targets[1]), localPath: at }),
  ];
  const clients = await Promise.all(
    Array.from({ length: 10 }, (_, index) => client(index % 2 ? at : forwards[0].localPort)),
  );
  await Promise.all(
    clients.map(async (local) => {
      await local.send(SIZE);
      local.end();
      assertIncludes(await local.ended, WHOLE);
    }),
  );
  for (const it of targets)
    for (let count = 0; count < 5; count++) assertIncludes(await (await it.next()).ended, WHOLE);
});

test('a connectionRequest names its forward', async (t) => {
  const { tunnel, target, client } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const forward = await tunnel.promises.forwardLocal({ ...to(echo), localPath: path() });
  tunnel.once('connectionRequest', (request) => {
    assertIncludes(request, { forwardId: forward.forwardId, remoteAddress: undefined, remotePort: undefined });
    request.accept();
  });
  await roundTrip(await client(forward.localPath), echo);
});

test('stopped forwards are released', async (t) => {
  const { tunnel } = makeForwarding(t, server);
  await tunnel.promises.connect(); // or each forward would have a session of its own
  const seen = [];
  for (let count = 0; count < 200; count++) {
    const forward = await tunnel.promises.forwardLocal({ forwardHost: '127.0.0.1', forwardPort: 1 });
    seen.push(new WeakRef(forward));
    await forward.promises.stop();
  }
  await new Promise(setImmediate); // WeakRefs dereferenced in this turn are kept alive until its end
  memory(); // collects garbage
  assert.ok(seen.filter((forward) => forward.deref() !== undefined).length < 100);
  assert.deepEqual(tunnel.forwards(), []);
});

test('hundreds of forwards have their connections, and free their ports', async (t) => {
  const { tunnel, target, client } = makeForwarding(t, server);
  const echo = await target(behaviors.echo());
  const begun = Array.from({ length: 400 }, () => tunnel.promises.forwardLocal(to(echo)));
  const forwards = await Promise.all(begun);
  assert.equal(new Set(forwards.map(({ localPort }) => localPort)).size, forwards.length);
  const [first, middle, last] = [forwards[0], forwards[200], forwards[399]];
  for (const { localPort } of [last, first, middle, first]) await roundTrip(await client(localPort), echo);
  await middle.promises.stop();
  assert.ok(await refuses(middle.localPort));
  await roundTrip(await client(last.localPort), echo);
  const accepted = async (forward) => (await forward.promises.stats()).accepted;
  assert.deepEqual(await Promise.all([first, middle, last].map(accepted)), [2, 1, 2]);
  await tunnel.promises.shutdown();
  for (const { localPort } of [first, last]) assert.ok(await refuses(localPort));
});
