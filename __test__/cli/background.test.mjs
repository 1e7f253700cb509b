// `sshtunnel -f`: it authenticates at the terminal, binds its ports, and goes on in the background.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { AtTerminal, Cli, Setting, echo, hasTerminal } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { connect, exchange, refuses, silentPort } from '../helpers/peers.mjs';
import { signal, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

const LINUX = { skip: process.platform !== 'linux' && 'processes are found in /proc' };
const AT_TERMINAL = { skip: LINUX.skip || (!hasTerminal && 'there is no script(1)') };

/** The numbers of the processes whose arguments contain a text. */
function processes(text) {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(text);
    } catch {
      return false; // It has ended.
    }
  });
}

/** Sends bytes through a port and back. */
async function answers(port) {
  const client = await connect(port);
  await exchange(client);
  client.socket.destroy();
}

/** Ends whatever was left of a command whose arguments contain a text. */
function cleanUp(t, text) {
  t.after(() => processes(text).forEach((pid) => signal(Number(pid), 'SIGKILL')));
}

for (const [name, flags] of [
  ['-f', ['-f', '-N']],
  ['ForkAfterAuthentication', ['-o', 'ForkAfterAuthentication=yes']],
]) {
  test(`${name} returns when the ports are bound, and the tunnel goes on in the background`, LINUX, async (t) => {
    const target = await echo(t);
    const port = await freePort();
    const spec = `127.0.0.1:${port}:127.0.0.1:${target.port}`;
    cleanUp(t, spec);
    // The pipes have to end: a program that reads them would otherwise wait for the tunnel.
    const ended = await setting.start(t, [...flags, '-L', spec]).end();
    assert.deepEqual(ended, { status: 0, stdout: '', stderr: '' });
    await answers(port);
    const [pid, ...others] = processes(spec);
    assert.deepEqual(others, []);
    const [, state] = /^\d+ \(.*\) (.*)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    const [, , group, session] = state.split(' ');
    assert.deepEqual([group, session], [pid, pid], 'a session of its own');
    for (const descriptor of [0, 1, 2]) assert.equal(readlinkSync(`/proc/${pid}/fd/${descriptor}`), '/dev/null');
    assert.doesNotMatch(
      readFileSync(`/proc/${pid}/environ`, 'utf8').replace(/SSHTUNNEL_BACKGROUND=1/, ''),
      /SSHTUNNEL_/,
    );
    signal(Number(pid), 'SIGTERM');
    await until(() => processes(spec).length === 0);
    await refuses(port);
  });
}

test('-f ends with 255 and a message when there is no session or no port', LINUX, async (t) => {
  const target = await echo(t);
  const to = `127.0.0.1:${target.port}`;
  for (const [args, text] of [
    [['-l', 'nobody-of-that-name', '-L', `${await freePort()}:${to}`], /Permission denied \(publickey\)\.\n$/],
    [['-L', `127.0.0.1:${target.port}:${to}`], /Address already in use\n[^]*Could not request local forwarding\.\n$/],
    [
      ['-o', 'ExitOnForwardFailure=yes', '-L', `${await freePort()}:${to}`, '-R', '1:x:1', '-l', 'nobody'],
      /Permission denied/,
    ],
  ]) {
    cleanUp(t, args[1]);
    const { status, stderr } = await setting.start(t, ['-f', ...args]).end();
    assert.equal(status, 255);
    assert.match(stderr, text);
  }
});

test('-f ends with its child when it is ended before there is a session', LINUX, async (t) => {
  for (const name of ['SIGTERM', 'SIGINT', 'SIGKILL']) {
    const { port, stop } = await silentPort();
    t.after(stop);
    const spec = `0:${name}:1`;
    cleanUp(t, spec);
    const cli = Cli.start(t, ['-f', '-L', spec, '-F', 'none', '-p', String(port), 'u@127.0.0.1']);
    await until(() => processes(spec).length === 2);
    cli.signal(name);
    assert.equal(await cli.exit, name);
    await until(() => processes(spec).length === 0);
  }
});

test('-f asks for a passphrase at the terminal, and outlives it', AT_TERMINAL, async (t) => {
  const target = await echo(t);
  const port = await freePort();
  const spec = `127.0.0.1:${port}:127.0.0.1:${target.port}`;
  cleanUp(t, spec);
  const { file, publicKey } = makeKey(setting.missing('locked'), { passphrase: 'secret' });
  server.authorize(publicKey);
  const terminal = AtTerminal.start(t, ['-f', '-L', spec, ...setting.options({ key: file }), '127.0.0.1']);
  await terminal.sees(/Enter passphrase for key '[^']*': /);
  terminal.type('secret\r');
  await terminal.sees(/status 0/);
  await terminal.exit;
  await answers(port);
  assert.equal(processes(spec).length, 1);
});

test('-f -v keeps standard error, as ssh does', LINUX, async (t) => {
  const target = await echo(t);
  const spec = `127.0.0.1:${await freePort()}:127.0.0.1:${target.port}`;
  cleanUp(t, spec);
  const cli = setting.start(t, ['-f', '-v', '-L', spec]);
  assert.equal(await cli.exit, 0);
  const [pid] = processes(spec);
  signal(Number(pid), 'SIGTERM');
  await cli.says('stderr', /Closing, after SIGTERM/);
});

test('-E appends messages to a file, in the background too', LINUX, async (t) => {
  const target = await echo(t);
  const spec = `127.0.0.1:${await freePort()}:127.0.0.1:${target.port}`;
  cleanUp(t, spec);
  const log = setting.file('log', 'before\n');
  const ended = await setting.start(t, ['-f', '-v', '-E', log, '-L', spec]).end();
  assert.deepEqual(ended, { status: 0, stdout: '', stderr: '' });
  const [pid] = processes(spec);
  signal(Number(pid), 'SIGTERM');
  await until(() => /Closing, after SIGTERM/.test(readFileSync(log, 'utf8')));
  assert.match(readFileSync(log, 'utf8'), /^before\n[^]*Authenticated to 127\.0\.0\.1/);
  const refused = await setting.start(t, ['-E', '/nowhere/log', '-L', spec]).end();
  assert.equal(refused.status, 255);
  assert.match(refused.stderr, /\/nowhere\/log/);
});

test('a banner is shown on standard error, also with -E', async (t) => {
  const welcoming = await Sshd.start({ config: [`Banner ${setting.file('banner', 'Welcome.\n\nBe careful.\n')}`] });
  t.after(() => welcoming.stop());
  const own = new Setting(welcoming);
  t.after(() => own.remove());
  const log = own.file('log', '');
  const target = await echo(t);
  const relay = (...flags) => own.start(t, [...flags, '-W', `127.0.0.1:${target.port}`]).end();
  assert.equal((await relay('-v', '-E', log)).stderr, 'Welcome.\n\nBe careful.\n');
  assert.doesNotMatch(readFileSync(log, 'utf8'), /Welcome/);
  assert.equal((await relay('-q', '-E', log)).stderr, '');
});
