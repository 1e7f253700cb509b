// A tunnel with spans of OpenTelemetry on standard output: node examples/opentelemetry.mjs bastion.example 22 db.internal 5432
// Install @opentelemetry/api and @opentelemetry/sdk-trace-node. docs/observing.md lists the spans.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { ConsoleSpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { traceTunnels } from 'sshtunnel-native/opentelemetry';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [host, port, forwardHost, forwardPort] = process.argv.slice(2);

const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] });
provider.register();
traceTunnels();

const tunnel = new SSHTunnel({
  host,
  port: Number(port),
  privateKey: readFileSync(`${homedir()}/.ssh/id_ed25519`),
  forwardHost,
  forwardPort: Number(forwardPort),
});
tunnel.on('error', (error) => console.error(error.message));

await tunnel.startListening();
console.log(`127.0.0.1:${tunnel.localPort} -> ${forwardHost}:${forwardPort}`);

process.once('SIGTERM', async () => {
  await tunnel.close({ timeout: 5000 });
  await provider.shutdown();
});
