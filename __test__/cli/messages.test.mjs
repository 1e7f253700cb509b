// Messages of failures beside those of ssh: every line of ours is one of ssh's, and what ssh says last is said last.

import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import net from 'node:net';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Setting } from '../helpers/cli.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { refusingPort } from '../helpers/peers.mjs';
import { run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

/** The lines of a text, without the name of the program and the frame of a warning. */
const linesOf = (text) =>
  text
    .split(/\r?\n/)
    .map((line) => line.replace(/^(ssh|sshtunnel): /, '').replace(/^@ +(.*?) +@$/, '$1'))
    .filter((line) => line !== '' && !/^@+$/.test(line));

/** A line of ssh without the type of the key that a file has, and without the name of a function. */
const alike = (line) =>
  line.replace(/^Offending \w+ key in /, 'Offending key in ').replace(/^channel_setup_fwd_listener_tcpip: /, '');

/** The outputs of ssh and of the command for the same arguments. */
async function both(t, args, how = {}) {
  const all = [...args, ...setting.options(how), how.host ?? '127.0.0.1'];
  const env = { ...process.env, SSH_AUTH_SOCK: '' };
  const ssh = await run(findProgram('ssh'), ['-N', ...all], { env, timeout: 20_000 });
  const ours = await setting.start(t, ['-N', ...args], how).end();
  return {
    ssh: { status: ssh.code, lines: linesOf(ssh.stderr).map(alike) },
    ours: { status: ours.status, lines: linesOf(ours.stderr) },
  };
}

async function taken(t) {
  const holder = net.createServer().listen(0, '127.0.0.1');
  t.after(() => holder.close());
  await once(holder, 'listening');
  return holder.address().port;
}

/** By what is wrong: the arguments for both. */
const FAILURES = {
  'a refused connection': async (t) => {
    const { port, stop } = await refusingPort();
    t.after(stop);
    return { args: ['-o', `Port=${port}`] };
  },
  'a name that cannot be resolved': () => ({ args: [], how: { host: 'nonexistent.invalid' } }),
  'an unknown user': () => ({ args: ['-l', 'nobody-of-that-name'] }),
  'an unknown host key with StrictHostKeyChecking': () => ({
    args: ['-o', 'StrictHostKeyChecking=yes'],
    how: { knownHosts: setting.missing('known_hosts') },
  }),
  'a host key that has changed': () => ({
    args: [],
    how: { knownHosts: setting.file('known', `# one\n${server.address} ${makeKey(setting.missing('o')).publicKey}\n`) },
  }),
  'a revoked host key': () => ({
    args: [],
    how: { knownHosts: setting.file('known', `@revoked ${server.address} ${server.hostKeys[0].publicKey}\n`) },
  }),
  'a key file that others can read': () => {
    const { file, publicKey } = makeKey(setting.missing('key'));
    // Only a key that the server accepts is read by ssh.
    server.authorize(publicKey);
    chmodSync(file, 0o640);
    return { args: ['-o', 'BatchMode=yes'], how: { key: file } };
  },
  'a local port in use': async (t) => ({
    args: ['-o', 'ExitOnForwardFailure=yes', '-L', `127.0.0.1:${await taken(t)}:a:1`],
  }),
  'a remote port in use': async (t) => ({
    args: ['-o', 'ExitOnForwardFailure=yes', '-R', `127.0.0.1:${await taken(t)}:a:1`],
  }),
  'a remote path in use': () => {
    const path = setting.missing('socket');
    writeFileSync(path, '');
    return { args: ['-o', 'ExitOnForwardFailure=yes', '-R', `${path}:a:1`] };
  },
  'a target that refuses, with -W': async (t) => {
    const { port, stop } = await refusingPort();
    t.after(stop);
    return { args: ['-W', `127.0.0.1:${port}`] };
  },
  'a target that cannot be resolved, with -W': () => ({ args: ['-W', 'nonexistent.invalid:1'] }),
  'no ControlPath for -O': () => ({ args: ['-O', 'check'] }),
  'no command at the control socket': () => ({ args: ['-S', setting.missing('socket'), '-O', 'check'] }),
  'a bad port': () => ({ args: ['-p', '0x1'] }),
  'a bad forwarding': () => ({ args: ['-L', 'bad'] }),
};

for (const [name, make] of Object.entries(FAILURES)) {
  test(`the words of ssh: ${name}`, async (t) => {
    const { args, how } = await make(t);
    const { ssh, ours } = await both(t, args, how);
    assert.equal(ours.status, ssh.status);
    assert.notEqual(ours.lines.length, 0);
    for (const line of ours.lines) assert.ok(ssh.lines.includes(line), `${line}\n\nssh says:\n${ssh.lines.join('\n')}`);
    assert.equal(ours.lines.at(-1), ssh.lines.at(-1));
  });
}

test('a user of this name is who the messages are about', async (t) => {
  const { ours } = await both(t, ['-o', 'PubkeyAuthentication=no', '-o', 'BatchMode=yes']);
  assert.match(ours.lines.at(-1), new RegExp(`^${userInfo().username}@127\\.0\\.0\\.1: Permission denied`));
});
