/// <reference types="node" />

import { EventEmitter } from 'node:events';
import { AddressInfo, ListenOptions } from 'node:net';
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

/** What becomes of the tunnel, and what a tunnel of {@link SSHTunnelOptions} has beside its session. */
export interface TunnelOptions
  extends Pick<SSHTunnelOptions, 'linger' | 'keepAlive' | 'idleTimeout' | 'windowLimit' | 'memoryLimit' | 'sessions'> {
  /**
   * Whether the server closes when its last connection has ended, however it ended: also when it was
   * refused, or with a session that was lost. Default: `false`.
   */
  autoClose?: boolean | undefined;
  /**
   * Whether, and how, a session that was lost is set up again, as {@link SSHTunnelOptions.reconnect}
   * says. The first logon is not tried again. Default: `false`.
   */
  reconnectOnError?: boolean | ReconnectOptions | undefined;
}

/**
 * Where to listen. `host` is 127.0.0.1 by default, a `port` of 0 or none is any free port, and
 * `signal` closes the server as {@link TunnelServer.close} does. A `path` without a port, `ipv6Only`
 * and `reusePort` are a TypeError ERR_INVALID_ARG_VALUE; the others change nothing.
 */
export type ServerOptions = ListenOptions;

/**
 * How to log on: the options of ssh2's `Client.connect()`, and those of {@link SSHTunnelOptions} about
 * the server and whom to trust. An option that is not known here is ignored.
 */
export interface SshOptions
  extends Pick<
    SSHTunnelOptions,
    | 'certificate'
    | 'agentKeys'
    | 'hostKey'
    | 'knownHosts'
    | 'strictHostKeyChecking'
    | 'hostKeyAlias'
    | 'updateHostKeys'
    | 'revokedHostKeys'
    | 'requiredRSASize'
    | 'jump'
    | 'proxyCommand'
    | 'rekey'
    | 'password'
    | 'privateKey'
    | 'passphrase'
    | 'readyTimeout'
    | 'keepaliveInterval'
    | 'keepaliveCountMax'
    | 'localAddress'
    | 'forceIPv4'
    | 'forceIPv6'
  > {
  /** Default: `'localhost'`. */
  host?: string | undefined;
  /** Default: 22. */
  port?: number | undefined;
  /** Default: `'root'`. */
  username?: string | undefined;
  /** The path of an agent's socket. `'pageant'` is a TypeError ERR_INVALID_ARG_VALUE. */
  agent?: string | undefined;
  /**
   * As {@link SSHTunnelOptions.algorithms}, except that a name which does not exist here is left out
   * with a process warning (SSHTUNNEL_ALGORITHM). A list of nothing else is a TypeError
   * ERR_INVALID_ARG_VALUE. Changes may also hold patterns (RegExp), as in ssh2.
   */
  algorithms?: { [K in keyof Algorithms]?: readonly string[] | AlgorithmChanges | undefined } | undefined;
  /** The methods to use, by their names; a function or an object is a TypeError ERR_INVALID_ARG_VALUE. */
  authHandler?: readonly AuthMethod[] | undefined;
  /**
   * Decides about the server's key alone, without any file of known hosts, as in ssh2: it gets the key
   * (RFC 4253, section 6.6), or with `hostHash` a hash of it in hexadecimal digits, and returns its
   * answer, or calls `verify` with it. What is returned may be a promise.
   */
  hostVerifier?: ((key: any, verify: (trusted: boolean) => void) => boolean | void | Promise<boolean | void>) | undefined;
  /** The hash that `hostVerifier` gets, such as `'sha256'`. */
  hostHash?: string | undefined;
  /** See {@link SSHTunnelOptions.sock}; not together with `reconnectOnError`. */
  sock?: Duplex | undefined;
  /** Ignored: there is nobody to ask. `password` answers a server that asks one question. */
  tryKeyboard?: boolean | undefined;
  /** Ignored, like the four that follow. */
  debug?: ((message: string) => unknown) | undefined;
  agentForward?: boolean | undefined;
  ident?: string | Buffer | undefined;
  strictVendor?: boolean | undefined;
  timeout?: number | undefined;
}

type Patterns = string | RegExp | readonly (string | RegExp)[];

/** How a default list is changed: see {@link AlgorithmList}. */
export interface AlgorithmChanges {
  remove?: Patterns | undefined;
  prepend?: Patterns | undefined;
  append?: Patterns | undefined;
}

/** Where connections lead. */
export interface ForwardOptions {
  /** Ignored: the SSH server is told whom a connection comes from. */
  srcAddr?: string | undefined;
  /** Ignored, likewise. */
  srcPort?: number | undefined;
  /** The host to connect to, as the SSH server knows it. Default: `'0.0.0.0'`, which is itself. */
  dstAddr?: string | undefined;
  /** The port of that host, 1 to 65535. */
  dstPort: number;
}

/**
 * Logs on and listens. Done when a connection would be forwarded.
 *
 * Rejected with the errors of {@link SSHTunnelOptions} (TypeError ERR_INVALID_ARG_TYPE and
 * ERR_INVALID_ARG_VALUE, RangeError ERR_OUT_OF_RANGE), of looking up `serverOptions.host`
 * (ENOTFOUND), or of logging on and listening, see {@link SSHTunnelError.code}: ERR_SSH_HOST_KEY,
 * ERR_SSH_AUTH, ERR_SSH_PRIVATE_KEY, ECONNREFUSED, EADDRINUSE. Nothing is left open then.
 */
export function createTunnel(
  tunnelOptions: TunnelOptions | null | undefined,
  serverOptions: ServerOptions | null | undefined,
  sshOptions: SshOptions,
  forwardOptions: ForwardOptions,
): Promise<[TunnelServer, TunnelClient]>;

/** A connection to the local port. Its bytes do not come through JavaScript: it is no stream. */
export interface TunnelConnection extends EventEmitter {
  /** Its number, as in {@link ConnectionEnd}. */
  readonly connectionId: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly remoteFamily: 'IPv4' | 'IPv6';
  readonly localPort: number;
  /** Whether it has ended, or {@link TunnelConnection.destroy} was called. */
  readonly destroyed: boolean;
  /** Closes it by the tunnel's `linger`, gracefully by default: what has come is delivered, then FIN. */
  end(): this;
  /** Resets it: what is under way is dropped, the local program gets ECONNRESET. */
  destroy(): this;
  resetAndDestroy(): this;

  on<E extends keyof TunnelConnectionEvents>(event: E, listener: (...args: TunnelConnectionEvents[E]) => void): this;
  once<E extends keyof TunnelConnectionEvents>(event: E, listener: (...args: TunnelConnectionEvents[E]) => void): this;
}

export interface TunnelConnectionEvents {
  /** It was reset, refused, or cut with the session: {@link ConnectionEnd.code}. Nobody has to listen. */
  error: [error: SSHTunnelError];
  /** It has ended, with or without an error, and what became of its bytes. */
  close: [hadError: boolean, end: ConnectionEnd];
}

/** The local port, like a net.Server that listens. */
export interface TunnelServer extends EventEmitter {
  readonly listening: boolean;
  /** What is bound; `null` when it listens no more. */
  address(): AddressInfo | null;
  /** How many connections there are. */
  getConnections(callback: (error: Error | null, count: number) => void): this;
  /**
   * Gives up the port, lets connections finish without a limit in time, then logs off. `callback` is
   * called with the event 'close', and with an error ERR_SERVER_NOT_RUNNING where `close()` was called
   * before.
   */
  close(callback?: (error?: Error) => void): this;
  /** Takes back {@link TunnelServer.unref}. */
  ref(): this;
  /** Lets the process exit although the tunnel is up, session and all. */
  unref(): this;
  /** `close()` for `await using`, where the runtime has the symbol. */
  [Symbol.asyncDispose](): Promise<void>;

  on<E extends keyof TunnelServerEvents>(event: E, listener: (...args: TunnelServerEvents[E]) => void): this;
  once<E extends keyof TunnelServerEvents>(event: E, listener: (...args: TunnelServerEvents[E]) => void): this;
}

export interface TunnelServerEvents {
  listening: [];
  /** A connection was accepted. While anybody listens, it is opened when the listeners have returned. */
  connection: [connection: TunnelConnection];
  /** The port was lost. Nobody has to listen. */
  error: [error: SSHTunnelError];
  /** Port, connections and session are gone, whatever ended them. */
  close: [];
}

/** The SSH session, like a Client of ssh2 that is ready; it has nothing for commands, files or other ports. */
export interface TunnelClient extends EventEmitter {
  /**
   * Ends all: gives up the port, closes every connection by the tunnel's `linger` (by default
   * everything is delivered, which takes as long as the local programs take to read), logs off.
   */
  end(): this;
  /** The same, but all connections are reset. */
  destroy(): this;

  on<E extends keyof TunnelClientEvents>(event: E, listener: (...args: TunnelClientEvents[E]) => void): this;
  once<E extends keyof TunnelClientEvents>(event: E, listener: (...args: TunnelClientEvents[E]) => void): this;
}

export interface TunnelClientEvents {
  /** A lost session is up again. (For the first time it was before there was anybody to hear of it.) */
  ready: [];
  /**
   * The session was lost (ERR_SSH_DISCONNECTED): 'close' follows, or with `reconnectOnError` 'ready'
   * when it is up again. Or the SSH server refused to connect to `dstAddr` (ERR_SSH_OPEN_...): the
   * tunnel goes on. Nobody has to listen.
   */
  error: [error: SSHTunnelError];
  /** Comes before 'close'. */
  end: [];
  /** Port, connections and session are gone, whatever ended them. */
  close: [];
}
