// Messages over a TCP connection: IPC and pipes of Node.js do not work between every pair of platforms.

import { deserialize, serialize } from 'node:v8';

/** Each message is a structured clone behind its length. */
export class Messages {
  #socket;
  #received = Buffer.alloc(0);

  constructor(socket, onMessage) {
    this.#socket = socket.setNoDelay();
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      for (;;) {
        if (this.#received.length < 4) return;
        const end = 4 + this.#received.readUInt32BE(0);
        if (this.#received.length < end) return;
        const message = deserialize(this.#received.subarray(4, end));
        this.#received = this.#received.subarray(end);
        onMessage(message);
      }
    });
  }

  send(message) {
    const body = serialize(message);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    this.#socket.write(Buffer.concat([length, body]));
  }
}
