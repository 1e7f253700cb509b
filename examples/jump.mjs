// Through jump hosts: node examples/jump.mjs db.internal 5432 gateway.example:22 server.internal:22
// The last server forwards; those before it are gone through, in this order.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { SSHTunnel } from 'sshtunnel-native';

const [forwardHost, forwardPort, ...servers] = process.argv.slice(2);

const privateKey = readFileSync(`${homedir()}/.ssh/id_ed25519`);
const way = servers.map((place) => {
  const [host, port] = place.split(':');
  return { host, port: Number(port), privateKey }; // each has its own: nothing is inherited
});
const server = way.pop();

const tunnel = new SSHTunnel({ ...server, jump: way, forwardHost, forwardPort: Number(forwardPort) });
tunnel.on('error', (error) => console.error(error.message)); // names the jump host, if it was one

await tunnel.promises.startListening();
console.log(`127.0.0.1:${tunnel.localPort} -> ${forwardHost}:${forwardPort} by ${servers.join(', ')}`);
process.once('SIGINT', () => tunnel.close({ timeout: 5000 }));
