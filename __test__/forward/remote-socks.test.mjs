// Remote forwards whose clients, at the server, name their targets in SOCKS; the targets are connected to from here.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { ensurePackages } from '../helpers/ensure-sshd.mjs';
import { KIB, MIB, Target, behaviors, patternHash, refusingPort } from '../helpers/peers.mjs';
import {
  ADDRESS_TYPE_NOT_SUPPORTED,
  COMMAND_NOT_SUPPORTED,
  FAILED,
  GRANTED,
  HOST_UNREACHABLE,
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
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, listed, withoutForward } from '../helpers/tunnels.mjs';

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

/** A tunnel with a SOCKS proxy at the server, which is this machine. */
async function open(t, options, how = {}) {
  const { tunnel, eventLog } = withoutForward(t, server.login, options);
  const forward = await tunnel.promises.forwardRemote({ remoteHost: '127.0.0.1', socks: true, ...how });
  return { tunnel, eventLog, forward, port: forward.remotePort };
}

test('forwardRemote({ socks: true }) returns a remote forward without a target', async (t) => {
  const { tunnel, forward, port } = await open(t);
  const expected = { kind: 'remote', listening: true, remoteHost: '127.0.0.1' };
  assertIncludes(forward, { ...expected, forwardHost: undefined, forwardPort: undefined, forwardPath: undefined });
  assert.ok(port > 0);
  assert.deepEqual(tunnel.forwards(), [forward]);
});

for (const sessions of [1, 2]) {
  test(`curl connects with SOCKS 4, 4a and 5, by address and by name, with ${sessions} session(s)`, async (t) => {
    const { eventLog, forward, port } = await open(t, { sessions });
    for (const [option, host] of [
      ['--socks5', '127.0.0.1'],
      ['--socks5-hostname', '127.0.0.1'],
      ['--socks5-hostname', 'localhost'],
      ['--socks4', '127.0.0.1'],
      ['--socks4a', 'localhost'],
    ]) {
      const { code, stdout, stderr } = await curl(option, `127.0.0.1:${port}`, `http://${host}:${sitePort}/`);
      assert.deepEqual([code, stdout], [0, `for ${host}:${sitePort}`], `${option} ${host}: ${stderr}`);
      const { forwardId } = forward;
      const info = await eventLog.next('connection');
      assertIncludes(info, { forwardId, forwardHost: host, forwardPort: sitePort, localAddress: '127.0.0.1' });
      assertIncludes(await eventLog.next('disconnected'), { forwardId, code: 'OK', clean: true });
    }
  });

  test(`bulk data passes both ways, and the handshake is not counted, with ${sessions} session(s)`, async (t) => {
    await assertBulk(await open(t, { sessions }), echo);
  });
}

for (const [version, words, answers] of [
  ['5', (port) => [greeting(0), request5('127.0.0.1', port)], 12],
  ['4', (port) => [request4('127.0.0.1', port)], 8],
  ['4a', (port) => [request4('localhost', port)], 8],
]) {
  test(`SOCKS ${version}: data and the end of the stream may come with the request`, async (t) => {
    const target = await Target.start(behaviors.replier(KIB));
    t.after(() => target.stop());
    const { eventLog, port } = await open(t);
    const peer = await connectSocks(port);
    // These begin with a version byte and must not be taken for a message. More than a socket takes at once.
    const data = Buffer.concat([Buffer.of(5, 1, 0, 4, 1), Buffer.alloc(MIB, 5)]);
    peer.socket.end(Buffer.concat([...words(target.port), data]));
    await take(peer, answers);
    peer.read();
    assertIncludes(await peer.ended, { bytes: KIB, sha256: patternHash(KIB), end: 'FIN' });
    assertIncludes(await (await target.next()).ended, { bytes: data.length, end: 'FIN' });
    const counts = { bytesUp: KIB, bytesDown: data.length };
    assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true, ...counts });
  });
}

test('a handshake split into single bytes succeeds', async (t) => {
  const { port } = await open(t);
  await assertSplitHandshake(port, echo);
});

for (const linger of [true, false, { l_onoff: 1, l_linger: 5 }]) {
  test(`a target that cannot be reached gets its reply code before FIN: ${JSON.stringify(linger)}`, async (t) => {
    const refusing = await refusingPort();
    t.after(() => refusing.stop());
    const proxy = await open(t, { linger });
    await assertRefused(proxy, ['127.0.0.1', refusing.port], REFUSED, { code: 'ECONNREFUSED' });
    await assertRefused(proxy, ['nowhere.invalid', 80], HOST_UNREACHABLE, {});
    await assertRefused(proxy, ['127.0.0.1', refusing.port, { behind: 'eager' }], REFUSED, { code: 'ECONNREFUSED' });
    await assertRefused(proxy, ['127.0.0.1', 1, { command: 2 }], COMMAND_NOT_SUPPORTED, { code: 'ERR_TUNNEL_SOCKS' });
    await assertRefused(proxy, ['two\nlines', 1], FAILED, { code: 'ERR_TUNNEL_SOCKS' });
    const strange = await connectSocks(proxy.port);
    strange.socket.write(Buffer.concat([greeting(0), Buffer.of(5, 1, 0, 2)]));
    await take(strange, 2);
    assert.equal(await reply5(strange), ADDRESS_TYPE_NOT_SUPPORTED);
    await assertToldAndEnded(strange, proxy.eventLog, { code: 'ERR_TUNNEL_SOCKS' });
    const older = await connectSocks(proxy.port);
    older.socket.write(request4('127.0.0.1', refusing.port));
    assert.equal(await reply4(older), 91);
    await assertToldAndEnded(older, proxy.eventLog, { code: 'ECONNREFUSED' });
  });
}

for (const sessions of [1, 2]) {
  test(`connectionRequest is emitted once the target is known, with ${sessions} session(s)`, async (t) => {
    await assertDecided(await open(t, { sessions }), echo);
  });
}

test('username and password are required when set', async (t) => {
  const { eventLog, port } = await open(t, {}, { username: 'anna', password: 'secret' });
  const right = await curl('--socks5', `127.0.0.1:${port}`, '-U', 'anna:secret', `http://127.0.0.1:${sitePort}/`);
  assert.deepEqual([right.code, right.stdout], [0, `for 127.0.0.1:${sitePort}`], right.stderr);
  await eventLog.next('disconnected');
  await assertLoginRequired({ eventLog, port }, echo);
});

test('clients of other protocols, early ends and silence are closed without a byte', async (t) => {
  const { tunnel, eventLog, port } = await open(t, { readyTimeout: 3000 });
  for (const [words, end, code] of [
    ['GET / HTTP/1.1\r\n\r\n', false, 'ERR_TUNNEL_SOCKS'],
    [greeting(0).subarray(0, 2), true, 'ERR_TUNNEL_SOCKS'],
    [greeting(0).subarray(0, 2), false, 'ETIMEDOUT'],
  ]) {
    const peer = await connectSocks(port);
    peer.read().socket.write(words);
    if (end) peer.end();
    assertIncludes(await peer.ended, { bytes: 0, end: 'FIN' });
    peer.end();
    assertIncludes(await eventLog.next('disconnected'), { code, closedBy: 'reset', bytesUp: 0, bytesDown: 0 });
  }
  assert.deepEqual(await tunnel.promises.connections(), []);
  assertIncludes(tunnel.stats().connections, { pending: 0, open: 0, opened: 0 });
});

test('a client that leaves, and the end of the tunnel, abort the handshake', async (t) => {
  const { tunnel, eventLog, port } = await open(t);
  const leaving = await connectSocks(port);
  leaving.socket.write(greeting(0));
  await take(leaving, 2);
  assertIncludes((await listed(tunnel, 1))[0], { state: 'negotiating', forwardHost: undefined });
  leaving.socket.destroy();
  assertIncludes(await eventLog.next('disconnected'), { closedBy: 'reset', bytesUp: 0, bytesDown: 0 });
  const staying = await connectSocks(port);
  staying.socket.write(greeting(0));
  await take(staying, 2);
  await tunnel.promises.shutdown();
  staying.read();
  assertIncludes(await staying.ended, { bytes: 0, end: 'FIN' });
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNABORTED', reason: 'closed by shutdown()' });
});

test('a client that asks while the decision is open is cut by its readyTimeout', async (t) => {
  const { tunnel, eventLog, port } = await open(t, { readyTimeout: 3000 });
  tunnel.on('connectionRequest', () => {});
  await assertRefused({ eventLog, port }, ['127.0.0.1', echo.port], FAILED, { code: 'ETIMEDOUT' });
});

test('a reset by the target is reported, and what it sent before arrives', async (t) => {
  // Not before it is asked: a reset that comes with the connection is why there is none.
  const target = await Target.start(async (peer) => {
    await once(peer.socket, 'readable');
    await behaviors.resetter(64 * KIB)(peer);
  });
  t.after(() => target.stop());
  const { eventLog, port } = await open(t);
  const { peer, code } = await ask5(port, '127.0.0.1', target.port);
  assert.equal(code, GRANTED);
  peer.read().socket.write('now');
  assertIncludes(await peer.ended, { bytes: 64 * KIB, sha256: patternHash(64 * KIB) });
  assertIncludes(await eventLog.next('disconnected'), { code: 'ECONNRESET', clean: false, bytesUp: 64 * KIB });
});

test('options that contradict each other are refused', (t) => {
  const { tunnel } = withoutForward(t, server.login);
  for (const [options, code, pattern] of [
    [{ socks: 1 }, 'ERR_INVALID_ARG_TYPE', /options\.socks/],
    [{ socks: true, forwardHost: 'a' }, 'ERR_INVALID_ARG_VALUE', /options\.forwardHost.*socks/],
    [{ socks: true, username: 'a' }, 'ERR_INVALID_ARG_TYPE', /options\.password/],
    [{ forwardHost: 'a', forwardPort: 1, password: 'b' }, 'ERR_INVALID_ARG_VALUE', /options\.password.*options\.socks/],
    [{}, 'ERR_INVALID_ARG_TYPE', /options\.forwardHost/],
  ]) {
    assert.throws(
      () => tunnel.forwardRemote(options),
      (error) => {
        assert.equal(error.code, code);
        assert.match(error.message, pattern);
        return true;
      },
    );
  }
});
