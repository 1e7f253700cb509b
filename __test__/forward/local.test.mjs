// Local forwards: several ports and Unix sockets of one session, each with its own target.

import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, describe } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import {
  KIB,
  MIB,
  PATTERN,
  Target,
  behaviours,
  connect,
  patternHash,
  refuses,
  refusingPort,
  settled,
} from '../helpers/peers.mjs';
import { descriptors, memory } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, listed } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const folder = temporaryFolder('forwards');
after(async () => {
  await server.stop();
  folder.remove();
});

const SIZE = MIB;
const WHOLE = { bytes: SIZE, sha256: patternHash(SIZE), end: 'FIN' };

let paths = 0;
const path = () => join(folder.path, `${++paths}.sock`);

/** A tunnel without the constructor's forward, and functions that make targets and clients. */
function make(t, options, { login } = server) {
  const tunnel = new SSHTunnel({ ...login, ...options });
  t.after(() => tunnel.promises.shutdown(), { timeout: 10_000 });
  const eventLog = new EventLog(tunnel);
  const target = async (behaviour, at) => {
    const it = await Target.start(behaviour, at);
    t.after(() => it.stop());
    return it;
  };
  const client = async (place, how) => {
    const it = await connect(place, how);
    t.after(() => it.socket.destroy());
    return it;
  };
  return { tunnel, eventLog, target, client };
}

const to = ({ port }) => ({ forwardHost: '127.0.0.1', forwardPort: port });

/** Sends so much through a forward to an echo, and asks both ends. */
async function roundTrip(client, target) {
  const remoteEnd = target.next();
  await client.send(SIZE);
  client.end();
  assertIncludes(await client.ended, WHOLE);
  assertIncludes(await (await remoteEnd).ended, WHOLE);
}

test("forwards of one session have their own targets, beside the tunnel's", async (t) => {
  const own = await Target.start(behaviours.echo());
  t.after(() => own.stop());
  const { tunnel, eventLog, target, client } = make(t, to(own));
  const targets = [await target(behaviours.echo()), await target(behaviours.echo())];
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
  const { tunnel } = make(t);
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
  const { tunnel, target, client } = make(t);
  const echo = await target(behaviours.echo());
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
  const { tunnel, eventLog, target, client } = make(t);
  const echo = await target(behaviours.echo());
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
  const { tunnel, eventLog } = make(t);
  const taken = tunnel.promises.forwardLocal({ localPort: holder.port, forwardHost: 'h', forwardPort: 1 });
  await assert.rejects(taken, { code: 'EADDRINUSE' });
  await eventLog.next('close');
  assert.deepEqual(eventLog.names(), ['ready', 'close']);
});

test('stop() closes its port and keeps its connections and other forwards', async (t) => {
  const { tunnel, eventLog, target, client } = make(t);
  const echo = await target(behaviours.echo());
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
  const { tunnel, eventLog, target, client } = make(t, { forwardHost: '127.0.0.1', forwardPort: 1 });
  const echo = await target(behaviours.echo());
  await tunnel.promises.startListening();
  const forward = await tunnel.promises.forwardLocal(to(echo));
  await tunnel.promises.stopListening();
  await roundTrip(await client(forward.localPort), echo);
  assert.deepEqual(eventLog.all('close'), []);
});

test('startListening() fails without forwardHost', async (t) => {
  const { tunnel } = make(t);
  assert.deepEqual([tunnel.localPort, tunnel.listening], [0, false]);
  const error = { name: 'Error', code: 'ERR_TUNNEL_NO_FORWARD', message: 'the tunnel was made without forwardHost' };
  assert.throws(() => tunnel.startListening(), error);
  await assert.rejects(tunnel.promises.startListening(), error);
  tunnel.stopListening();
});

test('invalid options throw', async (t) => {
  const { tunnel } = make(t);
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
  const { tunnel, eventLog } = make(t, { port: refusing.port });
  const options = { forwardHost: 'h', forwardPort: 1 };
  const asked = [
    tunnel.promises.forwardLocal(options),
    tunnel.promises.forwardLocal(options),
    tunnel.promises.connect(),
  ];
  for (const it of asked) await assert.rejects(it, { code: 'ECONNREFUSED' });
  assert.deepEqual([tunnel.forwards(), eventLog.names()], [[], []]);
});

test('shutdown() fails pending forwards, and later ones start a new session', async (t) => {
  const { tunnel, target, client } = make(t);
  const echo = await target(behaviours.echo());
  const early = tunnel.promises.forwardLocal(to(echo));
  const down = tunnel.promises.shutdown();
  const late = tunnel.promises.forwardLocal(to(echo));
  await assert.rejects(early, { code: 'ERR_TUNNEL_CLOSED' });
  await down;
  const forward = await late;
  await roundTrip(await client(forward.localPort), echo);
});

test('a final disconnect closes all ports', async (t) => {
  const { tunnel, eventLog, target } = make(t);
  const echo = await target(behaviours.echo());
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
  const { tunnel, eventLog, target, client } = make(t, { reconnect: { initialDelay: 1 } });
  const targets = [await target(behaviours.echo()), await target(behaviours.echo())];
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
  const { tunnel, eventLog, target, client } = make(t, { reconnect: { initialDelay: 60_000 } });
  const echo = await target(behaviours.echo());
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
  const { tunnel, target, client } = make(t, { sessions: 2 });
  const targets = [await target(behaviours.echo()), await target(behaviours.echo())];
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
  const { tunnel, target, client } = make(t);
  const echo = await target(behaviours.echo());
  const forward = await tunnel.promises.forwardLocal({ ...to(echo), localPath: path() });
  tunnel.once('connectionRequest', (request) => {
    assertIncludes(request, { forwardId: forward.forwardId, remoteAddress: undefined, remotePort: undefined });
    request.accept();
  });
  await roundTrip(await client(forward.localPath), echo);
});

describe('Unix sockets', () => {
  test('forward to a port, from a port, and to each other', async (t) => {
    const { tunnel, eventLog, target, client } = make(t);
    const echo = await target(behaviours.echo());
    const behind = path();
    const remoteEnd = await target(behaviours.echo(), behind);
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
    const { tunnel } = make(t);
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
    const { tunnel } = make(t);
    const at = path();
    writeFileSync(at, 'mine');
    t.after(() => rmSync(at));
    const asked = tunnel.promises.forwardLocal({ localPath: at, forwardHost: 'h', forwardPort: 1 });
    await assert.rejects(asked, { code: 'EADDRINUSE', syscall: 'listen', address: at });
    assert.ok(statSync(at).isFile());
    const nowhere = join(folder.path, 'missing', 'a:80');
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
      const { tunnel, eventLog, client } = make(t, {}, it);
      const forward = await tunnel.promises.forwardLocal({ forwardPath: join(folder.path, 'nobody') });
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
        const { tunnel, eventLog, target, client } = make(t, { linger });
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
    const { tunnel, eventLog, target, client } = make(t, { linger: false });
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
    const { tunnel, eventLog, target, client } = make(t, { linger: false });
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
    const { tunnel, eventLog, target, client } = make(t);
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
  const { tunnel, target, client } = make(t);
  const echo = await target(behaviours.echo());
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

test('stopped forwards are released', async (t) => {
  const { tunnel } = make(t);
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
