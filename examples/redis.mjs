// A Redis client through a tunnel that restores its session:
//   node examples/redis.mjs bastion.example 22 redis.internal 6379
// REDIS_PASSWORD has the password. Ctrl-C ends it.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { createClient } from 'redis';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [host, port, forwardHost, forwardPort] = process.argv.slice(2);
const KEY = 'sshtunnel-native:example';
const AT_ONCE = 10;

const tunnel = new SSHTunnel({
  host,
  port: Number(port),
  privateKey: readFileSync(`${homedir()}/.ssh/id_ed25519`),
  forwardHost,
  forwardPort: Number(forwardPort),
  keepaliveInterval: 10_000, // notices a server that disappears silently
  reconnect: true, // the local port stays bound, and new connections wait for the next session
});
tunnel.on('ready', () => console.log('connected'));
tunnel.on('reconnecting', ({ error, delay }) => console.log(`${error.message}; again in ${delay} ms`));
tunnel.on('error', (error) => console.error(error.message));
await tunnel.startListening();

const client = createClient({
  socket: { host: '127.0.0.1', port: tunnel.localPort },
  password: process.env.REDIS_PASSWORD,
});
client.on('error', (error) => console.log(`Redis: ${error.message}`)); // it reconnects by itself
await client.connect();
await client.del(KEY);

let [counted, failed, stopping] = [0, 0, false];
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (stopping = true));

async function work() {
  while (!stopping) {
    try {
      await client.incr(KEY);
      if (++counted % 5000 === 0) console.log(`counted to ${counted}`);
    } catch {
      // The connection was cut before or after Redis has executed it. Repeating it could count twice.
      failed++;
    }
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
const value = await client.getDel(KEY);
await client.close();
await tunnel.close({ timeout: 5000 });
console.log(`${counted} confirmed, ${failed} lost, and Redis has ${value}`);
