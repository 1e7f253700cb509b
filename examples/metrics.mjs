// A tunnel with an exporter for Prometheus: node examples/metrics.mjs bastion.example 22 db.internal 5432 9464
// serves http://127.0.0.1:9464/metrics in the text format 0.0.4. docs/observing.md says what to watch.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { homedir } from 'node:os';
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

/** Returns families of samples: name, type, help, and one sample for each set of labels. */
function families({ sessions, connections: all }) {
  const byCode = Object.entries(all.ended).map(([code, count]) => [{ code }, count]);
  const seconds = (milliseconds) => (milliseconds === undefined ? [] : [[{}, milliseconds / 1000]]);
  return [
    ['sshtunnel_sessions', 'gauge', 'SSH sessions that are up.', [[{}, sessions.up]]],
    ['sshtunnel_logons_total', 'counter', 'Sessions that were established.', [[{}, sessions.logons]]],
    ['sshtunnel_logon_failures_total', 'counter', 'Connection attempts that failed.', [[{}, sessions.logonFailures]]],
    ['sshtunnel_session_losses_total', 'counter', 'Established sessions that disconnected.', [[{}, sessions.losses]]],
    [
      'sshtunnel_reconnect_attempts_total',
      'counter',
      'Attempts to restore a session.',
      [[{}, sessions.reconnectAttempts]],
    ],
    [
      'sshtunnel_logon_duration_seconds',
      'gauge',
      'Duration of the last successful connection attempt.',
      seconds(sessions.logonTime),
    ],
    ['sshtunnel_round_trip_seconds', 'gauge', 'Least recent round trip to the server.', seconds(sessions.roundTrip)],
    [
      'sshtunnel_connections',
      'gauge',
      'Connections that exist.',
      [
        [{ state: 'pending' }, all.pending],
        [{ state: 'open' }, all.open],
      ],
    ],
    ['sshtunnel_connections_accepted_total', 'counter', 'Connections that were accepted.', [[{}, all.accepted]]],
    [
      'sshtunnel_connections_opened_total',
      'counter',
      'Connections that were open from end to end.',
      [[{}, all.opened]],
    ],
    ['sshtunnel_connections_ended_total', 'counter', 'Connections that have ended, by code.', byCode],
    [
      'sshtunnel_connections_clean_total',
      'counter',
      'Connections that ended with every byte delivered.',
      [[{}, all.clean]],
    ],
    [
      'sshtunnel_connections_closed_total',
      'counter',
      'Connections that have ended, by what the local client saw.',
      [
        [{ by: 'graceful' }, all.closedBy.graceful],
        [{ by: 'reset' }, all.closedBy.reset],
      ],
    ],
    [
      'sshtunnel_linger_expirations_total',
      'counter',
      'Connections whose linger time expired.',
      [[{}, all.lingerExpired]],
    ],
    [
      'sshtunnel_forwarded_bytes_total',
      'counter',
      'Bytes that were delivered.',
      [
        [{ direction: 'up' }, all.bytesUp],
        [{ direction: 'down' }, all.bytesDown],
      ],
    ],
    [
      'sshtunnel_dropped_bytes_total',
      'counter',
      'Bytes that were received from one side and not delivered to the other.',
      [
        [{ direction: 'up' }, all.droppedUp],
        [{ direction: 'down' }, all.droppedDown],
      ],
    ],
    [
      'sshtunnel_unconfirmed_bytes_total',
      'counter',
      'Bytes that may or may not have been delivered: the system did not tell.',
      [[{ direction: 'down' }, all.unconfirmedDown]],
    ],
  ];
}

const escaped = (text) => text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n');

/** Formats one family as text; `common` has the labels of this tunnel. */
function print([name, type, help, samples], common) {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries({ ...common, ...labels }).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}{${pairs.join(',')}} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

const server = http.createServer(async (request, response) => {
  if (request.url !== '/metrics') return response.writeHead(404).end();
  try {
    const common = { tunnel: `${forwardHost}:${forwardPort}` };
    const text = families(await tunnel.stats())
      .map((family) => print(family, common))
      .join('');
    response.setHeader('Content-Type', 'text/plain; version=0.0.4; charset=utf-8').end(text);
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
