/// <reference types="node" />

// The public API. It is one file, because it is the reference that users search and editors open.

import { KeyObject } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { Agent, AgentOptions } from 'node:https';
import { Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';

/**
 * The LINGER structure of the sockets API: two unsigned shorts, integers from 0 to 65535.
 *
 * | l_onoff | l_linger | how a connection is closed |
 * |---|---|---|
 * | 0 | any | gracefully: everything is delivered, then FIN, without a time limit |
 * | not 0 | 0 | hard: undelivered data is dropped, and the peer gets RST (ECONNRESET) |
 * | not 0 | n | bounded: gracefully for at most n seconds from the close, then hard; no other connection waits |
 */
export interface Linger {
  /** Whether lingering is on: 0 is off, any other integer up to 65535 is on. */
  l_onoff: number;
  /** Linger time in seconds, 0 to 65535. Used only if `l_onoff` is not 0. */
  l_linger: number;
}

/** A server's host key, as passed to {@link SSHTunnelOptions.hostVerifier}. */
export interface HostKeyInfo {
  /** The `host` option of the tunnel or jump host, as it was given. */
  host: string;
  /** The port of the server. */
  port: number;
  /** The key type: `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'` (or 384, 521), or `'ssh-rsa'`. */
  type: string;
  /** The public key (RFC 4253, section 6.6). For a certificate, the key inside it. */
  key: Buffer;
  /** The fingerprint in the form `'SHA256:...'`, as `ssh-keygen -l` prints it. */
  fingerprint: string;
}

/**
 * The contents of a private key file (not its path), or an object with the contents, a passphrase and a
 * certificate.
 *
 * - Formats: OpenSSH, PKCS#8, PKCS#1 and SEC1 in PEM, and PuTTY's versions 2 and 3. All may be encrypted,
 *   also with 3DES as by old versions of OpenSSL and PuTTYgen.
 * - Types: Ed25519, ECDSA on nistp256, nistp384 or nistp521, and RSA with 2048 to 8192 bits. Smaller RSA
 *   keys are too weak, larger ones are not supported by the cryptographic library; an agent can use both.
 *   DSA is not supported: current servers refuse it. The keys of security keys (`sk-`) need an agent.
 * - Around the key, these are accepted: a byte order mark, UTF-16, quotes, `\n` or spaces in place of line
 *   feeds, and base64 of the whole file.
 *
 * A certificate is offered first and then the bare key, as OpenSSH does. The server decides whether a
 * certificate is valid.
 *
 * A string cannot be wiped from memory, but a Buffer can: read the file without an encoding, and fill
 * the Buffer with zeros after the constructor has returned. docs/secrets.md describes how the tunnel
 * treats its own copy.
 */
export type PrivateKey =
  | string
  | Uint8Array
  | {
      /** The contents of the key file. */
      key: string | Uint8Array;
      /** The passphrase of the key. Default: the option `passphrase`. */
      passphrase?: string | Uint8Array | undefined;
      /** The contents of the key's `-cert.pub` file. Default: no certificate. */
      certificate?: string | Uint8Array | undefined;
    };

/** A question for credentials, as passed to a function among the options and to a {@link CredentialAgent}. */
export interface CredentialRequest {
  /** The user name that is authenticated. */
  readonly username: string;
  /** The host of the server, as in the options. */
  readonly host: string;
  /** The port of the server. */
  readonly port: number;
  /**
   * The number of this call of the function, counted from 1 for each server of the tunnel. A number above 1 is a
   * reconnect or a further session.
   */
  readonly attempt: number;
  /**
   * Aborts when the answer is no longer needed: the connection broke or was abandoned, `readyTimeout` has passed, the
   * call was aborted, or the tunnel is closed.
   */
  readonly signal: AbortSignal;
}

/**
 * A credential, or a function that returns it or a promise of it. A function is called for each authentication: the
 * first connection, every reconnect, every session of {@link SSHTunnelOptions.sessions}. It is not called before the
 * host key has been verified, and has `readyTimeout` to answer. `undefined` stands for no such credential.
 *
 * If it throws or rejects, connecting fails with ERR_SSH_CREDENTIALS, and `cause` is what was thrown; `reconnect` tries
 * again. If its result is not a valid value of the option, connecting fails with the error that the constructor throws
 * for such a value.
 *
 * The tunnel keeps nothing of a result beyond the authentication. Bytes in a result are copied; the function may wipe
 * them later.
 *
 * While such a tunnel has no session, `connect()` and `startListening()` without a callback throw
 * ERR_TUNNEL_WOULD_DEADLOCK.
 */
export type Credential<T> = T | ((request: CredentialRequest) => T | undefined | Promise<T | undefined>);

/** A public key or certificate: its line, its blob (RFC 4253, section 6.6), or a public key of `node:crypto`. */
export type AgentKey = string | Uint8Array | KeyObject;

/** A question for a signature, as passed to {@link CredentialAgent.sign}. */
export interface SignatureRequest extends CredentialRequest {
  /**
   * The algorithm: `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'` (or `384`, `521`), `'rsa-sha2-512'` or `'rsa-sha2-256'`
   * (PKCS#1 v1.5), or the type of a security key. The name is the same for a certificate of such a key.
   */
  readonly algorithm: string;
  /** The digest that the algorithm contains, `'sha256'`, `'sha384'` or `'sha512'`; `null` if it has its own. */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null;
}

/**
 * An agent in the process, for keys that never leave a key management service or a hardware module. Its functions may
 * be asynchronous. They are called for each authentication, as those of {@link Credential}.
 *
 * If one of them throws, or returns something invalid, the next key or method is tried, as with any agent. If none
 * succeeds, ERR_SSH_AUTH says what went wrong, and its `cause` is what was thrown.
 */
export interface CredentialAgent {
  /** Returns the public keys and certificates to offer, in this order, at most 2048. */
  list(request: CredentialRequest): readonly AgentKey[] | Promise<readonly AgentKey[]>;
  /**
   * Returns the signature over `data` with `key`, one of the elements that `list` has returned. It is called only for a
   * key that the server accepts.
   *
   * The signature is as `node:crypto` and key management services return it: 64 bytes for Ed25519, DER or IEEE P1363
   * for ECDSA, PKCS#1 for RSA. Alternatively it is in the encoding of SSH (RFC 4253, section 6.6), as agents return it.
   */
  sign(key: AgentKey, data: Buffer, request: SignatureRequest): Uint8Array | Promise<Uint8Array>;
}

/** An authentication method. `'agent'` is publickey with the keys of {@link SSHTunnelOptions.agent}. */
export type AuthMethod = 'none' | 'publickey' | 'agent' | 'keyboard-interactive' | 'password';

/** A question of the server. Control characters other than tabs and line feeds are replaced by `?`. */
export interface Prompt {
  /** The text of the question, such as `'Password: '`. */
  prompt: string;
  /** Whether the answer may be shown while it is typed. */
  echo: boolean;
}

/**
 * A list of algorithms: either the exact names, preferred first, or changes to the default list.
 * Changes are applied in the order `remove`, `prepend`, `append`.
 */
export type AlgorithmList =
  | readonly string[]
  | {
      /** Names to take out of the default list. */
      remove?: string | readonly string[] | undefined;
      /** Names to put first, including names that the list has already. */
      prepend?: string | readonly string[] | undefined;
      /** Names to put last. A name that the list has already stays where it is. */
      append?: string | readonly string[] | undefined;
    };

/**
 * The algorithms that may be used, as in ssh2. For each kind, the first algorithm of this list that the
 * server also supports is used. If there is none, connecting fails with ERR_SSH_ALGORITHM, and the
 * message contains both lists.
 *
 * An unknown name, and a list that is empty after its changes, throw TypeError ERR_INVALID_ARG_VALUE.
 * Every supported algorithm is offered by default, except compression. Weak algorithms are not supported.
 */
export interface Algorithms {
  /**
   * Key exchange methods. Default: `'mlkem768x25519-sha256'`, `'curve25519-sha256'`,
   * `'curve25519-sha256@libssh.org'`, `'ecdh-sha2-nistp256'`, `'ecdh-sha2-nistp384'`,
   * `'ecdh-sha2-nistp521'`, `'diffie-hellman-group-exchange-sha256'`,
   * `'diffie-hellman-group16-sha512'`, `'diffie-hellman-group18-sha512'`,
   * `'diffie-hellman-group14-sha256'`.
   *
   * The first one resists quantum computers and needs OpenSSH 9.9 or later. `sntrup761x25519-sha512` is
   * not supported, because no audited implementation exists.
   */
  kex?: AlgorithmList | undefined;
  /**
   * Ciphers. Default: `'aes256-gcm@openssh.com'`, `'aes128-gcm@openssh.com'`,
   * `'chacha20-poly1305@openssh.com'`, `'aes256-ctr'`, `'aes192-ctr'`, `'aes128-ctr'`; on a processor
   * without AES instructions, `chacha20-poly1305` comes first.
   *
   * If the server does not support strict key exchange (CVE-2023-48795), a man in the middle can remove
   * messages from the start of a session that uses `chacha20-poly1305` or, with a lower probability,
   * `aes...-ctr` with an `-etm` MAC. They are offered all the same, as in OpenSSH. To exclude them, use
   * `cipher: { remove: 'chacha20-poly1305@openssh.com' }` and an `hmac` list without `-etm`.
   */
  cipher?: AlgorithmList | undefined;
  /**
   * Signature algorithms of host keys. Default: `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'`,
   * `'ecdsa-sha2-nistp384'`, `'ecdsa-sha2-nistp521'`, `'rsa-sha2-512'`, `'rsa-sha2-256'`,
   * `'ssh-ed25519-cert-v01@openssh.com'`, `'ecdsa-sha2-nistp256-cert-v01@openssh.com'`,
   * `'ecdsa-sha2-nistp384-cert-v01@openssh.com'`, `'ecdsa-sha2-nistp521-cert-v01@openssh.com'`,
   * `'rsa-sha2-512-cert-v01@openssh.com'`, `'rsa-sha2-256-cert-v01@openssh.com'`.
   *
   * Unless a list or `prepend` sets the order, algorithms that match the known keys of this server come
   * first: certificates if an `@cert-authority` line of the known_hosts files matches the host, then the
   * types of its keys in those files and in `hostKey`. Revoked keys do not count as known.
   */
  serverHostKey?: AlgorithmList | undefined;
  /**
   * MACs for the `aes...-ctr` ciphers; the other ciphers authenticate packets themselves. Default:
   * `'hmac-sha2-256-etm@openssh.com'`, `'hmac-sha2-512-etm@openssh.com'`, `'hmac-sha2-256'`,
   * `'hmac-sha2-512'`.
   */
  hmac?: AlgorithmList | undefined;
  /**
   * Compression methods: `'none'`, `'zlib@openssh.com'`. Default: `'none'` alone.
   *
   * `{ prepend: 'zlib@openssh.com' }` compresses after authentication if the server supports it.
   * Compression helps on slow networks with data that is not compressed yet, and costs processor time
   * otherwise. The size of compressed packets reveals something about their contents.
   */
  compress?: AlgorithmList | undefined;
  /**
   * Signature algorithms that authorities may use to sign host certificates (`CASignatureAlgorithms` of
   * ssh_config). Default: `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'`, `'ecdsa-sha2-nistp384'`,
   * `'ecdsa-sha2-nistp521'`, `'rsa-sha2-512'`, `'rsa-sha2-256'`. The order has no effect.
   */
  caSignature?: AlgorithmList | undefined;
  /**
   * Signature algorithms of the user's keys and certificates, including those of an agent
   * (`PubkeyAcceptedAlgorithms` of ssh_config). Default: `'ssh-ed25519'`, `'ecdsa-sha2-nistp256'`,
   * `'ecdsa-sha2-nistp384'`, `'ecdsa-sha2-nistp521'`, `'sk-ssh-ed25519@openssh.com'`,
   * `'sk-ecdsa-sha2-nistp256@openssh.com'`, `'rsa-sha2-512'`, `'rsa-sha2-256'`,
   * `'ssh-ed25519-cert-v01@openssh.com'`, `'ecdsa-sha2-nistp256-cert-v01@openssh.com'`,
   * `'ecdsa-sha2-nistp384-cert-v01@openssh.com'`, `'ecdsa-sha2-nistp521-cert-v01@openssh.com'`,
   * `'sk-ssh-ed25519-cert-v01@openssh.com'`, `'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com'`,
   * `'rsa-sha2-512-cert-v01@openssh.com'`, `'rsa-sha2-256-cert-v01@openssh.com'`.
   *
   * A key without an allowed algorithm is not used. The order decides between the algorithms of one key.
   */
  publicKey?: AlgorithmList | undefined;
}

/**
 * Timing of reconnect attempts. Each wait is twice as long as the one before it, minus a random part of
 * its second half (equal jitter), so that the clients of a restarted server do not return all at once.
 *
 * Waits start over at `initialDelay` after a session that has carried data and lasted for `initialDelay`,
 * or that has lasted for `maxDelay`.
 */
export interface ReconnectOptions {
  /** The first wait in milliseconds, 1 or more. Default: 1000, or `maxDelay` if that is less. */
  initialDelay?: number | undefined;
  /** The longest wait in milliseconds, `initialDelay` or more. Default: 30000, or `initialDelay` if that is more. */
  maxDelay?: number | undefined;
  /** The number of attempts after each disconnect, 1 or more. Default: no limit. */
  maxAttempts?: number | undefined;
  /**
   * Whether the first session is attempted again, too: for a program that starts before its network or its server.
   * Calls that wait for the session go on waiting after a failed attempt, and 'reconnecting' is emitted. They fail with
   * the last error after `maxAttempts` further attempts, at once with an error that is not retried, or by their
   * `signal` ({@link AbortOptions}). The same applies after the tunnel was closed. Default: `false`.
   */
  initial?: boolean | undefined;
}

/** The next attempt to reconnect, as passed to listeners of 'reconnecting'. */
export interface Reconnecting {
  /** The number of the attempt, counted from 1 after each disconnect. */
  attempt: number;
  /** Milliseconds until the attempt begins. */
  delay: number;
  /** The error that ended the session, or the previous attempt. */
  error: SSHTunnelError;
}

/**
 * The options of a tunnel. A value of the wrong type throws TypeError ERR_INVALID_ARG_TYPE, a number out of
 * range RangeError ERR_OUT_OF_RANGE, and an invalid host key or name TypeError ERR_INVALID_ARG_VALUE.
 *
 * With none of `hostKey`, `knownHosts` and `hostVerifier`, the host key is checked against the user's and
 * the system's known_hosts files (`~/.ssh/known_hosts`, `~/.ssh/known_hosts2`,
 * `/etc/ssh/ssh_known_hosts`, `/etc/ssh/ssh_known_hosts2`). If any of the three is given, these files are
 * not read. A server whose key is not trusted is refused with ERR_SSH_HOST_KEY before anything about the
 * user is sent.
 *
 * Names are validated here, and by every method that takes one, before anything changes. A host or user
 * has at most 1024 bytes, the path of a socket 107 on this machine and 1023 on a server. Names contain no
 * control characters, line separators or lone surrogates. Otherwise TypeError ERR_INVALID_ARG_VALUE with
 * the name of the option is thrown.
 *
 * An option that does not exist is ignored, with a process warning (SSHTUNNEL_UNKNOWN_OPTION) that is emitted once
 * and names the nearest option. The same holds for the options of methods, except those of
 * {@link SSHTunnel.dial} and {@link SSHTunnel.httpAgent}, which drivers call with options of their own.
 */
export interface SSHTunnelOptions {
  /**
   * The name or address of the SSH server, without a user or port. If a name has several addresses, the first
   * to answer is used: each gets 250 ms before the next is tried in parallel, IPv6 and IPv4 alternating (RFC
   * 8305).
   */
  host: string;
  /** The port of the SSH server, 1 to 65535. Default: 22. */
  port?: number | undefined;
  /**
   * The user name for authentication. Default: the user that runs the process; ERR_TUNNEL_NO_USER if the
   * system has no name for that one, as in containers with arbitrary user ids.
   */
  username?: string | undefined;
  /**
   * The user's password. It is sent only after the server has accepted the authentication service, and
   * never to a server that accepts `'none'`, which is tried before it (see `authHandler`).
   *
   * Bytes can be wiped after the constructor has returned. A string stays in memory until it is collected. A function
   * is called at most once for each authentication, and only when the password is to be sent.
   */
  password?: Credential<string | Uint8Array> | undefined;
  /**
   * One private key or several, offered in this order. All keys are read before anything is sent. A key
   * that cannot be read, or whose certificate belongs to another key, fails with ERR_SSH_PRIVATE_KEY.
   *
   * A server counts every refused key as an attempt; OpenSSH disconnects at the sixth.
   *
   * A function may return a key together with its certificate, as an object.
   */
  privateKey?: Credential<PrivateKey | readonly PrivateKey[]> | undefined;
  /**
   * The passphrase of the keys in `privateKey` that have none of their own. Bytes can be wiped after the
   * constructor has returned. A string stays in memory until it is collected.
   *
   * With a function, keys stay encrypted, and are decrypted anew for each authentication. It does not decrypt the key
   * files that ssh_config names ({@link SSHTunnel.fromConfig}).
   */
  passphrase?: Credential<string | Uint8Array> | undefined;
  /**
   * The certificate of `privateKey`: the contents of its `-cert.pub` file. `privateKey` must then be one
   * key, not an array. See {@link PrivateKey}. With a function, a tunnel outlives certificates that are valid for a
   * short time.
   */
  certificate?: Credential<string | Uint8Array> | undefined;
  /** The algorithms that may be used, and their order. Default: all that are supported. */
  algorithms?: Algorithms | undefined;
  /**
   * The path of an ssh-agent's socket; on Windows of a named pipe, such as `'\\\\.\\pipe\\openssh-ssh-agent'` of
   * OpenSSH, or `'pageant'`, which is PuTTY's since version 0.75. Default: no agent. The environment is not read:
   * pass `process.env.SSH_AUTH_SOCK`. An object is an agent in this process, see {@link CredentialAgent}.
   *
   * Keys and certificates are offered in the agent's order, and the agent signs only with keys that the
   * server accepts. An agent that restricts keys to destinations (`ssh-add -h`) learns which host it signs
   * for. If the agent fails or cannot be reached, the next key or method is tried, and
   * ERR_SSH_AUTH says what went wrong. An agent that waits for a touch or a confirmation has
   * `readyTimeout` to answer.
   */
  agent?: string | CredentialAgent | undefined;
  /**
   * The only keys of `agent` to use, with their certificates: public key lines, as in `id_ed25519.pub`.
   * Default: all keys of the agent. Many servers accept no more than six attempts.
   *
   * A line may also be a user's certificate, as in `id_ed25519-cert.pub`. It is offered before its key, which
   * the agent signs with; the agent itself need not have the certificate.
   */
  agentKeys?: Credential<string | readonly string[]> | undefined;
  /**
   * Keys of `agent` to offer before its others: public key lines or certificates, as in `agentKeys`.
   * Default: none.
   */
  agentKeysFirst?: string | readonly string[] | undefined;
  /**
   * Whether listeners of 'keyboard-interactive' answer the server's questions. Default: `false`.
   *
   * While such a tunnel has no session, `connect()` and `startListening()` without a callback throw
   * ERR_TUNNEL_WOULD_DEADLOCK.
   *
   * If this is `false`, `password` answers a server that asks a single question with a hidden answer, as
   * many servers do. A refused password is not sent again.
   */
  tryKeyboard?: boolean | undefined;
  /**
   * The only authentication methods to use, in this order, each at most once. Default: publickey, agent,
   * none, keyboard-interactive, password; without `tryKeyboard`, password comes before
   * keyboard-interactive. A method without a credential is skipped.
   *
   * A method that the server does not accept yet waits until it does, so a server that requires several
   * methods decides their order.
   *
   * `'none'` asks to be authenticated without a credential, and costs no round trip as the first method.
   * Servers seldom list it: once keys were refused, it is tried only if the server lists it, or lists
   * nothing else that is left to try.
   */
  authHandler?: readonly AuthMethod[] | undefined;
  /**
   * Trusted host keys: fingerprints (`'SHA256:...'`) or public key lines (`'ssh-ed25519 AAAA...'`).
   * Default: none.
   */
  hostKey?: string | readonly string[] | undefined;
  /**
   * Paths of known_hosts files, with plain, hashed and wildcard lines, `@cert-authority` and `@revoked`.
   * Default: see {@link SSHTunnelOptions}. `~` is not expanded.
   *
   * A file that does not exist counts as empty. A file that cannot be read, or that has an unreadable line
   * about this host, fails with ERR_SSH_HOST_KEY.
   */
  knownHosts?: string | readonly string[] | undefined;
  /**
   * What happens to a host key that is not trusted, as in ssh_config. Default: `true`.
   * - `true`: It is refused.
   * - `'accept-new'`: It is accepted and appended to the first file of `knownHosts`, unless the files have
   *   a different key for this host, or an authority in them has signed an invalid certificate. If it
   *   cannot be written, it is refused. Without a file, TypeError ERR_INVALID_ARG_VALUE is thrown.
   * - `'no'`: As `'accept-new'`, but a key that cannot be written is accepted. After a changed key, `ssh`
   *   continues without forwarding and passwords; a tunnel refuses the key.
   * - `false`: Every key is accepted, including a changed one. A new key is appended if possible, a
   *   changed one never. An attacker in the middle can impersonate the server, learn the password, and
   *   read and modify forwarded data. This is weaker than any setting of ssh_config.
   *
   * A revoked key is always refused. With `hostKey`, only the keys it lists, the files and `hostVerifier`
   * can accept a key. A `hostVerifier` is called before any other key is accepted; a new key that it
   * accepts is appended unless this option is `true`.
   */
  strictHostKeyChecking?: boolean | 'accept-new' | 'no' | undefined;
  /**
   * The host name to look up in known_hosts files and certificates, and to write, in place of `host` and
   * `port`. Default: `host`, with `port` unless it is 22. Useful for a server with several names, or
   * several servers behind one name.
   */
  hostKeyAlias?: string | undefined;
  /**
   * Whether the server's host keys are updated in the known_hosts file. Default: `false`.
   *
   * This happens in the background of a session whose own key has a line for this host in the files. Keys
   * that the server proves to have are appended to the file of the first such line, and lines of keys that it
   * does not announce any more are removed. Nothing is changed if the server was trusted by its certificate,
   * or if a line about the host has a pattern, a marker or more than two names. Failures are not reported; the
   * next session tries again. Without a file, TypeError ERR_INVALID_ARG_VALUE is thrown.
   */
  updateHostKeys?: boolean | undefined;
  /**
   * Whether names are written to known_hosts files as hashes (`HashKnownHosts` of ssh_config). Default:
   * `false`.
   */
  hashKnownHosts?: boolean | undefined;
  /**
   * A program that prints further lines of known hosts, and its arguments (`KnownHostsCommand` of
   * ssh_config). Default: none. It is run without a shell, before the key exchange and when the server has
   * shown its key. In the arguments, `%H` is the host, `%I` is `ORDER` or `HOSTNAME`, `%t`, `%f` and `%K` are
   * the type, the fingerprint and the base64 of the server's key (`NONE` before it is known), and `%%` is a
   * percent sign. A program that fails refuses the server with ERR_SSH_HOST_KEY.
   */
  knownHostsCommand?: string | readonly string[] | undefined;
  /**
   * Whether a server at a loopback address may have any host key (`NoHostAuthenticationForLocalhost` of
   * ssh_config), unless it has a `hostKeyAlias`. Default: `false`. It is for a home folder that several
   * machines share. Keys of `revokedHostKeys` are refused.
   */
  noHostAuthenticationForLocalhost?: boolean | undefined;
  /**
   * Paths of files with revoked keys, one public key per line (`RevokedHostKeys` of ssh_config). Default:
   * none. `~` is not expanded.
   *
   * A host with one of these keys, or with a certificate of an authority with one, is refused regardless of
   * any other option. A file that does not exist, has an invalid line, or is a key revocation list (KRL, of
   * `ssh-keygen -k`) refuses every host with ERR_SSH_HOST_KEY.
   */
  revokedHostKeys?: string | readonly string[] | undefined;
  /**
   * The minimum size of RSA keys in bits (`RequiredRSASize` of ssh_config), 1024 to 16384. Default: 1024.
   *
   * A host with a smaller key is refused, a certificate of an authority with a smaller key does not count,
   * and smaller keys of the user are not used. Hosts and authorities always need at least 2048 bits.
   */
  requiredRSASize?: number | undefined;
  /**
   * Decides about a host key that nothing else decides. Default: none.
   *
   * It is not called for a revoked key, nor for a key that contradicts a known_hosts file unless
   * `strictHostKeyChecking` is `false`. Only `true`, or a promise of `true`, accepts the key. If it throws or
   * rejects, the key is refused, and the error becomes the `cause` of ERR_SSH_HOST_KEY. It has
   * `readyTimeout` to answer.
   *
   * It may await `tunnel.promises`, except operations that wait for this session. While a tunnel with a
   * hostVerifier has no session, `connect()` and `startListening()` without a callback throw
   * ERR_TUNNEL_WOULD_DEADLOCK.
   */
  hostVerifier?: ((key: HostKeyInfo) => boolean | Promise<boolean>) | undefined;
  /**
   * Jump hosts on the path to `host`, in this order, any number of them. Default: none. Each has its own
   * session and connects to the next one; the last one resolves `host`. No local port is opened, and the
   * first hop's TCP connection is the only socket.
   *
   * An error on the path names the jump host. A hop that refuses to connect to the next server fails with
   * ERR_SSH_OPEN_CONNECT_FAILED or another code of {@link ConnectionEnd.code}. `readyTimeout` covers all
   * hops together. When the session of a hop disconnects, so does the tunnel's.
   */
  jump?: JumpHost | readonly JumpHost[] | undefined;
  /**
   * A command whose standard input and output lead to the server, as in ssh_config. Default: a TCP
   * connection. It cannot be combined with `jump`; set it on the first hop.
   *
   * It runs as `$SHELL -c "exec <command>"`, or with `/bin/sh` if SHELL is unset when the constructor is
   * called. On Windows it runs as `%ComSpec% /d /s /c "<command>"`, as the commands of Node's
   * `child_process.exec()` do. `%h`, `%p`, `%r`, `%n` and `%%` are replaced by the host, the port, the user
   * name, the host again and `%`. Its standard error is that of this process. Quoting is the application's
   * responsibility; a host or user name that contains characters special to a shell throws TypeError
   * ERR_INVALID_ARG_VALUE.
   *
   * The session ends when the command exits, and the error contains its exit status. When the session
   * ends first, the command reads the end of its input, and receives SIGHUP if it is still running two
   * seconds later. After a disconnect or an abandoned connection attempt it receives SIGHUP at once. On
   * Windows, which has no SIGHUP, it is terminated half a second after that time.
   */
  proxyCommand?: string | undefined;
  /**
   * A byte stream to the server, as in ssh2: a socket, a TLS socket, a channel of another client, any
   * Duplex. Default: a TCP connection. `host` and `port` then only identify the server, for its host key
   * and in messages.
   *
   * It is used from the first `connect()` or `startListening()`, and destroyed with the session. It carries
   * one session; connecting again fails with ERR_TUNNEL_SOCK_USED. An error of the stream becomes the
   * `cause` of ERR_SSH_DISCONNECTED. It cannot be combined with `jump` (set it on the first hop),
   * `proxyCommand`, `reconnect`, or other `sessions` than 1.
   *
   * A function is called for each session, also after a reconnect, and gives a stream of its own, or a promise of one. It
   * can be combined with `reconnect` and `sessions`, and has `readyTimeout` to answer; a stream that comes later is
   * destroyed. If it throws, rejects, or gives something else, the error is ERR_TUNNEL_SOCK with that as its `cause`,
   * which `reconnect` retries.
   *
   * This thread carries its bytes. Without a callback, `connect()` and `startListening()` (without a
   * session) and `shutdown()` and `disconnect()` (with one) throw ERR_TUNNEL_WOULD_DEADLOCK.
   */
  sock?: Duplex | (() => Duplex | Promise<Duplex>) | undefined;
  /**
   * A proxy on the way to the server, or to the first jump host. Default: none. A URL (`http://user:pass@host:3128`,
   * `socks5://user:pass@host:1080`), its parts ({@link ProxyOptions}), or `'env'`.
   *
   * - `http`: the method CONNECT, with Basic authentication. The default port is 80.
   * - `socks5`, and `socks5h`, which is the same: SOCKS 5, with a username and password (RFC 1929) or without. The
   *   default port is 1080.
   * - `'env'`: the URL in the environment's HTTPS_PROXY or ALL_PROXY, if there is one and NO_PROXY does not except the
   *   server. Names in small letters take precedence, a URL without a scheme is that of an HTTP proxy, and the
   *   environment is read by the constructor. NO_PROXY is `*`, or a list of names (which cover their subdomains),
   *   addresses and networks (`10.0.0.0/8`), each perhaps with a port. Without `'env'`, the environment has no effect.
   *
   * The proxy resolves the name of the server. Each session has a connection of its own, as with `sessions`, and also
   * after a reconnect. `localAddress`, `forceIPv4`, `forceIPv6` and `connectionAttempts` apply to the connection to the
   * proxy, and `readyTimeout` includes it. A proxy that does not connect is ERR_TUNNEL_PROXY
   * ({@link SSHTunnelError.proxy}). It cannot be combined with `proxyCommand` or `sock`; a proxy behind TLS
   * (`https:`) needs a `sock`.
   */
  proxy?: string | ProxyOptions | undefined;
  /**
   * The local IP address to connect from, as in ssh2. Default: the system's choice. Only addresses of its
   * family are tried. With `jump`, it applies to the first hop, as do `forceIPv4` and `forceIPv6`.
   */
  localAddress?: string | undefined;
  /**
   * How often the server, or the first jump host, is dialed before connecting fails, with a second in
   * between (`ConnectionAttempts` of ssh_config). Default: 1. Each attempt tries every address. The limit of
   * time is `readyTimeout` for all attempts together.
   */
  connectionAttempts?: number | undefined;
  /** Whether only IPv4 addresses are tried, as in ssh2. Default: `false`. */
  forceIPv4?: boolean | undefined;
  /** Whether only IPv6 addresses are tried, as in ssh2. Default: `false`. It excludes `forceIPv4`. */
  forceIPv6?: boolean | undefined;
  /** The local address to listen on, or a name to resolve. Default: `'127.0.0.1'`. */
  localHost?: string | undefined;
  /** The local port to listen on, 0 to 65535; with 0 the system chooses a port. Default: 0. */
  localPort?: number | undefined;
  /**
   * Whether local ports are shared with other listeners of this user, in any process or thread, as with
   * `reusePort` of Node's `server.listen()`. Default: `false`. Available on Linux, FreeBSD and DragonFly BSD;
   * elsewhere the constructor throws ERR_FEATURE_UNAVAILABLE_ON_PLATFORM.
   *
   * All listeners must set it, otherwise the later one fails with EADDRINUSE. The system distributes
   * connections among them. When a listener stops, connections that it has not accepted yet are reset, and
   * the others get all new ones. Choose a port: 0 selects a port that nobody has.
   *
   * It applies to `localPort` and to the ports of {@link SSHTunnel.forwardLocal} and
   * {@link SSHTunnel.forwardDynamic}, not to the paths of Unix sockets.
   */
  reusePort?: boolean | undefined;
  /**
   * The maximum number of concurrent connections of the tunnel, 1 to 4294967295, over all forwards and
   * {@link SSHTunnel.dial}, in any state. Default: no limit. Each forward has a `maxConnections`, too.
   *
   * At the limit, accepting pauses: further local clients wait in the system's backlog until a connection
   * has ended. Channels for remote forwards are refused with the reason RESOURCE_SHORTAGE, and a socket of
   * `dial()` fails with ERR_TUNNEL_MAX_CONNECTIONS.
   *
   * Accepting also pauses, and remote forwards refuse connections, while the process has few descriptors
   * left (an eighth of its limit, at least 16 and at most 256), and while some thousand events wait for
   * the event loop.
   */
  maxConnections?: number | undefined;
  /**
   * The bytes per second of all connections together, as a number for each direction, or as an object with `up` and
   * `down`: integers, 0 for no limit. Default: no limit. {@link SSHTunnel.setMaxRate} changes it. Each forward and
   * each connection has a `maxRate`, too; the lowest one counts.
   *
   * Connections that have more to move share the rate equally. A direction at its limit leaves its data where it is:
   * in the local client, and at the server after one receive window, so that others are not slowed down. Data that is
   * delivered while a connection closes is limited, too; a reset, an end of stream without data before it and a
   * linger time are not delayed. Up to 20 ms of the rate may be moved at once.
   */
  maxRate?: number | Partial<RateLimits> | undefined;
  /**
   * The host that connections are forwarded to, resolved by the SSH server. Default: none. It requires
   * `forwardPort`.
   *
   * Without it, {@link SSHTunnel.startListening} fails with ERR_TUNNEL_NO_FORWARD; use
   * {@link SSHTunnel.forwardLocal}, {@link SSHTunnel.forwardDynamic} or {@link SSHTunnel.dial}.
   */
  forwardHost?: string | undefined;
  /** The port that connections are forwarded to, 1 to 65535. Default: none. It requires `forwardHost`. */
  forwardPort?: number | undefined;
  /** How connections are closed; a boolean has the meaning of {@link SSHTunnel.setLinger}. Default: `true`. */
  linger?: boolean | Linger | undefined;
  /** Whether accepted connections use SO_KEEPALIVE. Default: `false`. */
  keepAlive?: boolean | undefined;
  /**
   * Milliseconds without a byte in either direction after which a connection is closed by its Linger, at
   * most 2147483647; 0 disables it. Default: 0.
   *
   * Bytes that have arrived and were not read yet are read first. Time while the process is paused does
   * not count (docs/processes.md).
   */
  idleTimeout?: number | undefined;
  /**
   * Milliseconds of silence after which a keepalive request is sent to the server; 0 disables it.
   * Default: 0.
   *
   * After a pause of the process (SIGSTOP, a container freezer, a suspended machine), pending input is read
   * first, and the server gets the full number of requests again.
   */
  keepaliveInterval?: number | undefined;
  /**
   * The number of unanswered keepalive requests in a row that disconnect the session, 1 or more. Default: 3.
   *
   * A whole packet of the server counts as an answer. While a large one is still arriving over a slow path, its bytes
   * postpone the next request.
   */
  keepaliveCountMax?: number | undefined;
  /** When this side starts a new key exchange; the server may start one at any time. */
  rekey?: RekeyOptions | undefined;
  /**
   * Milliseconds for connecting and authenticating together; 0 is no limit. Default: 20000. When it is over,
   * the operation fails with ETIMEDOUT.
   *
   * It also limits the answer to a 'connectionRequest', the wait of a connection for a disconnected session,
   * the opening of a connection by the server, and the server's answer to a remote forward.
   */
  readyTimeout?: number | undefined;
  /**
   * Whether, and how, a disconnected session is restored while the tunnel listens, or after
   * {@link SSHTunnel.connect}. Default: `false`. `true` uses the defaults of {@link ReconnectOptions}. A
   * server that disappears silently is noticed only with `keepaliveInterval`. If this machine loses the address that
   * the session has, that is noticed without it: on Linux when it happens, elsewhere after a sleep of the machine.
   *
   * Open connections end with a reset after the delivered bytes, as without it. The local port stays bound.
   * Connections that are accepted meanwhile, or were not open yet, wait without being read: each is opened
   * through the next session, or reset after `readyTimeout` (ETIMEDOUT). Up to 1024 are accepted, others
   * stay in the system's backlog.
   *
   * The waits double from attempt to attempt. They begin anew after a session that was useful: one that has carried
   * data from a target, or that has lasted for 10 seconds (or for `maxDelay`, if that is less). A server that ends the
   * connection before it identifies itself is busy ({@link SSHTunnelError.lossReason} `'unidentified'`): it is asked
   * again after the first wait, five times in a row, before such waits double too.
   *
   * 'reconnecting' is emitted before each wait, and 'ready' when the session is up. Each attempt reads
   * known_hosts files and asks the agent, functions that give credentials, the hostVerifier and listeners of
   * 'keyboard-interactive' again.
   *
   * ERR_SSH_HOST_KEY, ERR_SSH_PRIVATE_KEY, ERR_SSH_AUTH and ERR_SSH_ALGORITHM are not retried. After one of
   * these, or after `maxAttempts`, the port is closed, waiting connections are reset
   * (ERR_SSH_DISCONNECTED), and 'error' and 'close' are emitted. The first connection attempt is not
   * retried: its error is reported by the call that started it.
   */
  reconnect?: boolean | ReconnectOptions | undefined;
  /**
   * The maximum receive window of a connection in bytes, 131072 (128 KiB) to 1073741824 (1 GiB). Default:
   * 16777216 (16 MiB), or `memoryLimit` if that is less. It is the most memory that a connection can use
   * when its local client stops reading.
   *
   * A connection receives at most one window per round trip, so 16 MiB allow 160 MiB/s at 100 ms. The
   * window begins at 2 MiB (or `windowLimit`, if that is less), grows while bandwidth and round trip fill
   * it, and shrinks again when the connection has been slow for a long time. If the local client reads
   * little, it stays at 2 MiB.
   *
   * The round trip is measured with keepalive requests: one after authentication, then at most one per
   * second while much is received. If the server never answers them, windows do not grow.
   */
  windowLimit?: number | undefined;
  /**
   * The maximum of all receive windows together in bytes, `windowLimit` or more. Default: 1073741824
   * (1 GiB). It is the most memory that local clients which stop reading can use. With a number of `sessions`,
   * each has an equal share. With 'auto' or more than one of `connectionsEach`, one session has half, and the
   * others share the rest.
   *
   * A window counts in full until the channel of its connection is closed. When the limit is reached, no
   * window grows, and new connections still get 128 KiB, enough for requests and replies. A jump host has
   * one window for all connections.
   */
  memoryLimit?: number | undefined;
  /**
   * The SSH sessions that connections are spread over. Default: 1.
   *
   * - A number from 1 to 256: at most this many sessions. Another one is started when a connection is accepted
   *   while every session has one, so that encryption uses several cores at either end.
   * - `'auto'`: as many as the connections need, at most 256. Another one is started when every session has 32
   *   connections or is saturated (256 MiB within the last two seconds). OpenSSH's server looks at every
   *   connection of a session whenever one of them has data, so requests take long beside thousands of others.
   * - An object: the same with other numbers, see {@link SessionsOptions}.
   *
   * A connection goes to the session with the fewest connections and the least recent traffic, and stays
   * there; with 'auto' or `connectionsEach`, a session without connections is used only when the others are
   * full. Up to 48 connections of each session (or one and a half times `connectionsEach`), a connection does not
   * wait for another session. From there on it waits while one connects and comes up within three seconds. A session
   * without connections for a minute is closed, except the last one, and the one with the larger share of
   * `memoryLimit`. The hostVerifier, functions that give credentials, and
   * listeners of 'keyboard-interactive' are asked for each session.
   *
   * A session that disconnects ends only its own open connections (ERR_SSH_DISCONNECTED); connections
   * that were not open yet move to another session, and 'sessionError' is emitted. When the last one disconnects,
   * `reconnect` applies. After a disconnect or a failed attempt, no further session is started for half a second
   * to 60 seconds; after an error that is not retried (see `reconnect`), not until the tunnel connects again.
   *
   * A server that has no room for another session causes no error: if it closes the connection before it identifies
   * itself, as sshd does above MaxStartups, it is asked again later. If it twice ends another session as soon as
   * it can, or says that there are too many, the tunnel keeps to the sessions that it has until one disconnects.
   */
  sessions?: number | 'auto' | SessionsOptions | undefined;
  /**
   * Ends the calls that wait for the first session of the tunnel when it aborts: each fails with an AbortError, as
   * by a signal of its own (see {@link AbortOptions}). It has no effect once a session was up.
   */
  signal?: AbortSignal | undefined;
  /**
   * Receives the log of the tunnel, line by line: each step of the handshake, each session, channel and attempt to
   * reconnect. Default: none; `NODE_DEBUG=sshtunnel` writes the lines to standard error. docs/observing.md shows a log.
   *
   * Lines contain no passwords, answers, passphrases, private keys or data of connections, but they contain names of
   * hosts, fingerprints of keys and methods of authentication. They have at most 1024 bytes and no control characters.
   * Their wording may change in any version. While more than 2048 messages wait for the event loop, lines are
   * left out, and the next line says how many.
   */
  debug?: ((line: string) => void) | undefined;
}

/** A proxy on the way to the server, see {@link SSHTunnelOptions.proxy}. */
export interface ProxyOptions {
  /** The protocol of the proxy. `'socks5h'` is another name for `'socks5'`. */
  protocol: 'http' | 'socks5' | 'socks5h';
  /** The name or address of the proxy. */
  host: string;
  /** The port of the proxy, 1 to 65535. Default: 80 for `'http'`, otherwise 1080. */
  port?: number | undefined;
  /**
   * The user name for the proxy. Default: none, which means no authentication. It has no colon for an HTTP proxy, and
   * at most 255 bytes for SOCKS 5.
   */
  username?: string | undefined;
  /**
   * The password for the proxy. Default: an empty one, if there is a `username`. For SOCKS 5 it has 1 to 255 bytes. A
   * Buffer can be wiped by its owner, a string cannot.
   */
  password?: string | Uint8Array | undefined;
}

/** How many SSH sessions a tunnel has, see {@link SSHTunnelOptions.sessions}. */
export interface SessionsOptions {
  /** The maximum number of concurrent sessions, 1 to 256. Default: 256. */
  max?: number | undefined;
  /**
   * The number of connections per session at which another session is started, 1 or more. Default: 32.
   */
  connectionsEach?: number | undefined;
}

/** Options of a call that can be aborted. */
export interface AbortOptions {
  /**
   * Ends the call when it aborts. The call then fails with an AbortError, whose `code` is `'ABORT_ERR'` and whose
   * `cause` is the signal's `reason`. What the call had begun is undone: the tunnel stops connecting unless something
   * else needs the session, and a forward that does not listen yet is removed. A call that is done when the signal
   * aborts keeps its result. A call without a callback blocks the thread that would abort the signal, so only a
   * signal that has aborted before makes it fail.
   */
  signal?: AbortSignal | undefined;
}

/**
 * Limits after which new keys are exchanged: at the first of them, and always before packet numbers could
 * repeat. Connections stay open; their data is sent when the exchange is complete. A server that does not
 * complete it within two minutes is disconnected (ERR_SSH_DISCONNECTED).
 */
export interface RekeyOptions {
  /** The number of bytes in either direction per set of keys, 2 ** 20 to 2 ** 36. Default: 2 ** 32. */
  bytes?: number | undefined;
  /** The number of seconds per set of keys, at most 2147483; 0 is no limit. Default: 3600. */
  seconds?: number | undefined;
}

/** Options of {@link SSHTunnel.fromConfig}: those of the constructor, which take precedence over the files. */
export interface ConfigOverrides extends Partial<SSHTunnelOptions> {
  /**
   * The file to read in place of the user's and the system's, as with `ssh -F`; `'none'` reads no file.
   * Default: both files. `~` is not expanded.
   */
  configFile?: string | undefined;
}

/** An ssh_config directive that affects tunneling and is not supported. */
export interface ConfigNotice {
  /** The host that it applies to, as it was given or as `ProxyJump` names it. */
  readonly host: string;
  /** The directive, such as `'RevokedHostKeys'`, or `'Match'` for one of its criteria. */
  readonly option: string;
  /** The arguments of the directive. */
  readonly value: string;
  /** Why it is not supported, as text. */
  readonly reason: string;
  /** The file that contains the directive. Absent for a key that no file names. */
  readonly file?: string;
  /** The line of the directive, counted from 1. Absent for a key that no file names. */
  readonly line?: number;
}

/**
 * A jump host: where it is, how to authenticate, and which host keys to trust. Nothing is inherited from the
 * tunnel; omitted options have the same defaults as there. There is one exception: a hop with none of
 * `hostKey`, `knownHosts` and `hostVerifier` is checked against the default known_hosts files, and a key that
 * they do not have is passed to the tunnel's `hostVerifier`, with the `host` and `port` of the hop.
 *
 * A hop emits no 'keyboard-interactive'; only its `password` answers questions. Only the first hop may have a
 * `proxyCommand` or a `sock`.
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
    | 'agentKeysFirst'
    | 'authHandler'
    | 'hostKey'
    | 'knownHosts'
    | 'hostVerifier'
    | 'strictHostKeyChecking'
    | 'hostKeyAlias'
    | 'revokedHostKeys'
    | 'requiredRSASize'
    | 'updateHostKeys'
    | 'hashKnownHosts'
    | 'knownHostsCommand'
    | 'noHostAuthenticationForLocalhost'
    | 'proxyCommand'
    | 'sock'
    | 'keepaliveInterval'
    | 'keepaliveCountMax'
    | 'rekey'
  > {}

/** A snapshot of a connection through the tunnel. */
export interface ConnectionInfo {
  /** The number of the connection, counted from 1 and unique within the tunnel. */
  connectionId: number;
  /**
   * The forward that accepted the connection: its {@link Forward.forwardId}, 0 for the constructor's own
   * `forwardHost` and `forwardPort`, or -1 for {@link SSHTunnel.dial}.
   */
  forwardId: number;
  /**
   * The address of the local client. Absent on a Unix socket and for {@link SSHTunnel.dial}. For a remote
   * forward, the address of the client as reported by the server, absent if that is not an IP address.
   */
  remoteAddress?: string;
  /** The port of the local client. Absent, or reported by the server, as {@link ConnectionInfo.remoteAddress}. */
  remotePort?: number;
  /**
   * The local address that the client connected to. Absent on a Unix socket and for {@link SSHTunnel.dial}.
   * For a remote forward, the address from which the target was dialed, absent until then.
   */
  localAddress?: string;
  /** The port that belongs to {@link ConnectionInfo.localAddress}. Absent whenever the address is. */
  localPort?: number;
  /**
   * The host of the target. Absent if the target is a Unix socket, and for a dynamic forward until the
   * client has requested a target.
   */
  forwardHost?: string;
  /** The port of the target. Absent whenever {@link ConnectionInfo.forwardHost} is. */
  forwardPort?: number;
  /** The path of the target, if it is a Unix socket. */
  forwardPath?: string;
  /** The Linger that the connection will be closed by: the one at accept, or the last one set since. */
  linger: Linger;
  /**
   * The state of the connection.
   * - `'negotiating'`: The SOCKS handshake is not complete.
   * - `'requested'`: Its 'connectionRequest' has no answer yet.
   * - `'opening'`: The server was asked to connect to the target, or will be when a session is up.
   * - `'open'`: It is open from end to end; either direction may have ended already.
   * - `'closing'`: Remaining data is being delivered or dropped, by its Linger.
   */
  state: 'negotiating' | 'requested' | 'opening' | 'open' | 'closing';
  /** The number of bytes read from the local client and handed to the SSH session so far. */
  bytesUp: number;
  /** The number of bytes from the target handed to the local client so far. */
  bytesDown: number;
}

/**
 * A connection, with methods that set how it is closed, and that close it. The other members are a snapshot
 * and do not change.
 *
 * Every method has the forms and the order of the methods of {@link SSHTunnel}. Every method fails with
 * ERR_TUNNEL_NO_CONNECTION when the connection has ended.
 */
export interface Connection extends ConnectionInfo {
  /**
   * Sets the milliseconds without a byte in either direction after which the connection is closed, in place of the
   * tunnel's `idleTimeout`, at most 2147483647; 0 disables it. The connection has its full time from this call on.
   * Without effect on a connection that is closing.
   */
  setIdleTimeout(idleTimeout: number): void;
  /** Callback form of {@link Connection.setIdleTimeout}. */
  setIdleTimeout(idleTimeout: number, callback: Callback): void;
  /**
   * Turns SO_KEEPALIVE of the local socket on or off. `initialDelay` is the time without a byte before the first
   * probe in milliseconds, rounded down to seconds; 0, the default, keeps the system's time. Without effect on a
   * socket of {@link SSHTunnel.dial}, a Unix socket, and a connection that is in a SOCKS handshake or closing.
   */
  setKeepAlive(enable: boolean, initialDelay?: number): void;
  /** Callback form of {@link Connection.setKeepAlive}. */
  setKeepAlive(enable: boolean, callback: Callback): void;
  /** Callback form of {@link Connection.setKeepAlive}. */
  setKeepAlive(enable: boolean, initialDelay: number | undefined, callback: Callback): void;
  /** Returns the `maxRate` of the connection itself; 0 is no limit. Those of its forward and tunnel apply, too. */
  getMaxRate(): RateLimits;
  /** Callback form of {@link Connection.getMaxRate}. */
  getMaxRate(callback: Callback<RateLimits>): void;
  /** Sets the `maxRate` of the connection itself from now on, as {@link SSHTunnelOptions.maxRate}. */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined): void;
  /** Callback form of {@link Connection.setMaxRate}. */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined, callback: Callback): void;
  /** Returns `true` if the connection will be closed gracefully or bounded, `false` if hard. */
  getLinger(): boolean;
  /** Callback form of {@link Connection.getLinger}. */
  getLinger(callback: Callback<boolean>): void;
  /**
   * Sets how the connection is closed: gracefully for `true` ({ l_onoff: 0 }), hard for `false`
   * ({ l_onoff: 1, l_linger: 0 }). Otherwise as {@link Connection.setLingerOption}.
   */
  setLinger(linger: boolean): void;
  /** Callback form of {@link Connection.setLinger}. */
  setLinger(linger: boolean, callback: Callback): void;
  /** Returns the LINGER structure that the connection will be closed by. */
  getLingerOption(): Linger;
  /** Callback form of {@link Connection.getLingerOption}. */
  getLingerOption(callback: Callback<Linger>): void;
  /**
   * Sets the LINGER structure that the connection is closed by. Completes at once. It has no effect on an
   * open connection until the close. A connection in the state 'closing' continues by the new value,
   * whichever side has started the close:
   *
   * - Hard: It is reset now. What the local client has acknowledged, or the SSH session has taken, is
   *   delivered; the rest is dropped and counted. The local client reads ECONNRESET. This is final: a
   *   softer value after it, after {@link Connection.reset} or after a forced shutdown fails with
   *   ERR_TUNNEL_NO_CONNECTION.
   * - Bounded: It may take `l_linger` seconds from this call.
   * - Graceful: It has no time limit (any more).
   */
  setLingerOption(value: Linger): void;
  /** Callback form of {@link Connection.setLingerOption}. */
  setLingerOption(value: Linger, callback: Callback): void;
  /**
   * Closes the connection by its Linger. What is delivered, what each peer sees and when the call completes
   * is described at {@link SSHTunnel.disconnect}.
   */
  close(): void;
  /** Callback form of {@link Connection.close}. */
  close(callback: Callback): void;
  /**
   * Resets the connection in any state, also while it is closing, and whatever its Linger. Nothing more is
   * delivered; data in flight is dropped and counted. The local client reads ECONNRESET, the remote end the
   * close of the channel. Completes when the connection has ended, which takes no time.
   */
  reset(): void;
  /** Callback form of {@link Connection.reset}. */
  reset(callback: Callback): void;
  /** The methods of the connection as promises. */
  readonly promises: ConnectionPromises;
}

/** Limits of a rate in bytes per second; 0 is no limit. See {@link SSHTunnelOptions.maxRate}. */
export interface RateLimits {
  /** The limit from local clients to remote ends. */
  up: number;
  /** The limit from remote ends to local clients. */
  down: number;
}

/** The methods of a {@link Connection} as promises. */
export interface ConnectionPromises {
  /** Sets the milliseconds after which the idle connection is closed, as {@link Connection.setIdleTimeout}. */
  setIdleTimeout(idleTimeout: number): Promise<void>;
  /** Turns SO_KEEPALIVE of the local socket on or off, as {@link Connection.setKeepAlive}. */
  setKeepAlive(enable: boolean, initialDelay?: number): Promise<void>;
  /** Resolves with the `maxRate` of the connection itself, as {@link Connection.getMaxRate}. */
  getMaxRate(): Promise<RateLimits>;
  /** Sets the `maxRate` of the connection itself, as {@link Connection.setMaxRate}. */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined): Promise<void>;
  /** Resolves with `true` if the connection will be closed gracefully or bounded, `false` if hard. */
  getLinger(): Promise<boolean>;
  /** Sets how the connection is closed: gracefully for `true`, hard for `false`, as {@link Connection.setLinger}. */
  setLinger(linger: boolean): Promise<void>;
  /** Resolves with the LINGER structure that the connection will be closed by. */
  getLingerOption(): Promise<Linger>;
  /** Sets the LINGER structure that the connection is closed by, as {@link Connection.setLingerOption}. */
  setLingerOption(value: Linger): Promise<void>;
  /** Closes the connection by its Linger, and resolves when it has ended, as {@link Connection.close}. */
  close(): Promise<void>;
  /** Resets the connection in any state, and resolves when it has ended, as {@link Connection.reset}. */
  reset(): Promise<void>;
}

/** Options of {@link SSHTunnel.forwardLocal}: where to listen, and the target. */
export interface LocalForwardOptions extends AbortOptions {
  /** The local address to listen on, or a name to resolve. Default: `'127.0.0.1'`. */
  localHost?: string | undefined;
  /** The local port to listen on, 0 to 65535; with 0 the system chooses a port. Default: 0. */
  localPort?: number | undefined;
  /**
   * The path of a Unix socket to listen on, in place of `localHost` and `localPort`. At most 107 bytes (103
   * on macOS). Throws ERR_FEATURE_UNAVAILABLE_ON_PLATFORM on Windows.
   *
   * The file is created as `localPathMode` says, and removed when the forward ends. A file that exists
   * already is left alone, and the forward fails with EADDRINUSE, unless `localPathReplace` is `true`.
   */
  localPath?: string | undefined;
  /**
   * The permissions of the file of `localPath`, 0 to 0o777, whatever the umask. Default: 0o600, for this user
   * only. Every user who may write to the file can connect.
   */
  localPathMode?: number | undefined;
  /**
   * Whether `localPath` replaces a socket that exists already, such as one of a process that was killed.
   * Default: `false`. A file of another kind is never replaced. A process that still listens on the old
   * socket gets no further connections.
   */
  localPathReplace?: boolean | undefined;
  /**
   * The descriptor of a socket that listens already, such as one that a service manager passes, in place of
   * the other members that begin with `local`: a TCP or Unix stream socket. Throws ERR_INVALID_ARG_VALUE for
   * any other descriptor, and ERR_FEATURE_UNAVAILABLE_ON_PLATFORM on Windows.
   *
   * The tunnel takes the descriptor over: it is closed at the call, and the socket, which has another one
   * from then on, at the end of the forward or if it cannot be opened. It must not belong to a `net.Server`.
   * O_NONBLOCK of the socket is set, which other processes that have it see, too. The file of a Unix socket
   * stays. A program that the process starts does not inherit the socket.
   */
  localFd?: number | undefined;
  /** The host of the target, resolved by the SSH server. It requires `forwardPort`. */
  forwardHost?: string | undefined;
  /** The port of the target, 1 to 65535. It requires `forwardHost`. */
  forwardPort?: number | undefined;
  /**
   * The path of a Unix socket of the server's machine as the target, in place of `forwardHost` and
   * `forwardPort`. OpenSSH supports it since 6.7; with most other servers, connections end with
   * ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE or a similar code.
   */
  forwardPath?: string | undefined;
  /**
   * The maximum number of concurrent connections of this forward, as
   * {@link SSHTunnelOptions.maxConnections}. Default: no limit.
   */
  maxConnections?: number | undefined;
  /** The bytes per second of the forward's connections together, as {@link SSHTunnelOptions.maxRate}. */
  maxRate?: number | Partial<RateLimits> | undefined;
}

/** Options of {@link SSHTunnel.forwardDynamic}: where to listen, and who may use it. */
export interface DynamicForwardOptions extends AbortOptions {
  /**
   * The local address to listen on, as {@link LocalForwardOptions.localHost}. Every client that can connect
   * to it reaches everything that the server can reach.
   */
  localHost?: string | undefined;
  /** The local port to listen on, as {@link LocalForwardOptions.localPort}. */
  localPort?: number | undefined;
  /** The path of a Unix socket to listen on, as {@link LocalForwardOptions.localPath}. */
  localPath?: string | undefined;
  /** The permissions of that socket, as {@link LocalForwardOptions.localPathMode}. */
  localPathMode?: number | undefined;
  /** Whether that socket replaces another one, as {@link LocalForwardOptions.localPathReplace}. */
  localPathReplace?: boolean | undefined;
  /** The descriptor of a socket that listens already, as {@link LocalForwardOptions.localFd}. */
  localFd?: number | undefined;
  /**
   * The user name that clients must send, 1 to 255 bytes of UTF-8. Default: no authentication. It requires
   * `password`.
   *
   * Clients authenticate by user name and password (RFC 1929) only. Clients of SOCKS 4 are refused, because
   * it has no passwords. Clients send both in clear text.
   */
  username?: string | undefined;
  /**
   * The password that clients must send, 1 to 255 bytes of UTF-8. It requires `username`. It is compared in
   * constant time and is part of no message.
   */
  password?: string | undefined;
  /**
   * The maximum number of concurrent connections of this forward, including those in their SOCKS handshake,
   * as {@link SSHTunnelOptions.maxConnections}. Default: no limit.
   */
  maxConnections?: number | undefined;
  /** The bytes per second of the forward's connections together, as {@link SSHTunnelOptions.maxRate}. */
  maxRate?: number | Partial<RateLimits> | undefined;
}

/** Options of {@link SSHTunnel.forwardRemote}: where the server listens, and the local target, or `socks`. */
export interface RemoteForwardOptions extends AbortOptions {
  /**
   * The address or name that the server listens on; the empty string is all of its addresses. Default:
   * `'localhost'`. The server decides what it means: OpenSSH listens on its loopback addresses unless its
   * GatewayPorts is `clientspecified`.
   */
  remoteHost?: string | undefined;
  /** The port that the server listens on, 0 to 65535; with 0 the server chooses a port. Default: 0. */
  remotePort?: number | undefined;
  /**
   * The path of a Unix socket that the server listens on, in place of `remoteHost` and `remotePort`. OpenSSH
   * refuses it if the file exists, unless its StreamLocalBindUnlink is `yes`. Most other servers do not
   * support it.
   */
  remotePath?: string | undefined;
  /** The host of the target, resolved by this machine. It requires `forwardPort`. */
  forwardHost?: string | undefined;
  /** The port of the target, 1 to 65535. It requires `forwardHost`. */
  forwardPort?: number | undefined;
  /**
   * The path of a Unix socket of this machine as the target, in place of `forwardHost` and `forwardPort`. Its
   * length is limited as that of {@link LocalForwardOptions.localPath}.
   */
  forwardPath?: string | undefined;
  /**
   * Whether the server's port is a SOCKS 4, 4a and 5 proxy, whose clients name their targets, in place of
   * `forwardHost`, `forwardPort` and `forwardPath`. Default: `false`.
   *
   * This machine resolves the names and connects to the targets. Every client that can connect to the port of
   * the server reaches everything that this machine can reach, its own loopback addresses included: set
   * `username` and `password`, or reject targets in a listener of 'connectionRequest'.
   */
  socks?: boolean | undefined;
  /**
   * The user name that SOCKS clients must send, as {@link DynamicForwardOptions.username}. It requires
   * `socks` and `password`.
   */
  username?: string | undefined;
  /** The password that SOCKS clients must send, as {@link DynamicForwardOptions.password}. It requires `username`. */
  password?: string | undefined;
  /**
   * The maximum number of concurrent connections of this forward. Default: no limit. Further channels are
   * refused with the reason RESOURCE_SHORTAGE.
   */
  maxConnections?: number | undefined;
  /** The bytes per second of the forward's connections together, as {@link SSHTunnelOptions.maxRate}. */
  maxRate?: number | Partial<RateLimits> | undefined;
}

/**
 * A forward that was opened with {@link SSHTunnel.forwardLocal}, {@link SSHTunnel.forwardDynamic} or
 * {@link SSHTunnel.forwardRemote}. Its properties do not change, except `listening` and a `remotePort` that
 * the server chose.
 */
export interface Forward {
  /** The number of the forward, counted from 1 within the tunnel. A forward that failed to open uses one up. */
  readonly forwardId: number;
  /** The kind of the forward: `ssh -L`, `-D` or `-R`. */
  readonly kind: 'local' | 'dynamic' | 'remote';
  /**
   * Whether the forward accepts connections. A local or dynamic forward also does while its session is being
   * restored, a remote one does not.
   */
  readonly listening: boolean;
  /** The local address that the forward is bound to. Absent for a Unix socket and a remote forward. */
  readonly localHost?: string;
  /** The local port that the forward is bound to. Absent for a Unix socket and a remote forward. */
  readonly localPort?: number;
  /** The path of the local Unix socket that the forward listens on, if it is one. */
  readonly localPath?: string;
  /** The address or name that the server was asked to listen on. Only for a remote forward. */
  readonly remoteHost?: string;
  /** The actual port that the server listens on. Only for a remote forward. */
  readonly remotePort?: number;
  /** The path of the Unix socket that the server listens on, if it is one. Only for a remote forward. */
  readonly remotePath?: string;
  /** The host of the target. Absent for a Unix socket, and if clients name their targets in SOCKS. */
  readonly forwardHost?: string;
  /** The port of the target. Absent for a Unix socket, and if clients name their targets in SOCKS. */
  readonly forwardPort?: number;
  /** The path of the target, if it is a Unix socket. */
  readonly forwardPath?: string;
  /**
   * Stops listening, and removes the file of a Unix socket. Open connections stay open and lose nothing.
   * Connections that were not accepted yet are reset. Stopping again has no effect.
   *
   * A local or dynamic forward completes when the port is free, without waiting for any connection, as
   * {@link SSHTunnel.stopListening}. A remote forward completes when the server has answered; connections
   * that the server opens meanwhile are rejected, earlier ones still reach the target. It fails with
   * ERR_SSH_FORWARD_REFUSED only if the server refuses to stop listening; the forward has ended all the
   * same, and every connection for it is rejected.
   */
  stop(): void;
  /** Callback form of {@link Forward.stop}. */
  stop(callback: Callback): void;
  /**
   * Returns the statistics of the connections of this forward, as {@link SSHTunnel.stats}. They remain
   * available after the forward has ended, until 256 later forwards have ended; then the call fails with
   * ERR_TUNNEL_NO_FORWARD, and only the tunnel's totals contain them.
   */
  stats(): ConnectionStats;
  /** Callback form of {@link Forward.stats}. */
  stats(callback: Callback<ConnectionStats>): void;
  /**
   * Returns the `maxRate` of the forward; 0 is no limit. Fails with ERR_TUNNEL_NO_FORWARD if the forward has ended.
   */
  getMaxRate(): RateLimits;
  /** Callback form of {@link Forward.getMaxRate}. */
  getMaxRate(callback: Callback<RateLimits>): void;
  /**
   * Sets the `maxRate` of the forward's connections together, also of the existing ones, as
   * {@link SSHTunnelOptions.maxRate}. Fails with ERR_TUNNEL_NO_FORWARD if the forward has ended.
   */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined): void;
  /** Callback form of {@link Forward.setMaxRate}. */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined, callback: Callback): void;
  /** The methods of the forward as promises. */
  readonly promises: ForwardPromises;
  /** Stops the forward, for `await using`. Defined if the runtime has the symbol. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The methods of a {@link Forward} as promises. */
export interface ForwardPromises {
  /** Stops listening, and resolves when the port is free, as {@link Forward.stop}. Open connections stay open. */
  stop(): Promise<void>;
  /** Resolves with the statistics of the connections of this forward, as {@link Forward.stats}. */
  stats(): Promise<ConnectionStats>;
  /** Resolves with the `maxRate` of the forward, as {@link Forward.getMaxRate}. */
  getMaxRate(): Promise<RateLimits>;
  /** Sets the `maxRate` of the forward's connections together, as {@link Forward.setMaxRate}. */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined): Promise<void>;
}

/** Options of {@link SSHTunnel.dial} beside its target. */
export interface DialAbortOptions {
  /**
   * Destroys the socket when it aborts before the socket is connected. 'error' is emitted with an AbortError, as in
   * {@link AbortOptions}. If the signal has aborted before the call, the call throws that error.
   */
  signal?: AbortSignal | undefined;
}

/** Options of {@link SSHTunnel.dial}: the target. */
export interface DialOptions extends DialAbortOptions {
  /** The host of the target, resolved by the SSH server. It requires `port`. */
  host?: string | undefined;
  /** The port of the target, 1 to 65535. It requires `host`. */
  port?: number | undefined;
  /** The path of a Unix socket of the server's machine as the target, in place of `host` and `port`. */
  path?: string | undefined;
  /**
   * Whether the socket stays open for writing after the remote end has ended its stream, as for net.Socket.
   * Default: `false`.
   */
  allowHalfOpen?: boolean | undefined;
}

/**
 * A socket through the tunnel, without a local port and without a descriptor. It has the events, methods and
 * properties of a net.Socket: 'connect' is emitted when the target is connected, earlier writes wait for that,
 * backpressure works in both directions, and the socket keeps the process running until `unref()`. Its own
 * `timeout` and the tunnel's `idleTimeout` both apply.
 *
 * It is a stream.Duplex and no instance of net.Socket, in whose place TLS and HTTP/2 of Node.js would look for a
 * handle of the system. The type extends Socket, so that a driver's types accept it.
 *
 * - `connect()` returns the socket and connects to nothing, whatever its arguments are: drivers call it on a
 *   socket that they are handed. 'connect' follows when the target is connected, at once if it already is.
 * - `remoteAddress` and `remotePort` are the target as it was given. There is no local address: `address()` is
 *   an empty object.
 * - `setNoDelay()` and `setKeepAlive()` have no effect: the connection to the target is the server's own.
 *
 * **Errors.** If the connection cannot be opened, 'error' has a code of {@link ConnectionEnd.code}
 * (`'ERR_SSH_OPEN_...'`, `'ERR_SSH_DISCONNECTED'`, `'ETIMEDOUT'`, `'ECONNABORTED'`), or the code of the error
 * that prevented the session. A connection that is cut later fails with ECONNRESET (`syscall` is 'read', and
 * its `cause` has the code and the reason): after all delivered data was read, or at once after a hard close.
 * 'end' is always the true end of the stream. A connection that is cut waits for the application to read,
 * for as long as its Linger allows.
 */
export interface TunnelSocket extends Socket {
  /** The number of the connection in all methods and events of the tunnel. */
  readonly connectionId: number;
  /** Returns whether the connection will not be closed hard, as {@link Connection.getLinger}. */
  getLinger(): boolean;
  /** Callback form of {@link TunnelSocket.getLinger}. */
  getLinger(callback: Callback<boolean>): void;
  /** Sets how the connection is closed, as {@link Connection.setLinger}. */
  setLinger(linger: boolean): void;
  /** Callback form of {@link TunnelSocket.setLinger}. */
  setLinger(linger: boolean, callback: Callback): void;
  /** Returns the LINGER structure that the connection will be closed by. */
  getLingerOption(): Linger;
  /** Callback form of {@link TunnelSocket.getLingerOption}. */
  getLingerOption(callback: Callback<Linger>): void;
  /**
   * Sets the LINGER structure that the connection is closed by, as {@link Connection.setLingerOption}. After
   * `destroy()` it applies to the close in progress.
   */
  setLingerOption(value: Linger): void;
  /** Callback form of {@link TunnelSocket.setLingerOption}. */
  setLingerOption(value: Linger, callback: Callback): void;
  /**
   * Closes the connection by its Linger, and then the socket, which emits 'close'. Nothing more is read;
   * further input is discarded. After the call `destroyed` is true, and `readable` and `writable` are false.
   *
   * - Graceful: Everything that `write()` has accepted is delivered, and the remote end reads the end of the
   *   stream. It takes as long as the remote end takes to read.
   * - Hard: Data in flight is dropped, and the connection is reset before the socket closes. The report has
   *   ECONNABORTED, never a clean end.
   * - Bounded: Graceful for at most `l_linger` seconds from the call (one more second for rounding), then
   *   hard.
   * - Before 'connect': The connection is abandoned, and nothing that was written is sent.
   */
  destroy(error?: Error): this;
  /**
   * Resets the connection whatever its Linger, as {@link Connection.reset}, also after `destroy()`. Nothing
   * more is delivered, and 'close' is emitted at once. Before 'connect', it does the same as `destroy()`.
   */
  resetAndDestroy(): this;
}

/** The report of a connection: how it ended, and what happened to its bytes. */
export interface ConnectionEnd {
  /** The number of the connection, as {@link ConnectionInfo.connectionId}. */
  connectionId: number;
  /** The forward that accepted the connection, as {@link ConnectionInfo.forwardId}. */
  forwardId: number;
  /**
   * Why the connection ended:
   * - `'OK'`: Both directions had ended, or `disconnect()`, `shutdown()` or `close()` closed it gracefully.
   *   Only `clean` says that both directions had ended.
   * - `'ECONNABORTED'`: One of these methods, or `reset()`, ended it hard or before it was open, or started
   *   a graceful close that was cut: the linger time expired, the Linger became hard,
   *   `shutdown({ force: true })` was called, or the timeout of `close()` expired.
   * - `'ECONNRESET'`: The local client reset it, or disappeared.
   * - `'ETIMEDOUT'`: It was idle for `idleTimeout`, or not open within `readyTimeout`; `reason` says what it
   *   waited for.
   * - `'ERR_SSH_CHANNEL_CLOSED'`: The server closed the channel before the local client had ended its
   *   stream, or after that but without ending its own: what the client read is truncated (`closedBy` is
   *   'reset').
   * - `'ERR_SSH_DISCONNECTED'`: The session disconnected.
   * - `'ERR_SSH_OPEN_CONNECT_FAILED'`, `'ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED'`,
   *   `'ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE'`, `'ERR_SSH_OPEN_RESOURCE_SHORTAGE'`,
   *   `'ERR_SSH_OPEN_FAILED'`: The server refused to connect to the target.
   * - `'ECONNREFUSED'`, `'ENOTFOUND'`, `'ENOENT'` and other system errors: The target of a remote forward
   *   could not be connected to.
   * - `'ERR_TUNNEL_REJECTED'`: Its 'connectionRequest' was rejected.
   * - `'ERR_TUNNEL_MAX_CONNECTIONS'`: `dial()` was called while the tunnel had `maxConnections`.
   * - `'ERR_TUNNEL_SOCKS'`: The client of a dynamic forward did not request a target, or requested something
   *   that is not supported; `reason` says which.
   * - `'ERR_TUNNEL_SOCKS_AUTH'`: The client of a dynamic forward sent a wrong user name or password, or none.
   */
  code: string;
  /** Why the connection ended, as text. */
  reason: string;
  /** What the server said when it refused to open the connection, for the codes ERR_SSH_OPEN_... */
  description?: string;
  /**
   * Whether both directions reached their end of stream with every byte delivered. `false` if the system does not
   * tell, see `unconfirmedDown`.
   *
   * A server that ends the stream and closes the channel at once, as some do, counts as clean (and `'OK'`) if
   * the local end is closed gracefully and had nothing more to send.
   */
  clean: boolean;
  /**
   * What the local client saw: `'graceful'` is FIN after everything that `bytesDown` counts; `'reset'` is
   * ECONNRESET after the bytes it had read until then, unless the client itself reset the connection. Where the
   * system does not tell whether the FIN arrived before a hard close, it is `'reset'`, see `unconfirmedDown`.
   */
  closedBy: 'graceful' | 'reset';
  /** The number of bytes from the local client that were handed to the SSH session. */
  bytesUp: number;
  /**
   * The number of bytes from the target that were delivered. After FIN, it counts the bytes that the local client's
   * kernel has acknowledged; after a reset, the bytes that had been sent to it.
   */
  bytesDown: number;
  /** The number of bytes from the local client that were not forwarded. */
  droppedUp: number;
  /**
   * The number of bytes from the target that were not delivered. Bytes that are sent at the very moment of a
   * hard close may be counted here although they arrive.
   */
  droppedDown: number;
  /**
   * The number of bytes from the target that the system has accepted, and that may or may not have been delivered: the
   * system does not tell. 0 except on Windows.
   *
   * Windows tells since version 1703 of Windows 10. Before, it only tells that an end of stream has arrived, and with
   * it every byte: after a reset, all bytes of the connection are counted here.
   */
  unconfirmedDown: number;
  /** The Linger that the connection was closed by. */
  linger: Linger;
  /**
   * Whether the linger time of a bounded close expired before everything was delivered. Then `closedBy` is
   * 'reset', unless the stream to the local client had already ended and was acknowledged.
   */
  lingerExpired: boolean;
}

/**
 * A connection that waits to be accepted or rejected. Only the first answer counts. It is rejected without
 * one after `readyTimeout`, and if the listener throws. The local client of a rejected connection reads
 * ECONNRESET.
 */
export interface ConnectionRequest {
  /** The number of the connection, as {@link ConnectionInfo.connectionId}. */
  readonly connectionId: number;
  /** The forward that accepted the connection, as {@link ConnectionInfo.forwardId}. */
  readonly forwardId: number;
  /** The address of the client, as {@link ConnectionInfo.remoteAddress}; `undefined` on a Unix socket. */
  readonly remoteAddress: string | undefined;
  /** The port of the client, as {@link ConnectionInfo.remotePort}; `undefined` on a Unix socket. */
  readonly remotePort: number | undefined;
  /** The host of the target; `undefined` if the target is a Unix socket. */
  readonly forwardHost: string | undefined;
  /** The port of the target; `undefined` if the target is a Unix socket. */
  readonly forwardPort: number | undefined;
  /** The path of the target; `undefined` unless it is a Unix socket. */
  readonly forwardPath: string | undefined;
  /** Accepts the connection: it is opened to its target. */
  accept(): void;
  /** Rejects the connection: the local client reads ECONNRESET, and the report has ERR_TUNNEL_REJECTED. */
  reject(): void;
}

/**
 * The statistics of a tunnel since it was created, at the moment of the call. Counters never decrease, not
 * even over shutdowns and restarts; `up`, `pending` and `open` are current values. docs/observing.md says what
 * to watch.
 */
export interface TunnelStats {
  /** Statistics of the SSH sessions. */
  sessions: SessionStats;
  /** Statistics of the connections of all forwards. */
  connections: ConnectionStats;
}

/** Statistics of the SSH sessions of a tunnel. Several `sessions` are counted together. */
export interface SessionStats {
  /** The number of sessions that are up now. */
  up: number;
  /** The number of sessions that were established: connected and authenticated. */
  logons: number;
  /** The number of attempts to connect and authenticate that failed. */
  logonFailures: number;
  /** The number of established sessions that disconnected: ended by the server, silent, or cut by the network. */
  losses: number;
  /** The number of reconnect attempts that were started, see {@link SSHTunnelOptions.reconnect}. */
  reconnectAttempts: number;
  /**
   * The duration of the last successful attempt in milliseconds, with fractions: name lookup, connecting,
   * jump hosts, key exchange and authentication. Absent before the first one.
   */
  logonTime?: number;
  /**
   * The round trip to the server in milliseconds, with fractions, measured in SSH. Absent without a session
   * and before the first measurement. With several sessions, the least of them.
   *
   * It is the minimum of the last one or two minutes with measurements, because replies queue behind data.
   * It is measured once after authentication, and at most once a second while much is received.
   */
  roundTrip?: number;
}

/**
 * Statistics of connections. `accepted` is the sum of `pending`, `open` and all values of `ended`. All values
 * of `ended` together are the sum of `closedBy.graceful` and `closedBy.reset`, and of `clean` and `unclean`.
 */
export interface ConnectionStats {
  /** The number of connections that were accepted, including {@link SSHTunnel.dial}. */
  accepted: number;
  /** The number of connections that were open from end to end. */
  opened: number;
  /** The number of connections that wait to be opened now: for an answer, a session or the server. */
  pending: number;
  /** The number of connections that are open or closing now. */
  open: number;
  /** The number of connections whose 'connectionRequest' was rejected. */
  rejected: number;
  /** The number of connections that the server refused to open, by code (`'ERR_SSH_OPEN_...'`). */
  refused: Record<string, number>;
  /** The number of connections that have ended, by {@link ConnectionEnd.code}, including rejected and refused ones. */
  ended: Record<string, number>;
  /** The number of connections that ended with {@link ConnectionEnd.clean}. */
  clean: number;
  /** The number of connections that ended without {@link ConnectionEnd.clean}. */
  unclean: number;
  /** The number of connections that have ended, by {@link ConnectionEnd.closedBy}. */
  closedBy: {
    /** The number of connections that ended with FIN. */
    graceful: number;
    /** The number of connections that ended with RST. */
    reset: number;
  };
  /** The number of connections whose linger time expired. */
  lingerExpired: number;
  /**
   * The number of bytes forwarded from local clients. When all connections have ended, it is exactly the sum
   * of {@link ConnectionEnd.bytesUp}. Connections that exist are included with their current value.
   */
  bytesUp: number;
  /**
   * The number of bytes delivered to local clients. When all connections have ended, it is exactly the sum of
   * {@link ConnectionEnd.bytesDown}.
   *
   * Connections that exist are included with what the local client's kernel has acknowledged, which can be
   * less than {@link ConnectionInfo.bytesDown} for a moment. A connection that only waits for its client to
   * take the rest is included with the value at the start of that wait.
   */
  bytesDown: number;
  /** The number of bytes from local clients that were not forwarded. Known when a connection has ended. */
  droppedUp: number;
  /**
   * The number of bytes from targets that were not delivered. Known when a connection has ended; part of it
   * may be known earlier.
   */
  droppedDown: number;
  /** The number of bytes that {@link ConnectionEnd.unconfirmedDown} counts, of connections that have ended. */
  unconfirmedDown: number;
}

/** An error of a tunnel. */
export interface SSHTunnelError extends Error {
  /**
   * The name of a system error (`'EADDRINUSE'`, `'ECONNREFUSED'`, `'ENOTFOUND'`, `'ETIMEDOUT'`), or one of:
   * - `'ERR_SSH_HOST_KEY'`: The server's key or certificate is not trusted, or a known_hosts file cannot be
   *   read or written. The message contains the reason, fingerprints, and the file and line if there are
   *   any. Nothing about the user was sent.
   * - `'ERR_SSH_PRIVATE_KEY'`: `privateKey` is not a key, its `passphrase` is missing or wrong, or its
   *   `certificate` is invalid or belongs to another key.
   * - `'ERR_SSH_CREDENTIALS'`: A function among the options threw or rejected, see {@link Credential}; `cause` is what
   *   it threw.
   * - `'ERR_SSH_AUTH'`: The server refused every credential. The message says what was tried, and what the
   *   server accepts.
   * - `'ERR_SSH_CONFIG'`: An ssh_config file cannot be used, see {@link SSHTunnel.fromConfig}.
   * - `'ERR_SSH_ALGORITHM'`: There is no common algorithm of one kind. The message contains both lists.
   * - `'ERR_SSH_PROTOCOL'`: The server violated the protocol.
   * - `'ERR_SSH_DISCONNECTED'`: The session disconnected: the connection broke, or the server ended it, was
   *   silent for too long, or did not complete a key exchange.
   * - `'ERR_SSH_OPEN_...'`: A jump host refused to connect to the next server, see {@link ConnectionEnd.code}.
   * - `'ERR_TUNNEL_PROXY'`: The proxy did not connect to the server, see {@link SSHTunnelError.proxy}. That the proxy
   *   itself cannot be reached is a system error with its address.
   * - `'ERR_TUNNEL_SOCK_USED'`: `sock` has already carried a session.
   * - `'ERR_TUNNEL_SOCK'`: The function `sock` gave no stream; what it threw is the `cause`.
   * - `'ERR_TUNNEL_CLOSED'`: The tunnel was shut down during the operation.
   * - `'ABORT_ERR'`: An AbortSignal has ended the operation ({@link AbortOptions}).
   * - `'ERR_TUNNEL_NO_FORWARD'`: The tunnel has no `forwardHost` and nothing to listen for, or the statistics
   *   of a forward are no longer available, see {@link Forward.stats}.
   * - `'ERR_SSH_FORWARD_REFUSED'`: The server refused to listen for a remote forward, or to stop, or does not
   *   support it. Servers do not say whether a port is in use or forbidden. A server that does not answer
   *   within `readyTimeout` is ETIMEDOUT.
   * - `'ERR_TUNNEL_NO_CONNECTION'`: There is no connection with this number, or it is already closing.
   * - `'ERR_TUNNEL_NO_USER'`, `'ERR_TUNNEL_NO_HOME'`: The system does not know the user of the process, or the
   *   home folder, and the constructor needs it.
   * - `'ERR_TUNNEL_WOULD_DEADLOCK'`: The call would block the thread that has to answer it.
   */
  code: string;
  /**
   * The jump host at which it failed, by its options `host` and `port`. Absent if it was at the tunnel's own
   * server, or is not about a session.
   */
  hop?: {
    /** The option `host` of the jump host. */
    host: string;
    /** The option `port` of the jump host. */
    port: number;
  };
  /**
   * The host key that was refused, for ERR_SSH_HOST_KEY. Absent if a known_hosts file cannot be read or
   * written, see `file`.
   */
  hostKey?: RefusedHostKey;
  /** What the proxy did in place of connecting to the server, for ERR_TUNNEL_PROXY. */
  proxy?: ProxyRefusal;
  /**
   * The methods that the server accepts, in its order, for ERR_SSH_AUTH: the last list that it sent, such as
   * `['publickey', 'password']`. Empty if it sent none.
   */
  acceptedMethods?: string[];
  /** The methods that were tried, in this order and each once, for ERR_SSH_AUTH. */
  triedMethods?: AuthMethod[];
  /**
   * How the session ended, for ERR_SSH_DISCONNECTED; of a jump host's session, if there is a `hop`:
   * - `'closed'`: The server, or what leads to it (`proxyCommand`, `sock`), closed the connection.
   * - `'unidentified'`: The connection ended before the server identified itself. sshd ends connections so while too
   *   many clients are authenticating (MaxStartups), and for a while those of an address that it has penalized
   *   (PerSourcePenalties); `banner` has its words, if it said any. `reconnect` tries again soon.
   * - `'network'`: The network broke the connection.
   * - `'disconnect'`: The server sent SSH_MSG_DISCONNECT; the message contains its reason.
   * - `'silent'`: The server did not answer `keepaliveCountMax` keepalive requests.
   * - `'rekey'`: The server did not complete a key exchange.
   * - `'protocol'`: The session of a jump host failed with another error, which is in the message.
   */
  lossReason?: 'closed' | 'unidentified' | 'network' | 'disconnect' | 'silent' | 'rekey' | 'protocol';
  /** What the server said when it refused to open a connection, for ERR_SSH_OPEN_... of a socket of `dial()`. */
  description?: string;
  /** The file, for ERR_SSH_CONFIG, and for ERR_SSH_HOST_KEY if a file cannot be read or written. */
  file?: string;
  /** The line in `file`, counted from 1, if a single line is the cause. */
  line?: number;
  /** The negative number of a system error, as in Node.js. */
  errno?: number;
  /**
   * The operation of a system error: `'connect'`, `'bind'`, `'getaddrinfo'`, `'spawn'`, `'listen'` or
   * `'accept'`.
   */
  syscall?: string;
  /** The host, or the program, that a system error is about. */
  address?: string;
  /** The port that a system error is about. */
  port?: number;
  /**
   * What the server said to the user before a connection attempt failed (ERR_SSH_AUTH, ETIMEDOUT,
   * ERR_SSH_DISCONNECTED, ERR_SSH_PROTOCOL): lines before its version, such as `Exceeded MaxStartups`, and its
   * last banner. The message of the error quotes the end of it. Absent if the server said nothing.
   */
  banner?: string;
}

/** What a proxy did in place of connecting to the server. */
export interface ProxyRefusal {
  /** The host of the proxy, as it was given. */
  host: string;
  /** The port of the proxy. */
  port: number;
  /**
   * What happened:
   * - `'auth'`: The proxy requires other credentials (status 407 or 401, or SOCKS 5 without a method that it accepts). With
   *   `reconnect`, such an error is final.
   * - `'refused'`: The proxy replied with another status or reply code.
   * - `'invalid'`: The reply is not that of such a proxy, or its head is longer than 16384 bytes.
   * - `'closed'`: The connection to the proxy ended before its reply.
   */
  reason: 'auth' | 'refused' | 'invalid' | 'closed';
  /** The status code of the HTTP response, such as 403. Absent if there was none. */
  statusCode?: number;
  /** The reason phrase of the HTTP response, which may be empty. Absent if there was no response. */
  statusMessage?: string;
  /** The reply code of SOCKS 5 (RFC 1928, section 6), such as 5: connection refused. Absent if there was none. */
  replyCode?: number;
}

/** A host key that was refused, and what decided about it. */
export interface RefusedHostKey {
  /**
   * Why it was refused:
   * - `'unknown'`: No option and no file contains the key.
   * - `'changed'`: A known_hosts file contains another key for this host.
   * - `'revoked'`: A file revokes the key, or the authority that signed its certificate.
   * - `'rejected'`: `hostVerifier` did not return `true`.
   * - `'invalid'`: The key is smaller than `requiredRSASize`, its certificate is not valid for this host now,
   *   or its signature is wrong.
   */
  reason: 'unknown' | 'changed' | 'revoked' | 'rejected' | 'invalid';
  /** The fingerprint of the key, `'SHA256:...'`. This and the next five are absent if the key exchange failed. */
  fingerprint?: string;
  /** The option `host` of the server. */
  host?: string;
  /** The option `port` of the server. */
  port?: number;
  /** The name of the server in known_hosts files: `host`, `[host]:port`, or its `hostKeyAlias`. */
  name?: string;
  /** The type of the key, such as `'ssh-ed25519'`. For a certificate, that of the key inside it. */
  type?: string;
  /** The public key line, type and base64, as the option `hostKey` takes it. */
  publicKey?: string;
  /** The fingerprint that the file contains for this host instead, for `'changed'`. */
  known?: string;
  /** The file that decided: it contains another key, revokes this one, or names the authority. */
  file?: string;
  /** The line in `file`, counted from 1. */
  line?: number;
}

/** A host key that the user trusts, see {@link SSHTunnel.trustHost}. */
export interface TrustedHostKey {
  /** The option `host` of the server or jump host. */
  host: string;
  /** The option `port` of the server or jump host. */
  port: number;
  /** The public key line of the key. */
  publicKey: string;
}

/**
 * A callback. It is called exactly once, and never before the method has returned. `error` is `null` or an
 * Error; with an Error there is no `data`.
 */
export type Callback<T = void> = (error: SSHTunnelError | null, data: T) => void;

/**
 * The events of a tunnel with the arguments of their listeners. In a listener, an AsyncLocalStorage has the
 * value it had when the tunnel was created; in a callback, the value it had at the call.
 */
export interface SSHTunnelEvents {
  /**
   * Emitted when a server sends text for the user during authentication, such as a legal notice, or a link to
   * approve the login. `server` says which server on the path sent it. It may be emitted several times, and
   * again after a reconnect.
   *
   * `message` may have several lines. It contains no control characters other than line feeds and tabs, so it
   * can be printed on a terminal. The first two arguments are those of ssh2.
   */
  banner: [message: string, language: string, server: { host: string; port: number }];
  /**
   * Emitted when the server asks questions during authentication, with
   * {@link SSHTunnelOptions.tryKeyboard}, as in ssh2. There may be several rounds, each with its own event.
   *
   * `finish` takes one string for each prompt (or bytes, which can be wiped after it has returned), now or
   * later, within `readyTimeout`. With fewer answers, if the listener throws, or without a listener, the next
   * method is tried. Only the first call of `finish` counts. It throws TypeError ERR_INVALID_ARG_TYPE if the
   * argument is not such an array, and RangeError ERR_OUT_OF_RANGE if there are more answers than prompts.
   */
  'keyboard-interactive': [
    name: string,
    instructions: string,
    lang: string,
    prompts: Prompt[],
    finish: (responses?: readonly (string | Uint8Array)[]) => void,
  ];
  /** Emitted when an SSH session is established, for the first time or again. */
  ready: [];
  /**
   * Emitted before each wait for a reconnect attempt, with {@link SSHTunnelOptions.reconnect}: the session
   * disconnected, or an attempt failed. It is followed by 'ready', by another 'reconnecting', or by 'error'
   * and 'close'.
   */
  reconnecting: [next: Reconnecting];
  /**
   * Emitted when one of several sessions disconnected, or a further one could not be established (once, until
   * one succeeds; not if the server has no room for it). The tunnel continues with the others; see
   * {@link SSHTunnelOptions.sessions}.
   */
  sessionError: [error: SSHTunnelError];
  /**
   * Emitted when the server refuses to listen again for a remote forward after a disconnect. The forward has
   * ended, and the tunnel continues without it. If nothing else needs the tunnel, 'error' and 'close' are
   * emitted instead.
   */
  forwardError: [error: SSHTunnelError, forwardId: number];
  /** Emitted when the local port is bound and the session is up, so that connections are forwarded. */
  listening: [];
  /** Emitted for each new connection. While there is a listener, every new connection waits for an answer. */
  connectionRequest: [request: ConnectionRequest];
  /**
   * Emitted when a connection is open from end to end. Without a listener for this event and for
   * 'disconnected' at that moment, connections do not use the event loop.
   */
  connection: [connection: Connection];
  /** Emitted when a connection has ended, with its report. It is the last event of a connection. */
  disconnected: [end: ConnectionEnd];
  /**
   * Emitted when the SSH session disconnected and is not, or cannot be, restored: 'close' follows when its
   * connections have ended. Also emitted when the local port was lost; open connections then stay open, as
   * after {@link SSHTunnel.stopListening}.
   *
   * It is never emitted for a failure that a call reports. As with every EventEmitter, it is thrown without a
   * listener.
   */
  error: [error: SSHTunnelError];
  /** Emitted when the tunnel has no port, connection or session any more. It can be started again. */
  close: [];
}

/**
 * The messages that tunnels publish on channels of node:diagnostics_channel, by channel name. They are for
 * tools that watch a program from outside. Each session has a `sessionId`, counted from 1 over all attempts of
 * its tunnel, and publishes a 'start' and an 'end'; between them a 'ready' if it was established, and a 'lost'
 * if it then disconnected. Messages are frozen, and contain copies of connections; `tunnel` is the tunnel
 * itself.
 *
 * Channels without subscribers cost nothing. A tunnel therefore looks for subscribers at each call of a method
 * (also of a {@link Connection}) and with each event. A subscriber that exists before `connect()` or
 * `startListening()` misses nothing; a later one gets what happens after the next call. Messages have the order
 * of the tunnel's events, and each precedes the event about the same thing. An exception of a subscriber is an
 * 'uncaughtException', as with every channel.
 */
export interface SSHTunnelChannels {
  /** Published when a connection attempt starts. */
  'sshtunnel.session.start': SessionMessage;
  /** Published when a session is established, `logonTime` milliseconds after its start. */
  'sshtunnel.session.ready': SessionMessage & { readonly logonTime: number };
  /** Published when an established session disconnected. */
  'sshtunnel.session.lost': SessionMessage & { readonly error: SSHTunnelError };
  /** Published when a session has ended. `error` says why it could not be established, or disconnected. */
  'sshtunnel.session.end': SessionMessage & { readonly error?: SSHTunnelError };
  /** Published when a connection is open from end to end. */
  'sshtunnel.connection.open': { readonly tunnel: SSHTunnel; readonly connection: Readonly<ConnectionInfo> };
  /** Published when a connection has ended, with its report. */
  'sshtunnel.connection.end': { readonly tunnel: SSHTunnel; readonly end: Readonly<ConnectionEnd> };
}

/** What all messages about sessions have, see {@link SSHTunnelChannels}. */
export interface SessionMessage {
  /** The tunnel of the session. */
  readonly tunnel: SSHTunnel;
  /** The number of the session, counted from 1 in each tunnel. */
  readonly sessionId: number;
  /** The `host` option of the tunnel. */
  readonly host: string;
  /** The port of the server. */
  readonly port: number;
}

/**
 * The methods of a tunnel as promises. They take effect in the order of all calls on the tunnel, but each
 * promise settles when its own operation is done, without waiting for earlier calls. A hostVerifier can
 * therefore await `promises.setLinger(...)` while `promises.connect()` waits for it. A bad argument rejects.
 *
 * `sshtunnel-native/promises` has a class whose own methods are these.
 */
export interface SSHTunnelPromises<C extends ConnectionInfo = Connection, F = Forward> {
  /** Resolves with the `Linger` property: `true` for a graceful or bounded close, `false` for a hard one. */
  getLinger(): Promise<boolean>;
  /**
   * Sets the `Linger` property of connections that are accepted from now on, as {@link SSHTunnel.setLinger}: `true` for a
   * graceful close, `false` for a hard one.
   */
  setLinger(linger: boolean): Promise<void>;
  /** Resolves with the LINGER structure behind the `Linger` property. */
  getLingerOption(): Promise<Linger>;
  /** Sets the LINGER structure behind the `Linger` property, as {@link SSHTunnel.setLingerOption}. */
  setLingerOption(value: Linger): Promise<void>;
  /** Resolves with whether connections that are accepted from now on use SO_KEEPALIVE. */
  getKeepAlive(): Promise<boolean>;
  /** Sets whether connections that are accepted from now on use SO_KEEPALIVE. */
  setKeepAlive(keepAlive: boolean): Promise<void>;
  /** Resolves with the `idleTimeout` of connections that are accepted from now on, in milliseconds; 0 is none. */
  getIdleTimeout(): Promise<number>;
  /**
   * Sets the `idleTimeout` of connections that are accepted from now on, in milliseconds, at most 2147483647; 0
   * disables it.
   */
  setIdleTimeout(idleTimeout: number): Promise<void>;
  /** Resolves with the `maxRate` of all connections together, as {@link SSHTunnel.getMaxRate}. */
  getMaxRate(): Promise<RateLimits>;
  /** Sets the `maxRate` of all connections together, as {@link SSHTunnel.setMaxRate}. */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined): Promise<void>;
  /** Connects to the SSH server and authenticates, and resolves when the session is up, as {@link SSHTunnel.connect}. */
  connect(options?: AbortOptions): Promise<void>;
  /**
   * Binds the local port of the options, after connecting if there is no session, and resolves when connections are
   * forwarded, as {@link SSHTunnel.startListening}. The port is {@link SSHTunnel.localPort}.
   */
  startListening(options?: AbortOptions): Promise<void>;
  /**
   * Closes the local port of the options, and resolves when it is free, as {@link SSHTunnel.stopListening}. Open
   * connections stay open.
   */
  stopListening(): Promise<void>;
  /**
   * Opens a local port or Unix socket with its own target (`ssh -L`), and resolves with the forward when connections are
   * forwarded, as {@link SSHTunnel.forwardLocal}.
   */
  forwardLocal(options: LocalForwardOptions): Promise<F>;
  /**
   * Opens a local port for each server of a URL, and resolves with the URL that has these ports, as
   * {@link SSHTunnel.localUrl}.
   */
  localUrl(url: string | URL): Promise<string>;
  /** Opens a local SOCKS proxy (`ssh -D`), and resolves with the forward, as {@link SSHTunnel.forwardDynamic}. */
  forwardDynamic(options: DynamicForwardOptions): Promise<F>;
  /**
   * Makes the SSH server listen (`ssh -R`), and resolves with the forward when it does, as
   * {@link SSHTunnel.forwardRemote}.
   */
  forwardRemote(options: RemoteForwardOptions): Promise<F>;
  /**
   * Opens a connection through the tunnel without a local port, as {@link SSHTunnel.dial}, and resolves with its
   * socket when it is connected. Rejects with the error that the socket would emit before that.
   */
  dial(host: string, port: number, options?: DialAbortOptions): Promise<TunnelSocket>;
  /** Opens a connection as the other form, with the target and `allowHalfOpen` as options. */
  dial(options: DialOptions): Promise<TunnelSocket>;
  /** Closes one connection by its Linger, and resolves when it has ended, as {@link SSHTunnel.disconnect}. */
  disconnect(connectionId: number): Promise<void>;
  /**
   * Stops listening, closes every connection by its Linger, and then the session, as {@link SSHTunnel.shutdown}. With
   * `force` everything is reset, and ends within two seconds.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /**
   * Stops listening, lets connections finish by themselves for up to `timeout` milliseconds, and then closes the rest and
   * the session, as {@link SSHTunnel.close}. Resolves with the reports of the connections.
   */
  close(options?: CloseOptions): Promise<ConnectionEnd[]>;
  /** Resolves with the connections that exist now. */
  connections(): Promise<C[]>;
  /** Resolves with the statistics of the tunnel since it was created, as {@link SSHTunnel.stats}. */
  stats(): Promise<TunnelStats>;
  /** Promise form of {@link SSHTunnel.trustHost}. */
  trustHost(hostKey: TrustedHostKey | RefusedHostKey): Promise<void>;
}

/** Options of {@link SSHTunnel.close}. */
export interface CloseOptions {
  /** Milliseconds that connections have to finish by themselves, 0 to 2147483647. Default: no limit. */
  timeout?: number | undefined;
  /**
   * Ends the call when it aborts, with an AbortError as in {@link AbortOptions}. The tunnel goes on closing:
   * connections may finish until the `timeout`, or until {@link SSHTunnel.shutdown} ends them.
   */
  signal?: AbortSignal | undefined;
}

/** Options of {@link SSHTunnel.shutdown}. */
export interface ShutdownOptions {
  /** Whether to reset every connection at once, whatever its Linger and state. Default: `false`. */
  force?: boolean | undefined;
}

/**
 * An SSH tunnel: a local port whose connections are forwarded through an SSH server to a target, and are
 * closed exactly as their Linger says.
 *
 * **Calls.** Every method takes an optional callback as its last argument. Without it, the method blocks the
 * thread until it is done, and returns or throws. With it, the method returns at once, and
 * `callback(error, data)` is called once, later. Bad arguments always throw at once (TypeError
 * ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE) and change nothing.
 *
 * **Order.** Calls on one tunnel take effect in the order in which they are made, whatever their form.
 * Callbacks are called in that order, and a blocking call sees the effect of everything before it. Do not wait
 * in a hostVerifier for the callback of a call that was made after `connect(callback)`: it waits for the
 * callback of `connect`. Promises ({@link SSHTunnel.promises}) settle independently.
 *
 * **Blocking.** A blocking call stops everything on its thread. Do not use it if the SSH server, the local
 * client or the target runs on the same thread. Calls that close connections may wait for their peers.
 *
 * **Lifetime.** A tunnel that is connected, listening or reconnecting keeps the process running until 'close',
 * unless {@link SSHTunnel.unref} was called. So does every pending callback or promise. A tunnel that was never
 * started, or is closed, needs no cleanup and is garbage-collected. When a worker thread is terminated, or the
 * process exits or is killed, its tunnels close hard: local clients read ECONNRESET, and the port is free. For
 * this purpose, sockets have the linger {1, 0} while they are open; `Linger` is applied when they close.
 *
 * **Delivery.** A byte for the local client is delivered when the client's kernel has acknowledged it. A byte
 * for the target is delivered when the SSH session has taken it; SSH does not tell what the target received.
 * 'disconnected' reports what happened to the bytes of each connection. When the SSH session disconnects, a
 * connection ends with a reset after the delivered bytes (at once with a hard Linger), so a truncated stream
 * never looks complete.
 */
export class SSHTunnel extends EventEmitter<SSHTunnelEvents> {
  /** Creates a tunnel. It starts no thread and uses no network until a method connects it. */
  constructor(options: SSHTunnelOptions);

  /**
   * Creates a tunnel with the settings that `ssh host` would read from `~/.ssh/config` and
   * `/etc/ssh/ssh_config`, or from `overrides.configFile`. A `LocalForward` sets the local port and the target,
   * unless `overrides` has `forwardHost` or `forwardPort`. docs/config.md lists the supported directives;
   * {@link SSHTunnel.configNotices} reports unsupported ones.
   *
   * Blocks while files are read and the commands of `Match exec` run, and does not use the network. Throws
   * ERR_SSH_CONFIG with `file` and, if a single line is the cause, `line`, if ssh would refuse a file;
   * otherwise what the constructor throws. `host`, `overrides.host` and `overrides.username` can be part of
   * commands in the files, so a name that ssh refuses on its command line throws TypeError
   * ERR_INVALID_ARG_VALUE.
   * @param host the host as on the command line of ssh, without a user
   * @param overrides options of the constructor that take precedence over the files
   */
  static fromConfig(host: string, overrides?: ConfigOverrides): SSHTunnel;

  /** The unsupported directives that {@link SSHTunnel.fromConfig} found; empty for a tunnel of the constructor. */
  readonly configNotices: readonly ConfigNotice[];

  /**
   * Returns the `Linger` property, which applies to connections that are accepted from now on: `true` (the
   * default) for a graceful or bounded close, `false` for a hard one.
   */
  getLinger(): boolean;
  /** Callback form of {@link SSHTunnel.getLinger}. */
  getLinger(callback: Callback<boolean>): void;

  /**
   * Sets the `Linger` property: `true` for a graceful close ({0, 0} in the LINGER structure), `false` for a hard
   * one ({1, 0}). It applies to connections that are accepted from now on, including those in the system's
   * backlog. Accepted connections keep their value; {@link Connection.setLinger} changes it.
   */
  setLinger(linger: boolean): void;
  /** Callback form of {@link SSHTunnel.setLinger}. */
  setLinger(linger: boolean, callback: Callback): void;

  /** Returns the LINGER structure behind the `Linger` property. */
  getLingerOption(): Linger;
  /** Callback form of {@link SSHTunnel.getLingerOption}. */
  getLingerOption(callback: Callback<Linger>): void;

  /**
   * Sets the LINGER structure behind the `Linger` property. It applies to the same connections as
   * {@link SSHTunnel.setLinger}; {@link Connection.setLingerOption} changes one that exists.
   */
  setLingerOption(value: Linger): void;
  /** Callback form of {@link SSHTunnel.setLingerOption}. */
  setLingerOption(value: Linger, callback: Callback): void;

  /** Returns whether connections that are accepted from now on use SO_KEEPALIVE. Default: `false`. */
  getKeepAlive(): boolean;
  /** Callback form of {@link SSHTunnel.getKeepAlive}. */
  getKeepAlive(callback: Callback<boolean>): void;
  /** Sets whether connections that are accepted from now on use SO_KEEPALIVE. */
  setKeepAlive(keepAlive: boolean): void;
  /** Callback form of {@link SSHTunnel.setKeepAlive}. */
  setKeepAlive(keepAlive: boolean, callback: Callback): void;

  /** Returns the `idleTimeout` of connections that are accepted from now on, in milliseconds; 0 is none. */
  getIdleTimeout(): number;
  /** Callback form of {@link SSHTunnel.getIdleTimeout}. */
  getIdleTimeout(callback: Callback<number>): void;
  /**
   * Sets the `idleTimeout` of connections that are accepted from now on, in milliseconds, at most 2147483647; 0
   * disables it.
   */
  setIdleTimeout(idleTimeout: number): void;
  /** Callback form of {@link SSHTunnel.setIdleTimeout}. */
  setIdleTimeout(idleTimeout: number, callback: Callback): void;

  /** Returns the `maxRate` of all connections together; 0 is no limit. */
  getMaxRate(): RateLimits;
  /** Callback form of {@link SSHTunnel.getMaxRate}. */
  getMaxRate(callback: Callback<RateLimits>): void;

  /**
   * Sets the `maxRate` of all connections together, also of the existing ones, as {@link SSHTunnelOptions.maxRate}.
   */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined): void;
  /** Callback form of {@link SSHTunnel.setMaxRate}. */
  setMaxRate(maxRate: number | Partial<RateLimits> | undefined, callback: Callback): void;

  /**
   * Connects to the SSH server and authenticates. Completes when the session is up, at once if it already is.
   * The session then stays until {@link SSHTunnel.shutdown} or {@link SSHTunnel.close}, also if
   * {@link SSHTunnel.startListening} established it.
   *
   * While a disconnected session is being restored (see {@link SSHTunnelOptions.reconnect}), the next attempt
   * starts at once, and its result is the result of this call.
   *
   * Fails within `readyTimeout` if the server cannot be reached or does not authenticate the user (see
   * {@link SSHTunnelError.code}). Throws ERR_TUNNEL_WOULD_DEADLOCK without a callback if a hostVerifier or a
   * listener of 'keyboard-interactive' would have to answer.
   */
  connect(options?: AbortOptions): void;
  /** Callback form of {@link SSHTunnel.connect}. */
  connect(callback: Callback): void;
  /** Callback form of {@link SSHTunnel.connect} with options. */
  connect(options: AbortOptions | undefined, callback: Callback): void;

  /**
   * Binds the local port of the constructor's options, after connecting if there is no session. Completes when
   * connections are forwarded; {@link SSHTunnel.localPort} then is the port. Completes at once if the tunnel
   * already listens, except that it does the same as {@link SSHTunnel.connect} while a session is being restored.
   * During or after a shutdown, it starts the tunnel again.
   *
   * Fails as {@link SSHTunnel.connect} does, or with the system's error if the port cannot be bound
   * (EADDRINUSE, EACCES, EADDRNOTAVAIL); a session that was established for it is closed. Fails with
   * ERR_TUNNEL_CLOSED if {@link SSHTunnel.stopListening} is called meanwhile, and with ERR_TUNNEL_NO_FORWARD if
   * the tunnel has no `forwardHost`.
   */
  startListening(options?: AbortOptions): void;
  /** Callback form of {@link SSHTunnel.startListening}. */
  startListening(callback: Callback): void;
  /** Callback form of {@link SSHTunnel.startListening} with options. */
  startListening(options: AbortOptions | undefined, callback: Callback): void;

  /**
   * Closes the constructor's local port. Completes when the port is free, without waiting for any connection.
   * Open connections stay open and lose nothing. Connections that were not accepted yet are reset by the
   * system; connections that wait for a session to be restored are reset by the tunnel (ECONNABORTED).
   *
   * A session that {@link SSHTunnel.connect} established, or that a forward needs, stays. A session that only
   * {@link SSHTunnel.startListening} needed is closed with its last connection, and 'close' is emitted. In the
   * same way, reconnecting continues or ends at once.
   */
  stopListening(): void;
  /** Callback form of {@link SSHTunnel.stopListening}. */
  stopListening(callback: Callback): void;

  /**
   * Opens a further local port or Unix socket with its own target (`ssh -L`), after connecting if there is no
   * session. Completes with the {@link Forward} when connections are forwarded. Any number of forwards share the
   * session. Their connections have the same events and closing rules, and take Linger, KeepAlive and
   * IdleTimeout of the tunnel when they are accepted. 'listening' is not emitted.
   *
   * An open forward keeps the session, and stays bound while a disconnected session is restored. It ends with
   * {@link Forward.stop}, `shutdown()`, `close()`, and when reconnecting is given up. Fails as
   * {@link SSHTunnel.startListening} does, without affecting other forwards. A bad option throws TypeError or
   * RangeError; options that exclude each other throw ERR_INVALID_ARG_VALUE.
   *
   * **Unix sockets have no reset.** Where a local client on a TCP port reads ECONNRESET, a client on a Unix
   * socket reads the delivered bytes and then the end of the stream; it reads ECONNRESET only if some of what it
   * sent was not read. The report still has `closedBy: 'reset'`. Bytes written to a Unix socket count as
   * delivered.
   */
  forwardLocal(options: LocalForwardOptions): Forward;
  /** Callback form of {@link SSHTunnel.forwardLocal}. */
  forwardLocal(options: LocalForwardOptions, callback: Callback<Forward>): void;

  /**
   * Opens a local port for each server of a URL, as {@link SSHTunnel.forwardLocal} does, and completes with the same URL
   * whose servers are `127.0.0.1` and these ports. A server has one port, also in further calls. User, password, path
   * and parameters stay as they are. Several servers are separated by commas, as in the URLs of PostgreSQL and MongoDB.
   * The usual ports of common schemes may be omitted.
   *
   * With TLS, a client checks the certificate against the name in the URL, which is an address here: give it the true
   * name by its own option (`servername`), or use {@link SSHTunnel.connector}. Drivers of MongoDB that look for the
   * members of a replica set find names that they cannot reach, unless the URL has `directConnection=true`.
   *
   * Throws ERR_INVALID_ARG_VALUE for a URL without a host or a known port, with the path of a Unix socket, or with
   * `+srv`, and no message contains the URL. Fails as {@link SSHTunnel.forwardLocal} does, without any of the ports.
   */
  localUrl(url: string | URL): string;
  /** Callback form of {@link SSHTunnel.localUrl}. */
  localUrl(url: string | URL, callback: Callback<string>): void;

  /**
   * Opens a local port or Unix socket that is a SOCKS 4, 4a and 5 proxy (`ssh -D`): each client requests its own
   * target, and names are resolved by the SSH server. CONNECT is the only supported command. In all other
   * respects it is a forward as {@link SSHTunnel.forwardLocal}.
   *
   * A client has `readyTimeout` for its SOCKS handshake, in the state `'negotiating'`; no 'connectionRequest' is
   * emitted before it ends. Opening the connection has its own `readyTimeout`. The client reads a success reply
   * when the connection is open from end to end, and data that it sent early is forwarded then. Bytes of the
   * handshake are not counted.
   *
   * If the connection cannot be opened, the client reads a reply with the reason and then FIN, in every Linger
   * mode; `closedBy` is `'graceful'`. The client is reset if its request is incomplete or not SOCKS, or if
   * `disconnect()` or `shutdown()` ends the connection before it is open. 'disconnected' is emitted in every
   * case. docs/socks.md lists the replies.
   */
  forwardDynamic(options: DynamicForwardOptions): Forward;
  /** Callback form of {@link SSHTunnel.forwardDynamic}. */
  forwardDynamic(options: DynamicForwardOptions, callback: Callback<Forward>): void;

  /**
   * Makes the SSH server listen on a port or Unix socket, and forwards its connections to a target on this side
   * (`ssh -R`), after connecting if there is no session. Completes with the {@link Forward} when the server
   * listens; its `remotePort` is the actual port. In all other respects it is a forward as
   * {@link SSHTunnel.forwardLocal}. Fails as {@link SSHTunnel.connect} does, or with ERR_SSH_FORWARD_REFUSED if
   * the server refuses to listen, without affecting other forwards.
   *
   * The target takes the place of the local client: it sees the closes that Linger selects, `bytesUp` counts what
   * it sent, and `bytesDown` what was delivered to it. 'connectionRequest' is emitted before the target is
   * dialed, within `readyTimeout`, at the first of its addresses that answers. If that fails, the server rejects
   * the client, which sees an end of stream or a reset, and no byte; 'disconnected' has the reason.
   *
   * With `socks`, each client names its target, and reads the reply of a proxy as from
   * {@link SSHTunnel.forwardDynamic}: success once its target is connected, otherwise the reason and the end of
   * the stream. The handshake has `readyTimeout`, 'connectionRequest' follows it, and its bytes are not counted.
   *
   * When the session disconnects, its open connections end as all others do. Through another session, or after a
   * reconnect, the server is asked to listen on the same port again. A refusal is final only after
   * `readyTimeout`, because a server may hold the port until it notices the disconnect. If the
   * server chose the port and refuses it for 700 ms, it chooses another one, and `remotePort` is updated. A final
   * refusal emits 'forwardError'.
   */
  forwardRemote(options: RemoteForwardOptions): Forward;
  /** Callback form of {@link SSHTunnel.forwardRemote}. */
  forwardRemote(options: RemoteForwardOptions, callback: Callback<Forward>): void;

  /**
   * Opens a connection through the tunnel without a local port, and returns its socket at once, like
   * `net.connect()`. Connects to the server first if there is no session, which then stays as after
   * {@link SSHTunnel.connect}; with {@link SSHTunnelOptions.reconnect} it waits for a disconnected one. The
   * connection has events, settings and closing rules like any other (`forwardId` is -1), but no
   * 'connectionRequest'. Errors are emitted by the socket, see {@link TunnelSocket}.
   *
   * While such a socket exists, `shutdown()` without `force`, and `disconnect()` of the socket, throw
   * ERR_TUNNEL_WOULD_DEADLOCK without a callback, because this thread has to read its data.
   */
  dial(host: string, port: number, options?: DialAbortOptions): TunnelSocket;
  /** Opens a connection as {@link SSHTunnel.dial}, with the target and `allowHalfOpen` as options. */
  dial(options: DialOptions): TunnelSocket;

  /**
   * Returns a function that opens a connection as {@link SSHTunnel.dial} and returns its socket at once, whatever its
   * own arguments are. Drivers take it as their `stream`, `socket` or `createConnection`. A bad target throws here.
   */
  connector(host: string, port: number): (...ignored: unknown[]) => TunnelSocket;
  /** Returns a function that opens connections with these options, see {@link SSHTunnel.connector}. */
  connector(options: DialOptions): (...ignored: unknown[]) => TunnelSocket;

  /**
   * Returns an agent for `http` and `https` requests whose connections are opened with {@link SSHTunnel.dial}:
   * the SSH server resolves their hosts, ports or `socketPath`. Options and methods are those of https.Agent
   * (keepAlive, maxSockets, ...).
   */
  httpAgent(options?: AgentOptions): Agent;

  /** Returns the open forwards in the order in which they were opened, without the constructor's own. */
  forwards(): Forward[];

  /**
   * Closes one connection by its Linger. Completes when it has ended; its 'disconnected' event follows.
   *
   * - Graceful: Everything that arrived from either side before the call is delivered; both peers read all of it
   *   and then the end of the stream (FIN). What the local client sends after the call is read and dropped. It
   *   takes as long as the peers take to read, without a limit. A local client that has everything but does not
   *   end its own stream has two seconds to do so.
   * - Hard: Undelivered data is dropped and counted. The local client reads ECONNRESET, the remote end the close
   *   of the channel. It takes no time.
   * - Bounded: Graceful for at most `l_linger` seconds from the call, then hard. What was acknowledged by then is
   *   delivered, the rest is dropped and counted.
   * - A connection that is not open yet: The local client reads ECONNRESET in every mode.
   *
   * If the connection is already closing, the call waits for that close. {@link Connection.setLingerOption} and
   * {@link Connection.reset} change it. If both sides had ended by themselves and only the local client has to
   * read the rest, a linger time starts at this call. Fails with ERR_TUNNEL_NO_CONNECTION if there is no such
   * connection (any more).
   */
  disconnect(connectionId: number): void;
  /** Callback form of {@link SSHTunnel.disconnect}. */
  disconnect(connectionId: number, callback: Callback): void;

  /**
   * Stops listening, ends all forwards, closes every connection as {@link SSHTunnel.disconnect} does, and closes
   * the session. Pending operations fail with ERR_TUNNEL_CLOSED.
   *
   * Completes when the tunnel has no port, connection or session any more. With graceful connections, this takes
   * as long as their slowest peer takes to read. The server has two seconds to forward what local clients had
   * sent before they reset graceful connections, and two to receive the end of the session. Fails only with a
   * bad argument; if there is nothing to shut down, it completes at once.
   *
   * With `force`, or when a second call has it, everything ends within two seconds, also if the server is dead or
   * grants no window, or a client never reads. Nothing more is delivered: every connection is reset, whatever its
   * Linger and state, and its report counts the dropped bytes. The server has half a second to end the session;
   * then its connection is reset, jump hosts are disconnected, and commands of `proxyCommand` are killed. Other
   * calls that wait for the shutdown complete, too.
   *
   * `setLinger(false)` of the tunnel changes no existing connection, and so no shutdown in progress.
   */
  shutdown(): void;
  /** Callback form of {@link SSHTunnel.shutdown}. */
  shutdown(callback: Callback): void;
  /** Shuts down as {@link SSHTunnel.shutdown}; `force` ends everything within two seconds. */
  shutdown(options: ShutdownOptions | undefined): void;
  /** Callback form of {@link SSHTunnel.shutdown} with options. */
  shutdown(options: ShutdownOptions | undefined, callback: Callback): void;

  /**
   * Stops listening, ends all forwards, and lets connections finish by themselves for up to `timeout`
   * milliseconds; then closes the rest and the session. Never blocks: without a callback it returns a promise.
   *
   * A connection that finishes in time is delivered completely and ends with FIN. At the timeout, a hard
   * connection is reset, and any other is closed gracefully for at most 1.2 seconds, or `l_linger` seconds if that
   * is less; then the rest is ended as with `shutdown({ force: true })`. Everything has ended two seconds after
   * `timeout`, including closes that were in progress before. The report of a connection that was cut like this
   * has `lingerExpired: false`. Of several calls the shortest time applies, and `shutdown()` ends the wait.
   *
   * Resolves with the reports of the connections that existed at the call, in the order in which they ended: the
   * same objects that 'disconnected' emits. `clean` tells which of them finished. Fails only with a bad argument.
   */
  close(options?: CloseOptions): Promise<ConnectionEnd[]>;
  /** Callback form of {@link SSHTunnel.close}. */
  close(callback: Callback<ConnectionEnd[]>): void;
  /** Callback form of {@link SSHTunnel.close} with options. */
  close(options: CloseOptions | undefined, callback: Callback<ConnectionEnd[]>): void;

  /**
   * Closes the tunnel as {@link SSHTunnel.close} without a timeout, for `await using`. Defined if the runtime has
   * the symbol.
   */
  [Symbol.asyncDispose](): Promise<void>;

  /** Returns the connections that exist now. */
  connections(): Connection[];
  /** Callback form of {@link SSHTunnel.connections}. */
  connections(callback: Callback<Connection[]>): void;

  /**
   * Returns the statistics of the tunnel since it was created. They do not depend on listeners. A connection is
   * counted before its 'disconnected' is emitted, and before a call that ended it completes. Never fails.
   */
  stats(): TunnelStats;
  /** Callback form of {@link SSHTunnel.stats}. */
  stats(callback: Callback<TunnelStats>): void;

  /**
   * Adds a host key that was unknown to the first file of the `knownHosts` of its server, because the user trusts it:
   * `hostKey` of the error is the argument, or a copy of it from another process. The next connection then accepts the
   * key. Nothing is written if it is trusted already.
   *
   * It fails with ERR_SSH_HOST_KEY, and changes nothing, if a file has another key of the server, if the key is revoked
   * or smaller than `requiredRSASize`, or if there is no file that can be written. It never replaces a key: where one has
   * changed for a good reason, the user removes the line that `file` and `line` of the error name. A key that is no key,
   * or of no server of the tunnel, is TypeError ERR_INVALID_ARG_VALUE.
   */
  trustHost(hostKey: TrustedHostKey | RefusedHostKey): void;
  /** Callback form of {@link SSHTunnel.trustHost}. */
  trustHost(hostKey: TrustedHostKey | RefusedHostKey, callback: Callback): void;

  /**
   * What the tunnel is doing:
   *
   * - `'idle'`: It was never up.
   * - `'connecting'`: It connects, for the first time or after it was closed.
   * - `'ready'`: A session is up.
   * - `'reconnecting'`: The session disconnected, and another one is to follow (see {@link SSHTunnelOptions.reconnect}).
   * - `'closing'`: `shutdown()` or `close()` is in progress, or the connections of a session that is not restored end.
   * - `'closed'`: Nothing is up any more. The tunnel can be started again.
   */
  readonly state: 'idle' | 'connecting' | 'ready' | 'reconnecting' | 'closing' | 'closed';

  /** Whether the constructor's local port is bound, also while a disconnected session is being restored. */
  readonly listening: boolean;

  /** The bound local port while the tunnel listens, otherwise the configured one. */
  readonly localPort: number;

  /** The methods of the tunnel as promises. */
  readonly promises: SSHTunnelPromises;

  /** Keeps the process running while the tunnel is up, the default; the opposite of {@link SSHTunnel.unref}. */
  ref(): this;

  /**
   * Lets the process exit while the tunnel is up; its connections are then closed hard. Pending calls still keep
   * the process running.
   */
  unref(): this;
}

/** The class {@link SSHTunnel} by the name of the package. */
export const sshtunnel: typeof SSHTunnel;
/** The type {@link SSHTunnel} by the name of the package. */
export type sshtunnel = SSHTunnel;

/**
 * A TCP socket of the application: a connected net.Socket (also a tls.TLSSocket, or the `req.socket` of an HTTP
 * request), a listening net.Server (tls, http, https), or the number of a descriptor that Node.js has not
 * created.
 */
export type TCPSocket = Socket | Server | number;

/** Tells the types of the option numbers apart. */
declare const optionName: unique symbol;

/** The level of the socket options. It exists for completeness; no function takes it. */
export const SOL_SOCKET: number;

/** The socket option whose value is the {@link Linger} structure. */
export const SO_LINGER: number & { readonly [optionName]: 'SO_LINGER' };

/**
 * The socket option that turns lingering on and off: its value becomes l_onoff (`false` or 0: off; `true` or
 * nonzero: on), as the descriptions of the LINGER structure define it. Turning it off keeps l_linger. Turning it
 * on restores the last nonzero l_linger, or 30, so it never selects a hard close. The value that {1, 0} replaced
 * is remembered on systems that number their sockets, such as Linux.
 *
 * **Winsock's own SO_DONTLINGER has the opposite meaning**: there, nonzero turns lingering off, as the name says.
 * Unix has no such option; the number is the one that Winsock would compute.
 */
export const SO_DONTLINGER: number & { readonly [optionName]: 'SO_DONTLINGER' };

/**
 * Returns an option of a socket as the kernel has it, regardless of what set it. A nonzero l_onoff is returned as
 * 1. The value of SO_DONTLINGER is whether l_onoff is set.
 *
 * With a callback, the socket is read at once, and only the callback is called later; callbacks are called in the
 * order of the calls.
 *
 * This function, {@link setsockopt} and {@link closesocket} fail with these errors, and then change nothing:
 *
 * | code | reason |
 * |---|---|
 * | `EBADF` | no open descriptor; a socket that is destroyed or closing; a server that does not listen, or not itself (in a cluster) |
 * | `ENOTCONN` | a net.Socket that is not connected yet |
 * | `ENOTSOCK` | a file, a pipe, a terminal; TLS over a stream that is not a socket |
 * | `ENOTSUP` | a socket that is not TCP, such as a Unix domain socket (which Node.js calls a pipe, also to child processes); everything on Windows, where Node.js does not expose its sockets; a socket or server of Deno |
 *
 * They have `errno` and `syscall` (the name of the function), like system errors of Node.js. Other errors of the
 * system are passed on. Callbacks and promises receive all of these. Arguments of a wrong type (TypeError
 * ERR_INVALID_ARG_TYPE), an unknown `optname` (TypeError ERR_INVALID_ARG_VALUE) and numbers out of range
 * (RangeError ERR_OUT_OF_RANGE) throw at once; a promise rejects with them.
 */
export function getsockopt(socket: TCPSocket, optname: typeof SO_LINGER): Linger;
/** Returns whether lingering is on for a socket. See {@link getsockopt} for errors. */
export function getsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER): boolean;
/** Returns an option of a socket by its number. See {@link getsockopt} for errors. */
export function getsockopt(socket: TCPSocket, optname: number): Linger | boolean;
/** Callback form of {@link getsockopt} with SO_LINGER. */
export function getsockopt(socket: TCPSocket, optname: typeof SO_LINGER, callback: Callback<Linger>): void;
/** Callback form of {@link getsockopt} with SO_DONTLINGER. */
export function getsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, callback: Callback<boolean>): void;
/** Callback form of {@link getsockopt} with the number of an option. */
export function getsockopt(socket: TCPSocket, optname: number, callback: Callback<Linger | boolean>): void;

/**
 * Sets the LINGER structure of a socket, at once in every form. Connections that a server accepts later inherit
 * its option; those in its backlog do not. l_linger is stored even if l_onoff is 0, and {@link SO_DONTLINGER}
 * restores it; this works on Linux, macOS and similar systems. Fails with the errors of {@link getsockopt}.
 *
 * **{1, n} with n > 0 blocks the event loop** when Node.js closes the socket while data is in flight: close() then
 * waits for up to n seconds, on the main thread. This applies to `socket.destroy()` and to every other close by
 * Node.js, after an error or at the end of both directions. Close such a socket with {@link closesocket}.
 */
export function setsockopt(socket: TCPSocket, optname: typeof SO_LINGER, optval: Linger): void;
/** Turns lingering on or off for a socket, as {@link SO_DONTLINGER} describes. Otherwise as {@link setsockopt}. */
export function setsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, optval: boolean | number): void;
/** Callback form of {@link setsockopt} with SO_LINGER. */
export function setsockopt(socket: TCPSocket, optname: typeof SO_LINGER, optval: Linger, callback: Callback): void;
/** Callback form of {@link setsockopt} with SO_DONTLINGER. */
export function setsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, optval: boolean | number, callback: Callback): void;

/** The outcome of {@link closesocket}. */
export interface ClosedSocket {
  /**
   * Whether the stream ends with FIN after every byte. `false` means that it was reset by this side or the peer,
   * or that the network gave it up.
   */
  graceful: boolean;
  /**
   * The number of bytes that the peer's kernel had not acknowledged, including those in the buffers of Node.js.
   * With `graceful: false` they are lost, although some may have arrived without an acknowledgment.
   *
   * For a TLS socket, it counts encrypted bytes, and bytes that were not encrypted yet. If an error ended the
   * stream while Node.js was writing it, bytes held by libuv are not counted.
   */
  unsent: number;
}

/**
 * Closes a socket by its own SO_LINGER, without blocking the event loop.
 *
 * | SO_LINGER | what happens | when it completes | `graceful`, `unsent` |
 * |---|---|---|---|
 * | {0, any} | everything is sent, then FIN, without a time limit | when the kernel has everything | `true`, bytes in flight |
 * | {1, 0} | the connection is reset; data in flight is dropped | at once | `false`, dropped bytes |
 * | {1, n} | everything is sent, then FIN; after n seconds the connection is reset | when the peer's kernel has acknowledged everything, or n seconds after the call | `true`, 0, or `false`, dropped bytes |
 *
 * **Delivered** means acknowledged by the peer's kernel; TCP does not tell what its program reads. With {0, any} the
 * result does not say whether the rest arrived; use {1, n} to find out.
 *
 * **A net.Socket** is ended as by `socket.end()`: buffered data is written first, within the n seconds, and a TLS
 * socket sends close_notify. A hard close does neither. Until then the socket keeps flowing, and 'data' listeners
 * get what arrives. Then it is destroyed: it emits 'close' once, and no 'error' for this close. Errors that the
 * peer causes meanwhile are emitted as usual, but need no listener any more. If something else destroys the socket
 * before its buffers are written, the connection is reset, so a truncated stream never looks complete.
 *
 * **In the background**, the connection is kept until the peer has everything and has ended its own direction, or
 * has kept it open for two more seconds. Input is read and discarded, because unread input would turn the close
 * into a reset. This uses one descriptor. When the process exits, the kernel continues a graceful close; it also
 * continues {1, n}, without the limit.
 *
 * **A net.Server** stops listening as by `server.close()`; accepted connections stay open, and the result is
 * `{ graceful: true, unsent: 0 }`.
 *
 * **A descriptor** belongs to the addon from the call on, unless the call fails: do not use or close it, and never
 * pass the descriptor of a socket that Node.js has created. A listener is just closed.
 *
 * A connection whose descriptor another process has, or a copy made with dup(), is ended by FIN, but not by RST,
 * which waits for the last descriptor to be closed.
 *
 * **Blocking.** Without a callback, the call blocks as the table says, up to n seconds. A socket with buffered writes
 * is then refused with ERR_TUNNEL_WOULD_DEADLOCK, unless it is to be reset, because only the event loop can write
 * them. With a callback or as a promise, the process is kept running until the result is known. Fails with the
 * errors of {@link getsockopt}, and with EMFILE without a free descriptor.
 */
export function closesocket(socket: TCPSocket): ClosedSocket;
/** Callback form of {@link closesocket}. */
export function closesocket(socket: TCPSocket, callback: Callback<ClosedSocket>): void;

/** The functions on sockets as promises. Each settles independently of earlier calls. */
export interface SocketPromises {
  /** Resolves with the LINGER structure of a socket, as {@link getsockopt}. */
  getsockopt(socket: TCPSocket, optname: typeof SO_LINGER): Promise<Linger>;
  /** Resolves with whether lingering is on for a socket, as {@link getsockopt}. */
  getsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER): Promise<boolean>;
  /** Resolves with an option of a socket by its number, as {@link getsockopt}. */
  getsockopt(socket: TCPSocket, optname: number): Promise<Linger | boolean>;
  /** Sets the LINGER structure of a socket, as {@link setsockopt}. */
  setsockopt(socket: TCPSocket, optname: typeof SO_LINGER, optval: Linger): Promise<void>;
  /** Turns lingering on or off for a socket, as {@link setsockopt}. */
  setsockopt(socket: TCPSocket, optname: typeof SO_DONTLINGER, optval: boolean | number): Promise<void>;
  /** Closes a socket by its own SO_LINGER, and resolves with the outcome, as {@link closesocket}. */
  closesocket(socket: TCPSocket): Promise<ClosedSocket>;
}

/** The functions {@link getsockopt}, {@link setsockopt} and {@link closesocket} as promises. */
export const promises: SocketPromises;
