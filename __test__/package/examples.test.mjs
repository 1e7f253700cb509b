// README.md, the examples and the demonstration do what they say.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { WELL, startExample, startProgram } from '../helpers/example.mjs';
import { makeHome } from '../helpers/home.mjs';
import { nodeProgram } from '../helpers/npm-programs.mjs';
import { MIB, Target, behaviors, connect, patternHash, refuses } from '../helpers/peers.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Api, Postgres, Redis } from '../helpers/services.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const [server, gateway] = await Promise.all([Sshd.start(), Sshd.start()]);
const [postgres, redis, api] = await Promise.all([Postgres.start(), Redis.start(), Api.start()]);
const home = makeHome([server, gateway]);
after(() => (home.remove(), Promise.all([server, gateway, postgres, redis, api].map((it) => it.stop()))));

/**
 * Runs the program of a page that contains `text`, with the server of this suite in place of the one that the
 * page names, and further texts replaced. Each text has to occur once.
 */
function startShown(t, page, text, others, { env = {}, node } = {}) {
  const programs = [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^```js\n(.*?)^```/gms)];
  const [[, program], ...more] = programs.filter(([, it]) => it.includes(text) && it.includes("'bastion.example'"));
  assert.equal(more.length, 0);
  const login = { "'bastion.example'": `'127.0.0.1', port: ${server.port}`, "'me'": `'${userInfo().username}'` };
  const replaced = Object.entries({ ...login, ...others }).reduce((result, [from, to]) => {
    assert.equal(result.split(from).length, 2, from);
    return result.replace(from, to);
  }, program);
  return startProgram(t, ['--input-type=module', '--eval', replaced], { HOME: home.path, ...env }, node);
}

const database = (port) => ({ "'db.internal'": `'127.0.0.1'`, 'forwardPort: 5432': `forwardPort: ${port}` });

test('the program with a local port in README.md forwards, and exits on SIGINT', async (t) => {
  const target = await echo(t);
  const example = startShown(t, 'README.md', 'SIGINT', database(target.port));
  const client = await connect(await example.port());
  await client.send(MIB);
  client.end();
  assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  example.child.kill('SIGINT');
  assert.deepEqual(await example.exit(), WELL);
});

for (const page of ['README.md', 'docs/guide.md']) {
  test(`the program with PostgreSQL in ${page} prints its answer and exits`, async (t) => {
    const { PGUSER, PGPASSWORD, PGDATABASE } = postgres.environment;
    const url = `postgres://${PGUSER}:${PGPASSWORD}@127.0.0.1:${postgres.port}/${PGDATABASE}`;
    const example = startShown(t, page, 'pg.Pool', {}, { env: { DATABASE_URL: url } });
    await example.line(/^42$/m);
    assert.deepEqual(await example.exit(), WELL);
  });
}

test('the program with await using in docs/guide.md prints a response and its report, and exits', async (t) => {
  const node = `${process.platform}-${process.arch}` === 'linux-x64' && nodeProgram('24.21.0');
  if (!node) return t.skip('there is no Node.js 24 here');
  const own = await Api.start();
  t.after(() => own.stop());
  const address = { "'api.internal', 8080": `'127.0.0.1', ${own.port}` };
  const example = startShown(t, 'docs/guide.md', 'await using', address, { node });
  await example.line(/^HTTP\/1\.1 200 OK[^]*"answer": 1 \}\nOK \d+$/m);
  assert.deepEqual(await example.exit(), WELL);
});

test('the program with HTTP in docs/guide.md prints its answer and exits', async (t) => {
  const own = await Api.start(); // the other one counts its answers
  t.after(() => own.stop());
  const address = { 'api.internal:8080': `127.0.0.1:${own.port}` };
  const example = startShown(t, 'docs/guide.md', 'tunnel.httpAgent(', address);
  await example.line(/^200 \{.*\}$/m);
  assert.deepEqual(await example.exit(), WELL);
});

/** Runs an example as a user whom the servers authorize. */
function start(t, name, { args = [], env = {} }) {
  return startExample(t, name, { args, env: { HOME: home.path, ...env } });
}

/** An echo target. */
async function echo(t) {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  return target;
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`examples/forward.mjs forwards, reports, and exits with 0 on ${signal}`, async (t) => {
    const target = await echo(t);
    const args = ['127.0.0.1', server.port, '127.0.0.1', target.port];
    const example = start(t, 'forward', { args });
    const { child, line } = example;
    const port = await example.port();
    const [client, other] = [await connect(port), await connect(port)];
    await client.send(MIB);
    client.end();
    assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
    await line(/^\d: OK, graceful, 1048576 up, 1048576 down$/m);
    await other.send(MIB);
    child.kill(signal);
    await other.received(MIB);
    other.end();
    await line(/^[01] connections finished, 0 were cut$/m);
    assert.deepEqual(await example.exit(), WELL);
    assert.ok(await refuses(port));
  });
}

test('the bastion example forwards through a jump host and reconnects', async (t) => {
  const target = await echo(t);
  const { username } = userInfo();
  const places = [`${username}@127.0.0.1:${gateway.port}`, `127.0.0.1:${server.port}`];
  const example = start(t, 'bastion', { args: ['127.0.0.1', target.port, ...places] });
  await example.line(/^connected$/m);
  const port = await example.port();
  const roundTrip = async () => {
    const client = await connect(port);
    await client.send(MIB);
    client.end();
    assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  };
  await roundTrip();
  gateway.killSessions();
  await example.line(new RegExp(`^jump host 127\\.0\\.0\\.1:${gateway.port}: .*; again in \\d+ ms$`, 'm'));
  await example.line(/^connected$/m);
  await roundTrip();
  example.child.kill('SIGINT');
  assert.deepEqual(await example.exit(), WELL);
});

/** Kills the session of a working example twice. It must continue each time, and then exit. */
async function interrupted(example, work) {
  for (let round = 0; round < 2; round++) {
    await example.line(work);
    server.killSessions();
    await example.line(/^.*; again in \d+ ms$/m);
    await example.line(/^connected$/m);
  }
  await example.line(work);
  example.child.kill('SIGTERM');
}

test('the PostgreSQL example repeats queries after a disconnect without wrong results', async (t) => {
  const args = ['127.0.0.1', server.port, '127.0.0.1', postgres.port];
  const example = start(t, 'postgres', { args, env: postgres.environment });
  await example.line(/^connected$/m);
  await interrupted(example, /^\d+ answers$/m);
  const [, repeated] = await example.line(/^\d+ answers, all of them right; (\d+) queries were asked again$/m);
  assert.ok(Number(repeated) > 0, 'nothing was under way');
  assert.deepEqual(await example.exit(), WELL);
});

test('the Redis example counts every confirmed increment after a disconnect', async (t) => {
  const args = ['127.0.0.1', server.port, '127.0.0.1', redis.port];
  const example = start(t, 'redis', { args, env: { REDIS_PASSWORD: redis.password } });
  await example.line(/^connected$/m);
  await interrupted(example, /^counted to \d+$/m);
  const [, ...numbers] = await example.line(/^(\d+) confirmed, (\d+) lost, and Redis has (\d+)$/m);
  const [confirmed, lost, value] = numbers.map(Number);
  assert.ok(lost > 0, 'nothing was under way');
  assert.ok(confirmed <= value && value <= confirmed + lost, `${confirmed} and ${lost}: ${value}`);
  assert.deepEqual(await example.exit(), WELL);
});

test('the HTTP API example repeats requests after a disconnect over few connections', async (t) => {
  const example = start(t, 'api', { args: ['127.0.0.1', server.port, '127.0.0.1', api.port, '/status'] });
  await example.line(/^connected\nHTTP\/1\.1 200 OK$/m);
  await interrupted(example, /^\d+ answers$/m);
  const [, ...numbers] = await example.line(/^(\d+) answers over (\d+) connections; (\d+) were asked for again$/m);
  const [answered, connections, repeated] = numbers.map(Number);
  assert.ok(repeated > 0, 'nothing was under way');
  // The first answer was for the request made by hand, and some for requests that had failed.
  assert.ok(
    answered < api.answers && answered + 1 + repeated >= api.answers,
    `${answered} and ${repeated}: ${api.answers}`,
  );
  // Ten for each of three sessions, and the one.
  assert.ok(connections <= 31, `${connections} connections`);
  assert.deepEqual(await example.exit(), WELL);
});

async function demonstrate(node) {
  const { code, late, stdout, stderr } = await run(node, ['examples/demo.mjs'], { cwd: ROOT, timeout: 60_000 });
  assert.deepEqual({ code, late, stderr }, { code: 0, late: false, stderr: '' }, stdout);
  assert.match(stdout, /SHA-256 at both ends is the same/);
  assert.match(stdout, /graceful .* FIN /);
  assert.match(stdout, /hard .* ECONNRESET /);
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
}

test('the demonstration exits with 0, twice', { timeout: 150_000 }, async () => {
  for (let turn = 0; turn < 2; turn++) await demonstrate(process.execPath);
});

// 24.18 and later report a reset before the close.
for (const version of ['22.23.5', '24.21.0', '26.10.0']) {
  test(`the demonstration exits with 0 in Node.js ${version}`, { timeout: 120_000 }, async (t) => {
    const node = `${process.platform}-${process.arch}` === 'linux-x64' && nodeProgram(version);
    if (!node) return t.skip(`there is no Node.js ${version} here`);
    await demonstrate(node);
  });
}
