// A tunnel in a process of its own, for a container or a service. It is configured by its environment:
//   SSH_HOST, SSH_PORT (22), SSH_USER, SSH_KEY_FILE, SSH_KNOWN_HOSTS   the SSH server
//   FORWARD_HOST, FORWARD_PORT, LOCAL_PORT                             the target, and the local port
//   READY_PORT (8086)                   returns 200 while connections are forwarded, otherwise 503
//   DRAIN_SECONDS (20), LINGER_SECONDS (5)   how long connections have after SIGTERM, see finish()

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { SSHTunnel } from 'sshtunnel-native/promises';

const { env } = process;
const seconds = (name, usual) => Number(env[name] ?? usual);

const tunnel = new SSHTunnel({
  host: env.SSH_HOST,
  port: Number(env.SSH_PORT ?? 22),
  username: env.SSH_USER,
  privateKey: readFileSync(env.SSH_KEY_FILE),
  knownHosts: env.SSH_KNOWN_HOSTS,
  localPort: Number(env.LOCAL_PORT ?? 0),
  forwardHost: env.FORWARD_HOST,
  forwardPort: Number(env.FORWARD_PORT),
  linger: { l_onoff: 1, l_linger: seconds('LINGER_SECONDS', 5) },
  keepaliveInterval: 10_000,
  reconnect: true,
});

let connected = false;
tunnel.on('ready', () => {
  connected = true;
  console.log('ready');
});
tunnel.on('reconnecting', ({ error, delay }) => {
  connected = false;
  console.log(`${error.message}; again in ${delay} ms`);
});
tunnel.on('error', (error) => fail(error)); // not restored: the service manager starts the process again
tunnel.on('close', () => probe.close());

// On all addresses, because probes come from outside of the container.
const probe = http.createServer((request, response) => {
  response.writeHead(connected && tunnel.listening ? 200 : 503).end();
});
probe.listen(Number(env.READY_PORT ?? 8086), () => console.log(`probe at port ${probe.address().port}`));

function fail(error) {
  console.error(error.message);
  process.exitCode = 1;
}

/**
 * Closes the port, lets connections end by themselves for DRAIN_SECONDS, and then closes the rest by its
 * Linger, which takes at most LINGER_SECONDS.
 */
async function finish() {
  console.log('draining');
  const ends = await tunnel.close({ timeout: seconds('DRAIN_SECONDS', 20) * 1000 });
  const cut = ends.filter(({ clean }) => !clean).length;
  console.log(`${ends.length - cut} connections finished, ${cut} were cut`);
  probe.close();
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, finish); // the second one kills

try {
  await tunnel.startListening();
  console.log(`127.0.0.1:${tunnel.localPort} -> ${env.FORWARD_HOST}:${env.FORWARD_PORT}`);
} catch (error) {
  // The first connection attempt is not retried. A signal during it is not a failure.
  if (error.code !== 'ERR_TUNNEL_CLOSED') fail(error);
  probe.close();
}
