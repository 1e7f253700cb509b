// sshtunnel-native/prometheus: the output of examples/metrics.mjs as Prometheus reads it, and wrong arguments.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { metrics } from 'sshtunnel-native/prometheus';

import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { MIB, Target, behaviors, connect } from '../helpers/peers.mjs';
import { ROOT } from '../helpers/process.mjs';
import { parseMetrics } from '../helpers/prometheus.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, withoutForward } from '../helpers/tunnels.mjs';

test('each line is valid Prometheus text format with the expected values', async (t) => {
  const server = await Sshd.start();
  const target = await Target.start(behaviors.echo());
  const home = temporaryFolder('home');
  t.after(() => (home.remove(), Promise.all([server.stop(), target.stop()])));
  mkdirSync(join(home.path, '.ssh'));
  writeFileSync(join(home.path, '.ssh', 'id_ed25519'), server.key.privateKey, { mode: 0o600 });
  writeFileSync(join(home.path, '.ssh', 'known_hosts'), `${server.address} ${server.hostKeys[0].publicKey}\n`);

  const args = ['examples/metrics.mjs', '127.0.0.1', server.port, '127.0.0.1', target.port, 0];
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, HOME: home.path },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const [, localPort] = /^127\.0\.0\.1:(\d+) -> /.exec((await lines.next()).value);
  const { value: url } = await lines.next();
  const label = (name, more = '') => `sshtunnel_${name}{tunnel="127.0.0.1:${target.port}"${more}}`;
  const scrape = async () => {
    const response = await fetch(url);
    assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    return parseMetrics(await response.text());
  };

  const before = await scrape();
  assert.equal(before.get(label('sessions')), 1);
  assert.equal(before.get(label('connections_accepted_total')), 0);
  assert.ok(before.get(label('logon_duration_seconds')) > 0);
  const client = await connect(Number(localPort));
  await client.send(MIB);
  client.end();
  assertIncludes(await client.ended, { bytes: MIB, end: 'FIN' });
  let after;
  do after = await scrape();
  while (after.get(label('connections', ',state="open"')) > 0);
  for (const [name, more, value] of [
    ['connections_ended_total', ',code="OK"', 1],
    ['connections_clean_total', '', 1],
    ['connections_closed_total', ',by="graceful"', 1],
    ['connections_closed_total', ',by="reset"', 0],
    ['forwarded_bytes_total', ',direction="up"', MIB],
    ['forwarded_bytes_total', ',direction="down"', MIB],
    ['dropped_bytes_total', ',direction="down"', 0],
  ]) {
    assert.equal(after.get(label(name, more)), value, name);
  }
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
});

test('tunnels are told apart by their labels, and wrong arguments are named', async (t) => {
  const make = () => withoutForward(t, { host: '127.0.0.1', port: 1, username: 'user' }).tunnel;
  const text = await metrics([
    { tunnel: make(), labels: { tunnel: 'a "b"\\\n' } },
    { tunnel: make(), labels: { tunnel: 'c' } },
    { tunnel: make() },
    { tunnel: make() },
  ]);
  const samples = parseMetrics(text);
  assert.deepEqual(
    [...samples.keys()].filter((name) => name.startsWith('sshtunnel_sessions')),
    ['sshtunnel_sessions{tunnel="a \\"b\\"\\\\\\n"}', 'sshtunnel_sessions{tunnel="c"}', 'sshtunnel_sessions'],
  );
  const tunnel = make();
  for (const [wrong, code, name] of [
    [undefined, 'ERR_INVALID_ARG_TYPE', '"tunnels"'],
    [tunnel, 'ERR_INVALID_ARG_TYPE', '"tunnels"'],
    [[5], 'ERR_INVALID_ARG_TYPE', '"tunnels[0]"'],
    [[{ tunnel }, {}], 'ERR_INVALID_ARG_TYPE', '"tunnels[1].tunnel"'],
    [[{ tunnel, labels: 5 }], 'ERR_INVALID_ARG_TYPE', '"tunnels[0].labels"'],
    [[{ tunnel, labels: { a: 5 } }], 'ERR_INVALID_ARG_TYPE', '"tunnels[0].labels.a"'],
    [[{ tunnel, labels: { 'a-b': '' } }], 'ERR_INVALID_ARG_VALUE', "'tunnels[0].labels'"],
    [[{ tunnel, labels: { __a: '' } }], 'ERR_INVALID_ARG_VALUE', "'tunnels[0].labels'"],
    [[{ tunnel, labels: { state: '' } }], 'ERR_INVALID_ARG_VALUE', "'tunnels[0].labels'"],
  ]) {
    await assert.rejects(metrics(wrong), (error) => {
      assert.ok(error instanceof TypeError);
      assert.equal(error.code, code);
      assert.ok(error.message.includes(name), error.message);
      return true;
    });
  }
});

test('docs/observing.md lists exactly the metrics that there are', () => {
  const read = (...path) => readFileSync(join(ROOT, ...path), 'utf8');
  const names = (text) => new Set(text.match(/\b(?:sshtunnel|process)_[a-z_]+/g));
  const sources = read('lib', 'prometheus.js') + read('lib', 'cli', 'services', 'metrics.js');
  assert.deepEqual(names(read('docs', 'observing.md')), names(sources));
});
