// Many of what a program can have: forwards of one tunnel, or tunnels.

import { answer } from '../../__test__/helpers/process.mjs';
import { SSHTunnel } from '../../index.js';

const AT_ONCE = 8; // tunnels that connect at a time: sshd refuses some from 10 on, unless told otherwise

const used = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000; // ms
};

/** Milliseconds that it takes, and milliseconds of the processor. */
async function timed(work) {
  const [began, before] = [performance.now(), used()];
  await work();
  return { wall: performance.now() - began, processor: used() - before };
}

let measured;

answer({
  /** The statistics of that tunnel. */
  stats: () => measured.promises.stats(),

  /** Opens a number of them; the port is that of one in the middle. The first session is not counted, unless it is all there is. */
  async open({ forwards, tunnels, host, port, username, privateKey, hostKey, kex, cipher, sessions, target }) {
    const forward = { forwardHost: '127.0.0.1', forwardPort: target };
    const algorithms = { kex: [kex], cipher: [cipher] };
    const options = { host, port, username, privateKey, hostKey, algorithms, sessions, ...forward };
    const make = () => new SSHTunnel(options).on('error', (error) => console.error(error.message));

    if (forwards !== undefined) {
      const tunnel = make();
      await tunnel.promises.connect();
      const ports = [];
      const setup = await timed(async () => {
        const started = Array.from({ length: forwards }, () => tunnel.promises.forwardLocal(forward));
        for (const { localPort } of await Promise.all(started)) ports.push(localPort);
      });
      return { port: ports[forwards >> 1], setup };
    }

    const ports = [];
    const setup = await timed(async () => {
      while (ports.length < tunnels) {
        const some = Array.from({ length: Math.min(AT_ONCE, tunnels - ports.length) }, make);
        await Promise.all(some.map((tunnel) => tunnel.promises.startListening()));
        for (const tunnel of some) ports.push(tunnel.localPort);
        measured = some.at(-1);
      }
    });
    return { port: ports[tunnels >> 1], setup };
  },
});
