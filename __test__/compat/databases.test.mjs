// Real databases behind a tunnel whose session is disconnected: pending requests fail, no reply is wrong, and their
// clients continue.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import pg from 'pg';
import { createClient } from 'redis';

import { test } from '../helpers/bounded.mjs';
import { until } from '../helpers/process.mjs';
import { Postgres, Redis } from '../helpers/services.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const [postgres, redis] = await Promise.all([Postgres.start(), Redis.start()]);
const direct = new pg.Client(postgres.login);
await direct.connect();
after(async () => {
  await direct.end();
  await Promise.all([server, postgres, redis].map((it) => it.stop()));
});

const SOON = { initialDelay: 20, maxDelay: 100 };
const CLIENTS = 10;
const SLEEPING = "select count(*)::int as count from pg_stat_activity where query like 'select pg_sleep%'";

async function openTunnel(t, forwardPort) {
  const tunnel = makeTunnel(t, server.login, forwardPort, { reconnect: SOON });
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.startListening();
  await eventLog.next('ready');
  return { tunnel, eventLog };
}

/** A pool through a tunnel, and its clients that are connected. */
function openPool({ tunnel }) {
  const pool = new pg.Pool({ ...postgres.login, port: tunnel.localPort, max: CLIENTS });
  const clients = new Set();
  pool.on('connect', (client) => clients.add(client));
  pool.on('remove', (client) => clients.delete(client));
  pool.on('error', () => {}); // an unused one
  return { pool, clients };
}

async function loseSession(eventLog) {
  server.killSessions();
  await eventLog.next('reconnecting');
  await eventLog.next('ready');
}

/** Sends numbered queries and compares their answers; returns the numbers of the right and the failed ones. */
async function ask(numbers, question) {
  const [right, failed] = [[], []];
  await Promise.all(
    numbers.map(async (number) => {
      try {
        assert.deepEqual(await question(number), number);
        right.push(number);
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        failed.push(number);
      }
    }),
  );
  return { right: right.sort((a, b) => a - b), failed: failed.sort((a, b) => a - b) };
}

const range = (count, first = 1) => Array.from({ length: count }, (_, at) => first + at);

test('a disconnect fails only the pending queries of a pool', async (t) => {
  const { tunnel, eventLog } = await openTunnel(t, postgres.port);
  const { pool } = openPool({ tunnel });
  // All of them wait for a lock: CLIENTS at the database, the others for a client.
  const LOCK = 7;
  await direct.query('select pg_advisory_lock($1)', [LOCK]);
  const asking = ask(range(5 * CLIENTS), async (number) => {
    const { rows } = await pool.query('select $1::int as number, pg_advisory_xact_lock_shared($2)', [number, LOCK]);
    return rows[0].number;
  });
  const waiting = `select count(*)::int as count from pg_locks where locktype = 'advisory' and not granted`;
  await until(async () => (await direct.query(waiting)).rows[0].count === CLIENTS);
  await loseSession(eventLog);
  await direct.query('select pg_advisory_unlock($1)', [LOCK]);
  assert.deepEqual(await asking, { right: range(4 * CLIENTS, CLIENTS + 1), failed: range(CLIENTS) });
  assert.equal(pool.totalCount, CLIENTS);
  await pool.end();
  for (let count = 0; count < CLIENTS; count++) {
    const cut = { code: 'ERR_SSH_DISCONNECTED', clean: false, closedBy: 'reset' };
    assertIncludes(await eventLog.next('disconnected'), cut);
  }
});

test('repeated disconnects during writes lose and repeat no confirmed row', {
  timeout: 60_000,
}, async (t) => {
  const { tunnel, eventLog } = await openTunnel(t, postgres.port);
  const { pool, clients } = openPool({ tunnel });
  await direct.query('create table written (number int primary key, text text)');
  const LOSSES = 3;
  let [number, going] = [0, true];
  const written = { right: [], failed: [] };
  // More queries than clients, so that no client is idle.
  const writers = range(2 * CLIENTS).map(async () => {
    while (going) {
      const { right, failed } = await ask([++number], async (mine) => {
        const text = String(mine).repeat(500);
        const { rows } = await pool.query('insert into written values ($1, $2) returning *', [mine, text]);
        assert.equal(rows[0].text, text);
        return rows[0].number;
      });
      written.right.push(...right);
      written.failed.push(...failed);
    }
  });
  for (let loss = 1; loss <= LOSSES; loss++) {
    await until(() => clients.size === CLIENTS);
    const before = written.right.length;
    await loseSession(eventLog);
    await until(() => written.right.length > before + 100);
  }
  going = false;
  await Promise.all(writers);
  await pool.end();
  const { right, failed } = written;
  t.diagnostic(`${right.length} confirmed, ${failed.length} lost with ${LOSSES} sessions`);
  assert.ok(failed.length >= LOSSES && failed.length <= LOSSES * CLIENTS, `${failed.length} were lost`);
  const { rows } = await direct.query('select number from written');
  const found = new Set(rows.map((row) => row.number));
  assert.deepEqual(
    right.filter((mine) => !found.has(mine)),
    [],
    'confirmed, and not there',
  );
  const known = new Set([...right, ...failed]);
  assert.deepEqual(
    [...found].filter((mine) => !known.has(mine)),
    [],
    'there, and never asked for',
  );
});

test('a pool over dial() uses no local port, and each client ends cleanly', async (t) => {
  const { tunnel, eventLog } = withoutForward(t, server.login);
  // The pool's host and port would be those of no server.
  const stream = () => tunnel.dial('127.0.0.1', postgres.port);
  const pool = new pg.Pool({ ...postgres.login, host: 'no.such.host.invalid', port: 1, max: CLIENTS, stream });
  const { right, failed } = await ask(range(200), async (number) => {
    const { rows } = await pool.query('select $1::int as number, repeat($2, 10000) as text', [number, String(number)]);
    assert.equal(rows[0].text, String(number).repeat(10_000));
    return rows[0].number;
  });
  assert.deepEqual([right, failed], [range(200), []]);
  assert.deepEqual(await tunnel.promises.connections().then((all) => all.map(({ forwardId }) => forwardId)), [
    ...Array(pool.totalCount).fill(-1),
  ]);
  // A pending query of each client.
  const waiting = ask(range(CLIENTS), async () => (await pool.query('select pg_sleep(60)')).rows.length);
  await until(async () => (await direct.query(SLEEPING)).rows[0].count === CLIENTS);
  server.killSessions();
  assert.deepEqual(await waiting, { right: [], failed: range(CLIENTS) });
  for (let count = 0; count < CLIENTS; count++) await eventLog.next('disconnected');
  await eventLog.next('close');
  // The next query connects again.
  const { rows } = await pool.query('select 7 as number');
  assert.equal(rows[0].number, 7);
  await pool.end();
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true, closedBy: 'graceful' });
});

test('pgbench with 20 clients completes every transaction and closes every connection cleanly', {
  timeout: 60_000,
}, async (t) => {
  const { tunnel, eventLog } = await openTunnel(t, postgres.port);
  const made = await postgres.pgbench(tunnel.localPort, ['-i', '-q']);
  assert.equal(made.code, 0, made.stderr);
  const { code, stdout, stderr } = await postgres.pgbench(tunnel.localPort, ['-n', '-c', '20', '-j', '2', '-T', '3']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^number of failed transactions: 0 \(0\.000%\)$/m);
  const [, count] = /^number of transactions actually processed: (\d+)$/m.exec(stdout);
  t.diagnostic(`${count} transactions`);
  assert.ok(Number(count) >= 20);
  await tunnel.close();
  const reports = eventLog.all('disconnected');
  assert.ok(reports.length > 20);
  for (const { code: how, clean } of reports) assert.deepEqual([how, clean], ['OK', true]);
});

test('a Redis client continues after a reconnect without mixing up replies', async (t) => {
  const { tunnel, eventLog } = await openTunnel(t, redis.port);
  const client = createClient({ socket: { host: '127.0.0.1', port: tunnel.localPort }, password: redis.password });
  const complaints = [];
  client.on('error', (error) => complaints.push(error));
  await client.connect();
  const LOSSES = 3;
  let [number, going] = [0, true];
  const answered = { right: 0, failed: 0 };
  const askers = range(50).map(async () => {
    while (going) {
      const { right, failed } = await ask([++number], async (mine) => Number(await client.echo(String(mine))));
      answered.right += right.length;
      answered.failed += failed.length;
    }
  });
  for (let loss = 1; loss <= LOSSES; loss++) {
    const before = answered.right;
    await until(() => answered.right > before + 1000);
    const ready = new Promise((resolve) => client.once('ready', resolve));
    await loseSession(eventLog);
    await ready;
  }
  going = false;
  await Promise.all(askers);
  t.diagnostic(`${answered.right} answers, ${answered.failed} lost with ${LOSSES} sessions`);
  assert.ok(complaints.length >= LOSSES);
  assert.ok(answered.failed <= LOSSES * askers.length, `${answered.failed} were lost`);
  await client.close();
});
