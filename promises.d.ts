// The API of sshtunnel-native with promises, as node:fs/promises is that of node:fs.

import { EventEmitter } from 'node:events';

import {
  Connection as CallbackConnection,
  ConfigOverrides,
  ConnectionInfo,
  ConnectionPromises,
  Forward as CallbackForward,
  ForwardPromises,
  SSHTunnel as CallbackTunnel,
  SSHTunnelEvents as CallbackEvents,
  SSHTunnelOptions,
  SSHTunnelPromises,
  SocketPromises,
} from './index.js';

export type * from './index.js';
export { SOL_SOCKET, SO_LINGER, SO_DONTLINGER } from './index.js';

/** A connection: its properties as {@link ConnectionInfo}, and its methods as promises. */
export interface Connection extends ConnectionInfo, ConnectionPromises {
  /** The methods of the connection, the same ones. */
  readonly promises: ConnectionPromises;
}

/** A forward, with its methods as promises. */
export interface Forward extends Omit<CallbackForward, keyof ForwardPromises>, ForwardPromises {}

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
  /** Returns the open forwards in the order in which they were opened, without the constructor's own. */
  forwards(): Forward[];
  /** The methods of the tunnel, the same ones. */
  readonly promises: SSHTunnelPromises<Connection, Forward>;
  /** Keeps the process running while the tunnel is up, the default; the opposite of {@link SSHTunnel.unref}. */
  ref(): this;
  /** Lets the process exit while the tunnel is up; its connections are then closed hard. */
  unref(): this;
}

/** The methods that return promises, and the members of {@link CallbackTunnel} that take no callback. */
export interface SSHTunnel
  extends SSHTunnelPromises<Connection, Forward>,
    Omit<CallbackTunnel, keyof EventEmitter | keyof SSHTunnelPromises | 'forwards' | 'promises' | 'ref' | 'unref'> {}

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
