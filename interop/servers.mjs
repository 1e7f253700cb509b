// The servers of the matrix: each on a free port of this machine, with the same keys, letting the
// same user log on. `start({ hostKeys, userKeys, authority })` gives its ports, the user (and a password, where the
// server can be given one), how many key exchanges it has seen (where it tells), whether it takes
// certificates of users by that authority, and `stop()`.
// `flaws` are what a server offers and cannot do, whoever asks.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { stopper } from '../__test__/helpers/daemon.mjs';
import { ensurePackages, findProgram } from '../__test__/helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../__test__/helpers/keys.mjs';
import { signal } from '../__test__/helpers/process.mjs';
import { Ssh2Server } from '../__test__/helpers/ssh2-server.mjs';
import { Sshd } from '../__test__/helpers/sshd.mjs';

const RUSSH = fileURLToPath(new URL('russh-server/', import.meta.url));

/** Runs a program and gives everything that it prints. */
function printed(program, ...args) {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return `${stdout}${stderr}`;
}

const openssh = {
  name: 'OpenSSH',
  version: () => printed(findProgram('sshd'), '-V').match(/OpenSSH_(\S+?),? /)?.[1],
  available: () => findProgram('sshd') !== null,
  async start({ hostKeys, userKeys, authority }) {
    const config = [
      ...hostKeys.flatMap(({ file, certificate }) => [`HostKey ${file}`, `HostCertificate ${certificate}`]),
      `TrustedUserCAKeys ${authority.file}.pub`,
    ];
    const server = await Sshd.start({ hostKeyTypes: [], logLevel: 'DEBUG1', config });
    for (const { publicKey } of userKeys) server.authorize(publicKey);
    return {
      ports: [server.port],
      username: userInfo().username,
      certificates: true,
      rekeys: () => server.log().match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0,
      stop: () => server.stop(),
    };
  },
};

const dropbear = {
  name: 'Dropbear',
  version: () => printed(findProgram('dropbear'), '-V').match(/v(\S+)/)?.[1],
  available: () => ensurePackages(['dropbear', 'dropbearconvert'], ['dropbear-bin', 'libnss-wrapper']),
  async start({ hostKeys, userKeys }) {
    const folder = temporaryFolder('dropbear');
    const at = (name) => join(folder.path, name);
    // It reads the keys of users from their homes alone: ours gets another home.
    const { uid, gid, username } = userInfo();
    writeFileSync(at('passwd'), `${username}:x:${uid}:${gid}::${at('home')}:/bin/sh\n`);
    writeFileSync(at('group'), `${username}:x:${gid}:\n`);
    mkdirSync(at('home/.ssh'), { recursive: true, mode: 0o700 });
    const lines = userKeys.map(({ publicKey }) => `${publicKey}\n`).join('');
    writeFileSync(at('home/.ssh/authorized_keys'), lines, { mode: 0o600 });
    const converter = findProgram('dropbearconvert');
    for (const { file } of hostKeys) spawnSync(converter, ['openssh', 'dropbear', file, at(basename(file))]);
    const env = {
      ...process.env,
      LD_PRELOAD: 'libnss_wrapper.so',
      NSS_WRAPPER_PASSWD: at('passwd'),
      NSS_WRAPPER_GROUP: at('group'),
    };
    // As inetd does it: one process a connection, so that there is no moment of starting to await.
    const children = new Set();
    const serve = async (files) => {
      const args = ['-i', '-s', ...files.flatMap((file) => ['-r', at(basename(file))])];
      const listener = net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
        const child = spawn(findProgram('dropbear'), args, { env, stdio: [socket, socket, 'ignore'] });
        children.add(child.once('exit', () => children.delete(child)));
        socket.destroy(); // our copy of it
      });
      listener.listen(0, '127.0.0.1');
      await once(listener, 'listening');
      return listener;
    };
    // A server may have one ecdsa key alone.
    const [others, ecdsa] = [[], []];
    for (const { file, type } of hostKeys) (type === 'ecdsa' ? ecdsa : others).push(file);
    const listeners = await Promise.all(ecdsa.map((file) => serve([...others, file])));
    const kill = () => children.forEach(({ pid }) => signal(pid, 'SIGKILL'));
    process.on('exit', kill);
    const stop = async () => {
      process.off('exit', kill);
      for (const listener of listeners) listener.close();
      const ends = [...children].map((child) => once(child, 'exit'));
      kill();
      await Promise.all(ends);
      folder.remove();
    };
    return { ports: listeners.map((listener) => listener.address().port), username, stop };
  },
};

const ssh2 = {
  name: 'ssh2',
  version: () => createRequire(import.meta.url)('ssh2/package.json').version,
  flaws: {
    'diffie-hellman-group-exchange-sha256': 'offered, but only its client has it',
  },
  available: () => true,
  async start({ hostKeys, userKeys }) {
    const server = await Ssh2Server.start({
      hostKeys: hostKeys.map(({ privateKey, publicKey }) => ({ private: privateKey, public: publicKey })),
      publicKey: userKeys.map(({ publicKey }) => publicKey),
    });
    return {
      ports: [server.port],
      username: 'user',
      password: 'right',
      rekeys: () => server.lines.filter((line) => /Inbound: NEWKEYS/.test(line)).length,
      stop: () => server.stop(),
    };
  },
};

const russh = {
  name: 'russh',
  version: () => readFileSync(join(RUSSH, 'Cargo.lock'), 'utf8').match(/name = "russh"\nversion = "(.*)"/)[1],
  available() {
    console.log('Building the server made of russh');
    return spawnSync('cargo', ['build', '--locked'], { cwd: RUSSH, stdio: 'inherit' }).status === 0;
  },
  async start({ hostKeys, userKeys, authority }) {
    const folder = temporaryFolder('russh');
    const authorized = join(folder.path, 'authorized_keys');
    writeFileSync(authorized, [...userKeys, authority].map(({ publicKey }) => publicKey).join('\n'));
    const args = [authorized, ...hostKeys.map(({ file }) => file)];
    const child = spawn(join(RUSSH, 'target/debug/russh-server'), args, { stdio: ['pipe', 'pipe', 'ignore'] });
    const stop = stopper(child, folder);
    const [port] = await once(createInterface(child.stdout), 'line');
    return { ports: [Number(port)], username: 'user', password: 'right', certificates: true, stop };
  },
};

export const SERVERS = [openssh, dropbear, ssh2, russh];
