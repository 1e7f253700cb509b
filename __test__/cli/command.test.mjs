// The command `sshtunnel` with real servers: its forwards, its output and its exit codes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { KIB, MIB, Target, connect, patternHash, refuses, refusingPort, settled } from '../helpers/peers.mjs';
import { GRANTED, NOT_ALLOWED, ask5 } from '../helpers/socks.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertEcho, assertIncludes } from '../helpers/tunnels.mjs';

const USER = userInfo().username;
const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

/** Connects until the end of the test. */
async function client(t, port, how) {
  const peer = await connect(port, how);
  t.after(() => peer.socket.destroy());
  return peer;
}

test('connect errors are printed in the words of ssh', async (t) => {
  const { port, stop } = await refusingPort();
  t.after(stop);
  const none = setting.missing('known_hosts');
  for (const [args, how, text] of [
    [
      ['-o', `Port=${port}`],
      {},
      new RegExp(`^sshtunnel: connect to host 127\\.0\\.0\\.1 port ${port}: Connection refused$`),
    ],
    [
      [],
      { host: 'nonexistent.invalid' },
      /^sshtunnel: Could not resolve hostname nonexistent\.invalid: (Name or service not known|Temporary failure in name resolution)$/,
    ],
    [['-l', 'nobody-of-that-name'], {}, /^nobody-of-that-name@127\.0\.0\.1: Permission denied \(publickey\)\.$/],
    [
      ['-o', 'BatchMode=yes'],
      { knownHosts: none },
      /^The authenticity [^]*There is no terminal to ask at\.\nHost key verification failed\.$/,
    ],
    [
      ['-o', 'StrictHostKeyChecking=yes'],
      { knownHosts: none },
      /^No ED25519 host key is known for \[127\.0\.0\.1\]:\d+ and you have requested strict checking\.\nHost key verification failed\.$/,
    ],
    [
      ['-o', 'Ciphers=aes128-ctr', '-o', 'MACs=hmac-sha2-256', '-o', 'ProxyCommand=false'],
      {},
      /proxyCommand ended with/,
    ],
    [['-q', '-o', `Port=${port}`], {}, /^$/],
  ]) {
    // The first value of an option wins: these precede those of every test.
    const { status, stdout, stderr } = await setting.start(t, [...args, '-N'], how).end();
    assert.deepEqual([status, stdout], [255, ''], stderr);
    assert.match(stderr.trimEnd(), text);
  }
});

test('a changed host key prints the warning of ssh and exits with 255', async (t) => {
  const other = await Sshd.start();
  t.after(() => other.stop());
  const known = setting.file('known_hosts', `${server.address} ${other.hostKeys[0].publicKey}\n`);
  // With "no", ssh would connect and disable forwarding.
  for (const strictness of ['ask', 'yes', 'accept-new', 'no', 'off']) {
    const { status, stderr } = await setting
      .start(t, ['-N', '-o', `StrictHostKeyChecking=${strictness}`], {
        knownHosts: known,
      })
      .end();
    assert.equal(status, 255);
    assert.match(
      stderr,
      /^WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n[^]*\nOffending key in \S+:1\nHost key for \S+ has changed and you have requested strict checking\.\nHost key verification failed\.\n$/,
    );
  }
  const child = setting.start(t, ['--json'], { knownHosts: known });
  const { hostKey } = await child.report('error');
  assertIncludes(hostKey, { reason: 'changed', file: known, line: 1 });
  assert.equal(await child.exit, 255);
});

test('StrictHostKeyChecking=accept-new writes an unknown key without a prompt', async (t) => {
  for (const strictness of ['accept-new', 'no']) {
    const knownHosts = setting.missing('known_hosts');
    const child = setting.start(t, ['--json', '-o', `StrictHostKeyChecking=${strictness}`], { knownHosts });
    await child.report('ready');
    assert.match(
      child.stderr,
      /^Warning: Permanently added '\[127\.0\.0\.1\]:\d+' \(ED25519\) to the list of known hosts\.$/m,
    );
    assert.equal(
      readFileSync(knownHosts, 'utf8').trim().split(' ').slice(0, 3).join(' '),
      `${server.address} ${server.hostKeys[0].publicKey.split(' ').slice(0, 2).join(' ')}`,
    );
    child.signal('SIGTERM');
    assert.equal(await child.exit, 0);
  }
});

test('-L forwards both ways and reports as JSON, and SIGTERM lets connections finish', async (t) => {
  const target = await echo(t);
  const child = setting.start(t, [
    '--json',
    '-L',
    `0:127.0.0.1:${target.port}`,
    '-L',
    `127.0.0.1:0:localhost:${target.port}`,
  ]);
  assertIncludes(await child.report('ready'), { host: '127.0.0.1', port: server.port });
  const first = await child.report('listening');
  assertIncludes(first, {
    forwardId: 1,
    kind: 'local',
    localHost: '127.0.0.1',
    forwardHost: '127.0.0.1',
    forwardPort: target.port,
  });
  const [one, open] = [await client(t, first.localPort), await client(t, first.localPort)];
  await one.send(MIB);
  one.end();
  assertIncludes(await one.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  const connection = await child.report('connection');
  assertIncludes(connection, {
    connectionId: 1,
    forwardId: 1,
    remoteAddress: '127.0.0.1',
    localPort: first.localPort,
    forwardPort: target.port,
  });
  const end = await child.report('disconnected');
  assertIncludes(end, {
    connectionId: 1,
    forwardId: 1,
    code: 'OK',
    clean: true,
    closedBy: 'graceful',
    bytesUp: MIB,
    bytesDown: MIB,
    droppedUp: 0,
    droppedDown: 0,
  });
  assert.equal(new Date(end.time).toISOString(), end.time);
  await child.report('connection');
  child.signal('SIGTERM');
  assertIncludes(await child.report('closing'), { signal: 'SIGTERM' });
  await open.send(MIB);
  open.end();
  assertIncludes(await open.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  await child.report('close');
  assert.deepEqual(await child.end().then(({ status, stderr }) => [status, stderr]), [0, '']);
  assert.ok(await refuses(first.localPort));
});

test('a second signal resets the connections', async (t) => {
  const target = await echo(t);
  const child = setting.start(t, ['--json', '-L', `0:127.0.0.1:${target.port}`]);
  const { localPort } = await child.report('listening');
  const peer = await client(t, localPort);
  await child.report('connection');
  child.signal('SIGINT');
  await child.report('closing');
  child.signal('SIGTERM');
  assertIncludes(await child.report('closing'), { signal: 'SIGTERM', force: true });
  assertIncludes(await child.report('disconnected'), { code: 'ECONNABORTED', clean: false, closedBy: 'reset' });
  await child.report('close');
  assert.equal(await child.exit, 'SIGTERM');
  assert.equal((await peer.ended).end, 'ECONNRESET');
});

test('a second signal with a dead server exits in time and reports dropped bytes', async (t) => {
  const own = await Sshd.start();
  const login = new Setting(own);
  t.after(async () => {
    await own.stop();
    login.remove();
  });
  const target = await Target.start((peer) => peer.send(4 * MIB));
  t.after(() => target.stop());
  const child = Cli.start(t, [...login.options(), '--json', '-L', `0:127.0.0.1:${target.port}`, '127.0.0.1']);
  const { localPort } = await child.report('listening');
  const peer = await client(t, localPort, { read: false });
  await child.report('connection');
  await settled(() => peer.socket.readableLength);
  own.freeze();
  peer.send(20 * MIB);
  await settled(() => peer.accepted);
  child.signal('SIGINT');
  await child.report('closing');
  const since = performance.now();
  child.signal('SIGINT');
  const end = await child.report('disconnected');
  assert.ok(end.droppedUp > 0 && end.droppedDown > 0);
  assert.equal(await child.exit, 'SIGINT');
  const took = performance.now() - since;
  assert.ok(took < 2500, `${took} ms`);
  assert.equal((await peer.read().ended).end, 'ECONNRESET');
});

test('-o Linger decides how the first signal closes connections', async (t) => {
  const target = await echo(t);
  for (const [options, end] of [
    [['Linger=no'], 'ECONNRESET'],
    [['Linger=30'], 'FIN'],
    [['CloseTimeout=0'], 'FIN'],
    [['Linger=no', 'CloseTimeout=1'], 'ECONNRESET'],
  ]) {
    const child = setting.start(t, [
      '--json',
      '-L',
      `0:127.0.0.1:${target.port}`,
      ...options.flatMap((option) => ['-o', option]),
    ]);
    const { localPort } = await child.report('listening');
    const peer = await client(t, localPort);
    peer.socket.on('end', () => peer.end());
    await child.report('connection');
    child.signal('SIGTERM');
    assert.equal((await peer.ended).end, end, options.join(' '));
    assert.equal(await child.exit, 0);
  }
});

test('a port in use leaves the other forwards, as in ssh, and exits with ExitOnForwardFailure', async (t) => {
  const target = await echo(t);
  const taken = await Target.start();
  t.after(() => taken.stop());
  const bad = ['-L', `127.0.0.1:${taken.port}:127.0.0.1:${target.port}`];
  const said = new RegExp(
    `^bind \\[127\\.0\\.0\\.1\\]:${taken.port}: Address already in use\ncannot listen to port: ${taken.port}\nCould not request local forwarding\\.\n$`,
  );
  const child = setting.start(t, ['--json', ...bad, '-L', `0:127.0.0.1:${target.port}`]);
  const { localPort } = await child.report('listening');
  (await client(t, localPort)).end();
  await child.report('disconnected');
  assert.match(child.stderr, said);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
  for (const args of [bad, [...bad, '-L', `0:127.0.0.1:${target.port}`, '-o', 'ExitOnForwardFailure=yes']]) {
    const { status, stderr } = await setting.start(t, args).end();
    assert.equal(status, 255);
    assert.match(stderr, said);
  }
});

test('the command line overrides forwards of the ssh_config file', async (t) => {
  const target = await echo(t);
  const socket = setting.missing('socket');
  const file = setting.file(
    'config',
    `
    Host work
      HostName 127.0.0.1
      LocalForward ${socket} 127.0.0.1:${target.port}
      IgnoreUnknown Linger,CloseTimeout
      Linger no
    Match host 127.0.0.1
      User ${USER}
  `,
  );
  const args = setting.options().filter((word) => word !== '-F' && word !== 'none');
  const child = Cli.start(t, ['--json', '-F', file, '-L', `0:127.0.0.1:${target.port}`, ...args, 'work']);
  assertIncludes(await child.report('listening'), { kind: 'local', forwardPort: target.port });
  for (;;) {
    const { localPath } = await child.report('listening');
    if (localPath === socket) break;
  }
  const cleared = Cli.start(t, ['--json', '-F', file, '-o', 'ClearAllForwardings=yes', ...args, 'work']);
  await cleared.report('ready');
  for (const one of [child, cleared]) {
    one.signal('SIGTERM');
    assert.equal(await one.exit, 0);
  }
  assert.doesNotMatch(cleared.stdout, /listening/);
});

test('a refused target is reported, and the tunnel continues', async (t) => {
  const { port, stop } = await refusingPort();
  t.after(stop);
  const child = setting.start(t, ['--json', '-L', `0:127.0.0.1:${port}`]);
  const { localPort } = await child.report('listening');
  assert.equal((await (await client(t, localPort)).ended).end, 'ECONNRESET');
  assertIncludes(await child.report('disconnected'), { code: 'ERR_SSH_OPEN_CONNECT_FAILED' });
  await child.says('stderr', /^channel 1: open failed: connect failed: Connection refused$/m);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('a disconnect exits with 255, or reconnects with -o Reconnect', async (t) => {
  const ownServer = await Sshd.start();
  const own = new Setting(ownServer);
  t.after(() => Promise.all([ownServer.stop(), own.remove()]));
  const target = await echo(t);
  const args = ['--json', '-L', `0:127.0.0.1:${target.port}`, ...own.options(), '127.0.0.1'];
  const [one, other] = [Cli.start(t, args), Cli.start(t, ['-o', 'Reconnect=yes', ...args])];
  const ports = [(await one.report('listening')).localPort, (await other.report('listening')).localPort];
  const peer = await client(t, ports[0]);
  await one.report('connection');
  ownServer.killSessions();
  assert.equal((await peer.ended).end, 'ECONNRESET');
  assert.match((await one.end()).stderr, /^Connection to 127\.0\.0\.1 (closed by remote host|lost: .*)\.?$/m);
  assert.equal(await one.exit, 255);
  assertIncludes(await one.report('error'), { code: 'ERR_SSH_DISCONNECTED' });
  await other.report('ready');
  assertIncludes(await other.report('reconnecting'), { attempt: 1 });
  await other.report('ready');
  const again = await client(t, ports[1]);
  await again.send(MIB);
  again.end();
  assertIncludes(await again.ended, { bytes: MIB, end: 'FIN' });
  other.signal('SIGTERM');
  assert.equal(await other.exit, 0);
});

test('a closed pipe of reports lets connections finish', async (t) => {
  const target = await echo(t);
  const child = setting.start(t, ['--json', '-L', `0:127.0.0.1:${target.port}`]);
  const { localPort } = await child.report('listening');
  child.child.stdout.destroy();
  const peer = await client(t, localPort);
  await child.says('stderr', /^standard output: Broken pipe$/m);
  await peer.send(MIB);
  peer.end();
  assertIncludes(await peer.ended, { bytes: MIB, end: 'FIN' });
  assert.equal(await child.exit, 0);
});

test('-D serves a SOCKS proxy', async (t) => {
  const target = await echo(t);
  const child = setting.start(t, ['--json', '-D', '0']);
  const { kind, localPort } = await child.report('listening');
  assert.equal(kind, 'dynamic');
  const peer = await client(t, localPort);
  const port = Buffer.alloc(2);
  port.writeUInt16BE(target.port);
  peer.socket.write(Buffer.concat([Buffer.from([4, 1]), port, Buffer.from([127, 0, 0, 1, 0])]));
  await peer.received(8);
  await peer.send(MIB);
  await peer.received(8 + MIB);
  peer.end();
  assertIncludes(await child.report('disconnected'), { code: 'OK', bytesUp: MIB, bytesDown: MIB });
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('-R lets the server listen', async (t) => {
  const target = await echo(t);
  const child = setting.start(t, ['--json', '-R', `0:127.0.0.1:${target.port}`]);
  const { kind, remotePort } = await child.report('listening');
  assert.equal(kind, 'remote');
  await child.says(
    'stderr',
    new RegExp(`^Allocated port ${remotePort} for remote forward to 127\\.0\\.0\\.1:${target.port}$`, 'm'),
  );
  const peer = await client(t, remotePort);
  await peer.send(MIB);
  peer.end();
  assertIncludes(await peer.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  // On every address: sshd binds at least one.
  const taken = net.createServer().listen(0, '::');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address();
  const refused = await setting
    .start(t, ['-R', `${port}:127.0.0.1:${target.port}`, '-o', 'ExitOnForwardFailure=yes'])
    .end();
  assert.equal(refused.status, 255);
  assert.match(refused.stderr, new RegExp(`^Error: remote port forwarding failed for listen port ${port}$`, 'm'));
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('-R without a target is a SOCKS proxy at the server, to what PermitRemoteOpen lists', async (t) => {
  const [target, other] = [await echo(t), await echo(t)];
  const to = `127.0.0.1:${target.port}`;
  for (const [permitted, codes] of [
    [undefined, [GRANTED, GRANTED]],
    ['any', [GRANTED, GRANTED]],
    ['none', [NOT_ALLOWED, NOT_ALLOWED]],
    [`localhost:* ${to}`, [GRANTED, NOT_ALLOWED]],
    ['127.0.0.1:*', [GRANTED, GRANTED]],
    [`*:${other.port}`, [NOT_ALLOWED, GRANTED]],
  ]) {
    const options = permitted === undefined ? [] : ['-o', `PermitRemoteOpen=${permitted}`];
    // A forward with a target of its own is not affected.
    const args = ['--json', '-v', '-R', '127.0.0.1:0', '-R', `127.0.0.1:0:${to}`, ...options];
    const child = setting.start(t, args);
    const [proxy, fixed] = [await child.report('listening'), await child.report('listening')];
    assertIncludes(proxy, { kind: 'remote', forwardHost: undefined, forwardPort: undefined });
    for (const [at, { port }] of [target, other].entries()) {
      const { peer, code } = await ask5(proxy.remotePort, '127.0.0.1', port);
      assert.equal(code, codes[at], `${permitted}`);
      if (code === GRANTED) await assertEcho(peer);
      else peer.socket.destroy();
    }
    const peer = await client(t, fixed.remotePort);
    await peer.send(KIB);
    peer.end();
    assertIncludes(await peer.ended, { bytes: KIB, end: 'FIN' });
    if (permitted === 'none') await child.says('stderr', new RegExp(`Refused remote forward to ${to}`));
    child.signal('SIGTERM');
    assert.equal(await child.exit, 0);
  }
  for (const wrong of ['a', 'a:x', 'any a:1', 'a:1 none', 'a:0']) {
    const { status, stderr } = await setting.start(t, ['-R', '0', '-o', `PermitRemoteOpen=${wrong}`]).end();
    assert.equal(status, 255);
    assert.match(stderr, /PermitRemoteOpen/);
  }
});

test('-v, -vv and -vvv print more', async (t) => {
  const target = await echo(t);
  const child = setting.start(t, ['-vv', '-L', `0:127.0.0.1:${target.port}`]);
  const [, port] = await child.says('stderr', /Local connections to 127\.0\.0\.1:(\d+) forwarded to remote address/);
  (await client(t, Number(port))).end();
  await child.says('stderr', /^debug2: channel 1: 0 bytes up, 0 down/m);
  assert.match(child.stderr, /^debug1: Connecting to 127\.0\.0\.1 port \d+\.$/m);
  assert.match(child.stderr, /^debug1: session 1: 127\.0\.0\.1:\d+: authentication: accepted, publickey /m);
  assert.match(child.stderr, /^debug1: channel 1: free \(OK, graceful\)$/m);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
  assert.equal(child.stdout, '');
});
