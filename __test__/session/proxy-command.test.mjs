// Servers that are reached through a ProxyCommand.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { MIB, behaviors, patternHash } from '../helpers/peers.mjs';
import { ROOT, descendants, descriptors, descriptorsBack, runModule, signal, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const gateway = await Sshd.start();
const folder = temporaryFolder('proxy');
after(() => Promise.all([server.stop(), gateway.stop(), folder.remove()]));
const at = (name) => join(folder.path, name);

// Like nc; an argument selects whether it exits with its input or stays.
writeFileSync(
  at('nc.js'),
  `
  const [host, port, stay] = process.argv.slice(2);
  const socket = require('net').connect(port, host);
  process.stdin.pipe(socket, { end: !stay }).pipe(process.stdout);
  if (stay) {
    require('fs').writeFileSync(stay, String(process.pid));
    setInterval(() => {}, 1000);
    socket.on('close', () => {});
  }
`,
);
const netcat = `'${process.execPath}' '${at('nc.js')}' %h %p`;
const through = (proxyCommand) => ({ login: { ...server.login, proxyCommand } });
const failure = (tunnel) =>
  tunnel.promises.connect().then(
    () => undefined,
    (error) => error,
  );

/** The children of this process, without the servers. */
const children = () => descendants(process.pid).filter((pid) => /nc\.js|sleep/.test(commandOf(pid)));
const commandOf = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
};

test('16 MiB pass both ways through a ProxyCommand, which leaves nothing behind', async (t) => {
  // As many tunnels as the runtime may have threads, because threads stay.
  for (let thread = 0; thread < availableParallelism(); thread++) {
    const warm = makeTunnel(t, server.login, 1);
    await warm.promises.connect();
    await warm.promises.shutdown();
  }
  const before = descriptors();
  for (let turn = 0; turn < 2; turn++) {
    const open = await openTunnel(t, through(netcat), behaviors.echo());
    assert.equal(children().length, 1);
    await roundTrip(open, 16 * MIB);
    await open.tunnel.promises.shutdown();
    await open.target.stop();
    assert.deepEqual(children(), []);
  }
  await descriptorsBack(before);
});

test('ssh -W serves as ProxyCommand', async (t) => {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'BatchMode=yes'];
  const { port, username } = gateway.login;
  const given = `-i '${gateway.key.file}' ${options.map((option) => `-o ${option}`).join(' ')}`;
  const ssh = `'${findProgram('ssh')}' -F none ${given} -p ${port} -W '[%h]:%p' ${username}@127.0.0.1`;
  await roundTrip(await openTunnel(t, through(ssh), behaviors.echo()), 16 * MIB);
});

test('a jump host can be reached through a ProxyCommand', async (t) => {
  const jump = { ...gateway.login, proxyCommand: netcat };
  await roundTrip(await openTunnel(t, { login: { ...server.login, jump } }, behaviors.echo()), MIB);
});

test('tokens are expanded, and the shell interprets the rest', async (t) => {
  const command = `echo %h %p %r %n 100%% "$((6 * 7))" > '${at('told')}'`;
  const error = await failure(makeTunnel(t, through(command).login, 1));
  const { username } = server.login;
  assert.equal(readFileSync(at('told'), 'utf8'), `127.0.0.1 ${server.port} ${username} 127.0.0.1 100% 42\n`);
  assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
  assert.equal(
    error.message,
    'proxyCommand ended with exit status 0 while we waited for the server to identify itself',
  );
});

test('a ProxyCommand that exits early is an error with its status', async (t) => {
  const ends = { 'sh -c "exit 7"': 'exit status 7', 'sh -c "kill -9 \\$\\$"': 'signal 9' };
  for (const [command, how] of Object.entries(ends)) {
    const error = await failure(makeTunnel(t, through(command).login, 1));
    assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
    assert.ok(error.message.startsWith(`proxyCommand ended with ${how} while`), error.message);
  }
});

test('a missing shell is an error', async (t) => {
  const { SHELL } = process.env;
  process.env.SHELL = at('no-shell');
  t.after(() => (SHELL === undefined ? delete process.env.SHELL : (process.env.SHELL = SHELL)));
  const error = await failure(makeTunnel(t, through(netcat).login, 1));
  assertIncludes(error, { code: 'ENOENT', syscall: 'spawn', address: at('no-shell') });
});

test('standard error of the ProxyCommand is inherited', async () => {
  const { stderr } = await runModule(`
    import { SSHTunnel } from '${ROOT}/index.js';
    const proxyCommand = 'sh -c "echo no way >&2; exit 1"';
    const tunnel = new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1, proxyCommand });
    await tunnel.promises.connect().catch(() => {});
  `);
  assert.equal(stderr, 'no way\n');
});

test('a ProxyCommand that dies during a transfer: delivered data, then RST', async (t) => {
  const { connect, eventLog } = await openTunnel(t, through(netcat), behaviors.endless());
  const client = await connect();
  await client.received(4 * MIB);
  const [pid] = children();
  signal(pid, 'SIGKILL');
  const { bytes, sha256, end } = await client.ended;
  assert.deepEqual([sha256, end], [patternHash(bytes), 'ECONNRESET']);
  assertIncludes(await eventLog.next('disconnected'), {
    code: 'ERR_SSH_DISCONNECTED',
    closedBy: 'reset',
    bytesDown: bytes,
  });
  assert.equal((await eventLog.next('error')).message, 'proxyCommand ended with signal 9');
  assert.equal(existsSync(`/proc/${pid}`), false, 'a zombie');
});

test('a ProxyCommand that does not exit gets a signal', async (t) => {
  const tunnel = makeTunnel(t, through(`${netcat} '${at('pid')}'`).login, 1);
  await tunnel.promises.connect();
  const pid = Number(readFileSync(at('pid'), 'utf8'));
  assert.deepEqual(children(), [pid]);
  await tunnel.promises.shutdown();
  await until(() => children().length === 0);
  assert.equal(existsSync(`/proc/${pid}`), false);
});

test('a cancelled connect ends the ProxyCommand', async (t) => {
  const error = await failure(makeTunnel(t, { ...through('sleep 600').login, readyTimeout: 300 }, 1));
  assert.equal(error.code, 'ETIMEDOUT');
  const other = makeTunnel(t, through('sleep 600').login, 1);
  const refused = failure(other);
  await other.promises.shutdown();
  assert.equal((await refused).code, 'ERR_TUNNEL_CLOSED');
  await until(() => children().length === 0);
});

test('a tunnel can start again after its ProxyCommand died', async (t) => {
  const tunnel = makeTunnel(t, through(netcat).login, 1);
  const eventLog = new EventLog(tunnel);
  for (let turn = 0; turn < 2; turn++) {
    await tunnel.promises.connect();
    server.killSessions();
    await eventLog.next('close');
  }
});
