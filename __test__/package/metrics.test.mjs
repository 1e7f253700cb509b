// examples/metrics.mjs: its output as Prometheus reads it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { MIB, Target, behaviors, connect } from '../helpers/peers.mjs';
import { ROOT } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([^{ ]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\d+(?:\.\d+)?(?:e-?\d+)?)$/;

/** The samples by name and labels. Asserts that each line is valid and each family is complete and occurs once. */
function parse(text) {
  assert.ok(text.endsWith('\n'));
  const samples = new Map();
  const types = new Map();
  let family;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, word, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (word === 'HELP') {
      assert.match(name, NAME);
      assert.ok(!types.has(name), `${name} comes twice`);
      family = name;
    } else if (word === 'TYPE') {
      assert.equal(name, family);
      assert.ok(['counter', 'gauge'].includes(rest), line);
      assert.equal(name.endsWith('_total'), rest === 'counter', line);
      types.set(name, rest);
    } else {
      const [, sample, labels, value] = SAMPLE.exec(line) ?? assert.fail(line);
      assert.equal(sample, family);
      const key = `${sample}{${labels}}`;
      assert.ok(!samples.has(key), `${key} comes twice`);
      samples.set(key, Number(value));
    }
  }
  return samples;
}

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
    return parse(await response.text());
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

test('docs/observing.md lists exactly the metrics of the example', () => {
  const example = readFileSync(join(ROOT, 'examples', 'metrics.mjs'), 'utf8');
  const page = readFileSync(join(ROOT, 'docs', 'observing.md'), 'utf8');
  const names = (text) => new Set(text.match(/\bsshtunnel_[a-z_]+/g));
  assert.deepEqual(names(page), names(example));
});
