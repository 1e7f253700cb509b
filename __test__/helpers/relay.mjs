// A proxy between a tunnel and an SSH server: it records packets and can hold, change or insert them.

import { once } from 'node:events';
import net from 'node:net';

import { NEWKEYS, clearPacket, message } from './messages.mjs';

const TAG = 16; // bytes behind a packet of AES-GCM

/** Restricts a tunnel to the cipher whose packets can be separated without keys. */
export const READABLE = { cipher: ['aes256-gcm@openssh.com'] };

/**
 * The items of one direction: the identification with what precedes it, then packet after packet.
 * Up to NEWKEYS an item is known by the number of its message, later ones as 'sealed'.
 */
class Splitter {
  #bytes = Buffer.alloc(0);
  #identified = false;
  #sealed = false;

  *push(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (let item; (item = this.#next()); ) {
      this.#bytes = this.#bytes.subarray(item.bytes.length);
      yield item;
    }
  }

  #next() {
    if (!this.#identified) {
      const line = /^(?:[^\n]*\n)*?SSH-[^\n]*\n/.exec(this.#bytes.toString('latin1'));
      if (!line) return undefined;
      this.#identified = true;
      return { name: 'identification', bytes: this.#bytes.subarray(0, line[0].length) };
    }
    if (this.#bytes.length < 6) return undefined;
    const length = 4 + this.#bytes.readUInt32BE() + (this.#sealed ? TAG : 0);
    if (this.#bytes.length < length) return undefined;
    const name = this.#sealed ? 'sealed' : this.#bytes[5];
    this.#sealed ||= name === NEWKEYS;
    return { name, bytes: Buffer.from(this.#bytes.subarray(0, length)) };
  }
}

/** A KEXINIT item with its ten lists changed. */
export function changeKexInit({ bytes }, change) {
  const payload = bytes.subarray(5, bytes.length - bytes[4]);
  const lists = [];
  let at = 17; // behind the number and the cookie
  for (; lists.length < 10; at += 4 + payload.readUInt32BE(at)) {
    lists.push(payload.toString('latin1', at + 4, at + 4 + payload.readUInt32BE(at)));
  }
  return clearPacket(message(payload[0], payload.subarray(1, 17), ...change(lists), payload.subarray(at)));
}

/** A proxy for a real server. */
export class Relay {
  /** The names of the items of each direction, in order. */
  toServer = [];
  toClient = [];
  /** Bytes that came from either side. */
  fromClient = 0;
  fromServer = 0;
  #sockets = new Set();

  /**
   * @param port of the server, on this machine
   * @param change gets each item of the server's and its place in the order, and returns what the
   *   tunnel gets instead: bytes, or null to hold this and everything after it
   */
  static async start(port, change = ({ bytes }) => bytes) {
    const relay = new Relay();
    relay.server = net.createServer((client) => relay.#serve(client, port, change));
    relay.server.listen(0, '127.0.0.1');
    await once(relay.server, 'listening');
    relay.port = relay.server.address().port;
    return relay;
  }

  #serve(client, port, change) {
    const server = net.connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ]) {
      this.#sockets.add(socket);
      socket.setNoDelay();
      socket.on('error', () => {});
      socket.on('end', () => other.end());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroySoon();
      });
    }
    const up = new Splitter();
    client.on('data', (chunk) => {
      this.fromClient += chunk.length;
      for (const { name } of up.push(chunk)) this.toServer.push(name);
      server.write(chunk);
    });
    const down = new Splitter();
    let holds = false;
    server.on('data', (chunk) => {
      this.fromServer += chunk.length;
      for (const item of down.push(chunk)) {
        const place = this.toClient.push(item.name) - 1;
        const passed = holds ? null : change(item, place);
        holds ||= passed === null;
        if (!holds) client.write(passed);
      }
    });
  }

  /** Whether anything but the key exchange came from the client. */
  get sawTheUser() {
    return this.toServer.some((name) => name === 'sealed' || name === 5 || name >= 50);
  }

  async stop() {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
