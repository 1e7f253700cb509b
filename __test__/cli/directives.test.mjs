// Directives of ssh_config that the command supports, with real servers, and ssh beside it where that can be compared.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Setting, echo } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { connect, exchange } from '../helpers/peers.mjs';
import { run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

const [KEY_TYPE, KEY] = server.hostKeys[0].publicKey.split(' ');

/** Starts the command with a port that leads to an echo, and waits until it listens. */
async function listening(t, args, { options = {}, listen } = {}) {
  const target = await echo(t);
  const port = await freePort();
  const cli = setting.start(
    t,
    [...args, '-v', '-L', `${listen ?? `127.0.0.1:${port}`}:127.0.0.1:${target.port}`],
    options,
  );
  await cli.says('stderr', /forwardings are open/);
  return { cli, port };
}

async function answers(path) {
  const client = await connect(path);
  await exchange(client);
  client.socket.destroy();
}

/** Whether ssh connects with these options; the command has to do the same. */
async function sshConnects(args, options) {
  const words = [
    '-N',
    '-W',
    `127.0.0.1:${server.port}`,
    '-o',
    'BatchMode=yes',
    ...args,
    ...setting.options(options),
    '127.0.0.1',
  ];
  const { stdout } = await run(findProgram('ssh'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
  return stdout.startsWith('SSH-2.0');
}

async function connects(t, args, options) {
  const words = ['-W', `127.0.0.1:${server.port}`, '-o', 'BatchMode=yes', ...args];
  const { stdout, stderr } = await setting.start(t, words, options).end();
  return { connects: stdout.startsWith('SSH-2.0'), stderr };
}

test('ConnectionAttempts dials a server that comes up late', async (t) => {
  const port = await freePort();
  const refused = await setting.start(t, ['-o', 'ConnectionAttempts=2', '-p', String(port), '-N']).end();
  assert.equal(refused.status, 255);
  assert.equal(refused.stderr, `sshtunnel: connect to host 127.0.0.1 port ${port}: Connection refused\n`);
  // The server listens only when the first attempt has failed.
  const cli = setting.start(t, ['-v', '-o', 'ConnectionAttempts=30', '-o', `Port=${port}`, '-N']);
  await cli.says('stderr', /Connecting to 127\.0\.0\.1/);
  const late = net.createServer((socket) =>
    socket
      .pipe(net.connect(server.port, '127.0.0.1'))
      .pipe(socket)
      .on('error', () => {}),
  );
  t.after(() => late.close());
  setTimeout(() => late.listen(port, '127.0.0.1'), 500);
  // Its name in the file of known hosts is that of another port.
  await cli.says('stderr', /ED25519|Host key verification failed/);
});

test('StreamLocalBindMask and StreamLocalBindUnlink make the file of a local socket', {
  skip: process.platform === 'win32',
}, async (t) => {
  for (const [mask, mode] of [
    ['0117', 0o660],
    ['0', 0o777],
    ['0177', 0o600],
    ['777', 0],
  ]) {
    const path = setting.missing('s');
    const { cli } = await listening(t, ['-o', `StreamLocalBindMask=${mask}`], { listen: path });
    assert.equal(statSync(path).mode & 0o777, mode, mask);
    if (mode !== 0) await answers(path);
    cli.signal('SIGTERM');
    assert.equal(await cli.exit, 0);
    assert.ok(!existsSync(path));
  }
  const path = setting.missing('s');
  // A process that is killed leaves its socket.
  const left = spawn(process.execPath, [
    '-e',
    `net.createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  await once(left, 'exit');
  assert.ok(existsSync(path));
  const target = await echo(t);
  const refused = await setting.start(t, ['-L', `${path}:127.0.0.1:${target.port}`]).end();
  assert.equal(refused.status, 255);
  assert.match(refused.stderr, /cannot bind to path .*: Address already in use/);
  await listening(t, ['-o', 'StreamLocalBindUnlink=yes'], { listen: path });
  await answers(path);
  // A file that is no socket stays.
  const file = setting.file('text', 'precious');
  const kept = await setting
    .start(t, ['-o', 'StreamLocalBindUnlink=yes', '-L', `${file}:127.0.0.1:${target.port}`])
    .end();
  assert.equal(kept.status, 255);
  assert.equal(readFileSync(file, 'utf8'), 'precious');
});

test('LocalCommand runs when everything listens, if PermitLocalCommand allows it', {
  skip: process.platform === 'win32',
}, async (t) => {
  const file = setting.missing('said');
  const command = `echo "%h %p %r %u %n %T %%" > ${file}; echo out; echo err >&2; exit 3`;
  const { cli } = await listening(t, ['-o', `LocalCommand=${command}`, '-o', 'PermitLocalCommand=yes']);
  await cli.says('stdout', /out/);
  await cli.says('stderr', /err/);
  const { username } = userInfo();
  assert.equal(readFileSync(file, 'utf8'), `127.0.0.1 ${server.port} ${username} ${username} 127.0.0.1 NONE %\n`);
  cli.signal('SIGTERM');
  assert.equal(await cli.exit, 0);
  const other = setting.missing('said');
  const silent = await listening(t, ['-o', `LocalCommand=touch ${other}`]);
  silent.cli.signal('SIGTERM');
  assert.equal(await silent.cli.exit, 0);
  assert.ok(!existsSync(other));
});

test('KnownHostsCommand gives lines of known hosts, as for ssh', { skip: process.platform === 'win32' }, async (t) => {
  const none = { knownHosts: setting.missing('known_hosts') };
  const seen = setting.missing('seen');
  const program = setting.missing('program');
  const line = `echo "$1 ${KEY_TYPE} ${KEY}"`;
  for (const [body, expected] of [
    [`echo "$@" >> ${seen}; ${line}`, true],
    ['true', false],
    [`${line}; exit 1`, false],
    [`echo "@revoked $1 ${KEY_TYPE} ${KEY}"`, false],
    [`echo "$1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXYoSTb7tJ6RI8PBeWMa6x/zjaQFPx7CszuhEyT7b/4"`, false],
  ]) {
    writeFileSync(program, `#!/bin/sh\n${body}\n`, { mode: 0o700 });
    const args = [
      '-o',
      'StrictHostKeyChecking=yes',
      '-o',
      `KnownHostsCommand=${program} %H %I %t %f %K %h "%p 100%%" %n`,
    ];
    const ssh = await sshConnects(args, none);
    const ours = await connects(t, args, none);
    assert.deepEqual([ssh, ours.connects], [expected, expected], `${body}\n${ours.stderr}`);
  }
  // The command says to it what ssh says.
  const lines = readFileSync(seen, 'utf8').trim().split('\n');
  assert.equal(lines.length, 4);
  assert.deepEqual(lines.slice(2), lines.slice(0, 2));
  const relative = await connects(t, ['-o', 'KnownHostsCommand=program'], none);
  assert.match(relative.stderr, /'program' is not the absolute path of a program/);
});

test('KnownHostsCommand runs before the key exchange only if known keys come first there, as for ssh', {
  skip: process.platform === 'win32',
}, async (t) => {
  const none = { knownHosts: setting.missing('known_hosts') };
  for (const [list, expected] of [
    [KEY_TYPE, ['HOSTNAME']],
    [`^${KEY_TYPE}`, ['HOSTNAME']],
    ['+rsa-sha2-512', ['ORDER', 'HOSTNAME']],
    ['-rsa-sha2-512', ['ORDER', 'HOSTNAME']],
  ]) {
    const [seen, program] = [setting.missing('seen'), setting.missing('program')];
    writeFileSync(program, `#!/bin/sh\necho "$2" >> ${seen}\necho "$1 ${KEY_TYPE} ${KEY}"\n`, { mode: 0o700 });
    const args = ['-o', `KnownHostsCommand=${program} %H %I`, '-o', `HostKeyAlgorithms=${list}`];
    assert.equal(await sshConnects(args, none), true);
    assert.equal((await connects(t, args, none)).connects, true);
    assert.deepEqual(readFileSync(seen, 'utf8').trim().split('\n'), [...expected, ...expected], list);
  }
});

test('NoHostAuthenticationForLocalhost accepts any key at a loopback address, as ssh does', async (t) => {
  const wrong = setting.file(
    'known_hosts',
    `${server.address} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXYoSTb7tJ6RI8PBeWMa6x/zjaQFPx7CszuhEyT7b/4\n`,
  );
  const revoked = setting.file('revoked', `${KEY_TYPE} ${KEY}\n`);
  const strict = ['-o', 'StrictHostKeyChecking=yes'];
  const lax = [...strict, '-o', 'NoHostAuthenticationForLocalhost=yes'];
  for (const [args, knownHosts, expected] of [
    [strict, wrong, false],
    [lax, wrong, true],
    [lax, setting.missing('known_hosts'), true],
    [[...lax, '-o', 'HostKeyAlias=other'], wrong, false],
    [[...lax, '-o', `RevokedHostKeys=${revoked}`], wrong, false],
  ]) {
    const ssh = await sshConnects(args, { knownHosts });
    const ours = await connects(t, args, { knownHosts });
    assert.deepEqual([ssh, ours.connects], [expected, expected], args.join(' '));
  }
});

test('HashKnownHosts writes the name of the host as a hash, which ssh finds', async (t) => {
  const knownHosts = setting.missing('known_hosts');
  const args = ['-o', 'StrictHostKeyChecking=accept-new', '-o', 'HashKnownHosts=yes'];
  assert.equal((await connects(t, args, { knownHosts })).connects, true);
  assert.match(readFileSync(knownHosts, 'utf8'), /^\|1\|[\w+/=]{28}\|[\w+/=]{28} ssh-ed25519 \S+\n$/);
  assert.equal(await sshConnects(['-o', 'StrictHostKeyChecking=yes'], { knownHosts }), true);
  assert.equal((await connects(t, ['-o', 'StrictHostKeyChecking=yes'], { knownHosts })).connects, true);
});
