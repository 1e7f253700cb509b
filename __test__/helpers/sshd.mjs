// A private OpenSSH server on a free local port, with its own keys.

import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { launch, onFreePort } from './daemon.mjs';
import { findProgram } from './ensure-sshd.mjs';
import { makeKey, temporaryFolder } from './keys.mjs';
import { descendants, run, signal, whenFile } from './process.mjs';

export class Sshd {
  #folder;
  #process;
  #hostKeyTypes;
  #program;
  #inside;
  #host;

  /**
   * Resolves when the server accepts connections.
   * @param options.hostKeyTypes any of ed25519, ecdsa, rsa; with bits as in ecdsa-384
   * @param options.certify what makes a certificate for a host key, if it has one: gives its path
   * @param options.config lines for sshd_config that come before the usual ones, such as `RekeyLimit 16M`
   * @param options.program sshd by another name
   * @param options.host the address that it listens on
   * @param options.inside a command that runs sshd where that address is, such as in a network namespace
   */
  static async start({
    hostKeyTypes = ['ed25519'],
    certify = () => null,
    logLevel = 'VERBOSE',
    maxStartups = '1000',
    config = [],
    program = findProgram('sshd'),
    host = '127.0.0.1',
    inside = [],
  } = {}) {
    if (!program) throw new Error('there is no sshd: install openssh-server');
    // Debian creates this folder at boot, for the unprivileged part of sshd.
    if (process.getuid() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });

    const server = new Sshd();
    server.#folder = temporaryFolder('sshd');
    const at = server.#at;
    server.#hostKeyTypes = hostKeyTypes;
    server.#program = program;
    server.#host = host;
    server.#inside = inside;
    server.hostKeys = server.#makeHostKeys();
    const certificates = server.hostKeys.map(certify).filter((file) => file !== null);
    server.key = makeKey(at('user'));
    server.logFile = at('log');
    server.authorize(server.key.publicKey);

    const starting = onFreePort('sshd', server.logFile, (port) => {
      server.port = port;
      const lines = [
        `ListenAddress ${host}`,
        `Port ${server.port}`,
        ...server.hostKeys.map(({ file }) => `HostKey ${file}`),
        ...certificates.map((file) => `HostCertificate ${file}`),
        ...config,
        `AuthorizedKeysFile ${at('authorized_keys')}`,
        'PidFile none',
        'UsePAM no',
        'StrictModes no',
        'PermitRootLogin yes',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'AllowTcpForwarding yes',
        `MaxStartups ${maxStartups}`, // the last such line counts
        'MaxSessions 1000',
        'UseDNS no',
        `LogLevel ${logLevel}`,
      ];
      writeFileSync(at('sshd_config'), `${lines.join('\n')}\n`);
      return server.#launch();
    });
    return starting.then(
      () => server,
      (error) => {
        server.#folder.remove();
        throw error;
      },
    );
  }

  #at = (name) => join(this.#folder.path, name);

  #makeHostKeys() {
    return this.#hostKeyTypes.map((name) => {
      const [type, bits] = name.split('-');
      return makeKey(this.#at(`host_${name}`), { type, bits });
    });
  }

  /** Whether it listens; false if it ended instead. */
  #launch() {
    const [program, ...args] = [...this.#inside, this.#program, '-D', '-e', '-f', this.#at('sshd_config')];
    const ready = /^Server listening on/m;
    const { child, listening } = launch(program, args, { logFile: this.logFile, ready });
    this.#process = child;
    process.on('exit', this.#kill);
    return listening;
  }

  /** Authorizes a key. */
  authorize(publicKey) {
    writeFileSync(this.#at('authorized_keys'), `${publicKey}\n`, { flag: 'a' });
  }

  /** Removes all authorized keys. */
  authorizeNobody() {
    writeFileSync(this.#at('authorized_keys'), '');
  }

  /** Replaces the host keys from the next start on; `login` keeps the old ones. */
  changeHostKeys() {
    for (const { file } of this.hostKeys) rmSync(file);
    this.#makeHostKeys();
  }

  /** The options of a tunnel that connects to this server. */
  get login() {
    return {
      host: this.#host,
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

  /** Whether OpenSSH's own client trusts the server, and its error output. */
  async ask(knownHosts, ...options) {
    const settings = [
      `UserKnownHostsFile=${knownHosts}`,
      'GlobalKnownHostsFile=none',
      'UpdateHostKeys=no',
      'BatchMode=yes',
      'PasswordAuthentication=no',
      `IdentityFile=${this.key.file}`,
      'IdentityAgent=none',
    ];
    const args = [...options, 'StrictHostKeyChecking=yes', ...settings].flatMap((setting) => ['-o', setting]);
    const { code, stderr } = await run(findProgram('ssh'), [
      '-F',
      'none',
      ...args,
      '-p',
      String(this.port),
      '-l',
      userInfo().username,
      '127.0.0.1',
      'true',
    ]);
    return { trusts: code === 0, stderr };
  }

  /** The processes that serve sessions, without the listening one. */
  sessions() {
    return descendants(this.#process.pid);
  }

  /** Ends every session as a crash would. */
  killSessions() {
    for (const pid of this.sessions()) signal(pid, 'SIGKILL');
  }

  /** Freezes the sessions; their connections stay open. */
  freezeSessions() {
    for (const pid of this.sessions()) signal(pid, 'SIGSTOP');
  }

  thawSessions() {
    for (const pid of this.sessions()) signal(pid, 'SIGCONT');
  }

  /** Freezes the whole server; its port stays open. */
  freeze() {
    signal(this.#process.pid, 'SIGSTOP');
    this.freezeSessions();
  }

  thaw() {
    this.thawSessions();
    signal(this.#process.pid, 'SIGCONT');
  }

  /** Kills the server and its sessions, as after a crash. */
  async halt() {
    process.off('exit', this.#kill);
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#kill();
    await ended;
  }

  /** Starts it anew, on the same port and with an empty log. */
  async restart() {
    await this.halt();
    if (!(await this.#launch())) throw new Error(`sshd did not start again:\n${this.log()}`);
  }

  #kill = () => {
    signal(this.#process.pid, 'SIGSTOP'); // so that it starts no further session
    this.killSessions();
    signal(this.#process.pid, 'SIGKILL');
  };

  async stop() {
    await this.halt();
    this.#folder.remove();
  }
}
