'use strict';

// Loaded when the first one is dialed: streams take longer to load than the rest of a tunnel.
const socketCalls = () => require('./tunnel-socket.js');

/** The sockets of dial() of a tunnel, until their connections have ended. */
class TunnelSockets {
  #handle;
  #ask;
  /** By the numbers of their connections. */
  #sockets = new Map();

  /**
   * @param {number} handle of the tunnel
   * @param {import('./connection.js').Ask} ask
   */
  constructor(handle, ask) {
    this.#handle = handle;
    this.#ask = ask;
  }

  get size() {
    return this.#sockets.size;
  }

  has(connectionId) {
    return this.#sockets.has(connectionId);
  }

  /**
   * @param {any} wanted the target, and the options of the socket
   * @param {import('./abort.js').Abortion | undefined} abortion destroys the socket until it is connected
   */
  dial(wanted, abortion) {
    const socket = socketCalls().dial(this.#handle, wanted, this.#ask);
    this.#sockets.set(socket.connectionId, socket);
    if (abortion === undefined) return socket;
    abortion.follow(() => socket.destroy(abortion.error));
    const settled = () => abortion.stop();
    return socket.once('connect', settled).once('close', settled);
  }

  /** A connection has opened. */
  opened(info) {
    this.#tell(info, 'opened');
  }

  /** A connection has ended. */
  ended(end) {
    this.#tell(end, 'ended');
    this.#sockets.delete(end.connectionId);
  }

  /** A connection gets another Linger. The addon does not learn of it while a destroyed socket still writes. */
  lingerChanged(connectionId, packed) {
    const socket = this.#sockets.get(connectionId);
    if (socket !== undefined) socketCalls().lingerChanged(socket, packed);
  }

  /** @param {'opened' | 'ended'} what */
  #tell(payload, what) {
    const socket = this.#sockets.get(payload.connectionId);
    if (socket !== undefined) socketCalls()[what](socket, payload);
  }
}

module.exports = { TunnelSockets };
