// Never run: `tsc` reads it. What must not compile stands behind @ts-expect-error.

import { on, once } from 'node:events';

import * as callbacks from 'sshtunnel-native';
import { type Connection, type Forward, SO_LINGER, SSHTunnel, getsockopt } from 'sshtunnel-native/promises';

const { signal } = new AbortController();

async function program() {
  const tunnel = new SSHTunnel({ host: 'bastion', forwardHost: 'db', forwardPort: 5432, signal });
  await tunnel.startListening({ signal });
  const linger: boolean = await tunnel.getLinger();
  await tunnel.setLinger(linger);
  // @ts-expect-error it returns a promise
  const blocking: boolean = tunnel.getLinger();
  // @ts-expect-error no callbacks
  tunnel.setLinger(true, () => {});
  const forward: Forward = await tunnel.forwardLocal({ forwardHost: 'web', forwardPort: 80, signal });
  const { opened } = await forward.stats();
  await forward.stop();
  const socket = await tunnel.dial('cache', 6379, { signal });
  socket.write(String(opened));
  const connections: Connection[] = await tunnel.connections();
  await connections[0]?.setLinger(false);
  tunnel.on('connection', async (connection) => {
    await connection.setLingerOption({ l_onoff: 1, l_linger: 5 });
    const graceful: boolean = await connection.getLinger();
    return graceful;
  });
  tunnel.on('disconnected', ({ clean, droppedUp }) => console.log(clean, droppedUp));
  const [end] = await once(tunnel, 'disconnected');
  for await (const [error] of on(tunnel, 'error')) console.log(error, end);
  const reports = await tunnel.close({ timeout: 1000, signal });
  console.log(reports[0]?.bytesUp, blocking);
  const { l_linger } = await getsockopt(1, SO_LINGER);
  return l_linger;
}

const tunnel = new callbacks.SSHTunnel({ host: 'bastion' });
tunnel.connect({ signal });
tunnel.connect({ signal }, (error) => console.log(error?.code));
tunnel.startListening(undefined, (error) => console.log(error?.code));
tunnel.dial({ host: 'h', port: 1, signal });
// @ts-expect-error no signal
tunnel.connect({ signal: true });

export { program };
