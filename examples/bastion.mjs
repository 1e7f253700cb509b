// A server behind any number of jump hosts:
//   node examples/bastion.mjs db.internal 5432 me@bastion.example:22 me@inner.internal:22
// The last one forwards; the others are its jump hosts, in this order. Ctrl-C ends it.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [forwardHost, forwardPort, ...servers] = process.argv.slice(2);

const privateKey = readFileSync(`${homedir()}/.ssh/id_ed25519`);
const way = servers.map((place) => {
  const [, username, host, port] = /^(?:(.*)@)?(.*):(\d+)$/.exec(place);
  // Each has its own user, credentials and host key; nothing is inherited. A hop that disappears silently is
  // noticed by the keepalive of the session behind it; its own keepalive tells which hop it was.
  return { host, port: Number(port), username, privateKey, keepaliveInterval: 10_000 };
});
const server = way.pop();

const tunnel = new SSHTunnel({
  ...server,
  jump: way,
  forwardHost,
  forwardPort: Number(forwardPort),
  reconnect: true, // also if a hop disconnects: the whole path is restored
});
tunnel.on('reconnecting', ({ error, delay }) => console.log(`${error.message}; again in ${delay} ms`));
tunnel.on('ready', () => console.log('connected'));
tunnel.on('error', (error) => console.error(error.message)); // names the jump host, if one failed

await tunnel.startListening();
console.log(`127.0.0.1:${tunnel.localPort} -> ${forwardHost}:${forwardPort} by ${servers.join(', ')}`);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => tunnel.close({ timeout: 5000 }));
