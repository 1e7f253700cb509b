// A private OpenSSH server: on a free port of this machine, with keys of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { findProgram } from './ensure-sshd.mjs';
import { makeKey, temporaryFolder } from './keys.mjs';
import { Target } from './peers.mjs';
import { descendants, run, signal, whenFile } from './process.mjs';

const ATTEMPTS = 5; // to get a port that nobody took since it was found free

export class Sshd {
  #folder;
  #process;

  /**
   * Resolves when the server accepts connections.
   * @param options.hostKeyTypes any of ed25519, ecdsa, rsa; with bits as in ecdsa-384
   * @param options.certify what makes a certificate for a host key, if it has one: gives its path
   * @param options.config more lines for sshd_config, such as `RekeyLimit 16M`
   */
  static async start({ hostKeyTypes = ['ed25519'], certify = () => null, logLevel = 'VERBOSE', config = [] } = {}) {
    const path = findProgram('sshd');
    if (!path) throw new Error('there is no sshd: install openssh-server');
    // What Debian makes at boot: an empty folder for the part of sshd without rights.
    if (process.getuid() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });

    const server = new Sshd();
    server.#folder = temporaryFolder('sshd');
    const at = (name) => join(server.#folder.path, name);
    server.hostKeys = hostKeyTypes.map((name) => {
      const [type, bits] = name.split('-');
      return makeKey(at(`host_${name}`), { type, bits });
    });
    const certificates = server.hostKeys.map(certify).filter((file) => file !== null);
    server.key = makeKey(at('user'));
    server.logFile = at('log');
    server.authorize(server.key.publicKey);

    for (let attempt = 1; ; attempt++) {
      server.port = await freePort();
      const lines = [
        'ListenAddress 127.0.0.1',
        `Port ${server.port}`,
        ...server.hostKeys.map(({ file }) => `HostKey ${file}`),
        ...certificates.map((file) => `HostCertificate ${file}`),
        `AuthorizedKeysFile ${at('authorized_keys')}`,
        'PidFile none',
        'UsePAM no',
        'StrictModes no',
        'PermitRootLogin yes',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'AllowTcpForwarding yes',
        'MaxStartups 1000',
        'MaxSessions 1000',
        'UseDNS no',
        `LogLevel ${logLevel}`,
        ...config,
      ];
      writeFileSync(at('sshd_config'), `${lines.join('\n')}\n`);
      writeFileSync(server.logFile, '');
      if (await server.#launch(path, at('sshd_config'))) return server;
      const taken = /Address already in use/.test(server.log());
      if (!taken || attempt === ATTEMPTS) {
        server.#folder.remove();
        throw new Error(`sshd did not start:\n${server.log()}`);
      }
    }
  }

  /** Whether it came to listen; false when it ended instead. */
  async #launch(path, config) {
    // The log is a file and no pipe: a test that blocks this process must not block the server.
    const log = openSync(this.logFile, 'a');
    this.#process = spawn(path, ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', log] });
    closeSync(log);
    process.on('exit', this.#kill);
    const failed = once(this.#process, 'exit').then(() => false);
    return Promise.race([this.logged(/^Server listening on/m).then(() => true), failed]);
  }

  /** Lets the owner of a key log on. */
  authorize(publicKey) {
    const file = join(this.#folder.path, 'authorized_keys');
    writeFileSync(file, `${publicKey}\n`, { flag: 'a' });
  }

  /** What a tunnel needs to log on. */
  get login() {
    return {
      host: '127.0.0.1',
      port: this.port,
      username: userInfo().username,
      privateKey: this.key.privateKey,
      hostKey: this.hostKeys.map(({ publicKey }) => publicKey),
    };
  }

  /** Everything that the server has logged. */
  log() {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Waits until the log matches, and gives the match. */
  logged(pattern) {
    return whenFile(this.logFile, pattern);
  }

  /** How lines of known_hosts name this server. */
  get address() {
    return `[127.0.0.1]:${this.port}`;
  }

  /** What OpenSSH's own client makes of it: whether it trusts the server, and why not. */
  async ask(knownHosts, ...options) {
    const settings = [
      `UserKnownHostsFile=${knownHosts}`, 'GlobalKnownHostsFile=none', 'UpdateHostKeys=no', 'BatchMode=yes',
      'PasswordAuthentication=no', `IdentityFile=${this.key.file}`, 'IdentityAgent=none',
    ];
    const args = [...options, 'StrictHostKeyChecking=yes', ...settings].flatMap((setting) => ['-o', setting]);
    const { code, stderr } = await run(findProgram('ssh'), [
      '-F', 'none', ...args, '-p', String(this.port), '-l', userInfo().username, '127.0.0.1', 'true',
    ]);
    return { trusts: code === 0, stderr };
  }

  /** The processes that serve sessions; the one that listens is none of them. */
  sessions() {
    return descendants(this.#process.pid);
  }

  /** Ends every session as a crash would. */
  killSessions() {
    for (const pid of this.sessions()) signal(pid, 'SIGKILL');
  }

  /** The sessions fall silent; their connections stay. */
  freezeSessions() {
    for (const pid of this.sessions()) signal(pid, 'SIGSTOP');
  }

  thawSessions() {
    for (const pid of this.sessions()) signal(pid, 'SIGCONT');
  }

  #kill = () => {
    this.killSessions();
    signal(this.#process.pid, 'SIGKILL');
  };

  async stop() {
    process.off('exit', this.#kill);
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#kill();
      await ended;
    }
    this.#folder.remove();
  }
}

async function freePort() {
  const target = await Target.start();
  await target.stop();
  return target.port;
}
