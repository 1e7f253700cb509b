// localFd: forwards that take over a socket that listens already.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { socketFolder } from '../helpers/forwards.mjs';
import { hasPython } from '../helpers/notify-socket.mjs';
import { Target, behaviors, connect, exchange } from '../helpers/peers.mjs';
import { ROOT, signal } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { withoutForward } from '../helpers/tunnels.mjs';

const UNIX = { skip: !hasPython && 'there is no Python to pass a socket' };
const server = await Sshd.start();
const target = await Target.start(behaviors.echo());
const folder = socketFolder();
after(() => Promise.all([server.stop(), target.stop(), folder.remove()]));

/** Listens, and runs a program that inherits the socket as descriptor 3. A server of Node.js would accept connections, too. */
const LAUNCHER = `
import json, os, signal, socket, subprocess, sys
place = json.loads(sys.argv[1])
family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET6 if ":" in place[0] else socket.AF_INET
listener = socket.socket(family, socket.SOCK_STREAM)
listener.bind(place if isinstance(place, str) else tuple(place))
listener.listen()
name = listener.getsockname()
print(json.dumps(name if isinstance(place, str) else name[1]), flush=True)
os.dup2(listener.fileno(), 3)
print(json.dumps(subprocess.call(sys.argv[2:], pass_fds=[3])), flush=True)
signal.pause()
`;

/**
 * Runs a function in a process that has inherited a socket.
 * @param place a path, or a host and a port
 * @returns where it listens; the next value that the process says; the end of the process, while the socket stays
 */
async function withSocket(t, place, work) {
  const source = `
    import { SSHTunnel } from './promises.js';
    import { spawnSync } from 'node:child_process';
    import { readdirSync, readlinkSync } from 'node:fs';
    const linked = (descriptor) => {
      try {
        return readlinkSync('/proc/self/fd/' + descriptor);
      } catch {}
    };
    const socket = linked(3);
    /** The descriptors of the inherited socket. */
    const holders = () => readdirSync('/proc/self/fd').filter((descriptor) => linked(descriptor) === socket);
    /** Whether a program that this process starts inherits the socket. */
    const isInherited = () => spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' }).stdout.includes(socket);
    const tunnel = new SSHTunnel(${JSON.stringify({ ...server.login, privateKey: server.key.privateKey })});
    const target = { forwardHost: '127.0.0.1', forwardPort: ${target.port} };
    const say = (value) => console.log(JSON.stringify(value));
    const asked = new Promise((resolve) => process.stdin.once('end', resolve).resume());
    await (${work})({ tunnel, target, say, asked, holders, isInherited });
    await tunnel.close();`;
  const program = [process.execPath, '--input-type=module', '--eval', source];
  const child = spawn(findProgram('python3'), ['-c', LAUNCHER, JSON.stringify(place), ...program], {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  const closed = once(child, 'close');
  t.after(async () => {
    signal(-child.pid, 'SIGKILL');
    await closed;
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  const at = await next();
  return { at, next, ask: () => child.stdin.end(), finish: async () => assert.equal(await next(), 0) };
}

for (const [name, place] of [
  ['a port', () => ['127.0.0.1', 0]],
  ['a Unix socket', () => folder.path()],
]) {
  test(`a local forward serves ${name} that listens already, and leaves it to others`, UNIX, async (t) => {
    const child = await withSocket(t, place(), async ({ tunnel, target, say, asked, holders, isInherited }) => {
      const opening = tunnel.forwardLocal({ localFd: 3, ...target });
      const taken = holders();
      const { localPort, localPath } = await opening;
      say({ localPort, localPath, taken, inherited: isInherited() });
      await asked;
      await tunnel.forwards()[0].stop();
      say(holders());
    });
    const { localPort, localPath, taken, inherited } = await child.next();
    const { at } = child;
    assert.equal(localPath ?? localPort, at);
    assert.equal(taken.length, 1);
    assert.notEqual(taken[0], '3');
    assert.equal(inherited, false);
    const client = await connect(at);
    await exchange(client);
    client.end();
    await client.ended;
    child.ask();
    assert.deepEqual(await child.next(), []);
    await child.finish();
    // The other process goes on listening, and a Unix socket keeps its file.
    const later = await connect(at);
    later.end();
  });
}

test('a dynamic forward takes over a socket, too', UNIX, async (t) => {
  const child = await withSocket(t, ['::1', 0], async ({ tunnel, say, asked }) => {
    const { kind, localHost, localPort } = await tunnel.forwardDynamic({ localFd: 3 });
    say({ kind, localHost, localPort });
    await asked;
  });
  assert.deepEqual(await child.next(), { kind: 'dynamic', localHost: '::1', localPort: child.at });
  child.ask();
  await child.finish();
});

test('a socket is closed if its forward cannot be opened', UNIX, async (t) => {
  const child = await withSocket(t, ['127.0.0.1', 0], async ({ target, say, holders }) => {
    const { SSHTunnel } = await import('./promises.js');
    const net = await import('node:net');
    const disconnecting = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await new Promise((resolve) => disconnecting.once('listening', resolve));
    const login = { host: '127.0.0.1', port: disconnecting.address().port, username: 'user' };
    const unreachable = new SSHTunnel({ ...login, hostVerifier: () => true });
    const opening = unreachable.forwardLocal({ localFd: 3, ...target });
    // Before the event loop turns, and the server disconnects.
    const taken = holders().length;
    say([taken, await opening.catch((error) => error.code), holders()]);
    disconnecting.close();
  });
  assert.deepEqual(await child.next(), [1, 'ERR_SSH_DISCONNECTED', []]);
  child.ask();
  await child.finish();
});

test('any other descriptor is refused, and stays open', UNIX, async (t) => {
  const { tunnel } = withoutForward(t, server.login);
  const owner = net.createServer().listen(0, '127.0.0.1');
  await once(owner, 'listening');
  const socket = net.connect(owner.address().port, '127.0.0.1');
  await once(socket, 'connect');
  const file = openSync('/dev/null');
  t.after(() => (socket.destroy(), owner.close(), closeSync(file)));
  const more = { forwardHost: 'h', forwardPort: 1 };
  const reason = "The property 'options.localFd' must be the descriptor of a listening TCP or Unix stream socket: ";
  for (const [options, code, message] of [
    [{ localFd: '3' }, 'ERR_INVALID_ARG_TYPE', 'The "options.localFd" property must be of type number.'],
    [{ localFd: -1 }, 'ERR_OUT_OF_RANGE', 'The value of "options.localFd" is out of range.'],
    [{ localFd: 1.5 }, 'ERR_OUT_OF_RANGE', 'The value of "options.localFd" is out of range.'],
    [{ localFd: 1_000_000 }, 'ERR_INVALID_ARG_VALUE', `${reason}getsockname EBADF. Received 1000000`],
    [{ localFd: file }, 'ERR_INVALID_ARG_VALUE', `${reason}getsockname ENOTSOCK. Received ${file}`],
    [{ localFd: socket._handle.fd }, 'ERR_INVALID_ARG_VALUE', `${reason}getsockname ENOTSUP`],
    [{ localFd: 3, localPort: 1 }, 'ERR_INVALID_ARG_VALUE', "The property 'options.localPort' must not be given"],
    [{ localFd: 3, localPath: '/a' }, 'ERR_INVALID_ARG_VALUE', "The property 'options.localPath' must not be given"],
    [{ localFd: 3, localPathMode: 1 }, 'ERR_INVALID_ARG_VALUE', "The property 'options.localPathMode' must not"],
  ]) {
    for (const call of [() => tunnel.forwardLocal({ ...options, ...more }), () => tunnel.forwardDynamic(options)]) {
      assert.throws(call, (error) => {
        assert.equal(error.code, code);
        assert.ok(error.message.startsWith(message), error.message);
        return true;
      });
    }
  }
  assert.equal(socket.writable, true);
  closeSync(openSync(`/proc/self/fd/${file}`));
});
