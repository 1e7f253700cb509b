// --health: what probes read while the session comes and goes, and the bounds of the server that tells them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { KIB, connect, refuses } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

const SERVING = /^Serving http:\/\/127\.0\.0\.1:(\d+)\/livez and http:\/\/127\.0\.0\.1:\d+\/readyz$/m;

/** The command with its health checks at a port that the system chooses. */
async function start(t, args) {
  const child = setting.start(t, ['--json', '--health', '0', ...args]);
  const [, port] = await child.says('stderr', SERVING);
  /** What a probe reads. */
  const probe = async (path, options) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, options);
    const text = await response.text();
    const isJson = response.headers.get('content-type') === 'application/json';
    return {
      status: response.status,
      headers: response.headers,
      body: isJson && text !== '' ? JSON.parse(text) : undefined,
    };
  };
  const ready = async () => (await probe('/readyz')).status === 200;
  return { child, port: Number(port), probe, ready };
}

test('the command is ready while it has a session and listens, and alive all the time', async (t) => {
  const target = await echo(t);
  server.freeze();
  t.after(() => server.thaw());
  const { child, probe, ready } = await start(t, ['-o', 'Reconnect=yes', '-L', `0:127.0.0.1:${target.port}`]);
  const alive = async () => {
    const { status, body } = await probe('/livez');
    assert.deepEqual([status, body], [200, { status: 'alive' }]);
  };
  const early = await probe('/readyz');
  assert.deepEqual([early.status, early.body], [503, { status: 'unavailable', reason: 'connecting' }]);
  await alive();
  server.thaw();
  const { localPort } = await child.report('listening');
  await until(ready);
  assert.deepEqual((await probe('/readyz')).body, { status: 'ready' });

  await server.halt();
  await child.report('reconnecting');
  const lost = await probe('/readyz');
  assert.equal(lost.status, 503);
  const { attempt, nextAttempt, ...rest } = lost.body;
  assert.deepEqual(rest, { status: 'unavailable', reason: 'reconnecting' });
  assert.ok(attempt >= 1);
  assert.match(nextAttempt, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  await alive();
  await server.restart();
  await until(ready);

  const client = await connect(localPort);
  await client.send(KIB);
  await client.received(KIB);
  child.signal('SIGTERM');
  await child.report('closing');
  const closing = await probe('/readyz');
  assert.deepEqual([closing.status, closing.body], [503, { status: 'unavailable', reason: 'closing' }]);
  await alive();
  client.end();
  await client.ended;
  assert.equal(await child.exit, 0);
});

test('a forward that does not listen keeps the command from being ready, and is named', async (t) => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const { port } = taken.address();
  const { child, probe } = await start(t, ['-L', `127.0.0.1:${port}:h:1`, '-D', '127.0.0.1:0']);
  await child.report('listening');
  await until(async () => (await probe('/readyz')).body.reason === 'forwards');
  const { status, body } = await probe('/readyz');
  assert.equal(status, 503);
  assert.deepEqual(body.forwards, [{ kind: 'local', from: `127.0.0.1:${port}` }]);
});

test('only GET and HEAD of the two paths are answered, one for each connection', async (t) => {
  const { child, port, probe } = await start(t, ['-D', '127.0.0.1:0']);
  await child.report('listening');
  const head = await probe('/livez', { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-length'), head.body], [200, '19', undefined]);
  for (const path of ['/', '/metrics', '/livez/', '/constructor', '//livez'])
    assert.equal((await probe(path)).status, 404, path);
  assert.equal((await probe('/livez?verbose')).status, 200);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const { status, headers } = await probe('/livez', { method });
    assert.deepEqual([status, headers.get('allow')], [405, 'GET, HEAD'], method);
  }
  const two = await raw(port, 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2));
  assert.equal(two.match(/^HTTP\/1\.1 200 OK/gm).length, 1);
  assert.match(two, /^Connection: close\r$/m);
  assert.match(await raw(port, `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await raw(port, 'no request\r\n\r\n'), /^HTTP\/1\.1 400 /);
});

/** Everything that the server sends for these bytes, until it ends the connection. */
async function raw(port, bytes) {
  const socket = net.connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (data) => (text += data));
  // The server may reset what it does not read.
  socket.on('error', () => {});
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

test('silent connections are bounded, and do not keep the process', async (t) => {
  const { child, port } = await start(t, ['-D', '127.0.0.1:0']);
  await child.report('listening');
  const sockets = Array.from({ length: 40 }, () => net.connect(port, '127.0.0.1'));
  const closed = sockets.map((socket) =>
    once(
      socket.on('error', () => {}),
      'close',
    ),
  );
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  // The surplus of 32.
  let count = 0;
  await new Promise((resolve) => closed.forEach((one) => one.then(() => ++count === 8 && resolve())));
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
  await Promise.all(closed);
});

test('it listens on the address that it is told, and ends with 255 where it cannot', async (t) => {
  const all = setting.start(t, ['--json', '--health', '0.0.0.0:0', '-D', '127.0.0.1:0']);
  const [, chosen] = await all.says('stderr', /^Serving http:\/\/0\.0\.0\.0:(\d+)\/livez/m);
  assert.equal((await fetch(`http://127.0.0.2:${chosen}/livez`)).status, 200);

  const second = await setting.start(t, ['--health', chosen, '-D', '127.0.0.1:0']).end();
  assert.equal(second.status, 255);
  assert.equal(second.stderr, `sshtunnel: --health: cannot listen on 127.0.0.1:${chosen}: Address already in use\n`);
  assert.equal(await refuses(Number(chosen)), false);
});

test('--health without a port, or with -W, is refused', async (t) => {
  for (const [args, message] of [
    [['--health', 'x'], /^sshtunnel: --health requires \[host:\]port$/m],
    [['--health'], /^sshtunnel: --health requires \[host:\]port$/m],
    [['--health', '1', '-W', 'h:1'], /^sshtunnel: --health and -W cannot be given together: nothing listens$/m],
    [['--metrics=1', '-W', 'h:1'], /^sshtunnel: --metrics and -W cannot be given together: nothing listens$/m],
  ]) {
    const { status, stderr } = await Cli.start(t, ['host', ...args]).end();
    assert.equal(status, 255);
    assert.match(stderr, message);
  }
});
