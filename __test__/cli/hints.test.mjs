// Hints behind the commonest failures: with a server that is configured for each, at a terminal; none in a pipe.

import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';

import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { AtTerminal, Setting, hasTerminal } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { connect } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

/** An sshd with these lines for the test, and the files for it. */
async function ownServer(t, options) {
  const own = await Sshd.start(options);
  const files = new Setting(own);
  t.after(() => Promise.all([own.stop(), files.remove()]));
  return { own, files };
}

/** A server that says this in place of its version, and ends the connection. */
async function unidentified(t, words) {
  const closing = net.createServer((socket) => socket.end(words)).listen(0, '127.0.0.1');
  t.after(() => closing.close());
  await once(closing, 'listening');
  return ['-o', `Port=${closing.address().port}`];
}

/** Something that listens on a port or path for the test. */
async function listening(t, place) {
  const taken = net.createServer().listen(place);
  t.after(() => taken.close());
  await once(taken, 'listening');
  return taken.address();
}

/** A program that starts others without the right to listen on ports below 1024, if there are such ports. */
function withoutReservedPorts() {
  const first = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  if (process.getuid() !== 0) return { first, inside: [] };
  const rights = ['--bounding-set=-net_bind_service', '--inh-caps=-net_bind_service'];
  return { first, inside: [findProgram('setpriv'), ...rights] };
}

const AGENT =
  /ssh-add -l shows the keys of the agent; of many, name one \(MaxAuthTries\): -i FILE -o IdentitiesOnly=yes/;
const PROHIBITED = /does not allow this target: see AllowTcpForwarding and PermitOpen of its sshd_config/;

/**
 * By what is wrong: makes it so, and gives the arguments; `files` and `how` as for `Setting`; `use`: what provokes the
 * failure once the command listens; `hint`: the hint.
 */
const FAILURES = {
  MaxStartups: async (t) => {
    const { own, files } = await ownServer(t, { maxStartups: '1' });
    const waiting = net.connect(own.port, '127.0.0.1');
    t.after(() => waiting.destroy());
    await once(waiting, 'data');
    return { files, hint: /too many clients are authenticating at the server \(MaxStartups/ };
  },
  // OpenSSH from 9.8 on, which Debian 12 does not have yet, says this to an address with a penalty.
  PerSourcePenalties: async (t) => ({
    args: await unidentified(t, 'Not allowed at this time\r\n'),
    hint: /the server ignores this address for a while after failures \(PerSourcePenalties\)/,
  }),
  'a server that closes without a word': async (t) => ({
    args: await unidentified(t, ''),
    hint: /MaxStartups, or to an address with PerSourcePenalties/,
  }),
  'MaxAuthTries, and an agent with many keys': async (t) => {
    const { files } = await ownServer(t, { config: ['MaxAuthTries 2'] });
    const agent = await Agent.start();
    t.after(() => agent.stop());
    for (let count = 0; count < 4; count++) agent.add(makeKey(files.missing('key')).file);
    return {
      files,
      args: ['-o', `IdentityAgent=${agent.path}`],
      how: { key: files.missing('key') },
      hint: AGENT,
    };
  },
  'no key and no agent': async () => ({
    how: { key: setting.missing('key') },
    hint: /no key was offered: no key file can be used, and there is no agent/,
  }),
  'an agent without keys': async (t) => {
    const agent = await Agent.start();
    t.after(() => agent.stop());
    return {
      args: ['-o', `IdentityAgent=${agent.path}`],
      how: { key: setting.missing('key') },
      hint: AGENT,
    };
  },
  'a key file that others can read': async () => {
    const { file } = makeKey(setting.missing('key'));
    chmodSync(file, 0o644);
    return { how: { key: file }, hint: new RegExp(`hint: chmod 600 ${file}\r\n`) };
  },
  'a host key that has changed': async () => {
    const other = makeKey(setting.missing('other'));
    const knownHosts = setting.file('known hosts', `${server.address} ${other.publicKey}\n`);
    return {
      how: { knownHosts: `"${knownHosts}"` },
      hint: new RegExp(`ssh-keygen -f '${knownHosts}' -R '\\[127\\.0\\.0\\.1\\]:${server.port}'\r\n`),
    };
  },
  'an unknown host key with BatchMode': async () => ({
    args: ['-o', 'BatchMode=yes'],
    how: { knownHosts: setting.missing('known_hosts') },
    hint: /with BatchMode nobody is asked: connect once without it, or write the key to known_hosts before/,
  }),
  'a local port in use': async (t) => {
    const { port } = await listening(t, { port: 0, host: '127.0.0.1' });
    return { args: ['-L', `127.0.0.1:${port}:a:1`], hint: new RegExp(`which process has the port: ss .*:${port}\r\n`) };
  },
  'a local path in use': async (t) => {
    const path = setting.missing('socket');
    await listening(t, { path });
    return { args: ['-L', `${path}:a:1`], hint: /-o StreamLocalBindUnlink=yes removes the socket first/ };
  },
  'a local port below 1024': async (t) => {
    const { first, inside } = withoutReservedPorts();
    if (first < 1024 || inside[0] === null)
      return { skip: 'every user may listen on every port, or there is no setpriv' };
    return { args: ['-L', '127.0.0.1:81:a:1'], inside, hint: /a port below 1024 needs root or CAP_NET_BIND_SERVICE/ };
  },
  'a remote port in use': async (t) => {
    const { port } = await listening(t, { port: 0 });
    return { args: ['-R', `${port}:a:1`], hint: /the port is in use there, below 1024, or not allowed by/ };
  },
  'AllowTcpForwarding, for -R': async (t) => {
    const { files } = await ownServer(t, { config: ['AllowTcpForwarding local'] });
    return { files, args: ['-R', '0:a:1'], hint: /not allowed by AllowTcpForwarding or PermitListen of sshd_config/ };
  },
  'a remote path in use': async () => {
    const path = setting.missing('socket');
    writeFileSync(path, '');
    return { args: ['-R', `${path}:a:1`], hint: /StreamLocalBindUnlink yes of sshd_config removes it/ };
  },
  GatewayPorts: async (t) => ({
    args: ['-R', '*:0:a:1'],
    use: () => {},
    hint: /sshd listens on its loopback address all the same, unless its GatewayPorts/,
  }),
  'AllowTcpForwarding, for -L': async (t) => {
    const { files } = await ownServer(t, { config: ['AllowTcpForwarding no'] });
    const port = await freePort();
    return { files, args: ['-L', `${port}:127.0.0.1:1`], use: () => connect(port), hint: PROHIBITED };
  },
  PermitOpen: async (t) => {
    const { files } = await ownServer(t, { config: ['PermitOpen 127.0.0.1:1'] });
    const port = await freePort();
    return { files, args: ['-L', `${port}:127.0.0.1:2`], use: () => connect(port), hint: PROHIBITED };
  },
  'PermitOpen, for -W': async (t) => {
    const { files } = await ownServer(t, { config: ['PermitOpen 127.0.0.1:1'] });
    return { files, args: ['-W', '127.0.0.1:2'], hint: PROHIBITED };
  },
  'a target that the server cannot resolve': async () => {
    const port = await freePort();
    return {
      args: ['-L', `${port}:nonexistent.invalid:1`],
      use: () => connect(port),
      hint: /the name of a target is resolved by the server, not here/,
    };
  },
};
/**
 * Runs a command to its end, which most failures are; `use` provokes the others.
 * @param last what it has printed when it is to end: a signal by the keyboard drops what the terminal has not shown
 * @returns what it has printed
 */
async function outputOf(child, name, use, last, stop) {
  if (use !== undefined) {
    await child.says(name, /forwardings are open/);
    await use();
    await child.says(name, last);
    stop();
  }
  await child.end();
  return child[name];
}

for (const [name, make] of Object.entries(FAILURES)) {
  const skip = !hasTerminal && 'there is no script(1)';
  test(`a hint at a terminal, and none in a pipe: ${name}`, { skip }, async (t) => {
    const { files = setting, args: own = [], how = {}, inside, use, hint, skip: reason } = await make(t);
    if (reason) return t.skip(reason);
    // The first value of an option wins: these precede those of every test.
    const first = ['-N', '-v', '--no-view', ...own];
    const args = [...first, ...files.options(how), '127.0.0.1'];
    const atTerminal = AtTerminal.start(t, args, { inside, columns: 200 });
    const shown = await outputOf(atTerminal, 'stdout', use, /hint: [^\n]*\n/, () => atTerminal.type('\x03'));
    assert.match(shown, hint);
    const all = shown.match(/hint: .*/g);
    assert.deepEqual([...new Set(all)], all);

    const inPipe = files.start(t, first, { ...how, inside });
    const written = await outputOf(inPipe, 'stderr', use, /open failed: .*\n|Allocated port .*\n/, () =>
      inPipe.signal('SIGTERM'),
    );
    assert.notEqual(written, '');
    assert.doesNotMatch(written, /hint/);
  });
}

test('no hint with -q, with LogLevel ERROR, nor in the file of -E', { skip: !hasTerminal }, async (t) => {
  const { port } = await listening(t, { port: 0, host: '127.0.0.1' });
  const log = setting.missing('log');
  for (const flags of [['-q'], ['-o', 'LogLevel=ERROR'], ['-E', log]]) {
    const args = [...flags, '-L', `127.0.0.1:${port}:a:1`, ...setting.options(), '127.0.0.1'];
    const { stdout } = await AtTerminal.start(t, args).end();
    assert.doesNotMatch(stdout, /hint/, flags.join(' '));
  }
  const written = readFileSync(log, 'utf8');
  assert.match(written, /Address already in use/);
  assert.doesNotMatch(written, /hint/);
});

test('each hint is given once', { skip: !hasTerminal }, async (t) => {
  const taken = await Promise.all([1, 2].map(() => listening(t, { port: 0, host: '127.0.0.1' })));
  const flags = taken.flatMap(({ port }) => ['-L', `127.0.0.1:${port}:a:1`]);
  const { stdout } = await AtTerminal.start(t, [...flags, ...setting.options(), '127.0.0.1'], { columns: 200 }).end();
  assert.equal(stdout.match(/Address already in use/g).length, 2);
  assert.equal(stdout.match(/hint: /g).length, 1);
});
