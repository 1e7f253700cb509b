// The API of sshtunnel-native with promises, as node:fs/promises is that of node:fs.

import { EventEmitter } from 'node:events';
import { Agent, AgentOptions } from 'node:https';

import {
  Connection as CallbackConnection,
  ConfigNotice,
  ConfigOverrides,
  ConnectionInfo,
  ConnectionPromises,
  DialOptions,
  Forward as CallbackForward,
  ForwardPromises,
  SSHTunnelEvents as CallbackEvents,
  SSHTunnelOptions,
  SSHTunnelPromises,
  SocketPromises,
  TunnelSocket,
} from './index.js';

export type {
  AbortOptions,
  Algorithms,
  AlgorithmList,
  AuthMethod,
  CloseOptions,
  ClosedSocket,
  ConfigNotice,
  ConfigOverrides,
  ConnectionEnd,
  ConnectionInfo,
  ConnectionRequest,
  ConnectionStats,
  DialAbortOptions,
  DialOptions,
  DynamicForwardOptions,
  HostKeyInfo,
  JumpHost,
  Linger,
  LocalForwardOptions,
  PrivateKey,
  Prompt,
  Reconnecting,
  ReconnectOptions,
  RefusedHostKey,
  RekeyOptions,
  RemoteForwardOptions,
  SSHTunnelError,
  SSHTunnelOptions,
  SessionStats,
  ShutdownOptions,
  TCPSocket,
  TunnelSocket,
  TunnelStats,
} from './index.js';
export { SOL_SOCKET, SO_LINGER, SO_DONTLINGER } from './index.js';

/** A connection: its properties as {@link ConnectionInfo}, and its methods as promises. */
export interface Connection extends ConnectionInfo, ConnectionPromises {
  /** The methods of the connection, the same ones. */
  readonly promises: ConnectionPromises;
}

/** A forward, with its methods as promises. */
export interface Forward extends Omit<CallbackForward, keyof ForwardPromises>, ForwardPromises {
  /** Stops the forward, for `await using`. Defined if the runtime has the symbol. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The events of a tunnel with the arguments of their listeners; connections have methods that return promises. */
export type SSHTunnelEvents = {
  [E in keyof CallbackEvents]: CallbackEvents[E] extends [connection: CallbackConnection]
    ? [connection: Connection]
    : CallbackEvents[E];
};

/**
 * An SSH tunnel whose methods return promises. It is the class of the same name of `sshtunnel-native`, and differs from
 * it in nothing else: order, lifetime, delivery and the closing rules are the same. The promises settle independently.
 */
export class SSHTunnel extends EventEmitter<SSHTunnelEvents> {
  /** Creates a tunnel. Connects to nothing, and starts no thread. */
  constructor(options: SSHTunnelOptions);
  /** Creates a tunnel from the user's and the system's ssh_config, without connecting. */
  static fromConfig(host: string, overrides?: ConfigOverrides): SSHTunnel;
  /** The lines of the ssh_config that have no effect on the tunnel, and why. */
  readonly configNotices: readonly ConfigNotice[];
  /**
   * Returns a function that opens a connection and returns its socket at once, whatever its own arguments are. Drivers
   * take it as their `stream`, `socket` or `createConnection`. A bad target throws here.
   */
  connector(host: string, port: number): (...ignored: unknown[]) => TunnelSocket;
  /** Returns a function that opens connections with these options. */
  connector(options: DialOptions): (...ignored: unknown[]) => TunnelSocket;
  /** Returns an agent for `http` and `https` requests through the tunnel. */
  httpAgent(options?: AgentOptions): Agent;
  /** Returns the open forwards in the order in which they were opened, without the constructor's own. */
  forwards(): Forward[];
  /**
   * What the tunnel is doing:
   *
   * - `'idle'`: It was never up.
   * - `'connecting'`: It connects, for the first time or after it was closed.
   * - `'ready'`: A session is up.
   * - `'reconnecting'`: The session disconnected, and another one is to follow by its option `reconnect`.
   * - `'closing'`: `shutdown()` or `close()` is in progress, or the connections of a session that is not restored end.
   * - `'closed'`: Nothing is up any more. The tunnel can be started again.
   */
  readonly state: 'idle' | 'connecting' | 'ready' | 'reconnecting' | 'closing' | 'closed';
  /** Whether the constructor's local port is bound, also while a disconnected session is being restored. */
  readonly listening: boolean;
  /** The bound local port while the tunnel listens, otherwise the configured one. */
  readonly localPort: number;
  /** The methods of the tunnel, the same ones. */
  readonly promises: SSHTunnelPromises<Connection, Forward>;
  /** Keeps the process running while the tunnel is up, the default. */
  ref(): this;
  /** Lets the process exit while the tunnel is up; its connections are then closed hard. */
  unref(): this;
  /** Closes the tunnel as {@link SSHTunnelPromises.close} without a timeout, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The methods of a tunnel as promises. */
export interface SSHTunnel extends SSHTunnelPromises<Connection, Forward> {}

/** The class {@link SSHTunnel} by the name of the package. */
export const sshtunnel: typeof SSHTunnel;
/** The type {@link SSHTunnel} by the name of the package. */
export type sshtunnel = SSHTunnel;

/** Returns an option of a socket, as the function of the same name of `sshtunnel-native`. */
export const getsockopt: SocketPromises['getsockopt'];
/** Sets an option of a socket, as the function of the same name of `sshtunnel-native`. */
export const setsockopt: SocketPromises['setsockopt'];
/** Closes a socket by its Linger, as the function of the same name of `sshtunnel-native`. */
export const closesocket: SocketPromises['closesocket'];
