// The command under a service manager: its reports by NOTIFY_SOCKET, the watchdog, and socket activation.

import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { ensurePackages, findProgram } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { NotifySocket, hasPython } from '../helpers/notify-socket.mjs';
import { connect, exchange } from '../helpers/peers.mjs';
import { GRANTED, ask5 } from '../helpers/socks.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
const folder = temporaryFolder('systemd');
after(() => Promise.all([server.stop(), setting.remove(), folder.remove()]));

const NOTIFY = { skip: !hasPython && 'there is no Python to receive datagrams' };
const canActivate = ensurePackages(['systemd-socket-activate'], ['systemd']);
const ACTIVATE = { skip: !canActivate && 'there is no systemd-socket-activate' };

/** Replaces itself by the command, with its own process id in these variables, as a service manager sets them. */
const withPid = (...names) => [
  findProgram('sh'),
  '-c',
  `${names.map((name) => `${name}=$$ && export ${name}`).join(' && ')} && exec "$@"`,
  'sh',
];

/** Sends bytes through a forward and back. */
async function works(place) {
  const client = await connect(place);
  await exchange(client);
  client.end();
  await client.ended;
}

for (const abstract of [false, true]) {
  const name = abstract ? 'an abstract name' : 'a path';
  test(`READY, STATUS and STOPPING go to NOTIFY_SOCKET by ${name}`, NOTIFY, async (t) => {
    const manager = await NotifySocket.start(t, { abstract });
    const args = ['--json', '-o', 'Reconnect=yes', '-D', '127.0.0.1:0'];
    const child = setting.start(t, args, { env: { NOTIFY_SOCKET: manager.path } });
    await manager.next('STATUS=Connecting to the server');
    await manager.next(/^STATUS=Connected to \S+@127\.0\.0\.1:\d+$/);
    assert.ok(!manager.received.flat().includes('READY=1'), 'nothing listens yet');
    const ready = await manager.next('READY=1');
    assert.match(ready[1], /^STATUS=Connected to /);
    assert.equal(ready.length, 2);
    await child.report('listening');

    server.killSessions();
    await manager.next(/^STATUS=Reconnecting to \S+: attempt 1 at \d{4}-\d\d-\d\dT[\d:.]+Z$/);
    await manager.next(/^STATUS=Connected to /);
    child.signal('SIGTERM');
    assert.deepEqual(await manager.next('STOPPING=1'), ['STOPPING=1', 'STATUS=Closing: connections may finish']);
    assert.equal(await child.exit, 0);
    assert.equal(manager.received.flat().filter((line) => line === 'READY=1').length, 1);
  });
}

test('a command that fails stops, and was never ready', NOTIFY, async (t) => {
  const manager = await NotifySocket.start(t);
  const env = { NOTIFY_SOCKET: manager.path };
  const child = setting.start(t, ['-o', 'BatchMode=yes', '-D', '0'], { env, knownHosts: '/dev/null' });
  await manager.next('STOPPING=1');
  assert.equal(await child.exit, 255);
  assert.ok(!manager.received.flat().includes('READY=1'));
});

test('WATCHDOG comes from the event loop, and only while it turns', NOTIFY, async (t) => {
  const manager = await NotifySocket.start(t);
  const file = setting.file('blocks', '');
  const blocks = setting.file(
    'block.cjs',
    `const fs = require('node:fs');
    process.on('SIGUSR2', () => {
      fs.writeSync(2, 'blocked\\n');
      const cell = new Int32Array(new SharedArrayBuffer(4));
      while (fs.existsSync(${JSON.stringify(file)})) Atomics.wait(cell, 0, 0, 20);
    });`,
  );
  const env = { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '200000', NODE_OPTIONS: `--require=${blocks}` };
  const child = setting.start(t, ['-D', '127.0.0.1:0'], { env, inside: withPid('WATCHDOG_PID') });
  await manager.next('READY=1');
  for (let count = 0; count < 3; count++) await manager.next('WATCHDOG=1');
  child.signal('SIGUSR2');
  await child.says('stderr', /^blocked$/m);
  await manager.next('silence');
  const { length } = manager.received;
  await manager.next('silence');
  assert.equal(manager.received.length, length + 1);
  rmSync(file);
  await manager.next('WATCHDOG=1');
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('the watchdog of another process is left to it', NOTIFY, async (t) => {
  const manager = await NotifySocket.start(t);
  const env = { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' };
  setting.start(t, ['-D', '127.0.0.1:0'], { env });
  await manager.next('READY=1');
  await manager.next('silence');
  assert.ok(!manager.received.flat().includes('WATCHDOG=1'));
});

test('programs that the command starts get neither the variables nor the sockets', ACTIVATE, async (t) => {
  const port = await freePort();
  const output = join(folder.path, 'environment');
  const local = ['-o', 'PermitLocalCommand=yes', '-o', `LocalCommand=(env; ls -l /proc/self/fd) > ${output} 2>&1`];
  const { child } = await activated(t, [`127.0.0.1:${port}`], ['-D', `127.0.0.1:${port}`, ...local], {
    more: ['-E', 'NOTIFY_SOCKET=@nobody', '-E', 'WATCHDOG_USEC=1000000'],
  });
  const client = await connect(port);
  await child.report('listening');
  client.end();
  await client.ended;
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
  const text = readFileSync(output, 'utf8');
  assert.match(text, /^PATH=/m);
  assert.doesNotMatch(text, /^(?:LISTEN|NOTIFY|WATCHDOG)_/m);
  assert.doesNotMatch(text, /socket:/);
});

/** The command behind sockets of systemd-socket-activate, which starts it with the first connection. */
async function activated(t, addresses, args, { names, more = [] } = {}) {
  const inside = [
    findProgram('systemd-socket-activate'),
    ...addresses.flatMap((address) => ['-l', address]),
    ...(names === undefined ? [] : [`--fdname=${names.join(':')}`]),
    ...['-E', 'NODE_DISABLE_COMPILE_CACHE=1', ...more],
  ];
  const child = setting.start(t, ['--json', ...args], { inside });
  for (const address of addresses)
    await child.says('stderr', new RegExp(`Listening on ${address.replace(/[[\]]/g, '\\$&')} as \\d`));
  return { child };
}

test('an inherited socket takes the place of binding, by its address', ACTIVATE, async (t) => {
  const target = await echo(t);
  const port = await freePort();
  const path = join(folder.path, 'activated');
  for (const [listen, place] of [
    [`127.0.0.1:${port}`, port],
    [path, path],
  ]) {
    const { child } = await activated(t, [listen], ['-L', `${place}:127.0.0.1:${target.port}`]);
    // The client that starts the command is served by it.
    await works(place);
    const { localPort, localPath, kind } = await child.report('listening');
    assert.deepEqual([kind, localPath ?? localPort], ['local', place]);
    await works(place);
    child.signal('SIGTERM');
    assert.equal(await child.exit, 0);
    // The other family of the port is not bound beside it.
    assert.equal(child.stdout.match(/"event":"listening"/g).length, 1);
  }
});

test('several sockets of one forwarding are served, and one of a dynamic forwarding', ACTIVATE, async (t) => {
  const target = await echo(t);
  const [port, socks] = [await freePort(), await freePort()];
  const addresses = [`127.0.0.1:${port}`, `127.0.0.1:${socks}`, `[::1]:${port}`];
  const args = ['-L', `${port}:127.0.0.1:${target.port}`, '-D', `localhost:${socks}`];
  const { child } = await activated(t, addresses, args);
  await works(port);
  for (let count = 0; count < 3; count++) await child.report('listening');
  const six = await connect(port, { host: '::1' });
  await exchange(six);
  const { peer, code } = await ask5(socks, '127.0.0.1', target.port);
  assert.equal(code, GRANTED);
  peer.end();
  child.signal('SIGTERM');
  six.end();
  await six.ended;
});

test('an inherited socket is found by its name, if no forwarding has its address', ACTIVATE, async (t) => {
  const target = await echo(t);
  const port = await freePort();
  const names = ['5432'];
  const { child } = await activated(t, [`127.0.0.1:${port}`], ['-L', `5432:127.0.0.1:${target.port}`], { names });
  await works(port);
  assert.equal((await child.report('listening')).localPort, port);
});

test('a socket without a forwarding ends the command, which names it', ACTIVATE, async (t) => {
  const port = await freePort();
  const { child } = await activated(t, [`127.0.0.1:${port}`], ['-R', `${port}:h:1`], { names: ['web'] });
  await connect(port);
  const { status, stderr } = await child.end();
  assert.equal(status, 255);
  assert.ok(
    stderr.endsWith(
      `sshtunnel: socket activation: no -L and no -D is for the socket at 127.0.0.1:${port} (name 'web'): ` +
        'the address has to be the same, or the name the port or path\n',
    ),
    stderr,
  );
});

test('sockets that are for another process, or do not listen, are not used', async (t) => {
  const env = { LISTEN_FDS: '1', LISTEN_PID: '1' };
  const child = setting.start(t, ['--json', '-D', '127.0.0.1:0'], { env });
  await child.report('listening');
  const wrong = Cli.start(t, ['-D', '127.0.0.1:0', ...setting.options(), '127.0.0.1'], {
    env: { LISTEN_FDS: '1' },
    inside: ['sh', '-c', 'LISTEN_PID=$$ && export LISTEN_PID && exec 3</dev/null && exec "$@"', 'sh'],
  });
  const { status, stderr } = await wrong.end();
  assert.equal(status, 255);
  assert.match(
    stderr,
    /^sshtunnel: socket activation: descriptor 3 \(name 'unknown'\) is no listening stream socket: /m,
  );
});
