// sshtunnel-native/tunnel-ssh compared with the package that it replaces.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { networkInterfaces } from 'node:os';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

import { test } from '../helpers/bounded.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { Target, behaviors, connect, refuses } from '../helpers/peers.mjs';
import { run } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { ask, both, close, happened, packages } from '../helpers/tunnel-ssh.mjs';

const OURS = fileURLToPath(new URL('../../tunnel-ssh.js', import.meta.url));
const require = createRequire(import.meta.url);

const sshd = await Sshd.start();
const target = await Target.start(behaviors.echo());
after(() => Promise.all([sshd.stop(), target.stop()]));

const forward = { dstAddr: '127.0.0.1', dstPort: target.port };

for (const [name, create] of Object.entries(packages)) {
  test(`${name}: an ephemeral port and autoClose`, async () => {
    const [server, client] = await create({ autoClose: true }, null, sshd.login, forward);
    const closed = Promise.all([happened(server, 'close'), happened(client, 'close')]);
    const { port, family } = server.address();
    assert.match(family, /^IPv[46]$/);
    assert.equal(server.listening, true);
    await ask(port);
    await closed;
    assert.equal(server.listening, false);
    assert.equal(server.address(), null);
    assert.ok(await refuses(port));
  });

  test(`${name}: a given port and the client's address`, async () => {
    const port = await freePort();
    const srcAddr = '0.0.0.0';
    const [server, conn] = await create({ autoClose: true }, { port }, sshd.login, {
      srcAddr,
      srcPort: port,
      ...forward,
    });
    const closed = Promise.all([happened(server, 'close'), happened(conn, 'close')]);
    const connection = happened(server, 'connection');
    const client = await connect(port);
    const [{ remotePort, remoteAddress }] = await connection;
    assert.equal(remotePort, client.socket.localPort);
    assert.match(remoteAddress, /127\.0\.0\.1$/);
    await client.send(10);
    await client.received(10);
    client.socket.destroy();
    await closed;
  });

  test(`${name}: then(), 'error' listeners and close()`, async () => {
    const [server, conn] = await create({}, { host: '127.0.0.1', port: await freePort() }, sshd.login, forward).then(
      ([server, conn]) => {
        server.on('error', assert.fail);
        conn.on('error', assert.fail);
        return [server, conn];
      },
    );
    const { port } = server.address();
    await ask(port);
    await ask(port);
    const ended = happened(conn, 'close');
    await close(server);
    await ended;
    const error = await close(server);
    assert.equal(error.code, 'ERR_SERVER_NOT_RUNNING');
  });

  test(`${name}: a simple tunnel, without srcAddr and tunnelOptions`, async () => {
    const port = await freePort();
    const [server, conn] = await create(null, { port }, sshd.login, forward);
    await ask(port);
    const closed = happened(conn, 'close');
    server.close();
    await closed;
  });
}

/** The output of a program of each package when something fails. */
async function programs(scenario) {
  const program = fileURLToPath(new URL('../helpers/tunnel-ssh-process.mjs', import.meta.url));
  const live = (name) => run(process.execPath, [program, name, scenario]);
  const [theirs, ours] = [await live(require.resolve('tunnel-ssh')), await live(OURS)];
  assert.equal(ours.code, 0, ours.stderr);
  return { theirs, ours: JSON.parse(ours.stdout) };
}

function assertDead({ code, stdout, stderr }, reason) {
  assert.equal(stdout, '');
  assert.match(stderr, reason);
  assert.notEqual(code, 0);
}

test('a client reset ends the process with tunnel-ssh, here the next client is served', async () => {
  const { theirs, ours } = await programs('reset');
  assertDead(theirs, /read ECONNRESET/);
  assert.deepEqual(ours, { seen: 'word', next: 'word' });
});

test('a refused target stops tunnel-ssh without telling the client, here the tunnel continues', async () => {
  const { theirs, ours } = await programs('refused');
  const { message: their, ...seen } = JSON.parse(theirs.stdout);
  assert.match(their, /Channel open failure/);
  assert.deepEqual(seen, { listening: false, seen: 'nothing', next: 'ECONNREFUSED' });
  const { message: own, ...outcome } = ours;
  assert.match(own, /refused/i);
  assert.deepEqual(outcome, { code: 'ERR_SSH_OPEN_CONNECT_FAILED', listening: true, seen: 'ECONNRESET', next: 'word' });
});

test('a disconnect ends the process with tunnel-ssh at the next connection, here the port is closed', async () => {
  const { theirs, ours } = await programs('gone');
  assertDead(theirs, /Not connected/);
  assert.deepEqual(ours, { next: 'ECONNREFUSED' });
});

test('a disconnect during a transfer looks complete with tunnel-ssh, here the client is reset', async () => {
  const { theirs, ours } = await programs('cut');
  assert.deepEqual(JSON.parse(theirs.stdout), { end: 'FIN' });
  assert.deepEqual(ours, { end: 'ECONNRESET' });
});

test('reconnectOnError ends the process with tunnel-ssh, here the tunnel reconnects', async () => {
  const { theirs, ours } = await programs('back');
  assertDead(theirs, /Not connected/);
  assert.deepEqual(ours, { next: 'word' });
});

test('a missing passphrase rejects with both', async () => {
  const { theirs, ours } = await programs('passphrase');
  assert.match(JSON.parse(theirs.stdout).message, /no passphrase given/);
  assert.equal(ours.code, 'ERR_SSH_PRIVATE_KEY');
  assert.match(ours.message, /passphrase/);
});

test('a port in use makes tunnel-ssh keep the session and swallow later exceptions', async () => {
  const { theirs, ours } = await programs('taken');
  assert.deepEqual(JSON.parse(theirs.stdout), { code: 'EADDRINUSE', sessions: 1, swallowers: 1 });
  // This package's session may end a moment later; tunnel-ssh-objects.test.mjs checks that nothing stays.
  assert.deepEqual({ ...ours, sessions: 0 }, { code: 'EADDRINUSE', sessions: 0, swallowers: 0 });
});

test("a client's FIN gets no answer with tunnel-ssh, here it is forwarded", async (t) => {
  const replier = await Target.start(behaviors.replier(1000));
  t.after(() => replier.stop());
  const answered = await both(async (create) => {
    const [server, client] = await create({}, {}, sshd.login, { ...forward, dstPort: replier.port });
    const peer = await connect(server.address().port);
    await peer.send(1);
    peer.end();
    const { bytes } = await peer.ended;
    peer.socket.destroy();
    const closed = happened(client, 'close');
    server.close();
    await closed;
    return bytes;
  });
  assert.deepEqual(answered, { theirs: 0, ours: 1000 });
});

test('end() of the client frees the port, which it does not with tunnel-ssh', async () => {
  const listening = await both(async (create) => {
    const [server, client] = await create({}, {}, sshd.login, forward);
    const closed = happened(client, 'close');
    client.end();
    await closed;
    const { listening } = server;
    await close(server);
    return listening;
  });
  assert.deepEqual(listening, { theirs: true, ours: false });
});

test('the key is tried before the password, after it with tunnel-ssh', async () => {
  const first = await both(async (create) => {
    const methods = [];
    const authenticate = (context) => {
      if (context.method === 'none') return context.reject(['publickey', 'password']);
      methods.push(context.method);
      return context.accept();
    };
    const ssh = await Ssh2Server.start({ authenticate });
    const [server] = await create({}, {}, { ...ssh.login, privateKey: sshd.key.privateKey }, forward);
    await close(server);
    await ssh.stop();
    return methods[0];
  });
  assert.deepEqual(first, { theirs: 'password', ours: 'publickey' });
});

test('a host without a port is used, which tunnel-ssh ignores', async () => {
  const counts = await both(async (create) => {
    const [server] = await create({}, { host: '127.0.0.1' }, sshd.login, forward);
    const { address } = server.address();
    await close(server);
    return address === '127.0.0.1';
  });
  assert.deepEqual(counts, { theirs: false, ours: true });
});

/** An address of this machine that is not one of the loopback. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

test('only local clients can connect by default, everybody with tunnel-ssh', {
  skip: outside === undefined,
}, async () => {
  const reached = (host) =>
    both(async (create) => {
      const [server] = await create({}, { host, port: await freePort() }, sshd.login, forward);
      const refused = await refuses(server.address().port, outside);
      await close(server);
      return !refused;
    });
  assert.deepEqual(await reached(undefined), { theirs: true, ours: false });
  assert.deepEqual(await reached('0.0.0.0'), { theirs: true, ours: true });
});

test('the promise of an async hostVerifier is awaited, tunnel-ssh takes it for true', async () => {
  const trusted = await both(async (create) => {
    const ssh = { ...sshd.login, hostKey: undefined, hostVerifier: async () => false };
    return create({}, {}, ssh, forward).then(
      ([server]) => close(server).then(() => true),
      () => false,
    );
  });
  assert.deepEqual(trusted, { theirs: true, ours: false });
});
