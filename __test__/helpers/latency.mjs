// A connection to a local server with added latency and full throughput.

import { once } from 'node:events';
import net from 'node:net';

/** Forwards data from `from` after a delay. */
function delay(from, to, milliseconds) {
  const pending = [];
  let timer = null;
  const pass = () => {
    timer = null;
    while (pending.length > 0 && pending[0].due <= performance.now()) {
      const { chunk } = pending.shift();
      if (chunk === null) to.end();
      else to.write(chunk);
    }
    if (pending.length > 0) timer = setTimeout(pass, pending[0].due - performance.now());
  };
  const push = (chunk) => {
    pending.push({ due: performance.now() + milliseconds, chunk });
    if (timer === null) timer = setTimeout(pass, milliseconds);
  };
  from.on('data', push);
  from.on('end', () => push(null));
  from.on('error', () => to.destroy());
  from.on('close', () => {
    if (from.destroyed && !from.readableEnded) to.destroy();
  });
}

export class Distance {
  #server;
  #sockets = new Set();

  /** @param milliseconds that each direction takes */
  static async start(port, milliseconds) {
    const distance = new Distance();
    distance.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const remoteEnd = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      for (const [socket, other] of [
        [near, remoteEnd],
        [remoteEnd, near],
      ]) {
        distance.#sockets.add(socket);
        socket.on('close', () => distance.#sockets.delete(socket));
        delay(socket, other, milliseconds);
      }
    });
    distance.#server.listen(0, '127.0.0.1');
    await once(distance.#server, 'listening');
    distance.port = distance.#server.address().port;
    return distance;
  }

  async stop() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
