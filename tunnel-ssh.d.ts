/// <reference types="node" />

import { EventEmitter } from 'node:events';
import { AddressInfo, DropArgument, ListenOptions } from 'node:net';
import { Duplex } from 'node:stream';

import {
  AlgorithmList,
  Algorithms,
  AuthMethod,
  ConnectionEnd,
  ReconnectOptions,
  SSHTunnelError,
  SSHTunnelOptions,
} from './index.js';

/** Options of the tunnel as a whole, including those of {@link SSHTunnelOptions} that are not about the session. */
export interface TunnelOptions
  extends Pick<SSHTunnelOptions, 'linger' | 'keepAlive' | 'idleTimeout' | 'windowLimit' | 'memoryLimit' | 'sessions'> {
  /**
   * Whether the server closes when its last connection has ended for any reason, including a refusal or a
   * disconnected session. Default: `false`.
   */
  autoClose?: boolean | undefined;
  /**
   * Whether, and how, a disconnected session is restored, as {@link SSHTunnelOptions.reconnect}. Default: `false`.
   * The first connection attempt is not retried.
   */
  reconnectOnError?: boolean | ReconnectOptions | undefined;
}

/**
 * Where to listen, as for `server.listen()`. The default `host` is 127.0.0.1, and a `port` of 0 or none is any free
 * port. `signal` closes the server as {@link TunnelServer.close} does. `path` without `port`, `ipv6Only` and
 * `reusePort` throw TypeError ERR_INVALID_ARG_VALUE. Other options have no effect.
 */
export interface ServerOptions extends Omit<ListenOptions, 'port'> {
  /** The port to listen on; a number may be text. */
  port?: number | string | undefined;
}

/**
 * Options of the SSH session: those of ssh2's `Client.connect()`, and those of {@link SSHTunnelOptions} about the
 * server and its host key. An unknown option is ignored.
 */
export interface SshOptions
  extends Pick<
    SSHTunnelOptions,
    | 'certificate'
    | 'agentKeys'
    | 'agentKeysFirst'
    | 'hostKey'
    | 'knownHosts'
    | 'strictHostKeyChecking'
    | 'hostKeyAlias'
    | 'updateHostKeys'
    | 'revokedHostKeys'
    | 'requiredRSASize'
    | 'jump'
    | 'proxyCommand'
    | 'proxy'
    | 'rekey'
    | 'password'
    | 'privateKey'
    | 'passphrase'
    | 'localAddress'
    | 'forceIPv4'
    | 'forceIPv6'
  > {
  /** The name or address of the SSH server. Default: `'localhost'`. */
  host?: string | undefined;
  /** The port of the SSH server, 1 to 65535. Default: 22. */
  port?: number | string | undefined;
  /** The user name for authentication. Default: `'root'`. */
  username?: string | undefined;
  /**
   * The path of an ssh-agent's socket, or an OpenSSHAgent of ssh2; on Windows also `'pageant'`. Default: no agent.
   * Other agents throw TypeError ERR_INVALID_ARG_VALUE.
   */
  agent?: string | AgentSocket | undefined;
  /**
   * The algorithms that may be used, as {@link SSHTunnelOptions.algorithms}. Unsupported names are left out with a
   * process warning (SSHTUNNEL_ALGORITHM); a list of nothing else throws TypeError ERR_INVALID_ARG_VALUE. Changes
   * may contain patterns (RegExp), as in ssh2.
   */
  algorithms?: { [K in keyof Algorithms]?: readonly string[] | AlgorithmChanges | undefined } | undefined;
  /**
   * The authentication methods to use, in order: names, objects with credentials of their own, or a function that
   * gives one after the other as in ssh2. Names without a credential are left out.
   *
   * A function is asked before the connection is opened, as if the server refused each method, until it gives `false`
   * or a method for the second time. Two passwords or two user names throw TypeError ERR_INVALID_ARG_VALUE.
   */
  authHandler?: readonly (AuthMethod | AuthAttempt)[] | AuthHandler | undefined;
  /**
   * Decides about the server's host key, as in ssh2; known_hosts files are not read. It is called with the key (RFC
   * 4253, section 6.6), or with its hexadecimal hash if `hostHash` is set, and returns the answer (or a promise), or
   * calls `verify` with it.
   */
  hostVerifier?: ((key: any, verify: (trusted: boolean) => void) => boolean | void | Promise<boolean | void>) | undefined;
  /** As {@link SSHTunnelOptions.readyTimeout}; a number may be text. */
  readyTimeout?: number | string | undefined;
  /** As {@link SSHTunnelOptions.keepaliveInterval}; a number may be text. */
  keepaliveInterval?: number | string | undefined;
  /** As {@link SSHTunnelOptions.keepaliveCountMax}; a number may be text. */
  keepaliveCountMax?: number | string | undefined;
  /** The hash that `hostVerifier` is called with, such as `'sha256'`. Default: the key itself. */
  hostHash?: string | undefined;
  /** A byte stream to the server, as {@link SSHTunnelOptions.sock}. It excludes `reconnectOnError`. */
  sock?: Duplex | undefined;
  /** Ignored: no listener can exist yet. `password` answers a server that asks a single question. */
  tryKeyboard?: boolean | undefined;
  /** As {@link SSHTunnelOptions.debug}. */
  debug?: ((line: string) => void) | undefined;
  /** Ignored: agents are not forwarded. */
  agentForward?: boolean | undefined;
  /** Ignored: the identification string cannot be changed. */
  ident?: string | Buffer | undefined;
  /** Ignored: there are no vendor-specific checks. */
  strictVendor?: boolean | undefined;
  /** Ignored: there is no timeout of the TCP socket. */
  timeout?: number | undefined;
}

/** What all methods with a credential of their own have. */
export interface Attempt<T extends string> {
  /** The method. */
  type: T;
  /** The user, who has to be the same in all of them. Default: that of the options. */
  username?: string | undefined;
}

/** A password to try. */
export interface PasswordAttempt extends Attempt<'password'> {
  /** The password. */
  password: string | Uint8Array;
}

/** A private key that ssh2 has parsed. */
export interface ParsedKey {
  /** Returns the key as PEM. */
  getPrivatePEM(): string;
}

/** A private key to try. */
export interface PublicKeyAttempt extends Attempt<'publickey'> {
  /** The contents of a key file, or a key that ssh2 has parsed. */
  key: string | Uint8Array | ParsedKey;
  /** The passphrase that the key is encrypted with. */
  passphrase?: string | Uint8Array | undefined;
}

/** An agent, as ssh2's OpenSSHAgent has it. */
export interface AgentSocket {
  /** The path of its socket. */
  socketPath: string;
}

/** The keys of an agent to try. */
export interface AgentAttempt extends Attempt<'agent'> {
  /** The agent, or the path of its socket. */
  agent: string | AgentSocket;
}

/** Questions of the server to answer. */
export interface KeyboardInteractiveAttempt extends Attempt<'keyboard-interactive'> {
  /** Answers the questions of the server, by `finish`. */
  prompt: (
    name: string,
    instructions: string,
    lang: string,
    prompts: { prompt: string; echo: boolean }[],
    finish: (answers: string[]) => void,
  ) => void;
}

/** An authentication method with a credential of its own, as in ssh2. */
export type AuthAttempt =
  | Attempt<'none'>
  | PasswordAttempt
  | PublicKeyAttempt
  | AgentAttempt
  | KeyboardInteractiveAttempt;

/** Gives the next method, by its return value, its promise or `next`; `false` after the last one. */
export type AuthHandler = (
  methodsLeft: AuthMethod[] | null,
  partialSuccess: boolean | null,
  next: (attempt: AuthMethod | AuthAttempt | false) => void,
) => AuthMethod | AuthAttempt | false | void | Promise<AuthMethod | AuthAttempt | false | void>;

/** One name or pattern, or several. */
type Patterns = string | RegExp | readonly (string | RegExp)[];

/** Changes to a default list of algorithms, as {@link AlgorithmList}. */
export interface AlgorithmChanges {
  /** Names or patterns to take out of the default list. */
  remove?: Patterns | undefined;
  /** Names or patterns to put first. */
  prepend?: Patterns | undefined;
  /** Names or patterns to put last. */
  append?: Patterns | undefined;
}

/** The target of all connections. */
export interface ForwardOptions {
  /** Ignored: the SSH server is told the actual address of the client. */
  srcAddr?: string | undefined;
  /** Ignored: the SSH server is told the actual port of the client. */
  srcPort?: number | undefined;
  /** The host of the target, resolved by the SSH server. Default: `'0.0.0.0'`, the server itself. */
  dstAddr?: string | undefined;
  /** The port of the target, 1 to 65535. */
  dstPort: number | string;
}

/**
 * Connects to the SSH server and listens. Resolves when connections are forwarded.
 *
 * Rejects with the errors of {@link SSHTunnelOptions} (TypeError ERR_INVALID_ARG_TYPE and ERR_INVALID_ARG_VALUE,
 * RangeError ERR_OUT_OF_RANGE), of resolving `serverOptions.host` (ENOTFOUND), and of connecting and listening, see
 * {@link SSHTunnelError.code}: ERR_SSH_HOST_KEY, ERR_SSH_AUTH, ERR_SSH_PRIVATE_KEY, ECONNREFUSED, EADDRINUSE.
 * Nothing stays open then.
 */
export function createTunnel(
  tunnelOptions: TunnelOptions | null | undefined,
  serverOptions: ServerOptions | null | undefined,
  sshOptions: SshOptions,
  forwardOptions: ForwardOptions,
): Promise<[TunnelServer, TunnelClient]>;

/** A connection to the local port. It is not a stream, because its bytes do not pass through JavaScript. */
export interface TunnelConnection extends EventEmitter {
  /** The number of the connection, as {@link ConnectionEnd.connectionId}. */
  readonly connectionId: number;
  /** The address of the local client. */
  readonly remoteAddress: string;
  /** The port of the local client. */
  readonly remotePort: number;
  /** The address family of the local client. */
  readonly remoteFamily: 'IPv4' | 'IPv6';
  /** The port that the local client connected to. */
  readonly localPort: number;
  /** Whether the connection has ended, or {@link TunnelConnection.destroy} was called. */
  readonly destroyed: boolean;
  /** Closes the connection by the tunnel's `linger`; by default everything received is delivered, then FIN. */
  end(): this;
  /** Resets the connection: data in flight is dropped, and the local client reads ECONNRESET. */
  destroy(): this;
  /** Resets the connection, as {@link TunnelConnection.destroy}. */
  resetAndDestroy(): this;

  on<E extends keyof TunnelConnectionEvents>(event: E, listener: (...args: TunnelConnectionEvents[E]) => void): this;
  once<E extends keyof TunnelConnectionEvents>(event: E, listener: (...args: TunnelConnectionEvents[E]) => void): this;
}

/** The events of a {@link TunnelConnection} with the arguments of their listeners. */
export interface TunnelConnectionEvents {
  /**
   * Emitted when the connection was reset or refused, or the session disconnected, with the code of
   * {@link ConnectionEnd.code}. It is not thrown without a listener.
   */
  error: [error: SSHTunnelError];
  /** Emitted when the connection has ended, with its report. */
  close: [hadError: boolean, end: ConnectionEnd];
}

/** The local port, like a listening net.Server. */
export interface TunnelServer extends EventEmitter {
  /** Whether the port is bound. */
  readonly listening: boolean;
  /** Returns the bound address, or `null` if the server does not listen any more. */
  address(): AddressInfo | null;
  /**
   * The number of connections at which further ones are dropped: they are reset, and 'drop' is emitted. Default: no
   * limit. With a limit, each connection waits for an answer of the event loop.
   */
  maxConnections: number | undefined;
  /** The number of connections. {@link TunnelServer.getConnections} does not block. */
  readonly connections: number;
  /**
   * Throws ERR_SERVER_ALREADY_LISTEN, or after the close ERR_METHOD_NOT_IMPLEMENTED: the session is closed with the
   * server, and `createTunnel()` opens both.
   */
  listen(...args: unknown[]): this;
  /** Calls back with the number of connections. */
  getConnections(callback: (error: Error | null, count: number) => void): this;
  /**
   * Closes the port, lets connections finish without a time limit, then closes the session. `callback` is called when
   * 'close' is emitted, with ERR_SERVER_NOT_RUNNING if `close()` was called before.
   */
  close(callback?: (error?: Error) => void): this;
  /** Keeps the process running while the tunnel is up, the default; the opposite of {@link TunnelServer.unref}. */
  ref(): this;
  /** Lets the process exit while the tunnel is up, including its session. */
  unref(): this;
  /** Closes the server as {@link TunnelServer.close}, for `await using`. Defined if the runtime has the symbol. */
  [Symbol.asyncDispose](): Promise<void>;

  on<E extends keyof TunnelServerEvents>(event: E, listener: (...args: TunnelServerEvents[E]) => void): this;
  once<E extends keyof TunnelServerEvents>(event: E, listener: (...args: TunnelServerEvents[E]) => void): this;
}

/** The events of a {@link TunnelServer} with the arguments of their listeners. */
export interface TunnelServerEvents {
  /** Emitted when the port is bound. */
  listening: [];
  /** Emitted for each accepted connection. With a listener, it is opened after the listeners have returned. */
  connection: [connection: TunnelConnection];
  /** Emitted when a connection was dropped because of {@link TunnelServer.maxConnections}. */
  drop: [data: DropArgument];
  /** Emitted when the port was lost. It is not thrown without a listener. */
  error: [error: SSHTunnelError];
  /** Emitted when the port, all connections and the session are closed, for any reason. */
  close: [];
}

/** The SSH session, like a connected Client of ssh2, without its commands, files and other ports. */
export interface TunnelClient extends EventEmitter {
  /**
   * Closes everything: the port, every connection by the tunnel's `linger`, and the session. By default everything is
   * delivered, which takes as long as the local clients take to read.
   */
  end(): this;
  /** Closes everything at once; all connections are reset. */
  destroy(): this;

  on<E extends keyof TunnelClientEvents>(event: E, listener: (...args: TunnelClientEvents[E]) => void): this;
  once<E extends keyof TunnelClientEvents>(event: E, listener: (...args: TunnelClientEvents[E]) => void): this;
}

/** The events of a {@link TunnelClient} with the arguments of their listeners. */
export interface TunnelClientEvents {
  /** Emitted when a disconnected session was restored. The first session is up before listeners can exist. */
  ready: [];
  /**
   * Emitted when the session disconnected (ERR_SSH_DISCONNECTED), followed by 'close', or with `reconnectOnError` by
   * 'ready' when it is restored. Also emitted when the SSH server refused to connect to `dstAddr`
   * (ERR_SSH_OPEN_...); the tunnel then continues. It is not thrown without a listener.
   */
  error: [error: SSHTunnelError];
  /** Emitted before 'close'. */
  end: [];
  /** Emitted when the port, all connections and the session are closed, for any reason. */
  close: [];
}
