import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { SSHTunnel } from 'sshtunnel-native';

const [host, port, forwardHost, forwardPort] = process.argv.slice(2);

const tunnel = new SSHTunnel({
  host, // the SSH server; your known_hosts file has to know its key
  port: Number(port),
  privateKey: readFileSync(`${homedir()}/.ssh/id_ed25519`),
  forwardHost, // where connections go, as the SSH server sees it
  forwardPort: Number(forwardPort),
  linger: { l_onoff: 1, l_linger: 10 }, // close gracefully: all data, then FIN, within 10 seconds
});
tunnel.on('disconnected', ({ connectionId, code, closedBy, bytesUp, bytesDown }) => {
  console.log(`${connectionId}: ${code}, ${closedBy}, ${bytesUp} up, ${bytesDown} down`);
});
tunnel.on('error', (error) => console.error(error.message));

await tunnel.promises.startListening();
console.log(`127.0.0.1:${tunnel.localPort} -> ${forwardHost}:${forwardPort}`);

async function finish() {
  const ends = await tunnel.close({ timeout: 5000 }); // whoever is not done by then is closed
  const cut = ends.filter(({ clean }) => !clean);
  console.log(`${ends.length - cut.length} connections finished, ${cut.length} were cut`);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, finish);
