// pgbench, the load tool of PostgreSQL, through a tunnel: no transaction may fail.
//   node scripts/pgbench.mjs [seconds, 30] [clients, 20]
// Beside it, for comparison and nothing else, the same without a tunnel.

import { ensureSshd } from '../__test__/helpers/ensure-sshd.mjs';
import { Postgres, ensureServices } from '../__test__/helpers/services.mjs';
import { setup } from './setup.mjs';

const SCALE = 20; // fewer clients than rows in the table that all of them write to
const [seconds = 30, clients = 20] = process.argv.slice(2).map(Number);

setup();
if (!ensureSshd() || !ensureServices()) process.exit(1);
const { Sshd } = await import('../__test__/helpers/sshd.mjs');
const { SSHTunnel } = await import('../index.js');

const server = await Sshd.start();
const postgres = await Postgres.start();
const tunnel = new SSHTunnel({ ...server.login, forwardHost: '127.0.0.1', forwardPort: postgres.port });
const ends = [];
tunnel.on('disconnected', (end) => ends.push(end));
tunnel.on('error', (error) => console.error(error.message));
await tunnel.promises.startListening();

/** Runs it, shows what it printed, and gives whether all went well. */
async function bench(what, port, args, timeout) {
  const { code, stdout, stderr } = await postgres.pgbench(port, args, timeout);
  console.log(`--- ${what}: exit code ${code}\n${stdout}${code === 0 ? '' : stderr}`);
  return code === 0;
}

const load = ['-n', '-c', String(clients), '-j', '2', '-T', String(seconds)];
const limit = (seconds + 60) * 1000;
const runs = [
  await bench('tables made through the tunnel', tunnel.localPort, ['-i', '-q', '-s', String(SCALE)], 600_000),
  await bench('without a tunnel', postgres.port, load, limit),
  await bench('through the tunnel', tunnel.localPort, load, limit),
];
await tunnel.close();
const bad = ends.filter(({ code, clean }) => code !== 'OK' || !clean);
console.log(`${ends.length} connections, ${bad.length} of them did not end well`);
await Promise.all([server.stop(), postgres.stop()]);
process.exitCode = runs.every(Boolean) && bad.length === 0 ? 0 : 1;
