// A tunnel with an exporter for Prometheus: node examples/metrics.mjs bastion.example 22 db.internal 5432 9464
// serves http://127.0.0.1:9464/metrics in the text format 0.0.4. docs/observing.md says what to watch.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { homedir } from 'node:os';
import { contentType, metrics } from 'sshtunnel-native/prometheus';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [host, port, forwardHost, forwardPort, metricsPort = '9464'] = process.argv.slice(2);

const tunnel = new SSHTunnel({
  host,
  port: Number(port),
  privateKey: readFileSync(`${homedir()}/.ssh/id_ed25519`),
  forwardHost,
  forwardPort: Number(forwardPort),
  reconnect: true,
  keepaliveInterval: 10_000,
});
tunnel.on('error', (error) => console.error(error.message));

// Several tunnels can be in one list, each with labels of its own.
const tunnels = [{ tunnel, labels: { tunnel: `${forwardHost}:${forwardPort}` } }];

const server = http.createServer(async (request, response) => {
  if (request.url !== '/metrics') return response.writeHead(404).end();
  try {
    const text = await metrics(tunnels);
    response.setHeader('Content-Type', contentType).end(text);
  } catch (error) {
    response.writeHead(500).end(error.message);
  }
});

await tunnel.startListening();
server.listen(Number(metricsPort), '127.0.0.1', () => {
  console.log(`127.0.0.1:${tunnel.localPort} -> ${forwardHost}:${forwardPort}`);
  console.log(`http://127.0.0.1:${server.address().port}/metrics`);
});

async function finish() {
  await tunnel.close({ timeout: 5000 });
  server.close();
  server.closeAllConnections();
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, finish);
