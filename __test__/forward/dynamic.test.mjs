// Dynamic forwards: SOCKS handshakes by real clients and byte by byte.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { ensurePackages } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { KIB, Target, behaviors, patternHash, refusingPort } from '../helpers/peers.mjs';
import { descriptors } from '../helpers/process.mjs';
import {
  ADDRESS_TYPE_NOT_SUPPORTED,
  COMMAND_NOT_SUPPORTED,
  FAILED,
  GRANTED,
  HOST_UNREACHABLE,
  NOT_ALLOWED,
  REFUSED,
  ask5,
  assertBulk,
  assertDecided,
  assertLoginRequired,
  assertRefused,
  assertSplitHandshake,
  assertToldAndEnded,
  connectSocks,
  curl,
  greeting,
  reply4,
  reply5,
  request4,
  request5,
  take,
} from '../helpers/socks.mjs';
import { REASONS, Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertEcho, assertIncludes, listed, openDynamic } from '../helpers/tunnels.mjs';

assert.ok(ensurePackages(['curl'], ['curl']), 'curl is needed for the tests');
const server = await Sshd.start();
after(() => server.stop());
const echo = await Target.start(behaviors.echo());
after(() => echo.stop());
const site = http.createServer((request, response) => response.end(`for ${request.headers.host}`));
site.listen(0, '127.0.0.1');
await once(site, 'listening');
after(() => site.close());
const sitePort = site.address().port;

async function openSsh2(t, onOpen) {
  const ssh2 = await Ssh2Server.start({ onOpen });
  t.after(() => ssh2.stop());
  return ssh2;
}

test('forwardDynamic() returns a forward without a target', async (t) => {
  const { tunnel, forward, port } = await openDynamic(t, server);
  assertIncludes(forward, {
    kind: 'dynamic',
    listening: true,
    localHost: '127.0.0.1',
    forwardHost: undefined,
    forwardPort: undefined,
  });
  assert.ok(port > 0);
  assert.deepEqual(tunnel.forwards(), [forward]);
});

test('curl connects with SOCKS 4, 4a and 5, by address and by name', async (t) => {
  const { eventLog, forward, port } = await openDynamic(t, server);
  for (const [option, host, target] of [
    ['--socks5', '127.0.0.1', '127.0.0.1'],
    ['--socks5-hostname', '127.0.0.1', '127.0.0.1'],
    ['--socks5-hostname', 'localhost', 'localhost'],
    ['--socks4', '127.0.0.1', '127.0.0.1'],
    ['--socks4a', 'localhost', 'localhost'],
  ]) {
    const { code, stdout, stderr } = await curl(option, `127.0.0.1:${port}`, `http://${host}:${sitePort}/`);
    assert.deepEqual([code, stdout], [0, `for ${host}:${sitePort}`], `${option} ${host}: ${stderr}`);
    const { forwardId } = forward;
    assertIncludes(await eventLog.next('connection'), { forwardId, forwardHost: target, forwardPort: sitePort });
    assertIncludes(await eventLog.next('disconnected'), { forwardId, code: 'OK', clean: true });
  }
});

test('names are resolved by the server only', async (t) => {
  const asked = [];
  const ssh2 = await openSsh2(t, (open) => {
    asked.push([open.destIP, open.destPort]);
    open.accept();
  });
  const { port } = await openDynamic(t, ssh2);
  const { peer, code } = await ask5(port, 'only.there.invalid', 80);
  assert.equal(code, GRANTED);
  peer.socket.destroy();
  const older = await connectSocks(port);
  older.socket.write(request4('there.too.invalid', 443));
  assert.equal(await reply4(older), 90);
  older.socket.destroy();
  const { peer: last, code: third } = await ask5(port, '192.0.2.7', 9, { name: true });
  assert.equal(third, GRANTED);
  last.socket.destroy();
  assert.deepEqual(asked, [
    ['only.there.invalid', 80],
    ['there.too.invalid', 443],
    ['192.0.2.7', 9],
  ]);
});

test('a target with an IPv6 address', async (t) => {
  const target = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  target.listen(0, '::1');
  await once(target, 'listening');
  t.after(() => target.close());
  const { eventLog, port } = await openDynamic(t, server);
  const { peer, code } = await ask5(port, '::1', target.address().port);
  assert.equal(code, GRANTED);
  assertIncludes(await eventLog.next('connection'), { forwardHost: '::1', forwardPort: target.address().port });
  await assertEcho(peer);
});

test('bulk data passes both ways, and the handshake is not counted', async (t) => {
  await assertBulk(await openDynamic(t, server), echo);
});

for (const [version, words, answers] of [
  ['5', (port) => [greeting(0), request5('127.0.0.1', port)], 12],
  ['4', (port) => [request4('127.0.0.1', port)], 8],
  ['4a', (port) => [request4('localhost', port)], 8],
]) {
  test(`SOCKS ${version}: data in the same segment as the request arrives`, async (t) => {
    const target = await Target.start(behaviors.replier(KIB));
    t.after(() => target.stop());
    const { eventLog, port } = await openDynamic(t, server);
    const peer = await connectSocks(port);
    // These begin with a version byte and must not be taken for a message.
    const data = Buffer.concat([Buffer.of(5, 1, 0, 4, 1), Buffer.alloc(100, 5)]);
    peer.socket.end(Buffer.concat([...words(target.port), data]));
    await take(peer, answers);
    peer.read();
    assertIncludes(await peer.ended, { bytes: KIB, sha256: patternHash(KIB), end: 'FIN' });
    assertIncludes(await (await target.next()).ended, { bytes: data.length, end: 'FIN' });
    assertIncludes(await eventLog.next('disconnected'), {
      code: 'OK',
      clean: true,
      bytesUp: data.length,
      bytesDown: KIB,
    });
  });
}

test('a handshake split into single bytes succeeds', async (t) => {
  const { port } = await openDynamic(t, server);
  await assertSplitHandshake(port, echo);
});

for (const linger of [true, false, { l_onoff: 1, l_linger: 5 }]) {
  const name = JSON.stringify(linger);
  test(`a refusal by sshd gets its reply code before FIN: ${name}`, async (t) => {
    const refusing = await refusingPort();
    t.after(() => refusing.stop());
    const dynamic = await openDynamic(t, server, { linger });
    const failed = { code: 'ERR_SSH_OPEN_CONNECT_FAILED' };
    await assertRefused(dynamic, ['127.0.0.1', refusing.port], REFUSED, failed);
    await assertRefused(dynamic, ['nowhere.invalid', 80], HOST_UNREACHABLE, failed);
    await assertRefused(dynamic, ['224.0.0.1', 80], FAILED, failed); // sshd has no reason for it
    await assertRefused(dynamic, ['127.0.0.1', refusing.port, { behind: 'eager' }], REFUSED, {
      ...failed,
      droppedUp: 5,
    });
    const older = await connectSocks(dynamic.port);
    older.socket.write(request4('127.0.0.1', refusing.port));
    assert.equal(await reply4(older), 91);
    await assertToldAndEnded(older, dynamic.eventLog, failed);
  });
}

test('curl reports the reason of a refusal', async (t) => {
  const refusing = await refusingPort();
  t.after(() => refusing.stop());
  const { port } = await openDynamic(t, server);
  for (const [url, code] of [
    [`http://127.0.0.1:${refusing.port}/`, REFUSED],
    ['http://nowhere.invalid/', HOST_UNREACHABLE],
  ]) {
    const { code: status, stderr } = await curl('--socks5-hostname', `127.0.0.1:${port}`, url);
    assert.equal(status, 97, stderr);
    assert.match(stderr, new RegExp(`SOCKS5 connection .*\\(${code}\\)`));
  }
});

test("a target forbidden by the server gets 'not allowed by ruleset'", async (t) => {
  const strict = await Sshd.start({ config: [`PermitOpen 127.0.0.1:${echo.port}`] });
  t.after(() => strict.stop());
  const dynamic = await openDynamic(t, strict);
  const prohibited = { code: 'ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED' };
  await assertRefused(dynamic, ['127.0.0.2', echo.port], NOT_ALLOWED, prohibited);
  await assertRefused(dynamic, ['nowhere.invalid', 80], NOT_ALLOWED, prohibited);
  const { peer, code } = await ask5(dynamic.port, '127.0.0.1', echo.port);
  assert.equal(code, GRANTED);
  await assertEcho(peer);
});

test('other refusals, and none at all, get a reply code', async (t) => {
  const ssh2 = await openSsh2(t, (open) => {
    if (open.destPort > 0 && open.destPort < 5) open.reject(open.destPort);
  });
  const dynamic = await openDynamic(t, ssh2, { readyTimeout: 1000 });
  for (const [reason, code] of [
    ['RESOURCE_SHORTAGE', FAILED],
    ['UNKNOWN_CHANNEL_TYPE', FAILED],
    ['CONNECT_FAILED', REFUSED],
  ]) {
    await assertRefused(dynamic, ['remoteEnd', REASONS[reason]], code, { code: `ERR_SSH_OPEN_${reason}` });
  }
  await assertRefused(dynamic, ['remoteEnd', 80], FAILED, { code: 'ETIMEDOUT' });
});

test('a disconnect before the channel opens gets a reply', async (t) => {
  const ssh2 = await openSsh2(t, () => ssh2.dropSessions());
  const dynamic = await openDynamic(t, ssh2);
  const { peer, code } = await ask5(dynamic.port, 'remoteEnd', 80);
  assert.equal(code, FAILED);
  await assertToldAndEnded(peer, dynamic.eventLog, { code: 'ERR_SSH_DISCONNECTED' });
});

test('connectionRequest is emitted once the target is known', async (t) => {
  await assertDecided(await openDynamic(t, server), echo);
});

test('unsupported commands and address types get a reply', async (t) => {
  const dynamic = await openDynamic(t, server);
  const { eventLog, port } = dynamic;
  const report = { code: 'ERR_TUNNEL_SOCKS' };
  await assertRefused(dynamic, ['127.0.0.1', 1, { command: 2 }], COMMAND_NOT_SUPPORTED, report); // BIND
  await assertRefused(dynamic, ['127.0.0.1', 1, { command: 3 }], COMMAND_NOT_SUPPORTED, report); // UDP ASSOCIATE
  await assertRefused(dynamic, ['two\nlines', 1], FAILED, report);
  const older = await connectSocks(port);
  older.socket.write(request4('127.0.0.1', 1, { command: 2 }));
  assert.equal(await reply4(older), 91);
  await assertToldAndEnded(older, eventLog, report);
  const strange = await connectSocks(port);
  strange.socket.write(Buffer.concat([greeting(0), Buffer.of(5, 1, 0, 2)]));
  await take(strange, 2);
  assert.equal(await reply5(strange), ADDRESS_TYPE_NOT_SUPPORTED);
  await assertToldAndEnded(strange, eventLog, report);
});

test('username and password are required when set', async (t) => {
  const password = `s\u00e9cret: ${'x'.repeat(100)}`;
  const { eventLog, port } = await openDynamic(t, server, {}, { username: 'anna', password });
  const through = (...args) => curl('--socks5', `127.0.0.1:${port}`, ...args, `http://127.0.0.1:${sitePort}/`);
  const right = await through('--proxy-user', `anna:${password}`);
  assert.deepEqual([right.code, right.stdout], [0, `for 127.0.0.1:${sitePort}`], right.stderr);
  await eventLog.next('disconnected');
  for (const user of ['anna:wrong', `berta:${password}`, 'anna:x']) {
    const { code, stderr } = await through('--proxy-user', user);
    assert.equal(code, 97, stderr);
    assertIncludes(await eventLog.next('disconnected'), { code: 'ERR_TUNNEL_SOCKS_AUTH', closedBy: 'graceful' });
  }
  const { code } = await through();
  assert.equal(code, 97);
  assertIncludes(await eventLog.next('disconnected'), { code: 'ERR_TUNNEL_SOCKS_AUTH' });

  // Message by message.
  await assertLoginRequired({ eventLog, port }, echo);
  for (const { reason } of eventLog.all('disconnected')) assert.ok(!/x{10}|anna|berta/.test(reason), reason);
});

test('clients of other protocols, early ends and silence are closed', async (t) => {
  const { tunnel, eventLog, port } = await openDynamic(t, server, { readyTimeout: 1000 });
  const before = descriptors();

  const web = await connectSocks(port);
  web.read().socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.equal((await web.ended).end, 'ECONNRESET');
  assertIncludes(await eventLog.next('disconnected'), { code: 'ERR_TUNNEL_SOCKS', closedBy: 'reset' });

  for (const words of [
    Buffer.alloc(0),
    greeting(0),
    request5('localhost', 1).subarray(0, 4),
    request4('there', 1).subarray(0, 12),
  ]) {
    const leaver = await connectSocks(port);
    leaver.read().socket.end(words);
    assert.equal((await leaver.ended).end, 'ECONNRESET');
    assertIncludes(await eventLog.next('disconnected'), { code: 'ERR_TUNNEL_SOCKS', closedBy: 'reset' });
  }

  const breaker = await connectSocks(port);
  await listed(tunnel, 1);
  await breaker.reset();
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNRESET' });

  for (const words of [Buffer.alloc(0), greeting(0), request4('there', 1).subarray(0, 12)]) {
    const silent = await connectSocks(port);
    silent.read().socket.write(words);
    assert.equal((await silent.ended).end, 'ECONNRESET');
    assertIncludes(await eventLog.next('disconnected'), { code: 'ETIMEDOUT', closedBy: 'reset' });
  }
  assert.deepEqual(await tunnel.promises.connections(), []);
  assert.equal(descriptors(), before);
});

test('SOCKS works on a Unix socket', async (t) => {
  const folder = temporaryFolder('socks');
  t.after(() => folder.remove());
  const localPath = join(folder.path, 'socket');
  const { forward } = await openDynamic(t, server, {}, { localPath });
  assertIncludes(forward, { kind: 'dynamic', localPath, localPort: undefined });
  const { code, stdout, stderr } = await curl(
    '--proxy',
    `socks5h://localhost${localPath}`,
    `http://127.0.0.1:${sitePort}/`,
  );
  assert.deepEqual([code, stdout], [0, `for 127.0.0.1:${sitePort}`], stderr);
  const refusing = await refusingPort();
  t.after(() => refusing.stop());
  const refused = await curl('--proxy', `socks5h://localhost${localPath}`, `http://127.0.0.1:${refusing.port}/`);
  assert.equal(refused.code, 97);
  assert.match(refused.stderr, /\(5\)/);
});

for (const sessions of [1, 2]) {
  test(`a hundred simultaneous clients over ${sessions} session(s)`, async (t) => {
    const { tunnel, port } = await openDynamic(t, server, { sessions });
    const open = async (_, index) => {
      if (index % 2 === 0) return ask5(port, 'localhost', echo.port);
      const peer = await connectSocks(port);
      peer.socket.write(request4('127.0.0.1', echo.port));
      return { peer, code: (await reply4(peer)) - 90 };
    };
    const all = await Promise.all(Array.from({ length: 100 }, open));
    for (const { code } of all) assert.equal(code, GRANTED);
    await Promise.all(all.map(({ peer }) => assertEcho(peer)));
    await tunnel.promises.shutdown();
  });
}

test('invalid arguments throw without showing secrets', async (t) => {
  const { tunnel } = await openDynamic(t, server);
  const refused = (options, code, pattern) =>
    assert.throws(
      () => tunnel.forwardDynamic(options, () => {}),
      (error) => {
        assert.equal(error.code, code);
        assert.match(error.message, pattern);
        assert.doesNotMatch(error.message, /s3cret/);
        return true;
      },
    );
  refused({ username: 'anna' }, 'ERR_INVALID_ARG_TYPE', /options\.password/);
  refused({ password: 's3cret' }, 'ERR_INVALID_ARG_TYPE', /options\.username/);
  refused({ username: 'anna', password: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.password/);
  refused({ username: 'anna', password: '' }, 'ERR_INVALID_ARG_VALUE', /options\.password/);
  refused({ username: '', password: 's3cret' }, 'ERR_INVALID_ARG_VALUE', /options\.username/);
  refused({ username: 'anna', password: 's3cret'.repeat(50) }, 'ERR_INVALID_ARG_VALUE', /options\.password/);
  refused({ username: '\u00e9'.repeat(128), password: 's3cret' }, 'ERR_INVALID_ARG_VALUE', /options\.username/);
  refused({ localPort: 65536 }, 'ERR_OUT_OF_RANGE', /options\.localPort/);
  assert.equal(tunnel.forwards().length, 1);
});
