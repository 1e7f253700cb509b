// Common command lines of ssh, run with ssh and with sshtunnel at the same server: what can be reached, the exit code,
// the output.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { SSHTunnel } from '../../index.js';
import { freePort } from './daemon.mjs';
import { findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';
import { KIB, Peer, Target, behaviors, patternHash, refusingPort } from './peers.mjs';
import { ROOT } from './process.mjs';
import { Sshd } from './sshd.mjs';

const USER = userInfo().username;
const SIZE = 300 * KIB;
/** Milliseconds for one command line. */
const LIMIT = 20_000;

const PROGRAMS = {
  ssh: [findProgram('ssh')],
  sshtunnel: [process.execPath, join(ROOT, 'bin', 'sshtunnel.js')],
};

/** Printed with -v when everything listens; ssh to a jump host prints some of it too, and remote ports come last. */
const THERE = {
  ssh: {
    local: /Entering interactive session/,
    jump: /Local forwarding listening on 127\.0\.0\.1 port[^]*\[port listener\]/,
    remote: /remote forward success/,
  },
  sshtunnel: { local: /forwardings are open/, jump: /forwardings are open/, remote: /forwardings are open/ },
};

/**
 * The command lines. `args` are made for each run, of ports and paths that nobody has used yet;
 * `reach`: through which of them bytes are sent there and back; `words`: what is said last is the
 * same, too; `compared`: only this is; `needs`: a method of the tunnel.
 */
function cases({ server, jump, target, refusing, folder, key, known, taken }) {
  const settings = [
    `UserKnownHostsFile=${known}`,
    'GlobalKnownHostsFile=none',
    'IdentityAgent=none',
    'BatchMode=yes',
    'UpdateHostKeys=no',
  ];
  const common = ['-F', 'none', '-i', key, ...settings.flatMap((setting) => ['-o', setting])];
  const at = [...common, '-p', `${server.port}`];
  const file = (text) => {
    const path = join(mkdtempSync(join(folder, 'in-')), 'config');
    const lines = ['Host *', ...settings.map((setting) => setting.replace('=', ' ')), `IdentityFile ${key}`];
    writeFileSync(path, `${text}\n${lines.join('\n')}\n`, { mode: 0o600 });
    return path;
  };
  const to = `127.0.0.1:${target.port}`;
  const work = `Host work\nHostName 127.0.0.1\nPort ${server.port}`;
  const local = (name, make, more) => ({ name, make, reach: ({ port }) => [{ port }], ...more });
  const refused = (name, args, more) => ({ name, make: () => args, ...more });
  return [
    local('-N -L port:host:port', ({ port }) => ['-N', '-L', `${port}:${to}`, ...at, '127.0.0.1']),
    local('-NTL port:host:port user@host', ({ port }) => [`-NTL${port}:${to}`, ...at, `${USER}@127.0.0.1`]),
    local('options after the host', ({ port }) => [
      '127.0.0.1',
      '-N',
      '-l',
      USER,
      ...at,
      '-L',
      `127.0.0.1:${port}:${to}`,
    ]),
    local('ssh://user@host:port', ({ port }) => [
      ...common,
      '-N',
      '-L',
      `localhost:${port}:${to}`,
      `ssh://${USER}@127.0.0.1:${server.port}`,
    ]),
    local('-L *:port', ({ port }) => ['-N', '-L', `*:${port}:${to}`, ...at, '127.0.0.1']),
    local('-g -L port', ({ port }) => ['-g', '-N', '-L', `${port}:${to}`, ...at, '127.0.0.1']),
    local('two -L', ({ port, other }) => ['-N', '-L', `${port}:${to}`, '-L', `${other}:${to}`, ...at, '127.0.0.1'], {
      reach: ({ port, other }) => [{ port }, { port: other }],
    }),
    local('-L path:host:port', ({ path }) => ['-N', '-L', `${path}:${to}`, ...at, '127.0.0.1'], {
      reach: ({ path }) => [{ path }],
    }),
    local('-o LocalForward', ({ port }) => ['-N', '-o', `LocalForward=${port} ${to}`, ...at, '127.0.0.1']),
    local('LocalForward of a file', ({ port }) => ['-N', '-F', file(`${work}\nLocalForward ${port} ${to}`), 'work']),
    local(
      '-J jump',
      ({ port }) => [
        '-N',
        '-F',
        file(`${work}\nHost jump\nHostName 127.0.0.1\nPort ${jump.port}`),
        '-J',
        'jump',
        '-L',
        `${port}:${to}`,
        'work',
      ],
      { kind: 'jump' },
    ),
    local('-4 -C -o Ciphers', ({ port }) => [
      '-4',
      '-C',
      '-N',
      '-o',
      'Ciphers=aes128-ctr',
      '-L',
      `${port}:${to}`,
      ...at,
      '127.0.0.1',
    ]),
    local('MACs that are unknown, AEAD ciphers', ({ port }) => [
      '-N',
      ...['-o', 'MACs=hmac-sha1', '-o', 'Ciphers=aes256-gcm@openssh.com', '-L', `${port}:${to}`, ...at, '127.0.0.1'],
    ]),
    local('NoHostAuthenticationForLocalhost', ({ port }) => [
      '-N',
      ...['-o', 'NoHostAuthenticationForLocalhost=yes', '-o', 'UserKnownHostsFile=/dev/null'],
      ...['-L', `${port}:${to}`, ...at, '127.0.0.1'],
    ]),
    local(
      'StreamLocalBindUnlink, StreamLocalBindMask',
      ({ path }) => [
        '-N',
        ...[
          '-o',
          'StreamLocalBindUnlink=yes',
          '-o',
          'StreamLocalBindMask=0117',
          '-L',
          `${path}:${to}`,
          ...at,
          '127.0.0.1',
        ],
      ],
      { reach: ({ path }) => [{ path }] },
    ),
    // Without traffic, the signal may arrive before ssh handles signals.
    local(
      'ClearAllForwardings',
      ({ port }) => ['-N', '-o', 'ClearAllForwardings=yes', '-L', `${port}:${to}`, ...at, '127.0.0.1'],
      { compared: ['reached'] },
    ),
    local(
      'a target that refuses',
      ({ port }) => ['-N', '-L', `${port}:127.0.0.1:${refusing.port}`, ...at, '127.0.0.1'],
      { reach: ({ port }) => [{ port, mute: true }], compared: ['reached'] },
    ),
    local('a port in use beside another', ({ port }) => [
      '-N',
      '-L',
      `127.0.0.1:${taken.port}:${to}`,
      '-L',
      `${port}:${to}`,
      ...at,
      '127.0.0.1',
    ]),
    local('-D port', ({ port }) => ['-N', '-D', `${port}`, ...at, '127.0.0.1'], {
      needs: 'forwardDynamic',
      reach: ({ port }) => [{ port, socks: target.port }],
    }),
    local('-R port:host:port', ({ port }) => ['-N', '-R', `${port}:${to}`, ...at, '127.0.0.1'], {
      needs: 'forwardRemote',
      kind: 'remote',
    }),
    local('-R port', ({ port }) => ['-N', '-R', `${port}`, ...at, '127.0.0.1'], {
      needs: 'forwardRemote',
      kind: 'remote',
      reach: ({ port }) => [{ port, socks: target.port }],
    }),
    { name: '-W host:port', needs: 'dial', stdio: true, make: () => ['-W', to, ...at, '127.0.0.1'] },
    refused('-W to a target that refuses', ['-W', `127.0.0.1:${refusing.port}`, ...at, '127.0.0.1'], {
      needs: 'dial',
      words: true,
    }),
    refused('a server that refuses', [...common, '-N', '-p', `${refusing.port}`, '127.0.0.1'], { words: true }),
    refused(
      'ConnectionAttempts',
      [...common, '-N', '-o', 'ConnectionAttempts=2', '-p', `${refusing.port}`, '127.0.0.1'],
      {
        words: true,
      },
    ),
    refused('-O check without a master', ['-O', 'check', '-S', '/nonexistent/socket', ...at, '127.0.0.1'], {
      words: true,
    }),
    refused('-Q of nothing', ['-Q', 'nonsense'], { words: true }),
    refused('a user who may not', ['-N', '-l', 'nobody-of-that-name', ...at, '127.0.0.1'], { words: true }),
    refused('a host that is not known', ['-N', '-o', 'UserKnownHostsFile=/dev/null', ...at, '127.0.0.1'], {
      words: true,
    }),
    refused(
      'a port in use, ExitOnForwardFailure',
      ['-N', '-o', 'ExitOnForwardFailure=yes', '-L', `127.0.0.1:${taken.port}:${to}`, ...at, '127.0.0.1'],
      { words: true },
    ),
    refused('a bad forwarding', ['-N', '-L', 'bad', ...at, '127.0.0.1'], { words: true }),
    refused('a bad port', ['-N', ...common, '-p', '99999', '127.0.0.1'], { words: true }),
    refused('an unknown directive', ['-N', '-o', 'Nonsense=yes', ...at, '127.0.0.1']),
    refused('a file that is not there', ['-N', '-F', '/nonexistent', '127.0.0.1']),
    refused('-q', ['-q', '-N', ...common, '-p', `${refusing.port}`, '127.0.0.1'], { words: true }),
  ];
}

/** Sends bytes to the echo; returns how many came back, and whether they are right. */
async function through({ port, path, socks, mute = false }) {
  const socket = new net.Socket({ allowHalfOpen: true });
  const peer = new Peer(socket, { read: socks === undefined });
  try {
    socket.connect(path === undefined ? { port, host: '127.0.0.1' } : { path });
    await Promise.race([once(socket, 'connect'), peer.ended]);
    if (peer.error) return peer.error.code === 'ECONNRESET' ? 'nothing came' : 'not reached';
    if (socks !== undefined) await greet(socket, socks);
    peer.read();
    if (!mute) {
      await peer.send(SIZE);
      peer.end();
    }
    const { bytes, sha256 } = await peer.ended;
    if (bytes === 0) return 'nothing came';
    return bytes === SIZE && sha256 === patternHash(SIZE) ? 'reached' : `${bytes} bytes`;
  } finally {
    socket.destroy();
  }
}

/** Requests a local port from a SOCKS4 proxy and reads its reply. */
async function greet(socket, port) {
  socket.write(Buffer.from([4, 1, port >> 8, port & 0xff, 127, 0, 0, 1, 0]));
  while (socket.read(8) === null) await once(socket, 'readable');
  socket.removeAllListeners('readable');
}

/** Through standard input and output. */
async function throughPipes(child) {
  const peer = new Peer(child.stdout);
  child.stdin.end(Buffer.alloc(SIZE, 'x'));
  await once(child, 'close');
  return peer.bytes === SIZE ? 'reached' : 'nothing came';
}

/** One command line with one program. */
async function outcome(program, { make, reach, stdio, kind = 'local' }, places) {
  const [command, ...first] = PROGRAMS[program];
  const args = make(places);
  // -v is added only to know when everything listens, and its output is not compared.
  const verbose = reach !== undefined ? ['-v'] : [];
  const child = spawn(command, [...first, ...verbose, ...args], {
    stdio: [stdio ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT);
  const exit = once(child, 'exit').then(([code, signal]) => code ?? signal);
  const closed = once(child, 'close');
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  let reached = 'nothing to reach';
  if (stdio) reached = await throughPipes(child);
  else child.stdout.resume();
  if (reach !== undefined) {
    const over = closed.then(() => true);
    while (!THERE[program][kind].test(said)) {
      if (await Promise.race([once(child.stderr, 'data').then(() => false), over])) break;
    }
    reached = (await Promise.all(reach(places).map(through))).join(', ');
    child.kill('SIGTERM');
  }
  await closed;
  clearTimeout(limit);
  const words =
    said
      .split(/\r?\n/)
      .filter((line) => line !== '' && !line.startsWith('debug'))
      .at(-1) ?? '';
  return { reached, status: await exit, words: words.replace(/^(ssh|sshtunnel): /, '') };
}

/** Starts everything that the command lines need, and runs each of them with both programs. */
export async function compare(tell = () => {}) {
  const folder = temporaryFolder('compare');
  const [server, jump, target, refusing, taken] = await Promise.all([
    Sshd.start(),
    Sshd.start(),
    Target.start(behaviors.echo()),
    refusingPort(),
    Target.start(),
  ]);
  try {
    jump.authorize(server.key.publicKey);
    const key = join(folder.path, 'key');
    writeFileSync(key, server.key.privateKey, { mode: 0o600 });
    const known = join(folder.path, 'known_hosts');
    writeFileSync(known, [server, jump].map((one) => `${one.address} ${one.hostKeys[0].publicKey}\n`).join(''));
    const rows = [];
    for (const one of cases({ server, jump, target, refusing, taken, folder: folder.path, key, known })) {
      const missing =
        one.needs !== undefined && typeof SSHTunnel.prototype[one.needs] !== 'function' ? one.needs : undefined;
      const row = { name: one.name, missing };
      for (const program of missing === undefined ? Object.keys(PROGRAMS) : []) {
        const path = join(folder.path, 'socket');
        row[program] = await outcome(program, one, { port: await freePort(), other: await freePort(), path });
        rmSync(path, { force: true });
      }
      row.compared = one.compared ?? (one.words ? ['reached', 'status', 'words'] : ['reached', 'status']);
      rows.push(row);
      tell(row);
    }
    return rows;
  } finally {
    await Promise.all([server, jump, target, refusing, taken].map((one) => one.stop()));
    folder.remove();
  }
}

/** The differences of a row between both programs. @returns {string[]} */
export function differences({ ssh, sshtunnel, compared, missing }) {
  return missing === undefined ? compared.filter((member) => ssh[member] !== sshtunnel[member]) : [];
}
