// `sshtunnel logs`: what a tunnel in the background has logged.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { echo } from '../helpers/cli.mjs';
import { Manager, answers } from '../helpers/manager.mjs';
import { MIB } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const LINUX = { skip: process.platform !== 'linux' && 'processes are found in /proc' };
const server = await Sshd.start();
after(() => server.stop());

const objects = (text) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

test('logs prints messages with their time and level, and events with -v and --json', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  await manager.up(t, 'db');
  const client = await answers(port);
  client.socket.end();
  await client.ended;
  await manager.run(t, 'down', 'db');

  const { status, stdout } = await manager.run(t, 'logs', 'db');
  assert.equal(status, 0);
  const lines = stdout.split('\n').slice(0, -1);
  for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|ERROR) {4,5}\S/);
  assert.deepEqual(
    lines.map((line) => line.slice(29).replace(/\d{2,}/g, 'N')),
    [
      'The supervisor has started process N.',
      'connected to N.0.0.1:N',
      'everything listens: -L N.0.0.1:N -> N.0.0.1:N',
      'closing',
      'closed',
      'The process has ended: status 0.',
    ],
  );
  assert.match((await manager.run(t, 'logs', '-v', 'db')).stdout, /VERBOSE {2}connection 1: 127\.0\.0\.1:\d+ to 127/);
  assert.equal((await manager.run(t, 'logs', '-n', '1', 'db')).stdout, `${lines.at(-1)}\n`);
  const raw = await manager.run(t, 'logs', '--json', 'db');
  assert.equal(raw.stdout, readFileSync(manager.log('db'), 'utf8'));
  const events = objects(raw.stdout).map(({ event }) => event);
  for (const event of ['ready', 'listening', 'started', 'connection', 'disconnected', 'closing', 'summary', 'ended'])
    assert.ok(events.includes(event), event);
});

test('logs -f follows over the rotation, and the files stay small', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  const port = await manager.profile('db', target);
  mkdirSync(manager.state, { mode: 0o700 });
  const line = (text) =>
    `${JSON.stringify({ time: new Date(0).toISOString(), event: 'message', level: 'INFO', text })}\n`;
  const filler = line('x'.repeat(900));
  writeFileSync(manager.log('db'), filler.repeat(Math.floor(MIB / filler.length)), { mode: 0o600 });
  const follower = manager.start(t, 'logs', '-f', '-v', '-n', '0', 'db');
  const all = manager.start(t, 'logs', '-f', '--json', '-n', '1', 'db');
  await all.says('stdout', /"x+"\}\n/);
  await manager.up(t, 'db');
  await follower.says('stdout', /everything listens/);
  const { size } = statSync(`${manager.log('db')}.1`);
  assert.ok(size <= MIB && size > MIB / 2);
  assert.ok(statSync(manager.log('db')).size < MIB / 2);
  assert.equal(statSync(manager.log('db')).mode & 0o777, 0o600);
  (await answers(port)).socket.destroy();
  await follower.says('stdout', /connection 1: [^]*connection 1: /);
  await manager.run(t, 'down', 'db');
  await follower.says('stdout', /The process has ended/);
  await all.says('stdout', /"ended"/);
  // Every line came once: those of the new file, behind the last one of the old.
  const [first, ...rest] = all.stdout.split(/(?<=\n)/);
  assert.equal(first, filler);
  const files = [`${manager.log('db')}.1`, manager.log('db')].map((file) => readFileSync(file, 'utf8')).join('');
  assert.equal(files.endsWith(filler + rest.join('')), true);
  for (const each of [follower, all]) each.signal('SIGINT');
});

test('what a program of a tunnel prints is in the log', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target, 'ProxyCommand echo a word >&2; exit 3');
  await manager.up(t, 'db');
  const log = objects(readFileSync(manager.log('db'), 'utf8'));
  assert.ok(log.some(({ event, level, text }) => event === 'message' && level === 'ERROR' && text === 'a word'));
});
