// The servers of the matrix: each on a free local port, with the same keys and the
// same user. `start({ hostKeys, userKeys, authority })` returns:
// - `ports`, and `rekeyingPort`, where the server rekeys by itself after every MiB
// - `username`, and the credentials that it accepts: a `password`, which also answers its `questions`, and the name
//   of a user who needs none (`open`)
// - `rekeys()`: the number of its key exchanges, if it reports them
// - `certificates`: whether it accepts user certificates of that authority
// - `userKeyTypes`, if it does not accept all; `forwards: false` if it does not forward
// - `kill()`, which kills its sessions, and `stop()`
// `flaws` are what a server offers and fails at; `lacks` are what it does not support and others do.
// `optional` servers may be missing if they cannot be installed.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ensurePackages, findProgram } from '../__test__/helpers/ensure-sshd.mjs';
import { MIB } from '../__test__/helpers/peers.mjs';
import { Ssh2Server, join as joinChannel } from '../__test__/helpers/ssh2-server.mjs';
import { Sshd } from '../__test__/helpers/sshd.mjs';
import { Inetd, makeHome, startProgram } from './programs.mjs';
import { asyncssh, conch, paramiko } from './python-servers.mjs';
import { libssh, tinyssh } from './small-servers.mjs';

const RUSSH = fileURLToPath(new URL('russh-server/', import.meta.url));

/** Runs a program and returns its output. */
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
    const options = { hostKeyTypes: [], logLevel: 'DEBUG1' };
    const server = await Sshd.start({ ...options, config });
    const rekeying = await Sshd.start({ ...options, config: [...config, 'RekeyLimit 1M'] });
    for (const { publicKey } of userKeys) [server, rekeying].forEach((one) => one.authorize(publicKey));
    const exchanges = (one) => one.log().match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
    return {
      ports: [server.port],
      username: userInfo().username,
      certificates: true,
      rekeys: () => [server, rekeying].map(exchanges).reduce((sum, count) => sum + count),
      rekeyingPort: rekeying.port,
      kill: () => server.killSessions(),
      stop: () => Promise.all([server.stop(), rekeying.stop()]),
    };
  },
};

const dropbear = {
  name: 'Dropbear',
  version: () => printed(findProgram('dropbear'), '-V').match(/v(\S+)/)?.[1],
  available: () => ensurePackages(['dropbear', 'dropbearconvert'], ['dropbear-bin', 'libnss-wrapper']),
  flaws: {
    'remote forward, cancelled': 'it refuses to cancel, and also keeps listening after `ssh -O cancel`',
  },
  lacks: {
    'rekey by the server during a transfer': 'it exchanges keys after 1 GiB or 8 hours, and has no setting for that',
  },
  async start({ hostKeys, userKeys }) {
    const { env, username, at, remove } = makeHome('dropbear', userKeys);
    const converter = findProgram('dropbearconvert');
    for (const { file } of hostKeys) spawnSync(converter, ['openssh', 'dropbear', file, at(basename(file))]);
    const inetd = new Inetd();
    const serve = (files) => {
      const args = ['-i', '-s', ...files.flatMap((file) => ['-r', at(basename(file))])];
      return inetd.serve(findProgram('dropbear'), args, env);
    };
    // A server can have only one ecdsa key.
    const [others, ecdsa] = [[], []];
    for (const { file, type } of hostKeys) (type === 'ecdsa' ? ecdsa : others).push(file);
    const ports = await Promise.all(ecdsa.map((file) => serve([...others, file])));
    const stop = async () => {
      await inetd.stop();
      remove();
    };
    return { ports, username, kill: inetd.kill, stop };
  },
};

/** Serves remote forwards of a client of the ssh2 server. */
function forwardRemote(client) {
  const listeners = new Map();
  client.on('request', (accept, reject, name, { bindAddr, bindPort }) => {
    if (name === 'cancel-tcpip-forward') {
      // Connections stay open, and close() waits for them; what matters is that nothing listens.
      listeners.get(bindPort)?.close();
      return accept();
    }
    if (name !== 'tcpip-forward') return reject();
    const listener = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
      client.forwardOut(
        bindAddr,
        listener.address().port,
        socket.remoteAddress,
        socket.remotePort,
        (error, channel) => {
          if (error) return socket.destroy();
          joinChannel(channel, socket);
          socket.resume();
        },
      );
    });
    listener.on('error', reject).listen(bindPort, bindAddr, () => {
      listeners.set(listener.address().port, listener);
      accept(listener.address().port);
    });
  });
  client.on('close', () => listeners.forEach((listener) => listener.close()));
}

/** Rekeys with a client of the ssh2 server after every MiB that it sends. */
function rekeyOften(client) {
  let left = MIB;
  client.on('ready', () => {
    client._sock.on('data', ({ length }) => {
      left -= length;
      if (left > 0) return;
      left = MIB;
      client.rekey();
    });
  });
}

const ssh2 = {
  name: 'ssh2',
  version: () => createRequire(import.meta.url)('ssh2/package.json').version,
  flaws: {
    'diffie-hellman-group-exchange-sha256': 'offered, but only its client implements it',
  },
  available: () => true,
  async start({ hostKeys, userKeys }) {
    const options = {
      hostKeys: hostKeys.map(({ privateKey, publicKey }) => ({ private: privateKey, public: publicKey })),
      publicKey: userKeys.map(({ publicKey }) => publicKey),
    };
    const [server, rekeying] = [await Ssh2Server.start(options), await Ssh2Server.start(options)];
    server.server.on('connection', forwardRemote);
    rekeying.server.on('connection', rekeyOften);
    return {
      ports: [server.port],
      rekeyingPort: rekeying.port,
      username: 'user',
      password: 'right',
      rekeys: () => [...server.lines, ...rekeying.lines].filter((line) => /Inbound: NEWKEYS/.test(line)).length,
      kill: () => server.dropSessions(), // it runs in this process
      stop: () => Promise.all([server.stop(), rekeying.stop()]),
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
  async start(identities) {
    const program = join(RUSSH, 'target/debug/russh-server');
    return { ...(await startProgram('russh', [program], identities)), certificates: true };
  },
};

export const SERVERS = [openssh, dropbear, ssh2, russh, asyncssh, paramiko, conch, tinyssh, libssh];
