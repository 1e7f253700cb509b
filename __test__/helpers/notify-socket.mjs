// The socket of a service manager: receives the datagrams of sd_notify(3). Node.js has no such sockets, so that Python
// listens.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { ensurePackages, findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';

/** Seconds without a datagram that are a line of their own. */
const SILENCE = 0.5;

const SOURCE = `
import json, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1].replace("@", "\\0", 1))
receiver.settimeout(${SILENCE})
print(json.dumps(["listening"]), flush=True)
while True:
    try:
        print(json.dumps(receiver.recv(4096).decode().split("\\n")), flush=True)
    except TimeoutError:
        print(json.dumps(["silence"]), flush=True)
`;

export const hasPython = ensurePackages(['python3'], ['python3']);

export class NotifySocket {
  #lines;
  /** All datagrams so far, each as its lines. @type {string[][]} */
  received = [];

  /** @param {{ abstract?: boolean }} [options] abstract: whether it is a name of Linux, and no file */
  static async start(t, { abstract = false } = {}) {
    const folder = temporaryFolder('notify');
    const socket = new NotifySocket();
    socket.path = abstract ? `@sshtunnel-notify-${process.pid}` : join(folder.path, 'socket');
    const child = spawn(findProgram('python3'), ['-c', SOURCE, socket.path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    t.after(async () => {
      child.kill('SIGKILL');
      await closed;
      folder.remove();
    });
    socket.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    await socket.next('listening');
    return socket;
  }

  /** The next datagram with a line that is the text, or matches. */
  async next(wanted) {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error('the receiver has ended');
      const lines = JSON.parse(value);
      this.received.push(lines);
      if (lines.some((line) => (wanted instanceof RegExp ? wanted.test(line) : line === wanted))) return lines;
    }
  }
}
