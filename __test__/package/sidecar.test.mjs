// The container example: when it is ready, and how it ends on SIGTERM. docs/processes.md describes both.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { WELL, startExample } from '../helpers/example.mjs';
import { makeHome } from '../helpers/home.mjs';
import { KIB, MIB, Target, behaviors, connect, patternHash, refuses } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const home = makeHome([server]);
after(() => (home.remove(), server.stop()));

/** A sidecar in front of a target, and what its probe answers. */
async function start(t, behavior, env) {
  const target = await Target.start(behavior);
  t.after(() => target.stop());
  const example = startExample(t, 'sidecar', {
    env: {
      SSH_HOST: '127.0.0.1',
      SSH_PORT: String(server.port),
      SSH_USER: server.login.username,
      SSH_KEY_FILE: server.key.file,
      SSH_KNOWN_HOSTS: `${home.path}/.ssh/known_hosts`,
      FORWARD_HOST: '127.0.0.1',
      FORWARD_PORT: String(target.port),
      READY_PORT: '0',
      ...env,
    },
  });
  const [, probe] = await example.line(/^probe at port (\d+)$/m);
  return { ...example, answer: (status) => answers(probe, status) };
}

/** Waits for an answer of the probe: its state has no event outside of its process. */
async function answers(port, status) {
  for (;;) {
    const request = http.get({ port, host: '127.0.0.1', agent: false });
    const [response] = await once(request, 'response');
    response.resume();
    if (response.statusCode === status) return;
  }
}

test('the sidecar is ready while it has a session', async (t) => {
  server.freeze();
  t.after(() => server.thaw());
  const it = await start(t, behaviors.echo());
  await it.answer(503);
  server.thaw();
  await it.line(/^ready$/m);
  await it.answer(200);
  await server.halt();
  await it.line(/^.*; again in \d+ ms$/m);
  await it.answer(503);
  await server.restart();
  await it.line(/^ready$/m);
  await it.answer(200);
  it.child.kill('SIGTERM');
  await it.line(/^0 connections finished, 0 were cut$/m);
  assert.deepEqual(await it.exit(), WELL);
});

test('SIGTERM stops accepting and lets open connections finish', async (t) => {
  const it = await start(t, behaviors.echo());
  const port = await it.port();
  const client = await connect(port);
  await client.send(KIB);
  await client.received(KIB);
  it.child.kill('SIGTERM');
  await it.line(/^draining$/m);
  await it.answer(503);
  assert.ok(await refuses(port));
  await client.send(MIB);
  client.end();
  assertIncludes(await client.ended, { bytes: KIB + MIB, end: 'FIN' });
  await it.line(/^1 connections finished, 0 were cut$/m);
  assert.deepEqual(await it.exit(), WELL);
});

test('a connection that does not finish is reset', async (t) => {
  const it = await start(t, behaviors.endless(), { DRAIN_SECONDS: '1', LINGER_SECONDS: '1' });
  const client = await connect(await it.port());
  await client.received(MIB);
  client.stall();
  it.child.kill('SIGTERM');
  await it.line(/^0 connections finished, 1 were cut$/m);
  assert.deepEqual(await it.exit(), WELL);
  const { bytes, sha256, end } = await client.read().ended;
  assert.equal(end, 'ECONNRESET');
  assert.equal(sha256, patternHash(bytes));
});

test('a second signal exits at once', async (t) => {
  const it = await start(t, behaviors.echo(), { DRAIN_SECONDS: '600' });
  const client = await connect(await it.port());
  await client.send(KIB);
  await client.received(KIB);
  it.child.kill('SIGTERM');
  await it.line(/^draining$/m);
  it.child.kill('SIGTERM');
  assertIncludes(await it.exit(), { code: null, signal: 'SIGTERM' });
  assertIncludes(await client.ended, { bytes: KIB, sha256: patternHash(KIB), end: 'ECONNRESET' });
});

test('SIGTERM during connect exits', async (t) => {
  server.freeze();
  t.after(() => server.thaw());
  const it = await start(t, behaviors.echo());
  await it.answer(503);
  it.child.kill('SIGTERM');
  await it.line(/^0 connections finished, 0 were cut$/m);
  assert.deepEqual(await it.exit(), WELL);
});

test('a failed connect exits with an error', async (t) => {
  const it = await start(t, behaviors.echo(), { SSH_KNOWN_HOSTS: '/dev/null' });
  const { code, stderr } = await it.exit();
  assert.equal(code, 1);
  assert.match(stderr, /host key/i);
});
