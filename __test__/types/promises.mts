// Never run: `tsc` reads it. What must not compile stands behind @ts-expect-error.

import { on, once } from 'node:events';

import * as callbacks from 'sshtunnel-native';
import {
  type Callback,
  type Connection,
  type Forward,
  SO_LINGER,
  type SSHTunnelOptions,
  SSHTunnel,
  type SessionsOptions,
  type TunnelSocket,
  getsockopt,
} from 'sshtunnel-native/promises';

const { signal } = new AbortController();

const sessions: SessionsOptions = { max: 4 };
const options: SSHTunnelOptions = { host: 'bastion', forwardHost: 'db', forwardPort: 5432, signal, sessions };
export type Unused = Callback<Connection>;

async function program() {
  const tunnel = new SSHTunnel(options);
  await tunnel.startListening({ signal });
  const linger: boolean = await tunnel.getLinger();
  await tunnel.setLinger(linger);
  // @ts-expect-error it returns a promise
  const blocking: boolean = tunnel.getLinger();
  // @ts-expect-error no callbacks
  tunnel.setLinger(true, () => {});
  const forward: Forward = await tunnel.forwardLocal({ forwardHost: 'web', forwardPort: 80, signal });
  const { opened } = await forward.stats();
  const disposable: AsyncDisposable[] = [forward, tunnel];
  await forward.stop();
  const socket = await tunnel.dial('cache', 6379, { signal });
  socket.write(String(opened));
  const connections: Connection[] = await tunnel.connections();
  await connections[0]?.setLinger(false);
  tunnel.on('connection', async (connection) => {
    await connection.setLingerOption({ l_onoff: 1, l_linger: 5 });
    await connection.setMaxRate((await connection.getMaxRate()).down);
    await connection.setKeepAlive(true, 1000);
    const graceful: boolean = await connection.getLinger();
    return graceful;
  });
  tunnel.on('disconnected', ({ clean, droppedUp }) => console.log(clean, droppedUp));
  const [end] = await once(tunnel, 'disconnected');
  for await (const [error] of on(tunnel, 'error')) console.log(error, end);
  const reports = await tunnel.close({ timeout: 1000, signal });
  console.log(reports[0]?.bytesUp, blocking);
  // What takes no callback is as in sshtunnel-native.
  const state: 'ready' | undefined = tunnel.state === 'ready' ? tunnel.state : undefined;
  // @ts-expect-error read only
  tunnel.listening = true;
  const connectors: (() => TunnelSocket)[] = [tunnel.connector('db', 5432), tunnel.connector({ path: '/run/db' })];
  // @ts-expect-error a target
  tunnel.connector();
  const same: SSHTunnel = tunnel.unref().on('close', () => {});
  const forwards: Forward[] = same.forwards();
  void [state, connectors, forwards, tunnel.localPort, tunnel.configNotices[0]?.line, tunnel.httpAgent(), disposable];
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
