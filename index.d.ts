/// <reference types="node" />

import { EventEmitter } from 'node:events';
import { Agent, AgentOptions } from 'node:https';
import { Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';

/**
 * The LINGER structure of the sockets API: two unsigned shorts, integers from 0 to 65535.
 *
 * | l_onoff | l_linger | how a connection is closed |
 * |---|---|---|
 * | 0 | any | gracefully: everything is delivered, then FIN, without a limit in time |
 * | not 0 | 0 | hard: what is not delivered yet is dropped, the peer gets RST (ECONNRESET) |
 * | not 0 | n | bounded: gracefully for at most n seconds from the close, then hard; nobody else waits |
 */
export interface Linger {
  l_onoff: number;
  /** Seconds. */
  l_linger: number;
}

/** The server's host key, for {@link SSHTunnelOptions.hostVerifier} to decide about. */
export interface HostKeyInfo {
  /** The `host` option as it was given, of the tunnel or of a jump host. */
  host: string;
  port: number;
  /** `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'` (or 384, 521), `'ssh-rsa'`. */
  type: string;
  /** The public key (RFC 4253, section 6.6); of a certificate, the key in it. */
  key: Buffer;
  /** `'SHA256:...'`, as `ssh-keygen -l` prints it. */
  fingerprint: string;
}

/**
 * The text of a private key file, OpenSSH or PEM, not its path; or that with what belongs to it. A
 * certificate is offered first, and then the key alone, as by OpenSSH; whether a certificate is
 * valid is for the server to judge.
 *
 * A string cannot be wiped from memory, a Buffer can: read the file without an encoding, and fill
 * the Buffer with zeros once the constructor has returned. docs/secrets.md says what becomes of
 * the tunnel's copy.
 */
export type PrivateKey =
  | string
  | Uint8Array
  | {
      key: string | Uint8Array;
      /** What it is encrypted with. Default: the option `passphrase`. */
      passphrase?: string | Uint8Array | undefined;
      /** The line of its `-cert.pub` file. */
      certificate?: string | Uint8Array | undefined;
    };

/** A way to prove who the user is; `'agent'` is publickey with the keys of `agent`. */
export type AuthMethod = 'none' | 'publickey' | 'agent' | 'keyboard-interactive' | 'password';

/** A question of the server's; control characters other than tabs and line ends are left out. */
export interface Prompt {
  /** Such as `'Password: '`. */
  prompt: string;
  /** Whether the answer may be seen while it is typed. */
  echo: boolean;
}

/**
 * How one list of algorithms is made: exactly these names, the preferred first; or the default list
 * with some names taken out (`remove`), then some put first (`prepend`, also those that are in the
 * list already), then some put last (`append`, those that are not in the list).
 */
export type AlgorithmList =
  | readonly string[]
  | {
      remove?: string | readonly string[] | undefined;
      prepend?: string | readonly string[] | undefined;
      append?: string | readonly string[] | undefined;
    };

/**
 * Which algorithms may be used, as in ssh2. Of each kind, the first of ours that the server has too
 * is taken; if there is none, the logon fails with ERR_SSH_ALGORITHM, which names both lists. An
 * unknown name, wherever it stands, and a list that leaves nothing are a TypeError
 * ERR_INVALID_ARG_VALUE. All that is known is offered by default, except compression: what is weak
 * does not exist here.
 */
export interface Algorithms {
  /**
   * Methods of key exchange. Default: `'mlkem768x25519-sha256'`, `'curve25519-sha256'`,
   * `'curve25519-sha256@libssh.org'`, `'ecdh-sha2-nistp256'`, `'ecdh-sha2-nistp384'`,
   * `'ecdh-sha2-nistp521'`, `'diffie-hellman-group-exchange-sha256'`,
   * `'diffie-hellman-group16-sha512'`, `'diffie-hellman-group18-sha512'`,
   * `'diffie-hellman-group14-sha256'`. The first withstands quantum computers (OpenSSH 9.9); for
   * `sntrup761x25519-sha512` there is no audited implementation.
   */
  kex?: AlgorithmList | undefined;
  /**
   * Ciphers. Default: `'aes256-gcm@openssh.com'`, `'aes128-gcm@openssh.com'`,
   * `'chacha20-poly1305@openssh.com'`, `'aes256-ctr'`, `'aes192-ctr'`, `'aes128-ctr'`; where the
   * processor has no instructions for AES, the third one comes first.
   *
   * With a server that does not know strict key exchange (CVE-2023-48795), `chacha20-poly1305` and,
   * with less hope, `aes...-ctr` with an `-etm` MAC let a man in the middle cut messages from the
   * start of a session, unseen. They are offered all the same, as by OpenSSH; to have none of it:
   * `cipher: { remove: 'chacha20-poly1305@openssh.com' }` and `hmac` without `-etm`.
   */
  cipher?: AlgorithmList | undefined;
  /**
   * Signature algorithms of host keys. Default: `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'`,
   * `'ecdsa-sha2-nistp384'`, `'ecdsa-sha2-nistp521'`, `'rsa-sha2-512'`, `'rsa-sha2-256'`,
   * `'ssh-ed25519-cert-v01@openssh.com'`, `'ecdsa-sha2-nistp256-cert-v01@openssh.com'`,
   * `'ecdsa-sha2-nistp384-cert-v01@openssh.com'`, `'ecdsa-sha2-nistp521-cert-v01@openssh.com'`,
   * `'rsa-sha2-512-cert-v01@openssh.com'`, `'rsa-sha2-256-cert-v01@openssh.com'`.
   *
   * Unless the order is given, by a list or by `prepend`, those for what is known of this server come
   * before others: certificates where an `@cert-authority` line of the known_hosts files matches it,
   * then the types of the keys that the files or `hostKey` have of it. What is revoked is not known.
   */
  serverHostKey?: AlgorithmList | undefined;
  /**
   * MACs, for the `aes...-ctr` ciphers: the others authenticate packets themselves. Default:
   * `'hmac-sha2-256-etm@openssh.com'`, `'hmac-sha2-512-etm@openssh.com'`, `'hmac-sha2-256'`,
   * `'hmac-sha2-512'`.
   */
  hmac?: AlgorithmList | undefined;
  /**
   * Compression methods: `'none'`, `'zlib@openssh.com'`. Default: `'none'` alone; to compress where
   * the server can: `{ prepend: 'zlib@openssh.com' }`, from when the user is logged on. That helps
   * where the network is slow and the data are not compressed yet, and costs processor time
   * elsewhere; how well something could be compressed shows in its length.
   */
  compress?: AlgorithmList | undefined;
  /**
   * Signature algorithms that authorities may sign host certificates with (`CASignatureAlgorithms`
   * of ssh_config). Default: `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'`, `'ecdsa-sha2-nistp384'`,
   * `'ecdsa-sha2-nistp521'`, `'rsa-sha2-512'`, `'rsa-sha2-256'`. The order does not matter.
   */
  caSignature?: AlgorithmList | undefined;
  /**
   * Algorithms to use the user's keys and certificates with, also those of an agent
   * (`PubkeyAcceptedAlgorithms` of ssh_config). A key for which none is left is not used. Default:
   * `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'`, `'ecdsa-sha2-nistp384'`, `'ecdsa-sha2-nistp521'`,
   * `'sk-ssh-ed25519@openssh.com'`, `'sk-ecdsa-sha2-nistp256@openssh.com'`, `'rsa-sha2-512'`,
   * `'rsa-sha2-256'`, `'ssh-ed25519-cert-v01@openssh.com'`,
   * `'ecdsa-sha2-nistp256-cert-v01@openssh.com'`, `'ecdsa-sha2-nistp384-cert-v01@openssh.com'`,
   * `'ecdsa-sha2-nistp521-cert-v01@openssh.com'`, `'sk-ssh-ed25519-cert-v01@openssh.com'`,
   * `'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com'`, `'rsa-sha2-512-cert-v01@openssh.com'`,
   * `'rsa-sha2-256-cert-v01@openssh.com'`. The order decides between the algorithms of one key.
   */
  publicKey?: AlgorithmList | undefined;
}

/**
 * How to reconnect. The wait before an attempt is twice as long as the one before it, and then a
 * random part of its second half is left out (equal jitter): a server that comes back does not get
 * all of its clients at once. Waits begin at `initialDelay` again after a session that has carried
 * data and lasted for `initialDelay`, or has lasted for `maxDelay`.
 */
export interface ReconnectOptions {
  /** Milliseconds, 1 or more. Default: 1000, or `maxDelay` if that is less. */
  initialDelay?: number | undefined;
  /** The longest wait in milliseconds, not less than `initialDelay`. Default: 30000, or `initialDelay` if that is more. */
  maxDelay?: number | undefined;
  /** Attempts after one loss, 1 or more. Default: no limit. */
  maxAttempts?: number | undefined;
}

/** The next attempt to set up a session that was lost. */
export interface Reconnecting {
  /** Counted from 1 after each loss. */
  attempt: number;
  /** Milliseconds until it begins. */
  delay: number;
  /** What broke the session, or the attempt before. */
  error: SSHTunnelError;
}

/**
 * What a tunnel is made of. Names that are not listed are ignored. A value of the wrong type is a
 * TypeError ERR_INVALID_ARG_TYPE, a number outside its range a RangeError ERR_OUT_OF_RANGE, a host
 * key or name that cannot be one a TypeError ERR_INVALID_ARG_VALUE.
 *
 * With none of `hostKey`, `knownHosts` and `hostVerifier`, the user's and the system's known_hosts
 * files decide about the server (`~/.ssh/known_hosts`, `~/.ssh/known_hosts2`,
 * `/etc/ssh/ssh_known_hosts`, `/etc/ssh/ssh_known_hosts2`). Once one of the three is given, only
 * what is given counts. A server that nothing vouches for is refused with ERR_SSH_HOST_KEY before
 * anything about the user is sent.
 *
 * Names are checked here, and by every method that takes one, before anything changes: a host or user has at
 * most 1024 bytes, the path of a socket 107 on this machine and 1023 at a server, and none has control
 * characters, line separators or lone surrogates. TypeError ERR_INVALID_ARG_VALUE names the option.
 */
export interface SSHTunnelOptions {
  /**
   * Name or address of the SSH server. Of a name's addresses the first one to answer is taken: each
   * gets 250 ms before the next is tried beside it, IPv6 and IPv4 by turns (RFC 8305).
   */
  host: string;
  /** Port of the SSH server, 1 to 65535. Default: 22. */
  port?: number | undefined;
  /** The user to log on as. Default: the name of the user that runs the process. */
  username?: string | undefined;
  /**
   * The user's password. It is sent only after the server has accepted the authentication service,
   * and not to a server that lets the user in by `'none'`, which is asked first (see `authHandler`).
   * Given as bytes, it can be wiped once the constructor has returned; a string stays in memory until
   * it is collected.
   */
  password?: string | Uint8Array | undefined;
  /**
   * One private key or several, which are offered in this order. All of them are read before
   * anything is sent: one that cannot be, or whose certificate belongs to another key, fails the
   * logon with ERR_SSH_PRIVATE_KEY. A server counts every key that it refuses as an attempt, and
   * OpenSSH's ends the session at the sixth.
   */
  privateKey?: PrivateKey | readonly PrivateKey[] | undefined;
  /**
   * What those of `privateKey` are encrypted with that have no passphrase of their own. Given as bytes,
   * it can be wiped once the constructor has returned; a string stays in memory until it is collected.
   */
  passphrase?: string | Uint8Array | undefined;
  /**
   * The certificate that goes with `privateKey`, which is one key then and no array: the line of
   * its `-cert.pub` file. See {@link PrivateKey}.
   */
  certificate?: string | Uint8Array | undefined;
  /** Which algorithms may be used, and in which order. Default: all that are known. */
  algorithms?: Algorithms | undefined;
  /**
   * Path of the socket of an ssh-agent; on Windows (untested) of a named pipe, such as
   * `'\\\\.\\pipe\\openssh-ssh-agent'`. Nothing is taken from the environment: pass
   * `process.env.SSH_AUTH_SOCK`.
   *
   * The agent's keys and certificates are offered in its order, and it is asked to sign only with
   * those that the server takes. An agent that cannot be reached or fails leads to the next key or
   * method; what went wrong is in the message of ERR_SSH_AUTH. One that waits, for a touch or a
   * confirmation, is waited for within `readyTimeout`.
   */
  agent?: string | undefined;
  /**
   * The only keys of `agent` to use, with their certificates: lines of public keys, as in
   * `id_ed25519.pub`. Default: all that it holds, of which many servers take no more than six.
   */
  agentKeys?: string | readonly string[] | undefined;
  /**
   * Whether the event 'keyboard-interactive' answers the server's questions. As long as such a
   * tunnel has no session, `connect()` and `startListening()` without a callback are refused with
   * ERR_TUNNEL_WOULD_DEADLOCK. Default: `false`.
   *
   * Without it, `password` answers a server that asks one question whose answer is not to be seen:
   * many servers take passwords in no other way. A password that was refused is not sent again.
   */
  tryKeyboard?: boolean | undefined;
  /**
   * The only methods to use, in this order, each at most once. A method for which no other option
   * gives a credential is skipped. Default: publickey, agent, none, keyboard-interactive,
   * password; without `tryKeyboard`, password comes before keyboard-interactive.
   *
   * A method that the server does not accept (yet) is left out until it does: where it wants
   * several proofs, their order is the server's.
   *
   * `'none'` asks to be let in without proof, which costs no round trip where it is the first
   * method. Servers seldom list it: after keys were refused, it is tried where the server lists it,
   * or has listed nothing else that is left to try.
   */
  authHandler?: readonly AuthMethod[] | undefined;
  /** Trusted host keys: fingerprints (`'SHA256:...'`) or lines of public keys (`'ssh-ed25519 AAAA...'`). */
  hostKey?: string | readonly string[] | undefined;
  /**
   * Paths of known_hosts files: plain, hashed and wildcard lines, `@cert-authority`, `@revoked`. A
   * file that does not exist counts as empty. One that cannot be read, or has a line about this host
   * that cannot be read, is an error ERR_SSH_HOST_KEY. `~` is not expanded.
   */
  knownHosts?: string | readonly string[] | undefined;
  /**
   * What becomes of a host key that nothing vouches for, as in ssh_config:
   * - `true`: refused
   * - `'accept-new'`: accepted and appended to the first file of `knownHosts`, unless the files have
   *   another key of this host, or an authority of theirs has signed a certificate that is not
   *   good. If it cannot be written it is refused. Without a file: TypeError ERR_INVALID_ARG_VALUE.
   * - `'no'`: the same, and also accepted where it cannot be written. `ssh` goes on after a changed
   *   key, but forwards nothing and gives no password then: for a tunnel, that is a refusal.
   * - `false`: accepted, a changed key too. One that is new is appended if that can be done, a
   *   changed one never. An attacker in between can pose as the server, learns the password, and reads
   *   and changes what is forwarded. It is weaker than anything that ssh_config can ask for.
   *
   * A revoked key is refused in any case. With `hostKey`, nothing but what it names, the files and
   * `hostVerifier` is accepted. A `hostVerifier` is asked before anything is accepted like this; its
   * yes to a new key is written down unless this is `true`. Default: `true`.
   */
  strictHostKeyChecking?: boolean | 'accept-new' | 'no' | undefined;
  /**
   * The name to look for in files and certificates, and to write there, in place of `host` and
   * `port`: for a server behind several names, or several behind one.
   */
  hostKeyAlias?: string | undefined;
  /**
   * Whether the server's other keys are learned when it logs on by one that a line of the files has
   * for this host: those that it proves to own are appended to the file of the first such line, in
   * the background; no line is ever removed. Not by a certificate, and not where a line about the
   * host has a pattern, a marker or more than two names. What goes wrong is not reported, and tried
   * again with the next session. Without a file: TypeError ERR_INVALID_ARG_VALUE. Default: `false`.
   */
  updateHostKeys?: boolean | undefined;
  /**
   * Paths of files of revoked keys, one public key a line (`RevokedHostKeys` of ssh_config): a host with
   * one of these keys, or with a certificate by an authority that has one, is refused whatever else
   * is said. A file that does not exist, has another line or is a key revocation list (KRL, made by
   * `ssh-keygen -k`) refuses every host with ERR_SSH_HOST_KEY. `~` is not expanded. Default: none.
   */
  revokedHostKeys?: string | readonly string[] | undefined;
  /**
   * Bits that RSA keys have to have (`RequiredRSASize` of ssh_config), 1024 to 16384. A host with a
   * smaller key is refused, a certificate by an authority with one does not count, and the user's
   * smaller keys are not used. Keys below 2048 bits are never accepted of hosts and authorities.
   * Default: 1024.
   */
  requiredRSASize?: number | undefined;
  /**
   * Asked about a host key that nothing else decides: not about one that is revoked, nor, unless
   * `strictHostKeyChecking` is `false`, about one that a file of known hosts contradicts. Only `true`, or a promise of it, trusts the key. A throw or a rejection
   * refuses it and becomes the `cause` of the error ERR_SSH_HOST_KEY.
   * The answer has to come within `readyTimeout`.
   *
   * It may await `tunnel.promises`, except an operation that itself waits for this logon. As long
   * as a tunnel with a hostVerifier has no session, `connect()` and `startListening()` without a
   * callback are refused with ERR_TUNNEL_WOULD_DEADLOCK.
   */
  hostVerifier?: ((key: HostKeyInfo) => boolean | Promise<boolean>) | undefined;
  /**
   * Servers to go through, in this order, any number of them: the first is dialed, each connects to
   * the next through a session of its own, and the last one to `host`, which is its to look up. No
   * local port is involved. Not on Windows: Error ERR_FEATURE_UNAVAILABLE_ON_PLATFORM.
   *
   * An error on the way names the jump host; a hop that refuses to connect to the next server is
   * ERR_SSH_OPEN_CONNECT_FAILED or another code of {@link ConnectionEnd.code}. `readyTimeout` covers
   * all hops together. When a hop's session is lost, so is the tunnel's.
   */
  jump?: JumpHost | readonly JumpHost[] | undefined;
  /**
   * A program whose standard input and output lead to the server, instead of a connection of our
   * own; its messages (stderr) go where those of this process go. As in ssh_config: run as
   * `$SHELL -c "exec <command>"` (`/bin/sh` without SHELL, which is read now), after `%h`, `%p`, `%r`,
   * `%n` and `%%` were replaced by host, port, user name, host again and `%`. Quoting is yours; a
   * host or user name that a shell would act on is refused with TypeError ERR_INVALID_ARG_VALUE.
   *
   * Its end is the end of the session, and the error says its exit status. It gets the end of its
   * input when the session ends, and SIGHUP when it is still there two seconds later, or at once
   * when the session was lost or a logon given up. Not together with `jump`: give it to the first
   * hop. Not on Windows: Error ERR_FEATURE_UNAVAILABLE_ON_PLATFORM.
   */
  proxyCommand?: string | undefined;
  /**
   * A stream of bytes that leads to the server, as in ssh2, instead of a connection of our own: a
   * socket, also one of TLS, a channel of another client, any Duplex. `host` and `port` then only
   * name the server, for its host key and in messages.
   *
   * It is used from the first `connect()` or `startListening()` on, and ended and destroyed with the
   * session. It carries one session: later logons fail with ERR_TUNNEL_SOCK_USED. An error of its
   * own becomes the `cause` of ERR_SSH_DISCONNECTED. Not together with `jump` (give it to the first
   * hop), `proxyCommand`, `reconnect` or more than one of `sessions`. Not on Windows: Error ERR_FEATURE_UNAVAILABLE_ON_PLATFORM.
   *
   * This thread carries its bytes: `connect()` and `startListening()` without a session, `shutdown()`
   * and `disconnect()` with one, are refused without a callback, with ERR_TUNNEL_WOULD_DEADLOCK.
   */
  sock?: Duplex | undefined;
  /**
   * The IP address of this machine to dial from, as in ssh2; addresses of its family only are
   * dialed. This and the two that follow are about the one connection that is dialed: with `jump`,
   * that to the first hop.
   */
  localAddress?: string | undefined;
  /** Whether only IPv4 addresses are dialed, as in ssh2. Default: `false`. */
  forceIPv4?: boolean | undefined;
  /** Whether only IPv6 addresses are dialed; not together with `forceIPv4`. Default: `false`. */
  forceIPv6?: boolean | undefined;
  /** Where to listen: an address, or a name that is resolved then. Default: `'127.0.0.1'`. */
  localHost?: string | undefined;
  /** Port to listen on, 0 to 65535; 0 lets the system choose. Default: 0. */
  localPort?: number | undefined;
  /**
   * Whether others may listen on the same local ports: tunnels and servers of this user in any process
   * or thread, all of which have to say so (as `reusePort` of Node's `server.listen()`). The system
   * deals connections out among them, each for good; when one stops, those that it had not accepted
   * yet are reset, and the others get all that come then. Give ports: 0 chooses one that nobody has.
   *
   * It holds for `localPort` and for the ports of {@link SSHTunnel.forwardLocal} and
   * {@link SSHTunnel.forwardDynamic}, not for the paths of Unix sockets. Without it, or if one of the
   * others does not say so, whoever comes later fails with EADDRINUSE. On Linux, FreeBSD and DragonFly
   * BSD; elsewhere the constructor throws Error ERR_FEATURE_UNAVAILABLE_ON_PLATFORM. Default: `false`.
   */
  reusePort?: boolean | undefined;
  /**
   * Connections that the tunnel has at once, of all forwards and of {@link SSHTunnel.dial} together, in
   * any state; 1 to 4294967295. At the limit accepting pauses: further local clients wait in the system's
   * backlog until a connection has ended. The server is refused channels for remote forwards, with
   * the reason RESOURCE_SHORTAGE, and a socket of `dial()` fails with ERR_TUNNEL_MAX_CONNECTIONS.
   * Forwards have a `maxConnections` of their own, too. Default: no limit.
   *
   * Without it, accepting pauses while the process has few descriptors left (an eighth of its limit,
   * at least 16 and at most 256), and while some thousand events wait for a busy event loop; remote
   * forwards refuse connections then.
   */
  maxConnections?: number | undefined;
  /**
   * The host that the SSH server connects every connection to, as the server knows it. Together with
   * `forwardPort`, or neither: then there is nothing to listen for, and
   * {@link SSHTunnel.startListening} fails with ERR_TUNNEL_NO_FORWARD. Further ways through the
   * session: {@link SSHTunnel.forwardLocal}, {@link SSHTunnel.forwardDynamic}.
   */
  forwardHost?: string | undefined;
  /** The port of that host, 1 to 65535. */
  forwardPort?: number | undefined;
  /** How connections are closed; a boolean as in {@link SSHTunnel.setLinger}. Default: `true`. */
  linger?: boolean | Linger | undefined;
  /** SO_KEEPALIVE for accepted connections. Default: `false`. */
  keepAlive?: boolean | undefined;
  /**
   * Milliseconds without a byte in either direction after which a connection is closed by its
   * Linger; 0 for never, at most 2147483647. Default: 0. Bytes that have come and were not read yet
   * count: they are read first. A pause of the process does not count (docs/processes.md).
   */
  idleTimeout?: number | undefined;
  /**
   * Milliseconds of silence after which the server is asked for a sign of life; 0 for never.
   * Default: 0. After a pause of the process (SIGSTOP, a container's freezer, a machine that sleeps)
   * what has come is read, and the server is asked again as often as after any silence.
   */
  keepaliveInterval?: number | undefined;
  /** Unanswered questions in a row after which the session counts as lost, 1 or more. Default: 3. */
  keepaliveCountMax?: number | undefined;
  /** When this side asks for new keys; the server may ask at any time. */
  rekey?: RekeyOptions | undefined;
  /**
   * Milliseconds that dialing and logging on may take in all, ETIMEDOUT after them; also how long a
   * 'connectionRequest' waits for its answer, a connection for a session that was lost, and the
   * server may take to open a connection's far side, or to answer about a remote forward. 0 for no limit.
   * Default: 20000.
   */
  readyTimeout?: number | undefined;
  /**
   * Whether, and how, a session is set up again that was lost while the tunnel listens, or that
   * {@link SSHTunnel.connect} asked for. `true`: with the defaults of {@link ReconnectOptions}.
   * Default: `false`. A server that vanishes without a word is noticed only with
   * `keepaliveInterval`.
   *
   * The open connections end as without it, with a reset after the delivered bytes. The port stays
   * bound. Connections that come meanwhile, or were not open yet, wait: nothing is read from them,
   * and each is opened through the new session, or reset after `readyTimeout` (ETIMEDOUT). Up to
   * 1024 are accepted meanwhile, others stay in the system's backlog.
   *
   * Before each wait there is a 'reconnecting', and a 'ready' when the session is up. What only
   * repeats itself is not tried again: ERR_SSH_HOST_KEY, ERR_SSH_PRIVATE_KEY, ERR_SSH_AUTH and
   * ERR_SSH_ALGORITHM. After these, and after the last of `maxAttempts`, the port is given up and
   * who waits is reset (ERR_SSH_DISCONNECTED); 'error' and 'close' follow. Everything is asked and
   * read anew for each attempt: hostVerifier, 'keyboard-interactive', agent, known_hosts files.
   *
   * The first logon is not tried again: its error belongs to the call that asked for it.
   */
  reconnect?: boolean | ReconnectOptions | undefined;
  /**
   * Bytes that the far side of each connection may send ahead of what the local program has taken:
   * the most that a connection which stops reading can cost. 131072 (128 KiB) to 1073741824 (1 GiB).
   * Default: 16777216 (16 MiB), or `memoryLimit` if that is less.
   *
   * A connection receives at most one window in each round trip to the server. Its window begins at
   * 2 MiB (at `windowLimit`, if that is less) and grows while bandwidth and round trip fill it, so
   * only a connection that has been fast over a long path comes to hold more; one whose program has
   * read little keeps 2 MiB. A window that was slow for long goes back to where it began. The round
   * trip is measured by requests like those of `keepaliveInterval`: one after the logon, then at
   * most one a second while much is received. A server that never answers them grants no growth.
   *
   * 16 MiB are 160 MiB/s at a round trip of 100 ms.
   */
  windowLimit?: number | undefined;
  /**
   * Bytes that the windows of all open connections may come to together, `windowLimit` or more: the
   * most that programs which stop reading can cost. Default: 1073741824 (1 GiB). With several
   * `sessions` each of them has an equal share.
   *
   * What a window holds counts whether it is used or not, until its connection's far side is closed.
   * When nothing is left, no window grows, and new connections get 128 KiB each all the same: enough
   * for requests and their answers. A jump host has one window of its own, which all connections
   * share.
   */
  memoryLimit?: number | undefined;
  /**
   * How many SSH sessions the tunnel may have at once, 1 to 64. Default: 1. A session is encrypted by
   * one core here and one at the server, however many there are; with several, connections are
   * spread over them, each to the one with the fewest connections and the least moved lately, where
   * it stays.
   *
   * There is one session at first. A further one is begun when a connection comes and every session
   * has one already; connections do not wait for it, they go to those that are up. One that has had
   * no connection for a minute is ended, but not the last. Each logs on like the first: hostVerifier
   * and 'keyboard-interactive' are asked for each.
   *
   * A session that is lost ends its own open connections only (ERR_SSH_DISCONNECTED); those that were
   * not open yet go to another one. As long as one is left the tunnel goes on, after a
   * 'sessionError'; the loss of the last is that of the tunnel's session, as `reconnect` describes.
   * After a loss, or a logon that failed, a further session is not begun within the next 5 to 60
   * seconds, and after an error that would only repeat itself (see `reconnect`) not at all until the
   * tunnel has logged on anew.
   */
  sessions?: number | undefined;
}

/**
 * When keys are changed: at the first of both limits, and before the number of a packet could come
 * twice. Connections live on; until it is done nothing can be sent up. A server that has not done
 * its part within two minutes counts as lost (ERR_SSH_DISCONNECTED).
 */
export interface RekeyOptions {
  /** Bytes that one set of keys carries in either direction, 2 ** 20 to 2 ** 36. Default: 2 ** 32. */
  bytes?: number | undefined;
  /** Seconds that keys are used, at most 2147483; 0 for any time. Default: 3600. */
  seconds?: number | undefined;
}

/**
 * What {@link SSHTunnel.fromConfig} takes beside the host: options of the constructor, which win over
 * the files.
 */
export interface ConfigOverrides extends Partial<SSHTunnelOptions> {
  /**
   * The file to read in place of the user's and the system's, as with `ssh -F`; `'none'`: no file.
   * `~` is not expanded.
   */
  configFile?: string | undefined;
}

/** What an ssh_config file says that would have changed something for a tunnel, and is not honoured. */
export interface ConfigNotice {
  /** The host it is about, as it was given or as `ProxyJump` names it. */
  readonly host: string;
  /** The directive, such as `'RevokedHostKeys'`, or `'Match'` for one of its criteria. */
  readonly option: string;
  /** Its arguments. */
  readonly value: string;
  /** Why, for people. */
  readonly reason: string;
  /** Where it stands; absent for a key that no file names. */
  readonly file?: string;
  /** Counted from 1. */
  readonly line?: number;
}

/**
 * A server to go through: whom to log on as, how, and whom to trust. Nothing is taken over from the
 * tunnel's own options: what is not given has the same default as there, which for `username` is
 * the user that runs the process. One thing apart: a hop with none of `hostKey`, `knownHosts` and
 * `hostVerifier` has its key checked by the usual known_hosts files, and where they do not know it,
 * by the tunnel's `hostVerifier`, which sees the hop's `host` and `port`.
 *
 * A hop asks no questions: of keyboard-interactive, only its `password` answers. The first hop may
 * be reached by a `proxyCommand` or a `sock`.
 */
export interface JumpHost
  extends Pick<
    SSHTunnelOptions,
    | 'host'
    | 'port'
    | 'username'
    | 'password'
    | 'privateKey'
    | 'passphrase'
    | 'certificate'
    | 'algorithms'
    | 'agent'
    | 'agentKeys'
    | 'authHandler'
    | 'hostKey'
    | 'knownHosts'
    | 'hostVerifier'
    | 'strictHostKeyChecking'
    | 'hostKeyAlias'
    | 'revokedHostKeys'
    | 'requiredRSASize'
    | 'updateHostKeys'
    | 'proxyCommand'
    | 'sock'
    | 'keepaliveInterval'
    | 'keepaliveCountMax'
    | 'rekey'
  > {}

/** A connection through the tunnel, at the moment of asking. */
export interface ConnectionInfo {
  /** Its number, unique within the tunnel, counted from 1. */
  connectionId: number;
  /**
   * What it came by: 0 for the constructor's own `forwardHost` and `forwardPort`, -1 for
   * {@link SSHTunnel.dial}, otherwise the {@link Forward.forwardId} of a forward.
   */
  forwardId: number;
  /**
   * The program that connected to the local port; absent on a Unix socket, and where it was
   * dialled. By a remote forward: the one that connected at the server, in the server's words; absent if they are no address.
   */
  remoteAddress?: string;
  remotePort?: number;
  /**
   * The local address that it connected to; absent likewise. By a remote forward: from which
   * address of this machine the target was connected to, absent until it is.
   */
  localAddress?: string;
  localPort?: number;
  /**
   * What the SSH server connects it to: a port of a host (by a dynamic forward: as its program asked
   * for it, and absent until then),
   */
  forwardHost?: string;
  forwardPort?: number;
  /** or a Unix socket. */
  forwardPath?: string;
  /** The value that it will be closed by: it was accepted with it, or got it later. */
  linger: Linger;
  /**
   * `'negotiating'`: came by a dynamic forward and has not said where to. `'requested'`: waits for an answer to its 'connectionRequest'. `'opening'`: the SSH server was
   * asked to connect, or will be when the session is up again. `'open'`: open from end to end; either direction may have reached its end.
   * `'closing'`: what is still under way is delivered or dropped, by its Linger.
   */
  state: 'negotiating' | 'requested' | 'opening' | 'open' | 'closing';
  /** Bytes read from the local program and handed to the SSH session so far. */
  bytesUp: number;
  /** Bytes from the far side handed to the local program so far. */
  bytesDown: number;
}

/**
 * A connection and what can still be decided about it: how it will be closed, in the forms that
 * {@link SSHTunnel} has for connections to come, and its close. Its other members stay as they were at
 * the moment of asking.
 *
 * Calls are calls on the tunnel: their order, and what a callback or a blocking call means, are the
 * same. They fail with ERR_TUNNEL_NO_CONNECTION when the connection has ended.
 */
export interface Connection extends ConnectionInfo {
  getLinger(): boolean;
  getLinger(callback: Callback<boolean>): void;
  /** As {@link Connection.setLingerOption} with `{ l_onoff: 0 }` for `true`, and `{ l_onoff: 1, l_linger: 0 }` for `false`. */
  setLinger(linger: boolean): void;
  setLinger(linger: boolean, callback: Callback): void;
  getLingerOption(): Linger;
  getLingerOption(callback: Callback<Linger>): void;
  /**
   * Decides anew how the connection will be closed. Done at once. Before the close nothing changes. A
   * connection whose state is 'closing' goes on by the new value, whichever side began to close it:
   *
   * - hard: it is reset now. What was acknowledged by the local client, or handed to the SSH session,
   *   is delivered; the rest is dropped and counted; the local client gets ECONNRESET. That is final: a
   *   softer value right after it, or after {@link Connection.reset} or a forced shutdown, comes too
   *   late (ERR_TUNNEL_NO_CONNECTION).
   * - bounded: it may take `l_linger` seconds from this call.
   * - graceful: there is no limit in time (any more).
   */
  setLingerOption(value: Linger): void;
  setLingerOption(value: Linger, callback: Callback): void;
  /** Closes the connection by its Linger, with the promises of {@link SSHTunnel.disconnect}. */
  close(): void;
  close(callback: Callback): void;
  /**
   * Resets the connection, whatever its Linger and its state, also when it is being closed. Nothing
   * more is delivered: what is still under way is dropped and counted. The local client gets
   * ECONNRESET, the remote end the end of the channel. Done when it has ended, which takes no time.
   */
  reset(): void;
  reset(callback: Callback): void;
  /** The same methods as promises. */
  readonly promises: ConnectionPromises;
}

export interface ConnectionPromises {
  getLinger(): Promise<boolean>;
  setLinger(linger: boolean): Promise<void>;
  getLingerOption(): Promise<Linger>;
  setLingerOption(value: Linger): Promise<void>;
  close(): Promise<void>;
  reset(): Promise<void>;
}

/** Where to listen, and what to lead connections to, for {@link SSHTunnel.forwardLocal}. */
export interface LocalForwardOptions {
  /** Where to listen: an address, or a name that is resolved then. Default: `'127.0.0.1'`. */
  localHost?: string | undefined;
  /** Port to listen on, 0 to 65535; 0 lets the system choose. Default: 0. */
  localPort?: number | undefined;
  /**
   * A Unix socket to listen on in place of both. The file is made for this user only (mode 0600),
   * whatever the umask, and removed when the forward ends; one that is there already is left alone,
   * and is EADDRINUSE. At most 107 bytes (103 on macOS). Not on Windows: Error
   * ERR_FEATURE_UNAVAILABLE_ON_PLATFORM.
   */
  localPath?: string | undefined;
  /** The host that the SSH server connects to, as the server knows it. */
  forwardHost?: string | undefined;
  /** The port of that host, 1 to 65535. */
  forwardPort?: number | undefined;
  /**
   * A Unix socket of the server's machine in place of both. Servers other than OpenSSH (6.7) mostly
   * know nothing of it: connections end with ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE or the like then.
   */
  forwardPath?: string | undefined;
  /** Connections of this forward at once, as {@link SSHTunnelOptions.maxConnections}. Default: no limit. */
  maxConnections?: number | undefined;
}

/** Where to listen, and who may ask, for {@link SSHTunnel.forwardDynamic}. */
export interface DynamicForwardOptions {
  /** As {@link LocalForwardOptions.localHost}. Whoever reaches it can reach all that the server can. */
  localHost?: string | undefined;
  /** As {@link LocalForwardOptions.localPort}. */
  localPort?: number | undefined;
  /** As {@link LocalForwardOptions.localPath}. */
  localPath?: string | undefined;
  /**
   * Together with `password`, or neither. With both, programs have to prove themselves by username
   * and password (RFC 1929) and in no other way; those that speak SOCKS 4, which has no password, are
   * refused. 1 to 255 bytes of UTF-8 each. Programs send both in clear.
   */
  username?: string | undefined;
  /** Compared in constant time; in no message. */
  password?: string | undefined;
  /** Connections of this forward at once, those in their SOCKS handshake included, as {@link SSHTunnelOptions.maxConnections}. Default: no limit. */
  maxConnections?: number | undefined;
}

/** Where the server is to listen, and what to lead connections to, for {@link SSHTunnel.forwardRemote}. */
export interface RemoteForwardOptions {
  /**
   * An address or a name of the server's; the empty string for all of its addresses. What it comes to is the
   * server's decision: OpenSSH listens on its loopback addresses whatever is asked for, unless its
   * GatewayPorts says `clientspecified`. Default: `'localhost'`.
   */
  remoteHost?: string | undefined;
  /** Port to listen on, 0 to 65535; 0 lets the server choose. Default: 0. */
  remotePort?: number | undefined;
  /**
   * A Unix socket of the server's machine in place of both. OpenSSH refuses where a file is already,
   * unless its StreamLocalBindUnlink says `yes`, and other servers mostly know nothing of it.
   */
  remotePath?: string | undefined;
  /** The host to connect to, as this machine knows it. */
  forwardHost?: string | undefined;
  /** The port of that host, 1 to 65535. */
  forwardPort?: number | undefined;
  /** A Unix socket of this machine in place of both; as long as {@link LocalForwardOptions.localPath}. */
  forwardPath?: string | undefined;
  /** Connections of this forward at once; the server is refused others with the reason RESOURCE_SHORTAGE. Default: no limit. */
  maxConnections?: number | undefined;
}

/**
 * A way through the session that was opened beside the constructor's own. Its members stay as they
 * were when it was opened, except `listening`, and a `remotePort` that the server chose.
 */
export interface Forward {
  /** Counted from 1 within the tunnel; a forward that could not be opened uses up a number. */
  readonly forwardId: number;
  readonly kind: 'local' | 'dynamic' | 'remote';
  /**
   * Whether it takes connections; one at this side also while a lost session is being set up again, a
   * remote one not.
   */
  readonly listening: boolean;
  /** Where it listens, as it was bound: an address and a port, */
  readonly localHost?: string;
  readonly localPort?: number;
  /** or a Unix socket. */
  readonly localPath?: string;
  /** Where the server listens for a remote one: the name that it was asked for, and the real port, */
  readonly remoteHost?: string;
  readonly remotePort?: number;
  /** or a Unix socket. */
  readonly remotePath?: string;
  /** What connections are led to, unless each says so itself: a port of a host, */
  readonly forwardHost?: string;
  readonly forwardPort?: number;
  /** or a Unix socket. */
  readonly forwardPath?: string;
  /**
   * Gives the port up, or the Unix socket, whose file is removed. Done when that is free, without
   * waiting for anybody: as {@link SSHTunnel.stopListening} does for the constructor's own port, with
   * the same promises. Open connections live on, nothing is lost on them. What is stopped already
   * stays so.
   *
   * A remote forward is stopped when the server has answered. Connections that the server offers
   * meanwhile are refused; those that were offered before are still led to the target. Fails, with
   * ERR_SSH_FORWARD_REFUSED, only if the server refuses to give its port up; the forward has ended
   * all the same, and every connection for it is refused.
   */
  stop(): void;
  stop(callback: Callback): void;
  /**
   * What {@link SSHTunnel.stats} has counted of the connections that came by this forward; also after
   * it was stopped, or ended with the session, until 256 later ones were. Then it fails with
   * ERR_TUNNEL_NO_FORWARD, and the tunnel alone has the counts.
   */
  stats(): ConnectionStats;
  stats(callback: Callback<ConnectionStats>): void;
  /** The same methods as promises. */
  readonly promises: ForwardPromises;
}

export interface ForwardPromises {
  stop(): Promise<void>;
  stats(): Promise<ConnectionStats>;
}

/** What to connect to, for {@link SSHTunnel.dial}. */
export interface DialOptions {
  /** The host that the SSH server connects to, as the server knows it. */
  host?: string | undefined;
  /** The port of that host, 1 to 65535. */
  port?: number | undefined;
  /** A Unix socket of the server's machine in place of both. */
  path?: string | undefined;
  /** As of net.Socket: whether the socket stays open for writing when the far side has ended. Default: `false`. */
  allowHalfOpen?: boolean | undefined;
}

/**
 * The program's end of a connection through the tunnel: a net.Socket whose bytes no port and no other
 * program has to do with. What is not said here is as of any net.Socket: 'connect' comes when the far
 * side is open, what is written before waits for that, and the system's buffers hold back whoever is
 * faster than the other side. It keeps the process running like any other; `timeout` and the like are
 * its own, and the tunnel's `idleTimeout` counts as well.
 *
 * **Errors.** What cannot be opened is an 'error' with the code of {@link ConnectionEnd.code}
 * (`'ERR_SSH_OPEN_...'`, `'ERR_SSH_DISCONNECTED'`, `'ETIMEDOUT'`, `'ECONNABORTED'`), or of the logon
 * that failed. A connection that is cut later is ECONNRESET (`syscall` 'read', its `cause` has the
 * code and the reason), after all that was delivered is read, or at once where it is hard. An 'end'
 * is always the true end of the stream. A connection that is cut waits for the program to read, as
 * long as its Linger says.
 */
export interface TunnelSocket extends Socket {
  /** The number of its connection, which all methods and events of the tunnel know it by. */
  readonly connectionId: number;
  /** How its connection will be closed; see {@link Connection}. */
  getLinger(): boolean;
  getLinger(callback: Callback<boolean>): void;
  setLinger(linger: boolean): void;
  setLinger(linger: boolean, callback: Callback): void;
  getLingerOption(): Linger;
  getLingerOption(callback: Callback<Linger>): void;
  /** As {@link Connection.setLingerOption}: after `destroy()` it decides about the close under way. */
  setLingerOption(value: Linger): void;
  setLingerOption(value: Linger, callback: Callback): void;
  /**
   * Closes the connection by its Linger, as {@link SSHTunnel.disconnect} does, and then the socket,
   * with 'close'. Nothing more is read: what still comes is thrown away. `destroyed` is true, and
   * `readable` and `writable` are false, from the call on.
   *
   * - Graceful: all that `write()` has accepted is delivered, and then the far side gets the end of the
   *   stream. It takes as long as the far side takes to read.
   * - Hard: what is under way is dropped, and the connection reset before the socket closes; it is
   *   reported as ECONNABORTED, never as an end.
   * - Bounded: gracefully for at most `l_linger` seconds from the call (a second more for the
   *   rounding), then hard.
   * - Before 'connect': the connection is given up, and nothing that was written is sent.
   */
  destroy(error?: Error): this;
  /**
   * Resets the connection, whatever its Linger, as {@link Connection.reset} does, also when `destroy()`
   * is under way; before 'connect', as `destroy()`. Nothing more is delivered. 'close' comes at once.
   */
  resetAndDestroy(): this;
}

/** How a connection ended, and what became of its bytes. */
export interface ConnectionEnd {
  connectionId: number;
  /** As {@link ConnectionInfo.forwardId}. */
  forwardId: number;
  /**
   * What ended it:
   * - `'OK'`: both directions had ended, or `disconnect()`, `shutdown()` or `close()` ended it
   *   gracefully; only `clean` tells that both had ended
   * - `'ECONNABORTED'`: one of these three, or `reset()`, ended it hard, or before it was open, or
   *   began to end it gracefully and then cut it: its linger time ran out, its Linger became hard,
   *   `shutdown({ force: true })` was called, or the timeout of `close()` expired
   * - `'ECONNRESET'`: the local program reset it, or vanished
   * - `'ETIMEDOUT'`: it was idle for `idleTimeout`, or not open within `readyTimeout`; `reason` says
   *   what it waited for
   * - `'ERR_SSH_CHANNEL_CLOSED'`: the server closed it before the local client had ended its stream;
   *   or after that, but without the end of its own: what the client read is cut (`closedBy` is 'reset')
   * - `'ERR_SSH_DISCONNECTED'`: the session was lost
   * - `'ERR_SSH_OPEN_CONNECT_FAILED'`, `'ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED'`,
   *   `'ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE'`, `'ERR_SSH_OPEN_RESOURCE_SHORTAGE'`,
   *   `'ERR_SSH_OPEN_FAILED'`: the server refused to open its far side
   * - `'ECONNREFUSED'`, `'ENOTFOUND'`, `'ENOENT'` and other system errors: by a remote forward: the
   *   target could not be connected to
   * - `'ERR_TUNNEL_REJECTED'`: its 'connectionRequest' was rejected
   * - `'ERR_TUNNEL_MAX_CONNECTIONS'`: by `dial()`: the tunnel had `maxConnections` already
   * - `'ERR_TUNNEL_SOCKS'`: by a dynamic forward: its program did not say where to, or asked for what
   *   is not served; `reason` says which
   * - `'ERR_TUNNEL_SOCKS_AUTH'`: likewise: username or password is wrong, or was not offered
   */
  code: string;
  /** The same for people. */
  reason: string;
  /**
   * Whether both directions reached their end of stream with every byte delivered. A far side that
   * ends its stream and closes at once, as some servers do, counts as clean (and `'OK'`) if the
   * local end is closed gracefully and had nothing more to send.
   */
  clean: boolean;
  /**
   * What the local program saw: `'graceful'`: FIN after everything that `bytesDown` counts;
   * `'reset'`: ECONNRESET after the bytes it could read until then, unless it was the one to reset.
   */
  closedBy: 'graceful' | 'reset';
  /** Bytes from the local program that were handed to the SSH session. */
  bytesUp: number;
  /**
   * Bytes from the far side that were delivered: after FIN, those that the local program's kernel has
   * acknowledged; after a reset, those that had left for it.
   */
  bytesDown: number;
  /** Bytes that the local program had sent and that were not passed on. */
  droppedUp: number;
  /**
   * Bytes that had come from the far side and were not delivered. Those that leave in the very
   * moment of a hard close may be counted here although they arrive.
   */
  droppedDown: number;
  /** The value that it was closed by. */
  linger: Linger;
  /**
   * Whether the linger time of a bounded close ran out before everything was delivered: then
   * `closedBy` is 'reset', unless the stream down had ended before and was taken.
   */
  lingerExpired: boolean;
}

/**
 * A connection that waits for an answer. Only the first answer counts. Without one it stays
 * pending until `readyTimeout` has passed, and is rejected then; it is also rejected if the
 * listener throws. The local program sees a rejection as a reset (ECONNRESET).
 */
export interface ConnectionRequest {
  readonly connectionId: number;
  /** As {@link ConnectionInfo.forwardId}. */
  readonly forwardId: number;
  /** Who connected; `undefined` on a Unix socket. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** What it would be connected to, as in {@link ConnectionInfo}. */
  readonly forwardHost: string | undefined;
  readonly forwardPort: number | undefined;
  readonly forwardPath: string | undefined;
  accept(): void;
  reject(): void;
}

/**
 * What a tunnel has counted since it was made, at the moment of asking. A number that counts never goes
 * back, also over shutdowns and new starts; `up`, `pending` and `open` say how many there are now.
 * docs/observing.md says what to watch.
 */
export interface TunnelStats {
  sessions: SessionStats;
  connections: ConnectionStats;
}

/** The SSH sessions of a tunnel; with `sessions`, all of them together. */
export interface SessionStats {
  /** Sessions that are up now. */
  up: number;
  /** Logons that succeeded. */
  logons: number;
  /** Logons that failed. */
  logonFailures: number;
  /** Sessions that were up and broke: the server ended them, fell silent, or the network failed. */
  losses: number;
  /** Attempts to set a lost session up again that were begun, see {@link SSHTunnelOptions.reconnect}. */
  reconnectAttempts: number;
  /**
   * Milliseconds, with fractions, that the last successful logon took: looking up, dialing, the way
   * through jump hosts, key exchange and authentication. Absent before the first one.
   */
  logonTime?: number;
  /**
   * Milliseconds, with fractions, to the server and back, in SSH: the least of the last minute or two
   * in which something was measured, for an answer queues behind data. Measured once after each
   * logon and at most once a second while much is received. Absent without a session, and before the
   * first answer. Of several sessions, the least.
   */
  roundTrip?: number;
}

/**
 * Connections. `accepted` is the sum of `pending`, `open` and all of `ended`; `closedBy.graceful` and
 * `closedBy.reset`, or `clean` and `unclean`, come to all of `ended` as well.
 */
export interface ConnectionStats {
  /** Those that came in. */
  accepted: number;
  /** Those that were open from end to end. */
  opened: number;
  /** Those that came in and were not open yet: they wait for an answer, a session or the server. */
  pending: number;
  /** Those that were open, and have not ended: they may be in the middle of their close. */
  open: number;
  /** Those whose 'connectionRequest' was rejected. */
  rejected: number;
  /** Those that the server refused to open, by code (`'ERR_SSH_OPEN_...'`). */
  refused: Record<string, number>;
  /** Those that have ended, by {@link ConnectionEnd.code}, those that are rejected or refused included. */
  ended: Record<string, number>;
  /** Those that ended with {@link ConnectionEnd.clean}. */
  clean: number;
  /** Those that ended without. */
  unclean: number;
  /** Those that have ended, by {@link ConnectionEnd.closedBy}. */
  closedBy: { graceful: number; reset: number };
  /** Those whose linger time ran out. */
  lingerExpired: number;
  /**
   * Bytes of all connections. Once these have ended: the sums of what their {@link ConnectionEnd}s
   * say, exactly. Those that exist count as far as they have come, in `bytesDown` only with what the
   * kernels of local programs have acknowledged, which for a moment is less than what
   * {@link ConnectionInfo.bytesDown} says; from the moment on in which one is only waited for to take
   * the rest, with what it had by then.
   */
  bytesUp: number;
  bytesDown: number;
  /** Known at the end of a connection; of its `droppedDown`, some may be known before. */
  droppedUp: number;
  droppedDown: number;
}

/** What the errors of a tunnel carry beside their message. */
export interface SSHTunnelError extends Error {
  /**
   * The name of a system error (`'EADDRINUSE'`, `'ECONNREFUSED'`, `'ENOTFOUND'`, `'ETIMEDOUT'`), or
   * - `'ERR_SSH_HOST_KEY'`: the server's key or certificate is not trusted (the message says why,
   *   with fingerprints, and with file and line where there are any), or a file of known hosts
   *   cannot be read or written; nothing about the user was sent
   * - `'ERR_SSH_PRIVATE_KEY'`: `privateKey` is no key, or its `passphrase` is missing or wrong, or its
   *   `certificate` is none or belongs to another key
   * - `'ERR_SSH_AUTH'`: the server refused every proof that was offered; the message names what was
   *   tried, and what the server accepts
   * - `'ERR_SSH_CONFIG'`: an ssh_config file cannot be used, see {@link SSHTunnel.fromConfig}
   * - `'ERR_SSH_ALGORITHM'`: both sides have no algorithm of one kind in common; the message names both lists
   * - `'ERR_SSH_PROTOCOL'`: the server broke the protocol
   * - `'ERR_SSH_DISCONNECTED'`: the session broke, or the server ended it, fell silent or did not
   *   finish a change of keys
   * - `'ERR_SSH_OPEN_...'`: a jump host refused to connect to the next server, see {@link ConnectionEnd.code}
   * - `'ERR_TUNNEL_SOCK_USED'`: `sock` has served a session
   * - `'ERR_TUNNEL_CLOSED'`: the tunnel was shut down while the operation was under way
   * - `'ERR_TUNNEL_NO_FORWARD'`: the tunnel was made without `forwardHost`, and has nothing to listen for;
   *   or what a forward has counted is not kept apart any more, see {@link Forward.stats}
   * - `'ERR_SSH_FORWARD_REFUSED'`: the server refused to listen for a remote forward (the port is taken,
   *   or forbidden: servers do not say), or to stop; or it does not know such requests. One that does not
   *   answer within `readyTimeout` is ETIMEDOUT
   * - `'ERR_TUNNEL_NO_CONNECTION'`: there is no connection with that number, or it is being closed
   * - `'ERR_TUNNEL_WOULD_DEADLOCK'`: the call would have blocked the thread that had to answer it
   */
  code: string;
  /** For ERR_SSH_CONFIG: the file. */
  file?: string;
  /** For ERR_SSH_CONFIG: the line, counted from 1, where one is to blame. */
  line?: number;
  /** For system errors: the number, negative, as in Node's own. */
  errno?: number;
  /**
   * For system errors: `'connect'`, `'bind'`, `'getaddrinfo'`, `'spawn'`, `'socketpair'`, `'listen'`,
   * `'accept'`.
   */
  syscall?: string;
  /** For system errors: the host, or the program, that it was about. */
  address?: string;
  /** For system errors: the port that it was about. */
  port?: number;
  /**
   * For a logon that failed (ERR_SSH_AUTH, ETIMEDOUT, ERR_SSH_DISCONNECTED, ERR_SSH_PROTOCOL): what the
   * server had said to the user, if anything: lines before its version, such as `Exceeded MaxStartups`,
   * and the last of its banners. The message quotes the end of it.
   */
  banner?: string;
}

/**
 * Called once, later, never before the method has returned. `error` is exactly `null`, or an Error;
 * then there is no `data`.
 */
export type Callback<T = void> = (error: SSHTunnelError | null, data: T) => void;

/**
 * The events of a tunnel with the arguments of their listeners. An AsyncLocalStorage has in them
 * the value that it had when the tunnel was made; in callbacks, that of the call.
 */
export interface SSHTunnelEvents {
  /**
   * A server has something to say to the user before it lets him in: a legal notice, or the link of a
   * page where a logon is to be approved. `message` may have several lines; nothing in it but line feeds and
   * tabs controls anything, so that a terminal may show it. The first two arguments are those of ssh2.
   * `server` says which of the servers on the way it is. There may be several, and again after a reconnect.
   */
  banner: [message: string, language: string, server: { host: string; port: number }];
  /**
   * The server asks questions while the user logs on (with {@link SSHTunnelOptions.tryKeyboard}), as
   * in ssh2: `finish` takes one string (or its bytes, which can be wiped when it has returned) for each
   * prompt, now or later, within `readyTimeout`. Fewer,
   * or none, give up on the questions, and so do a throw and the absence of a listener: the next
   * method is tried then. Only the first call of `finish` counts; of what is no array of these it
   * throws TypeError ERR_INVALID_ARG_TYPE, of more than there are prompts RangeError
   * ERR_OUT_OF_RANGE. There may be several rounds, each with an event of its own.
   */
  'keyboard-interactive': [
    name: string,
    instructions: string,
    lang: string,
    prompts: Prompt[],
    finish: (responses?: readonly (string | Uint8Array)[]) => void,
  ];
  /** The SSH session is up, for the first time or again. */
  ready: [];
  /**
   * The session was lost, or an attempt to set it up again failed, and after `delay` milliseconds
   * there is the next one (with {@link SSHTunnelOptions.reconnect}). Then comes 'ready', the next
   * 'reconnecting', or 'error' and 'close'.
   */
  reconnecting: [next: Reconnecting];
  /**
   * One of several sessions was lost, or a further one could not be set up (told once, until one
   * can), and the tunnel goes on with the others; see {@link SSHTunnelOptions.sessions}.
   */
  sessionError: [error: SSHTunnelError];
  /**
   * The server refused to listen again for the remote forward with this number, after its session was
   * lost. The forward has ended; the tunnel goes on without it. Where nothing else was wanted of the
   * tunnel, it is 'error' and 'close' instead.
   */
  forwardError: [error: SSHTunnelError, forwardId: number];
  /** The local port is bound and the session is up: a connection would be forwarded. */
  listening: [];
  /** A connection came in. While anybody listens for this, every new connection waits for an answer. */
  connectionRequest: [request: ConnectionRequest];
  /**
   * A connection is open from end to end. This and 'disconnected' are told to those who listen when
   * it happens: where nobody does, connections cost the event loop nothing.
   */
  connection: [connection: Connection];
  /** A connection has ended; the last event about it. */
  disconnected: [end: ConnectionEnd];
  /**
   * The SSH session was lost, and is not, or could not be, set up again: 'close' follows when its
   * connections have ended. Or the port was lost; open connections live on then as after
   * {@link SSHTunnel.stopListening}. Never for a failure that is only that of the call which
   * reports it. As with every EventEmitter, it is thrown where nobody listens.
   */
  error: [error: SSHTunnelError];
  /** The tunnel holds nothing any more: no port, no connection, no session. It can start again. */
  close: [];
}

/**
 * What tunnels publish on channels of node:diagnostics_channel, for those who watch a program without
 * being a part of it, by the channels' names. Each session of a tunnel has a `sessionId`, counted
 * from 1 over all of its logons: it has a 'start' and an 'end', and between them a 'ready' if it came
 * up, then a 'lost' if it broke. Messages are frozen, and what they hold of a connection is a copy;
 * `tunnel` is the tunnel itself.
 *
 * They cost nothing where nobody subscribes. Therefore a tunnel looks who does: at each call of one
 * of its methods, or of one of a {@link Connection}'s, and with each event that it has to tell.
 * Who subscribes before `connect()` or `startListening()` is called misses nothing; who comes later
 * gets what happens after the next call. The order is that of the events of the tunnel; each message
 * comes before the event about the same thing. What a subscriber throws is an 'uncaughtException' of
 * the process, as with every channel; the tunnel and other subscribers go on.
 */
export interface SSHTunnelChannels {
  /** Dialing and logging on begins. */
  'sshtunnel.session.start': { readonly tunnel: SSHTunnel; readonly sessionId: number };
  /** It is up, `logonTime` milliseconds later. */
  'sshtunnel.session.ready': { readonly tunnel: SSHTunnel; readonly sessionId: number; readonly logonTime: number };
  /** It was up, and broke. */
  'sshtunnel.session.lost': { readonly tunnel: SSHTunnel; readonly sessionId: number; readonly error: SSHTunnelError };
  /** Nothing is left of it; `error` is why the logon failed or the session was lost, if one of them was. */
  'sshtunnel.session.end': { readonly tunnel: SSHTunnel; readonly sessionId: number; readonly error?: SSHTunnelError };
  /** A connection is open from end to end. */
  'sshtunnel.connection.open': { readonly tunnel: SSHTunnel; readonly connection: Readonly<ConnectionInfo> };
  /** A connection has ended. */
  'sshtunnel.connection.end': { readonly tunnel: SSHTunnel; readonly end: Readonly<ConnectionEnd> };
}

/**
 * The methods of a tunnel as promises. They take effect in the order of all calls on the tunnel,
 * but each promise settles as soon as its own work is done, not after those of earlier calls: so
 * that a hostVerifier can await `promises.setLinger(...)` while `promises.connect()` waits for it.
 * A bad argument is a rejection, too.
 */
export interface SSHTunnelPromises {
  getLinger(): Promise<boolean>;
  setLinger(linger: boolean): Promise<void>;
  getLingerOption(): Promise<Linger>;
  setLingerOption(value: Linger): Promise<void>;
  getKeepAlive(): Promise<boolean>;
  setKeepAlive(keepAlive: boolean): Promise<void>;
  getIdleTimeout(): Promise<number>;
  setIdleTimeout(idleTimeout: number): Promise<void>;
  connect(): Promise<void>;
  startListening(): Promise<void>;
  stopListening(): Promise<void>;
  forwardLocal(options: LocalForwardOptions): Promise<Forward>;
  forwardDynamic(options: DynamicForwardOptions): Promise<Forward>;
  forwardRemote(options: RemoteForwardOptions): Promise<Forward>;
  /** Resolves when the socket is open; what would be its 'error' until then is the rejection. */
  dial(host: string, port: number): Promise<TunnelSocket>;
  dial(options: DialOptions): Promise<TunnelSocket>;
  disconnect(connectionId: number): Promise<void>;
  shutdown(options?: ShutdownOptions): Promise<void>;
  close(options?: CloseOptions): Promise<ConnectionEnd[]>;
  connections(): Promise<Connection[]>;
  stats(): Promise<TunnelStats>;
}

export interface CloseOptions {
  /** Milliseconds that connections may take to finish, 0 to 2147483647. Default: no limit. */
  timeout?: number | undefined;
}

export interface ShutdownOptions {
  /** Whether to end everything at once, whatever its Linger and its state. Default: `false`. */
  force?: boolean | undefined;
}

/**
 * A local port whose connections travel through an SSH server to a host behind it, and are closed
 * exactly the way that its Linger asks for.
 *
 * **Calls.** Every method takes an optional trailing callback. Without it, the method blocks the
 * thread until it is done, and returns or throws. With it, the method returns at once, and
 * `callback(error, data)` is called once, later. Bad arguments always throw at once (TypeError
 * ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE), and nothing has changed then.
 *
 * **Order.** Calls on one tunnel take effect in the order in which they are made, whatever their
 * form; callbacks are called in that order, and a blocking call sees the effect of everything
 * before it. A callback therefore waits for those of all earlier calls: do not wait inside a
 * hostVerifier for the callback of a call that was made after `connect(callback)`. Promises
 * ({@link SSHTunnel.promises}) settle each by itself.
 *
 * **Blocking.** A call that blocks stops everything on its thread: do not use it with an SSH server
 * or with peers that run on the same thread. Closing calls may wait for the peers of connections.
 *
 * **Life.** A tunnel that is up (connected, listening or reconnecting) keeps the process running until 'close'
 * was delivered, unless {@link SSHTunnel.unref} was called; so does every callback or promise that
 * is due. A tunnel that was never started, or is closed, needs no disposal: it goes with the
 * garbage. When a worker thread is terminated, or the process exits or is killed, its tunnels close
 * hard: local programs see ECONNRESET, and the port is free again. For this the sockets carry the
 * linger {1, 0} while they are open, whatever `Linger` says; its value is applied when they close.
 *
 * **Delivery.** To deliver a byte means to hand it to the kernel of the local program and have its
 * acknowledgement, or to hand it to the SSH session on its way to the far side: what the far side
 * does with it, SSH does not tell. What has become of the bytes of a connection, its 'disconnected'
 * event tells. A connection whose SSH session is lost ends with a reset after the delivered bytes
 * (hard: at once), whatever its Linger: a stream that was cut never looks complete.
 */
export class SSHTunnel extends EventEmitter {
  /** Makes a tunnel that does nothing yet: starts no thread and touches no network. */
  constructor(options: SSHTunnelOptions);

  /**
   * Makes a tunnel of what `ssh host` would read: `~/.ssh/config` and `/etc/ssh/ssh_config`, or
   * `overrides.configFile`. A `LocalForward` says where to listen and what to connect to, unless
   * `overrides` has `forwardHost` or `forwardPort`. docs/config.md lists what is honoured; what is
   * not is in {@link SSHTunnel.configNotices}.
   *
   * `host`, `overrides.host` and `overrides.username` must be such as ssh takes on its command line:
   * commands of the files may name them. Others are refused with TypeError ERR_INVALID_ARG_VALUE.
   *
   * Blocks while files are read and the commands of `Match exec` are run; does not touch the
   * network. Throws ERR_SSH_CONFIG where ssh would refuse a file, with the members `file` and, where
   * one is to blame, `line`; otherwise what the constructor throws.
   * @param host as it would be given to ssh, without a user: a name of the file, or of the server
   */
  static fromConfig(host: string, overrides?: ConfigOverrides): SSHTunnel;

  /** What the files say that {@link SSHTunnel.fromConfig} did not honour; empty for the constructor's. */
  readonly configNotices: readonly ConfigNotice[];

  /**
   * The `Linger` property: how the next connections will be closed. `true` (the default): gracefully.
   * `false`: hard.
   */
  getLinger(): boolean;
  getLinger(callback: Callback<boolean>): void;

  /**
   * Sets the `Linger` property: `true` for a graceful close ({0, 0} in the LINGER structure), `false`
   * for a hard one ({1, 0}). It is taken over by connections when they are accepted, also by those
   * that wait in the backlog now; connections that were accepted keep what they have.
   */
  setLinger(linger: boolean): void;
  setLinger(linger: boolean, callback: Callback): void;

  /** The LINGER structure behind the property. */
  getLingerOption(): Linger;
  getLingerOption(callback: Callback<Linger>): void;

  /**
   * Sets the LINGER structure behind the property, for the same connections. {@link Connection} can
   * change it for one that exists.
   */
  setLingerOption(value: Linger): void;
  setLingerOption(value: Linger, callback: Callback): void;

  /** Whether the next connections get SO_KEEPALIVE. */
  getKeepAlive(): boolean;
  getKeepAlive(callback: Callback<boolean>): void;
  setKeepAlive(keepAlive: boolean): void;
  setKeepAlive(keepAlive: boolean, callback: Callback): void;

  /** Milliseconds without a byte after which the next connections will be closed; 0: never. */
  getIdleTimeout(): number;
  getIdleTimeout(callback: Callback<number>): void;
  setIdleTimeout(idleTimeout: number): void;
  setIdleTimeout(idleTimeout: number, callback: Callback): void;

  /**
   * Logs on to the SSH server. Done when the session is up, at once if it is already. The session
   * then stays until {@link SSHTunnel.shutdown} or {@link SSHTunnel.close}, also if it was
   * {@link SSHTunnel.startListening} that made it.
   *
   * While a lost session is being set up again (see {@link SSHTunnelOptions.reconnect}), it does not
   * wait for its time: the attempt that is next begins at once, and how that one ends is the outcome
   * of the call.
   *
   * Fails with the errors of dialing and logging on (see {@link SSHTunnelError.code}), within
   * `readyTimeout`. Blocking it is refused with ERR_TUNNEL_WOULD_DEADLOCK while a hostVerifier, or a
   * listener of 'keyboard-interactive', would have to be asked.
   */
  connect(): void;
  connect(callback: Callback): void;

  /**
   * Logs on if there is no session, then binds the local port that the constructor's options name.
   * Done when a connection would be forwarded; {@link SSHTunnel.localPort} tells the port then. Done at once if it listens already;
   * but while a lost session is being set up again it does what {@link SSHTunnel.connect} does.
   * Called during a shutdown, or after one, it starts anew.
   *
   * Fails as {@link SSHTunnel.connect} does, or with the system's error if the port cannot be bound
   * (EADDRINUSE, EACCES, EADDRNOTAVAIL); a session that was made for it is ended then. Fails with
   * ERR_TUNNEL_CLOSED if {@link SSHTunnel.stopListening} is called meanwhile, and with
   * ERR_TUNNEL_NO_FORWARD if the tunnel was made without `forwardHost`.
   */
  startListening(): void;
  startListening(callback: Callback): void;

  /**
   * Closes the listener. Done when the port is free, without waiting for anybody. Open connections
   * live on, nothing is lost on them. Connections that were not accepted yet are reset by the
   * system, and so are, by the tunnel, those that wait for a lost session to come back
   * (ECONNABORTED).
   *
   * A session that {@link SSHTunnel.connect} asked for, or that a forward needs, stays. One that was
   * only made by {@link SSHTunnel.startListening} ends with its last connection, and 'close' follows. The same
   * goes for the way back to a lost one: it goes on, or ends at once.
   */
  stopListening(): void;
  stopListening(callback: Callback): void;

  /**
   * Opens a further local port, or Unix socket, whose connections go to a target of their own through
   * the same session (`ssh -L`). Logs on if there is no session; done when a connection would be
   * forwarded, with the {@link Forward}. Any number of them may be open; events, numbers and closing
   * rules of their connections are those of all others, and so are Linger, KeepAlive and IdleTimeout,
   * as they are when a connection comes. There is no 'listening' event for it.
   *
   * A forward that is open keeps the session, as {@link SSHTunnel.startListening} does, and stays
   * bound while a lost session is set up again. When that is given up, or at `shutdown()` and
   * `close()`, all forwards end. Fails as {@link SSHTunnel.startListening} does, and leaves other
   * forwards alone; a bad option is a TypeError or RangeError as of the constructor, options that
   * exclude each other are ERR_INVALID_ARG_VALUE.
   *
   * **Unix sockets have no reset.** Wherever a local program on a TCP port would get ECONNRESET, one
   * on a Unix socket reads what was delivered and then the end of its stream; it gets ECONNRESET only
   * if it had sent something that was not read. The report tells what was meant: `closedBy` is
   * `'reset'`. What was written to a Unix socket counts as delivered: nothing takes it back.
   */
  forwardLocal(options: LocalForwardOptions): Forward;
  forwardLocal(options: LocalForwardOptions, callback: Callback<Forward>): void;

  /**
   * Opens a local port, or Unix socket, that speaks SOCKS 4, 4a and 5 (`ssh -D`): each program says
   * where to, and names are looked up at the far side. CONNECT is the one command. For the rest it is
   * a forward like those of {@link SSHTunnel.forwardLocal}.
   *
   * A program is told that it is connected when it is, from end to end; what it had sent behind its
   * request before is passed on then. What it and the tunnel say to each other in SOCKS is in no
   * count. It has `readyTimeout` to say where to; until then its connection is `'negotiating'`, and
   * is no business of 'connectionRequest'. The way there has `readyTimeout` again.
   *
   * When nothing comes of it, in every Linger setting: a program that has asked reads why, as far as
   * SOCKS has words for it, and then the end of its stream (FIN; `closedBy` is `'graceful'`). It is
   * reset if it has not, or speaks something else, or if `disconnect()` or `shutdown()` ends its
   * connection before it is open. docs/socks.md has the codes. Its 'disconnected' comes in any case.
   */
  forwardDynamic(options: DynamicForwardOptions): Forward;
  forwardDynamic(options: DynamicForwardOptions, callback: Callback<Forward>): void;

  /**
   * Has the SSH server listen on a port or a Unix socket, whose connections are led to a target at
   * this side (`ssh -R`). Logs on if there is no session; done when the server listens, with the
   * {@link Forward}, whose `remotePort` is the real one. For the rest it is a forward like those of
   * {@link SSHTunnel.forwardLocal}. Fails as {@link SSHTunnel.connect} does, or with
   * ERR_SSH_FORWARD_REFUSED if the server will not listen there; other forwards are left alone.
   *
   * The target takes the place of the local program: it sees the ends that Linger decides about, `bytesUp` is
   * what it sent, `bytesDown` what was delivered to it. 'connectionRequest' comes before it is
   * dialed. It is dialed, within `readyTimeout`, at the first of its addresses that answers. When that
   * fails, the server is told so and closes what had connected; that program sees an end of stream or
   * a reset, as the server has it, and 'disconnected' says why. No byte is passed on before.
   *
   * When its session is lost, the open connections end as all others do. Where there is another one,
   * or `reconnect` brings one, the server is asked again, for the same port. A refusal is no verdict
   * for as long as `readyTimeout`, since a server may hold the port until it has noticed the loss. A
   * port that the server chose may become another one: `remotePort` tells. See 'forwardError'.
   */
  forwardRemote(options: RemoteForwardOptions): Forward;
  forwardRemote(options: RemoteForwardOptions, callback: Callback<Forward>): void;

  /**
   * Opens a connection through the tunnel for the program itself, without a local port. Returns the
   * socket at once, which is connected later, as by `net.connect()`. Logs on first if there is no
   * session, and the session stays then as after {@link SSHTunnel.connect}; with
   * {@link SSHTunnelOptions.reconnect} it waits for a lost one. Its connection has events, numbers,
   * settings and closing rules like any other (`forwardId` is -1), but no 'connectionRequest'.
   *
   * While there are such sockets, `shutdown()` without `force`, and `disconnect()` of one, are refused without a
   * callback, with ERR_TUNNEL_WOULD_DEADLOCK: this thread has to read what comes. Bad arguments
   * throw as everywhere. Not on Windows: Error ERR_FEATURE_UNAVAILABLE_ON_PLATFORM.
   */
  dial(host: string, port: number): TunnelSocket;
  dial(options: DialOptions): TunnelSocket;

  /**
   * An agent for `http` and `https` alike whose connections are dialled through the tunnel: their hosts
   * and ports, or `socketPath`, are those that the SSH server knows. `options` are those of https.Agent
   * (keepAlive, maxSockets, ...), as are the agent's methods.
   */
  agent(options?: AgentOptions): Agent;

  /** The forwards that are open now, without the constructor's own; in the order of their opening. */
  forwards(): Forward[];

  /**
   * Closes one connection by its Linger. Done when it has ended, and its 'disconnected' event is on
   * its way.
   *
   * - Graceful: what has come in from either side until now is delivered; both peers read all of it
   *   and then the end of stream (FIN). What the local program sends after the call is read and
   *   dropped. Takes as long as the peers take to read: one that has stopped reading is waited
   *   for without limit. A local program that has everything but does not end its own stream is
   *   given two seconds for it.
   * - Hard: what is not delivered yet is dropped and counted; the local program gets ECONNRESET, the
   *   far side the end of the channel. Takes no time.
   * - Bounded: as graceful for at most `l_linger` seconds from the call, then as hard. What was taken
   *   by then is delivered, what was not is dropped and counted.
   * - A connection that is not open from end to end yet gets ECONNRESET either way.
   *
   * A connection that is closing already goes on as it began; the call waits with it. A new Linger
   * changes that ({@link Connection.setLingerOption}), and so does {@link Connection.reset}. Where it
   * is only waited for the local program to take what both sides had sent before they ended, no time
   * runs before this call. Fails with
   * ERR_TUNNEL_NO_CONNECTION if there is no such connection (any more).
   */
  disconnect(connectionId: number): void;
  disconnect(connectionId: number, callback: Callback): void;

  /**
   * Stops listening, ends all forwards, closes every connection as {@link SSHTunnel.disconnect} does, with the same
   * promises about its bytes, and logs off. Done when the tunnel holds nothing any more: with
   * graceful connections that takes as long as the slowest of their peers takes to read. The server
   * is given two seconds to hand on what local programs had sent before they reset graceful
   * connections, and two to hear the farewell. Operations under way fail with ERR_TUNNEL_CLOSED.
   * Never fails but over a bad argument; on a tunnel that holds nothing there is nothing to do.
   *
   * With `force`, or as soon as a second call has it, everything ends within two seconds, also where
   * the server is dead, its window stays at zero, or a client never reads. Nothing more is delivered:
   * every connection is reset, whatever its Linger and its state, also one that was being closed; its
   * report counts what was lost. The server gets half a second to end the session; then its
   * connection is reset, jump hosts are let go, and programs of `proxyCommand` are killed. All other
   * calls that wait for the end are done then, too.
   *
   * `setLinger(false)` of the tunnel changes no connection that exists, and so no shutdown under way.
   */
  shutdown(): void;
  shutdown(callback: Callback): void;
  shutdown(options: ShutdownOptions | undefined): void;
  shutdown(options: ShutdownOptions | undefined, callback: Callback): void;

  /**
   * Stops listening, ends all forwards, lets the connections go on until both of their sides have finished, or for
   * `timeout` milliseconds, then does what {@link SSHTunnel.shutdown} does. Never blocks: without a
   * callback it returns a promise. What finishes in time is delivered completely and ends with FIN;
   * what does not is closed by its Linger: hard at once, else gracefully for 1.2 seconds at most, or
   * `l_linger` seconds if that is less; then by force, as by `shutdown({ force: true })`. So everything
   * has ended two seconds after `timeout`, also what another call had begun to close before.
   * `lingerExpired` of a report that such a force has cut is false. Of several calls the shortest time
   * counts; `shutdown()` cuts it short. Fails over nothing but a bad argument.
   *
   * Gives the ends of the connections that existed at the call, in the order in which they ended:
   * the very objects that 'disconnected' brings. `clean` tells which of them finished. Nothing but
   * this list keeps them, also where there were many; of several calls each has its own.
   */
  close(options?: CloseOptions): Promise<ConnectionEnd[]>;
  close(callback: Callback<ConnectionEnd[]>): void;
  close(options: CloseOptions | undefined, callback: Callback<ConnectionEnd[]>): void;

  /** `close()` without a limit in time, for `await using`; where the runtime has the symbol. */
  [Symbol.asyncDispose](): Promise<void>;

  /** The connections that exist now. */
  connections(): Connection[];
  connections(callback: Callback<Connection[]>): void;

  /**
   * What was counted since the tunnel was made, whether anybody listened to events or not. Whoever
   * asks after a 'disconnected', or after a call that ended a connection, finds it counted. Fails over
   * nothing.
   */
  stats(): TunnelStats;
  stats(callback: Callback<TunnelStats>): void;

  /** Whether the constructor's own local port is bound; also while a lost session is being set up again. */
  readonly listening: boolean;

  /** The local port while listening; otherwise the configured one. */
  readonly localPort: number;

  /** The same methods as promises. */
  readonly promises: SSHTunnelPromises;

  /** Takes back {@link SSHTunnel.unref}. */
  ref(): this;

  /**
   * Lets the process exit although this tunnel is up; its connections are closed hard then. Calls
   * under way are still waited for.
   */
  unref(): this;

  on<E extends keyof SSHTunnelEvents>(event: E, listener: (...args: SSHTunnelEvents[E]) => void): this;
  once<E extends keyof SSHTunnelEvents>(event: E, listener: (...args: SSHTunnelEvents[E]) => void): this;
  addListener<E extends keyof SSHTunnelEvents>(event: E, listener: (...args: SSHTunnelEvents[E]) => void): this;
  prependListener<E extends keyof SSHTunnelEvents>(event: E, listener: (...args: SSHTunnelEvents[E]) => void): this;
  prependOnceListener<E extends keyof SSHTunnelEvents>(event: E, listener: (...args: SSHTunnelEvents[E]) => void): this;
  off<E extends keyof SSHTunnelEvents>(event: E, listener: (...args: SSHTunnelEvents[E]) => void): this;
  removeListener<E extends keyof SSHTunnelEvents>(event: E, listener: (...args: SSHTunnelEvents[E]) => void): this;
}

/** The same class by the name of the package. */
export const sshtunnel: typeof SSHTunnel;
export type sshtunnel = SSHTunnel;

/**
 * A TCP socket of the program: a net.Socket that is connected, which a tls.TLSSocket and the
 * `req.socket` of an HTTP request are, too; a net.Server (tls, http, https) that listens; or the
 * number of a descriptor, for sockets that Node.js has not made.
 */
export type TCPSocket = Socket | Server | number;

declare const optionName: unique symbol;

/** The level of the options, for completeness: no function here asks for it. */
export const SOL_SOCKET: number;

/** The option whose value is the {@link Linger} structure. */
export const SO_LINGER: number & { readonly [optionName]: 'SO_LINGER' };

/**
 * The option that turns lingering on and off: its value becomes l_onoff (`false` or zero: off, `true`
 * or nonzero: on), as the descriptions of the LINGER structure word it. Turning it off keeps
 * l_linger; turning it on brings the last l_linger back that was not zero, or 30 if there never was
 * one, so that it never makes a hard close. (What {1, 0} has displaced is remembered where the system
 * numbers its sockets, as Linux does.)
 *
 * **Winsock's own SO_DONTLINGER reads its value the other way round**: there, nonzero turns lingering
 * off, as the name says. Unix has no such option; the number is the one that Winsock would form here.
 */
export const SO_DONTLINGER: number & { readonly [optionName]: 'SO_DONTLINGER' };

/**
 * Reads an option of a socket, always as the kernel has it, whoever set it. A nonzero l_onoff reads
 * as 1. SO_DONTLINGER reads as whether l_onoff is set.
 *
 * With a callback, too, the socket is asked at once, and only the answer comes later: callbacks come
 * in the order of the calls.
 *
 * Errors, of this and the next two functions; nothing has changed then:
 *
 * | code | |
 * |---|---|
 * | `EBADF` | no open descriptor; a socket that is destroyed or being closed; a server that does not listen, or not by itself (in a cluster) |
 * | `ENOTCONN` | a net.Socket that is not connected yet |
 * | `ENOTSOCK` | a file, a pipe, a terminal; TLS over a stream that is no socket |
 * | `ENOTSUP` | a socket that is not of TCP, such as one of the Unix domain (which is what Node.js calls a pipe, also to child processes); everything on Windows, where Node.js does not give out its sockets |
 *
 * They have `errno` and `syscall` (the function's name) as system errors of Node.js; where the system
 * gives another error, that is passed on. A callback and a promise get them, while arguments of a
 * wrong type (TypeError ERR_INVALID_ARG_TYPE), an unknown `optname` (TypeError
 * ERR_INVALID_ARG_VALUE) and numbers out of range (RangeError ERR_OUT_OF_RANGE) throw at once; with
 * `promises`, everything is a rejection.
 */
export function getsockopt(socket: TCPSocket, optname: typeof SO_LINGER): Linger;
export function getsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER): boolean;
export function getsockopt(socket: TCPSocket, optname: number): Linger | boolean;
export function getsockopt(socket: TCPSocket, optname: typeof SO_LINGER, callback: Callback<Linger>): void;
export function getsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, callback: Callback<boolean>): void;
export function getsockopt(socket: TCPSocket, optname: number, callback: Callback<Linger | boolean>): void;

/**
 * Sets an option of a socket, at once, in every form. l_linger is stored while l_onoff is 0, too,
 * and {@link SO_DONTLINGER} brings it back; on systems other than Linux, macOS and their like it is
 * not. Connections that a server accepts later inherit its option, those in its backlog do not.
 *
 * **{1, n} with n > 0 stalls the event loop** when Node.js closes the socket while data is under way:
 * close() waits for up to n seconds then, and in Node.js it waits on the main thread. That holds for
 * `socket.destroy()` and for every other way in which Node.js comes to close a socket, after an
 * error or at the end of both directions. Close such a socket with {@link closesocket}.
 */
export function setsockopt(socket: TCPSocket, optname: typeof SO_LINGER, optval: Linger): void;
export function setsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, optval: boolean | number): void;
export function setsockopt(socket: TCPSocket, optname: typeof SO_LINGER, optval: Linger, callback: Callback): void;
export function setsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, optval: boolean | number, callback: Callback): void;

/** What is known of a socket when {@link closesocket} is done. */
export interface ClosedSocket {
  /**
   * Whether the stream ends with FIN behind every byte. `false`: it was reset, by us or by the peer,
   * or the network gave it up.
   */
  graceful: boolean;
  /**
   * Bytes that the peer's kernel had not acknowledged, also those that Node.js still had in its
   * buffers. With `graceful: false` they are lost; a little of it may have arrived without an
   * acknowledgement. For a TLS socket: encrypted bytes, and those that were not encrypted yet. Of a
   * stream that was lost to an error while Node.js wrote it, what libuv held is not counted.
   */
  unsent: number;
}

/**
 * Closes a socket by its own SO_LINGER, without stalling the event loop.
 *
 * | SO_LINGER | what happens | when it is done | `graceful`, `unsent` |
 * |---|---|---|---|
 * | {0, any} | everything is sent, then FIN, without a limit in time | the kernel has everything | `true`, what is still under way |
 * | {1, 0} | the connection is reset; what is under way is dropped | at once | `false`, what was dropped |
 * | {1, n} | everything is sent, then FIN; after n seconds the connection is reset | the peer's kernel has acknowledged everything, or n seconds after the call | `true`, 0, or `false`, what was dropped |
 *
 * **Delivered** is what the kernel of the peer has acknowledged; what its program reads, TCP does not
 * tell. Of {0, any} nobody is told whether the rest arrived; {1, n} is for those who want to know.
 *
 * **A net.Socket** is ended as by `socket.end()`: what it has buffered is written first, within the n
 * seconds, and a TLS socket says goodbye (close_notify). A hard close does neither. Until that is
 * done the socket goes on to flow, and its 'data' listeners get what comes. Then it is destroyed:
 * 'close' comes once, and no 'error' for our own reset. Errors that the peer causes meanwhile come as
 * ever, but need no listener any more. If something else destroys it before its buffers are written,
 * the connection is reset: a stream that was cut never looks complete.
 *
 * **The background**, where the connection stays until the peer has everything and has ended its own
 * direction, or has kept it open for two seconds longer: what it sends then is read and thrown away,
 * for unread input would turn the end into a reset. It holds one descriptor. Neither it nor the exit
 * of the process cuts a graceful close: the kernel goes on. When the process ends while {1, n} waits,
 * the kernel goes on, too, without the limit.
 *
 * **A net.Server** stops listening as by `server.close()`; connections that it has accepted live on,
 * and the result is `{ graceful: true, unsent: 0 }`.
 *
 * **A descriptor's number** is the addon's from the call on, unless that fails: do not use or close
 * it any more, and never give the number of a socket that Node.js has made. A listener is just
 * closed.
 *
 * A connection of which another process, or a copy made with dup(), has a descriptor is ended by FIN,
 * but not by RST: that waits for the last descriptor.
 *
 * **Blocking.** Without a callback this blocks as the table says, up to n seconds. A socket that has
 * buffered writes is refused then with Error ERR_TUNNEL_WOULD_DEADLOCK, unless it is to be reset:
 * only the event loop can write them. With a callback or as a promise, the process is kept running
 * until the outcome is known. Errors are those of {@link getsockopt}; without a free descriptor,
 * EMFILE.
 */
export function closesocket(socket: TCPSocket): ClosedSocket;
export function closesocket(socket: TCPSocket, callback: Callback<ClosedSocket>): void;

/** The functions on sockets as promises. Each settles by itself, not after those of earlier calls. */
export interface SocketPromises {
  getsockopt(socket: TCPSocket, optname: typeof SO_LINGER): Promise<Linger>;
  getsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER): Promise<boolean>;
  getsockopt(socket: TCPSocket, optname: number): Promise<Linger | boolean>;
  setsockopt(socket: TCPSocket, optname: typeof SO_LINGER, optval: Linger): Promise<void>;
  setsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, optval: boolean | number): Promise<void>;
  closesocket(socket: TCPSocket): Promise<ClosedSocket>;
}

export const promises: SocketPromises;
