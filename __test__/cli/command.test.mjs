// The command `sshtunnel` with real servers: its forwards, its output and its exit codes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { Cli, Setting } from '../helpers/cli.mjs';
import {
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
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const require = createRequire(import.meta.url);
const { UsageError, parseArguments } = require('../../lib/cli/arguments.js');
const { COMMAND } = require('../../lib/ssh-config/directives.js');

const USER = userInfo().username;
const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

const lacks = (method) => (typeof SSHTunnel.prototype[method] === 'function' ? false : `a tunnel has no ${method}()`);

/** The command for this server, with the test's arguments. */
function start(t, args, { host = '127.0.0.1', ...options } = {}) {
  return Cli.start(t, [...args, ...setting.options(options), host], options);
}

async function echo(t, behaviour = behaviours.echo()) {
  const target = await Target.start(behaviour);
  t.after(() => target.stop());
  return target;
}

/** Connects until the end of the test. */
async function client(t, port, how) {
  const peer = await connect(port, how);
  t.after(() => peer.socket.destroy());
  return peer;
}

test('arguments: grouped flags, values and options after the host', () => {
  const parse = (text) => parseArguments(text.split(' '));
  for (const [text, expected] of [
    ['h', { host: 'h', lines: [] }],
    ['u@h', { host: 'h', lines: [['User', 'u']] }],
    ['a@b@h', { host: 'h', lines: [['User', 'a@b']] }],
    [
      'ssh://u@h:2222',
      {
        host: 'h',
        lines: [
          ['User', 'u'],
          ['Port', '2222'],
        ],
      },
    ],
    ['ssh://[::1]:2222', { host: '::1', lines: [['Port', '2222']] }],
    ['-p 22 h', { host: 'h', lines: [['Port', '22']] }],
    ['-p22 h', { host: 'h', lines: [['Port', '22']] }],
    [
      'h -p 22 -l u',
      {
        host: 'h',
        lines: [
          ['Port', '22'],
          ['User', 'u'],
        ],
      },
    ],
    [
      '-NTCp22 h',
      {
        lines: [
          ['Compression', 'yes'],
          ['Port', '22'],
        ],
      },
    ],
    ['-N -- h -g', { host: 'h', lines: [['GatewayPorts', 'yes']] }],
    ['-vvq -v h', { lines: [['LogLevel', 'DEBUG1']] }],
    ['-vvvv h', { lines: [['LogLevel', 'DEBUG3']] }],
    ['-q h', { lines: [['LogLevel', 'QUIET']] }],
    ['-4 -oPort=1 -o Port=2 h', { lines: [['AddressFamily', 'inet'], 'Port=1', 'Port=2'] }],
    ['-J a,u@b:3 h', { lines: [['ProxyJump', 'a,u@b:3']] }],
    ['-AaXxYtkK -e none h', { lines: [] }],
    ['-W a:1 h', { stdio: { host: 'a', port: 1 } }],
    ['-W [::1]:1 h', { stdio: { host: '::1', port: 1 } }],
    ['--json --no-view h', { json: true, noView: true }],
  ])
    assertIncludes(parse(text), expected);
  assert.deepEqual(parseArguments(['-i', 'a "b"\\c', 'h']).lines, [['IdentityFile', 'a "b"\\c']]);
});

test('arguments: forwards', () => {
  const of = (flag, text) => parseArguments([flag, text, 'h']).forwardings[0];
  for (const [text, listen, connectTo] of [
    ['8080:db:80', { port: 8080 }, { host: 'db', port: 80 }],
    ['0:db:80', { port: 0 }, { host: 'db', port: 80 }],
    [':8080:db:80', { host: '', port: 8080 }, { host: 'db', port: 80 }],
    ['*:8080:db:80', { host: '*', port: 8080 }, { host: 'db', port: 80 }],
    ['localhost:8080:db:80', { host: 'localhost', port: 8080 }, { host: 'db', port: 80 }],
    ['[::1]:8080:[fe80::1]:80', { host: '::1', port: 8080 }, { host: 'fe80::1', port: 80 }],
    ['/tmp/a:db:80', { path: '/tmp/a' }, { host: 'db', port: 80 }],
    ['8080:/tmp/b', { port: 8080 }, { path: '/tmp/b' }],
    ['a:8080:/tmp/b', { host: 'a', port: 8080 }, { path: '/tmp/b' }],
    ['/tmp/a:/tmp/b', { path: '/tmp/a' }, { path: '/tmp/b' }],
  ]) {
    assert.deepEqual(of('-L', text), { kind: 'local', listen, connect: connectTo }, text);
    assert.deepEqual(of('-R', text), { kind: 'remote', listen, connect: connectTo }, text);
  }
  assert.deepEqual(of('-D', '1080'), { kind: 'dynamic', listen: { port: 1080 } });
  assert.deepEqual(of('-D', '[::1]:1080'), { kind: 'dynamic', listen: { host: '::1', port: 1080 } });
  for (const [flag, text] of [
    ['-L', '8080'],
    ['-L', '8080:db'],
    ['-L', '8080:db:x'],
    ['-L', '8080:db:0'],
    ['-L', '65536:a:1'],
    ['-L', '1:2:3:4:5'],
    ['-L', '8080::80'],
    ['-L', '[::1:8080:db:80'],
    ['-L', ''],
    ['-D', 'x'],
    ['-D', '1080:db:80'],
    ['-R', 'a:b:c'],
    ['-W', '80'],
    ['-W', 'a:b'],
  ])
    assert.throws(() => of(flag, text), UsageError, `${flag} ${text}`);
});

test('unknown flags and missing arguments are usage errors', async (t) => {
  for (const [args, text] of [
    [[], /a destination is missing[^]*usage:/],
    [['-Z', 'h'], /unknown option -- Z[^]*usage:/],
    [['--nonsense', 'h'], /unknown option --nonsense/],
    [['h', 'ls', '-l'], /no remote command is run/],
    [['-f', 'h'], /-f: the command stays in the foreground/],
    [['-O', 'exit', 'h'], /-O: /],
    [['-p', '99999', 'h'], /Bad port '99999'/],
    [['-L', 'bad', 'h'], /Bad local forwarding specification 'bad'/],
    [['-W', 'a:1', '--json', 'h'], /standard output/],
    [['-J', 'a', '-J', 'b', 'h'], /only one -J/],
    [['-l'], /requires an argument -- l/],
    [['ho;st'], /'ho;st' is not a \[user@\]host/],
    [['-F', '/nonexistent', 'h'], /\/nonexistent: there is no such file/],
    [['-F', 'none', '-o', 'Nonsense=1', 'h'], /command line: unknown directive Nonsense/],
    [['-F', 'none', '-L', '/tmp/%z:db:80', 'h'], /command line: '%z' is not a token/],
    [['-F', 'none', '-o', 'Linger=perhaps', 'h'], /command line: 'perhaps' is not a time/],
  ]) {
    const { status, stdout, stderr } = await Cli.start(t, args).end();
    assert.deepEqual([status, stdout], [255, ''], args.join(' '));
    assert.match(stderr, text);
  }
});

test('--help and --version print and exit with 0', async (t) => {
  const help = await Cli.start(t, ['--help']).end();
  assertIncludes(help, { status: 0, stderr: '' });
  assert.match(help.stdout, /^usage: sshtunnel /);
  const { version } = require('../../package.json');
  for (const flag of ['--version', '-V']) {
    assert.deepEqual(await Cli.start(t, [flag]).end(), { status: 0, stdout: `sshtunnel ${version}\n`, stderr: '' });
  }
});

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
    const { status, stdout, stderr } = await start(t, [...args, '-N'], how).end();
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
    const { status, stderr } = await start(t, ['-N', '-o', `StrictHostKeyChecking=${strictness}`], {
      knownHosts: known,
    }).end();
    assert.equal(status, 255);
    assert.match(
      stderr,
      /^WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nthe host key of [^]* has changed: [^]*\nHost key verification failed\.\n$/,
    );
  }
});

test('StrictHostKeyChecking=accept-new writes an unknown key without a prompt', async (t) => {
  for (const strictness of ['accept-new', 'no']) {
    const knownHosts = setting.missing('known_hosts');
    const child = start(t, ['--json', '-o', `StrictHostKeyChecking=${strictness}`], { knownHosts });
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

test('-L forwards both ways and reports as JSON, and SIGTERM lets connections finish', {
  skip: lacks('forwardLocal'),
}, async (t) => {
  const target = await echo(t);
  const child = start(t, ['--json', '-L', `0:127.0.0.1:${target.port}`, '-L', `127.0.0.1:0:localhost:${target.port}`]);
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

test('a second signal resets the connections', { skip: lacks('forwardLocal') }, async (t) => {
  const target = await echo(t);
  const child = start(t, ['--json', '-L', `0:127.0.0.1:${target.port}`]);
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

test('a second signal with a dead server exits in time and reports dropped bytes', {
  skip: lacks('forwardLocal'),
}, async (t) => {
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

test('-o Linger decides how the first signal closes connections', { skip: lacks('forwardLocal') }, async (t) => {
  const target = await echo(t);
  for (const [options, end] of [
    [['Linger=no'], 'ECONNRESET'],
    [['Linger=30'], 'FIN'],
    [['CloseTimeout=0'], 'FIN'],
    [['Linger=no', 'CloseTimeout=1'], 'ECONNRESET'],
  ]) {
    const child = start(t, [
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

test('a port in use leaves the other forwards, as in ssh, and exits with ExitOnForwardFailure', {
  skip: lacks('forwardLocal'),
}, async (t) => {
  const target = await echo(t);
  const taken = await Target.start();
  t.after(() => taken.stop());
  const bad = ['-L', `127.0.0.1:${taken.port}:127.0.0.1:${target.port}`];
  const said = new RegExp(
    `^bind \\[127\\.0\\.0\\.1\\]:${taken.port}: Address already in use\ncannot listen to port: ${taken.port}\nCould not request local forwarding\\.\n$`,
  );
  const child = start(t, ['--json', ...bad, '-L', `0:127.0.0.1:${target.port}`]);
  const { localPort } = await child.report('listening');
  (await client(t, localPort)).end();
  await child.report('disconnected');
  assert.match(child.stderr, said);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
  for (const args of [bad, [...bad, '-L', `0:127.0.0.1:${target.port}`, '-o', 'ExitOnForwardFailure=yes']]) {
    const { status, stderr } = await start(t, args).end();
    assert.equal(status, 255);
    assert.match(stderr, said);
  }
});

test('the command line overrides forwards of the ssh_config file', {
  skip: lacks('forwardLocal'),
}, async (t) => {
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

test('a refused target is reported, and the tunnel continues', { skip: lacks('forwardLocal') }, async (t) => {
  const { port, stop } = await refusingPort();
  t.after(stop);
  const child = start(t, ['--json', '-L', `0:127.0.0.1:${port}`]);
  const { localPort } = await child.report('listening');
  assert.equal((await (await client(t, localPort)).ended).end, 'ECONNRESET');
  assertIncludes(await child.report('disconnected'), { code: 'ERR_SSH_OPEN_CONNECT_FAILED' });
  await child.says('stderr', /^channel 1: open failed: connect failed: Connection refused$/m);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('a disconnect exits with 255, or reconnects with -o Reconnect', { skip: lacks('forwardLocal') }, async (t) => {
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

test('a closed pipe of reports lets connections finish', { skip: lacks('forwardLocal') }, async (t) => {
  const target = await echo(t);
  const child = start(t, ['--json', '-L', `0:127.0.0.1:${target.port}`]);
  const { localPort } = await child.report('listening');
  child.child.stdout.destroy();
  const peer = await client(t, localPort);
  await child.says('stderr', /^standard output: Broken pipe$/m);
  await peer.send(MIB);
  peer.end();
  assertIncludes(await peer.ended, { bytes: MIB, end: 'FIN' });
  assert.equal(await child.exit, 0);
});

test('-W relays standard input and output with half-close', { skip: lacks('dial') }, async (t) => {
  const target = await echo(t, behaviours.replier(MIB));
  const child = start(t, ['-W', `127.0.0.1:${target.port}`], { stdin: 'pipe' });
  child.child.stdin.end('until here');
  const { status, stdout, stderr } = await child.end();
  assert.deepEqual([status, stderr], [0, '']);
  assert.ok(stdout.length > 0);
  assertIncludes(await (await target.next()).ended, { bytes: 10, end: 'FIN' });
  const { port, stop } = await refusingPort();
  t.after(stop);
  const refused = await start(t, ['-W', `127.0.0.1:${port}`]).end();
  assert.deepEqual(refused, {
    status: 255,
    stdout: '',
    stderr: 'channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n',
  });
});

test('-W delivers its input after the target has ended', { skip: lacks('dial') }, async (t) => {
  const target = await echo(t, (peer) => peer.read().end());
  const child = start(t, ['-W', `127.0.0.1:${target.port}`], { stdin: 'pipe' });
  const peer = await target.next();
  child.child.stdin.write(PATTERN.subarray(0, 1000));
  await peer.received(1000);
  child.child.stdin.end(PATTERN.subarray(1000));
  assertIncludes(await peer.ended, { bytes: PATTERN.length, sha256: patternHash(PATTERN.length), end: 'FIN' });
  assert.equal(await child.exit, 0);
});

test('-W exits with an error when the stream was cut', { skip: lacks('dial') }, async (t) => {
  const ownServer = await Sshd.start();
  const own = new Setting(ownServer);
  t.after(() => Promise.all([ownServer.stop(), own.remove()]));
  const target = await echo(t);
  const child = Cli.start(t, ['-W', `127.0.0.1:${target.port}`, ...own.options(), '127.0.0.1'], { stdin: 'pipe' });
  child.child.stdin.write('over');
  await child.says('stdout', /^over$/);
  ownServer.killSessions();
  const { status, stderr } = await child.end();
  assert.equal(status, 255);
  assert.match(stderr, /stdio forwarding failed\n$/);
});

test('-D serves a SOCKS proxy', { skip: lacks('forwardDynamic') }, async (t) => {
  const target = await echo(t);
  const child = start(t, ['--json', '-D', '0']);
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

test('-R lets the server listen', { skip: lacks('forwardRemote') }, async (t) => {
  const target = await echo(t);
  const child = start(t, ['--json', '-R', `0:127.0.0.1:${target.port}`]);
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
  const refused = await start(t, ['-R', `${port}:127.0.0.1:${target.port}`, '-o', 'ExitOnForwardFailure=yes']).end();
  assert.equal(refused.status, 255);
  assert.match(refused.stderr, new RegExp(`^Error: remote port forwarding failed for listen port ${port}$`, 'm'));
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});

test('-v, -vv and -vvv print more', { skip: lacks('forwardLocal') }, async (t) => {
  const target = await echo(t);
  const child = start(t, ['-vv', '-L', `0:127.0.0.1:${target.port}`]);
  const [, port] = await child.says('stderr', /Local connections to 127\.0\.0\.1:(\d+) forwarded to remote address/);
  (await client(t, Number(port))).end();
  await child.says('stderr', /^debug2: channel 1: 0 bytes up, 0 down/m);
  assert.match(child.stderr, /^debug1: Connecting to 127\.0\.0\.1 port \d+\.$/m);
  assert.match(child.stderr, /^debug1: channel 1: free \(OK, graceful\)$/m);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
  assert.equal(child.stdout, '');
});

test('docs/command.md has every flag, directive and report', () => {
  const page = readFileSync(new URL('../../docs/command.md', import.meta.url), 'utf8');
  for (const flag of '46AaBbCcDEeFfGgIiJKkLlMmNnOoPpQqRSsTtVvWwXxYy')
    assert.ok(page.includes(`\`-${flag}`), `-${flag}`);
  for (const flag of ['--json', '--no-view', '--help', '--version']) assert.ok(page.includes(`\`${flag}\``), flag);
  for (const name in COMMAND) assert.ok(page.includes(`\`${name}`), name);
  for (const event of [
    'ready',
    'listening',
    'connection',
    'disconnected',
    'reconnecting',
    'sessionError',
    'forwardError',
    'error',
    'closing',
    'close',
    'omitted',
  ]) {
    assert.ok(page.includes(`\`${event}\``), event);
  }
});
