// The helpers of the tests, without a tunnel: what they cannot distinguish, no test can.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';
import ssh2 from 'ssh2';

import { test } from './bounded.mjs';
import { findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';
import { KIB, MIB, Peer, Target, behaviors, connect, patternHash, refusingPort, settled } from './peers.mjs';
import { Child, descriptors, descriptorsBack, until } from './process.mjs';
import { REASONS, Ssh2Server } from './ssh2-server.mjs';
import { Sshd } from './sshd.mjs';

const server = await Sshd.start({ config: ['RekeyLimit 1G'] });
after(() => server.stop());

test('FIN and ECONNRESET are distinguished after every byte', async (t) => {
  const finishing = await Target.start(behaviors.source(3 * MIB));
  const resetting = await Target.start(async (peer) => {
    await peer.send(MIB);
    await settled(() => peer.socket.writableLength);
    peer.reset();
  });
  t.after(() => Promise.all([finishing.stop(), resetting.stop()]));

  const finished = await connect(finishing.port);
  const { error, ...report } = await finished.ended;
  assert.deepEqual(report, { bytes: 3 * MIB, sha256: patternHash(3 * MIB), end: 'FIN' });
  assert.equal(error, null);
  finished.end();

  const reset = await connect(resetting.port);
  await reset.received(MIB);
  const end = await reset.ended;
  assert.equal(end.end, 'ECONNRESET');
  assert.equal(end.bytes, MIB);
  assert.equal(end.sha256, patternHash(MIB));
});

for (const size of [64 * KIB, 64 * KIB + 1, 100 * KIB - 7, 1]) {
  test(`a stalled peer reads nothing, then ${size} bytes and the reset behind them`, async (t) => {
    const target = await Target.start();
    t.after(() => target.stop());
    const client = await connect(target.port, { read: false });
    const peer = await target.next();
    assert.equal(await peer.send(size), size);
    await peer.reset();
    assert.equal(client.socket.bytesRead, 0);
    const { bytes, end } = await client.read().ended;
    assert.deepEqual([bytes, end], [size, 'ECONNRESET']);
  });
}

test('a reset that follows FIN does not hide it', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const client = await connect(target.port, { read: false });
  const peer = await target.next();
  await peer.send(1000);
  // A full close with input unread: FIN was sent before, RST answers the rest.
  peer.end();
  await client.send(1000);
  await once(peer.socket, 'finish');
  peer.socket.destroy();
  await peer.closed;
  const { bytes, end } = await client.read().ended;
  assert.deepEqual([bytes, end], [1000, 'FIN']);
});

test('a half-closed connection receives the reply', async (t) => {
  const target = await Target.start(behaviors.replier(8 * MIB));
  t.after(() => target.stop());
  const client = await connect(target.port);
  await client.send(MIB);
  client.end();
  const { bytes, end } = await client.ended;
  assert.deepEqual([bytes, end], [8 * MIB, 'FIN']);
  const [remoteEnd] = target.peers;
  assert.equal(remoteEnd.report().sha256, patternHash(MIB));
});

test('a refusing port refuses, and stopped targets leave no descriptor', async () => {
  const before = descriptors();
  const { port, stop } = await refusingPort();
  await assert.rejects(connect(port), { code: 'ECONNREFUSED' });
  await stop();
  await descriptorsBack(before);
});

test('OpenSSH forwards through the private sshd; killed sessions are gone', async (t) => {
  const target = await Target.start(behaviors.source(32 * MIB));
  const folder = temporaryFolder('known');
  const door = join(folder.path, 'door'); // a Unix socket needs no free port
  const knownHosts = join(folder.path, 'known_hosts');
  writeFileSync(knownHosts, `[127.0.0.1]:${server.port} ${server.hostKeys[0].publicKey}\n`);
  const { username } = server.login;
  const ssh = spawn(
    findProgram('ssh'),
    [
      '-F',
      'none',
      '-N',
      '-v',
      '-p',
      server.port,
      '-i',
      server.key.file,
      '-o',
      `UserKnownHostsFile=${knownHosts}`,
      '-o',
      'StrictHostKeyChecking=yes',
      '-o',
      'ExitOnForwardFailure=yes',
      '-L',
      `${door}:127.0.0.1:${target.port}`,
      `${username}@127.0.0.1`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  t.after(async () => {
    ssh.kill();
    folder.remove();
    await target.stop();
  });
  let said = '';
  const ready = new Promise((resolve) => {
    ssh.stderr.setEncoding('utf8').on('data', (text) => {
      said += text;
      if (/Entering interactive session/.test(said)) resolve();
    });
  });
  const gone = once(ssh, 'exit');
  await Promise.race([ready, gone.then(() => assert.fail(said))]);
  const client = new Peer(net.connect(door));
  const { bytes, sha256, end } = await client.ended;
  assert.deepEqual([bytes, sha256, end], [32 * MIB, patternHash(32 * MIB), 'FIN']);
  client.end();

  assert.ok(server.sessions().length > 0);
  server.killSessions();
  await gone;
  // The client sees the end of the connection before the killed processes have left the process list.
  await until(() => server.sessions().length === 0);
  await server.logged(/^Accepted publickey for/m);
});

test('the ssh2 server rejects with the given reason and reports what it received', async (t) => {
  const asked = [];
  const unwanted = await Ssh2Server.start({
    onOpen: (open) => {
      asked.push(open.destPort);
      open.reject(open.destPort);
    },
  });
  t.after(() => unwanted.stop());
  const client = new ssh2.Client();
  client.connect({ ...unwanted.login, hostKey: undefined });
  await once(client, 'ready');
  assert.ok(unwanted.sawAuthentication());
  assert.equal(unwanted.attempts, 1);
  for (const reason of Object.values(REASONS)) {
    const error = await new Promise((resolve) => {
      client.forwardOut('127.0.0.1', 1, '127.0.0.1', reason, resolve);
    });
    assert.equal(error.reason, reason);
  }
  assert.deepEqual(asked, [1, 2, 3, 4]);
  const closed = once(client, 'close');
  client.end();
  await closed;
});

test('a target in a child process reports what it read', async (t) => {
  const child = await Child.start('peer-process.mjs');
  t.after(() => child.stop());
  const port = await child.ask('behavior', 'sink');
  const client = await connect(port);
  await client.send(5 * MIB);
  client.end();
  const { bytes, sha256, end } = await child.ask('ended', port, 0);
  assert.deepEqual([bytes, sha256, end], [5 * MIB, patternHash(5 * MIB), 'FIN']);
  await client.ended;
});
