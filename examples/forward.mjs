// One local port, with a report for each connection, and a clean end on a signal:
//   node examples/forward.mjs bastion.example 22 db.internal 5432

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [host, port, forwardHost, forwardPort] = process.argv.slice(2);

const tunnel = new SSHTunnel({
  host, // its host key is checked against ~/.ssh/known_hosts
  port: Number(port),
  privateKey: readFileSync(`${homedir()}/.ssh/id_ed25519`),
  forwardHost, // resolved by the SSH server
  forwardPort: Number(forwardPort),
  linger: { l_onoff: 1, l_linger: 10 }, // all data, then FIN, within 10 seconds; otherwise RST
});
tunnel.on('disconnected', ({ connectionId, code, closedBy, bytesUp, bytesDown }) => {
  console.log(`${connectionId}: ${code}, ${closedBy}, ${bytesUp} up, ${bytesDown} down`);
});
tunnel.on('error', (error) => console.error(error.message));

await tunnel.startListening();
console.log(`127.0.0.1:${tunnel.localPort} -> ${forwardHost}:${forwardPort}`);

async function finish() {
  const ends = await tunnel.close({ timeout: 5000 }); // connections have 5 seconds to finish
  const cut = ends.filter(({ clean }) => !clean);
  console.log(`${ends.length - cut.length} connections finished, ${cut.length} were cut`);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, finish);
