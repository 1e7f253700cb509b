// Servers that are reached through a stream of the application (`sock`).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { availableParallelism } from 'node:os';
import { Duplex, PassThrough, Readable, Transform, Writable } from 'node:stream';
import { after } from 'node:test';
import tls from 'node:tls';

import ssh2 from 'ssh2';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { MIB, Target, behaviors, exchange, patternHash, refusingPort, settled } from '../helpers/peers.mjs';
import { descriptors, descriptorsBack } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const gateway = await Sshd.start();
const nobody = await refusingPort();
after(() => Promise.all([server.stop(), gateway.stop(), nobody.stop()]));

const dial = (port = server.port) => net.connect(port, '127.0.0.1');
const by = (sock) => ({ login: { ...server.login, host: 'unused.invalid', sock } });
const failure = (tunnel) =>
  tunnel.promises.connect().then(
    () => undefined,
    (error) => error,
  );

/** A TLS server that forwards everything to the SSH server. */
async function startTls(t) {
  const folder = temporaryFolder('tls');
  const [key, cert] = ['key', 'cert'].map((name) => `${folder.path}/${name}`);
  const request = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=test -keyout ${key} -out ${cert}`;
  execFileSync('openssl', request.split(' '), { stdio: 'ignore' });
  const options = { key: readFileSync(key), cert: readFileSync(cert) };
  const sockets = [];
  const listener = tls.createServer(options, (socket) => {
    const onwards = dial();
    sockets.push(socket, onwards);
    for (const each of [socket, onwards]) each.on('error', () => {});
    socket.pipe(onwards).pipe(socket);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
    folder.remove();
  });
  return { port: listener.address().port, ca: options.cert };
}

const streams = {
  'a socket that is still connecting': () => dial(),
  'a socket that is connected': async () => {
    const socket = dial();
    await once(socket, 'connect');
    return socket;
  },
  'a TLS socket': async (t) => {
    const { port, ca } = await startTls(t);
    return tls.connect({ port, host: '127.0.0.1', ca, checkServerIdentity: () => undefined });
  },
  'two streams made one': () => {
    const socket = dial();
    const [up, down] = [new PassThrough(), new PassThrough()];
    up.pipe(socket).pipe(down);
    return Duplex.from({ readable: down, writable: up });
  },
  'a channel of ssh2': async (t) => {
    const { username, privateKey, port } = gateway.login;
    const client = new ssh2.Client();
    client.connect({ host: '127.0.0.1', port, username, privateKey });
    t.after(() => client.end());
    await once(client, 'ready');
    return new Promise((resolve, reject) => {
      client.forwardOut('127.0.0.1', 0, '127.0.0.1', server.port, (error, channel) =>
        error ? reject(error) : resolve(channel),
      );
    });
  },
};

for (const [name, make] of Object.entries(streams)) {
  test(`${name}: 16 MiB pass both ways`, async (t) => {
    const sock = await make(t);
    const closed = once(sock, 'close');
    const open = await openTunnel(t, by(sock), behaviors.echo());
    await roundTrip(open, 16 * MIB);
    await open.tunnel.promises.shutdown();
    await closed;
  });
}

test('a jump host can be reached through sock', async (t) => {
  const jump = { ...gateway.login, sock: dial(gateway.port) };
  await roundTrip(await openTunnel(t, { login: { ...server.login, jump } }, behaviors.echo()), MIB);
});

test('shutdown() disconnects and destroys the stream', async (t) => {
  const connectOnce = async () => {
    const tunnel = makeTunnel(t, by(dial()).login, 1);
    await tunnel.promises.connect();
    await tunnel.promises.shutdown();
  };
  await connectOnce();
  const before = await settled(descriptors);
  for (let count = 0; count < 5; count++) await connectOnce();
  await descriptorsBack(before);
  assert.ok(server.log().match(/Received disconnect from .*closed by the user/g).length >= 6);
});

test('a tunnel has no descriptor but the one of its stream', async (t) => {
  // As many tunnels as the runtime may have threads, because threads stay.
  const warm = Array.from({ length: availableParallelism() }, () => makeTunnel(t, server.login, 1));
  await Promise.all(warm.map((tunnel) => tunnel.promises.connect()));
  await Promise.all(warm.map((tunnel) => tunnel.promises.shutdown()));
  const before = await settled(descriptors);
  const tunnel = makeTunnel(t, by(dial()).login, 1);
  await tunnel.promises.connect();
  assert.equal(await settled(descriptors), before + 1);
});

test('a tunnel that never connects does not touch the stream', async (t) => {
  const sock = dial();
  t.after(() => sock.destroy());
  const before = sock.listenerCount('error');
  const tunnel = makeTunnel(t, by(sock).login, 1);
  tunnel.shutdown();
  assert.throws(() => tunnel.connect('no callback'), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.equal(sock.listenerCount('error'), before);
  assert.match(String(await once(sock, 'data')), /^SSH-2\.0-/);
});

test('a slow stream applies backpressure both ways', async (t) => {
  const target = await Target.start(behaviors.endless());
  t.after(() => target.stop());
  const socket = dial();
  let through = 0;
  const slow = new Transform({
    transform(chunk, _, done) {
      through += chunk.length;
      setImmediate(done, null, chunk);
    },
  });
  socket.pipe(slow);
  const sock = Duplex.from({ readable: slow, writable: socket });
  const tunnel = makeTunnel(t, by(sock).login, target.port, { linger: false });
  await tunnel.promises.startListening();
  const client = net.connect(tunnel.localPort, '127.0.0.1');
  client.on('error', () => {});
  t.after(() => client.destroy());
  client.pause();
  await settled(() => through);
  // At most the window and the buffers of kernels and streams are filled.
  assert.ok(through < 16 * MIB, `${through} bytes are under way to a client that does not read`);
});

for (const cause of [new Error('the wire was cut'), undefined]) {
  test(`a stream that is destroyed during a transfer: delivered data, then RST; cause: ${cause}`, async (t) => {
    const sock = dial();
    const { connect, eventLog } = await openTunnel(t, by(sock), behaviors.endless());
    const client = await connect();
    await client.received(4 * MIB);
    sock.destroy(cause);
    const { bytes, sha256, end } = await client.ended;
    assert.deepEqual([sha256, end], [patternHash(bytes), 'ECONNRESET']);
    assertIncludes(await eventLog.next('disconnected'), {
      code: 'ERR_SSH_DISCONNECTED',
      closedBy: 'reset',
      bytesDown: bytes,
    });
    assertIncludes(await eventLog.next('error'), { code: 'ERR_SSH_DISCONNECTED', cause });
  });
}

test('a stream error before authentication fails the connect', async (t) => {
  const error = await failure(makeTunnel(t, by(dial(nobody.port)).login, 1));
  assertIncludes(error, { code: 'ERR_SSH_DISCONNECTED' });
  assert.equal(error.cause.code, 'ECONNREFUSED');
  const destroyed = dial().destroy();
  assert.equal((await failure(makeTunnel(t, by(destroyed).login, 1))).code, 'ERR_SSH_DISCONNECTED');
});

test('a stream whose peer never ends is destroyed', async (t) => {
  // It accepts everything and sends nothing, not even its end.
  const mute = new Duplex({ read() {}, write: (chunk, _, done) => done() });
  const closed = once(mute, 'close');
  const tunnel = makeTunnel(t, { ...by(mute).login, readyTimeout: 300 }, 1);
  assert.equal((await failure(tunnel)).code, 'ETIMEDOUT');
  await closed;
});

test('a stream carries only one session', async (t) => {
  const sock = dial();
  const tunnel = makeTunnel(t, by(sock).login, 1);
  await Promise.all([tunnel.promises.connect(), tunnel.promises.connect()]);
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
  for (const method of ['connect', 'startListening']) {
    await assert.rejects(tunnel.promises[method](), { code: 'ERR_TUNNEL_SOCK_USED', message: /^options\.sock served/ });
  }
  const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  assert.throws(() => makeTunnel(t, by(sock).login, 1), { ...value, message: /was given to another tunnel/ });
});

test('a function gives a stream for each session: with reconnect', async (t) => {
  const given = [];
  const sock = async () => {
    await null;
    given.push(dial());
    return given.at(-1);
  };
  const open = await openTunnel(t, by(sock), behaviors.echo(), { reconnect: { initialDelay: 1 } });
  for (let sessions = 1; sessions <= 3; sessions++) {
    await open.eventLog.next('ready');
    await exchange(await open.connect());
    assert.equal(given.length, sessions);
    const cause = new Error('the wire was cut');
    given.at(-1).destroy(cause);
    assertIncludes((await open.eventLog.next('reconnecting')).error, { code: 'ERR_SSH_DISCONNECTED', cause });
  }
  await open.eventLog.next('ready');
  await open.tunnel.promises.shutdown();
  assert.ok(given.every((socket) => socket.destroyed));
});

test('a function gives a stream for each session: with several sessions', async (t) => {
  const given = [];
  const sock = () => given[given.push(dial()) - 1];
  const open = await openTunnel(t, by(sock), behaviors.echo(), { sessions: 2 });
  while (given.length < 2) await exchange(await open.connect());
  for (let count = 0; count < 4; count++) await exchange(await open.connect());
  assert.equal(given.length, 2);
});

test('a function that gives no stream is a typed error with its cause, which reconnect retries', async (t) => {
  const thrown = new Error('no route');
  const used = dial();
  t.after(() => used.destroy());
  await makeTunnel(t, by(used).login, 1).promises.connect();
  for (const [sock, matches] of [
    [() => Promise.reject(thrown), (cause) => cause === thrown],
    [
      () => {
        throw thrown;
      },
      (cause) => cause === thrown,
    ],
    [() => undefined, ({ code }) => code === 'ERR_INVALID_ARG_TYPE'],
    [() => new Readable(), ({ code }) => code === 'ERR_INVALID_ARG_TYPE'],
    [() => used, ({ code }) => code === 'ERR_INVALID_ARG_VALUE'],
  ]) {
    const error = await failure(makeTunnel(t, by(sock).login, 1));
    assertIncludes(error, { code: 'ERR_TUNNEL_SOCK' });
    assert.match(error.message, /^options\.sock: it gave no stream: /);
    assert.ok(matches(error.cause), String(error.cause));
  }
  const reasons = [];
  const late = async () => {
    if (reasons.length === 2) return dial();
    reasons.push(new Error(`no route ${reasons.length}`));
    throw reasons.at(-1);
  };
  const tunnel = makeTunnel(t, by(late).login, 1, { reconnect: { initial: true, initialDelay: 1 } });
  const causes = [];
  tunnel.on('reconnecting', ({ error }) => causes.push(error.cause));
  await tunnel.promises.connect();
  assert.deepEqual(causes, reasons);
});

test('a stream that a function gives too late is destroyed', async (t) => {
  const given = Promise.withResolvers?.() ?? {};
  given.promise ??= new Promise((resolve) => (given.resolve = resolve));
  const tunnel = makeTunnel(t, { ...by(() => given.promise).login, readyTimeout: 100 }, 1);
  const error = await failure(tunnel);
  assertIncludes(error, { code: 'ETIMEDOUT' });
  assert.match(error.message, /waiting for options\.sock to give a stream$/);
  const late = dial();
  const closed = once(late, 'close');
  given.resolve(late);
  await closed;
  assert.throws(() => tunnel.connect(), { code: 'ERR_TUNNEL_WOULD_DEADLOCK' });
});

test('a blocking call with a stream fails with ERR_TUNNEL_WOULD_DEADLOCK', async (t) => {
  const tunnel = makeTunnel(t, by(dial()).login, 1);
  const refused = { code: 'ERR_TUNNEL_WOULD_DEADLOCK', message: /options\.sock, which carries the session,/ };
  for (const method of ['connect', 'startListening']) assert.throws(() => tunnel[method](), refused);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  tunnel.connect();
  assert.throws(() => tunnel.shutdown(), refused);
  assert.throws(() => tunnel.disconnect(1), refused);
  assert.deepEqual(tunnel.connections(), []);
  await tunnel.close();
  await eventLog.next('close');
  tunnel.shutdown();
});

test('anything but a byte stream is rejected', () => {
  const make = (options) => new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1, ...options });
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  for (const sock of [5, null, 'stream', {}, new net.Server(), new Readable(), new Writable()]) {
    assert.throws(() => make({ sock }), {
      ...type,
      message: /^The "options\.sock" property must be a function or an instance of stream\.Duplex\. Received /,
    });
  }
  const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  const text = new PassThrough();
  text.setEncoding('utf8');
  for (const sock of [new PassThrough({ objectMode: true }), text]) {
    assert.throws(() => make({ sock }), {
      ...value,
      message: /^The property 'options\.sock' must be a stream of bytes\. /,
    });
  }
  const sock = new PassThrough();
  assert.throws(() => make({ sock, reconnect: true }), value);
  assert.throws(() => make({ sock, sessions: 2 }), value);
  assert.throws(() => make({ sock, proxyCommand: 'nc %h %p' }), value);
  assert.throws(() => make({ sock, jump: { host: 'gateway' } }), value);
  assert.throws(() => make({ jump: [{ host: 'gateway' }, { host: 'next', sock }] }), value);
  make({ sock, sessions: 1 });
});
