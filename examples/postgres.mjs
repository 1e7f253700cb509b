// A pool of PostgreSQL connections through a tunnel that restores its session:
//   node examples/postgres.mjs bastion.example 22 db.internal 5432
// PGUSER, PGPASSWORD and PGDATABASE have the user, password and database. Ctrl-C ends it.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [host, port, forwardHost, forwardPort] = process.argv.slice(2);
const CLIENTS = 10;
const ATTEMPTS = 10;

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

// With TLS to the database, add `ssl: { servername: forwardHost }`, the name in its certificate.
const pool = new pg.Pool({ host: '127.0.0.1', port: tunnel.localPort, max: CLIENTS });
// A disconnect also ends idle connections; the pool opens others when it needs them.
pool.on('error', (error) => console.log(`an idle connection: ${error.message}`));

let [asked, answered, repeated, stopping] = [0, 0, 0, false];
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (stopping = true));

/**
 * Repeats a query until the database has answered. It must be safe to execute twice: if the connection is cut
 * before the answer, it is unknown whether the query was executed.
 */
async function query(text, values) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await pool.query(text, values);
    } catch (error) {
      // An error of the database itself is an answer.
      if (error instanceof pg.DatabaseError || attempt === ATTEMPTS) throw error;
      repeated++;
      await setTimeout(attempt * 50);
    }
  }
}

async function work() {
  while (!stopping) {
    const number = ++asked;
    const { rows } = await query('select $1::int as number, pg_sleep(0.01)', [number]);
    if (rows[0].number !== number) throw new Error(`asked for ${number}, got ${rows[0].number}`);
    if (++answered % 500 === 0) console.log(`${answered} answers`);
  }
}

await Promise.all(Array.from({ length: CLIENTS }, work));
await pool.end();
await tunnel.close({ timeout: 5000 });
console.log(`${answered} answers, all of them right; ${repeated} queries were asked again`);
