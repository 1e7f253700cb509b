// A tunnel as a process of its own, beside the one that uses it: in a container, or as a service.
// The environment says everything:
//   SSH_HOST, SSH_PORT (22), SSH_USER, SSH_KEY_FILE, SSH_KNOWN_HOSTS   the server
//   FORWARD_HOST, FORWARD_PORT, LOCAL_PORT                             what is behind it, and where it appears
//   READY_PORT (8086)                   answers 200 while connections would be forwarded, else 503
//   DRAIN_SECONDS (20), LINGER_SECONDS (5)   what SIGTERM leaves connections: see finish()

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { SSHTunnel } from 'sshtunnel-native';

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
tunnel.on('error', (error) => fail(error)); // for good: whoever watches this process starts it anew
tunnel.on('close', () => probe.close());

// Not on 127.0.0.1: those who ask are elsewhere. It tells nothing but yes or no.
const probe = http.createServer((request, response) => {
  response.writeHead(connected && tunnel.listening ? 200 : 503).end();
});
probe.listen(Number(env.READY_PORT ?? 8086), () => console.log(`probe at port ${probe.address().port}`));

function fail(error) {
  console.error(error.message);
  process.exitCode = 1;
}

/**
 * Takes no more connections, leaves those that exist DRAIN_SECONDS to end by themselves, and then
 * closes what is left by its Linger, which for one that does not read takes LINGER_SECONDS more.
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
  await tunnel.promises.startListening();
  console.log(`127.0.0.1:${tunnel.localPort} -> ${env.FORWARD_HOST}:${env.FORWARD_PORT}`);
} catch (error) {
  // The first logon is not tried again. A signal while it was under way is no failure.
  if (error.code !== 'ERR_TUNNEL_CLOSED') fail(error);
  probe.close();
}
