// Messages over a TCP connection: IPC and pipes of Node.js do not work between every pair of platforms, and runtimes
// have no other common format.

/** Buffers as Buffer.toJSON() writes them. */
const revive = (_, value) => (value?.type === 'Buffer' ? Buffer.from(value.data) : value);

/** Each message is a line of JSON. */
export class Messages {
  #socket;
  #received = Buffer.alloc(0);

  constructor(socket, onMessage) {
    this.#socket = socket.setNoDelay();
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      for (let end = this.#received.indexOf('\n'); end !== -1; end = this.#received.indexOf('\n')) {
        const message = JSON.parse(this.#received.subarray(0, end).toString(), revive);
        this.#received = this.#received.subarray(end + 1);
        onMessage(message);
      }
    });
  }

  send(message) {
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}
