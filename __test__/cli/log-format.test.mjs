// --log-format json: messages as lines of JSON, for collectors of logs.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { AtTerminal, Cli, Setting, hasTerminal } from '../helpers/cli.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const BANNER = '\x1b[31mred\x1b[0m\nsecond line\n';
const LEVELS = ['fatal', 'error', 'info', 'verbose', 'debug1', 'debug2', 'debug3'];

const folder = temporaryFolder('banner');
const banner = join(folder.path, 'banner');
writeFileSync(banner, BANNER);
const server = await Sshd.start({ config: [`Banner ${banner}`] });
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove(), folder.remove()]));

/** The records of a log. Asserts their members. */
function records(text) {
  assert.ok(text === '' || text.endsWith('\n'));
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const { time, level, message, ...others } = JSON.parse(line);
      assert.deepEqual(others, {});
      assert.equal(new Date(time).toISOString(), time);
      assert.ok(LEVELS.includes(level), level);
      assert.equal(typeof message, 'string');
      assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f]/);
      return { level, message };
    });
}

const levels = (all) => new Set(all.map(({ level }) => level));

test('each message is a line with its time, level and text, as far as LogLevel lets it through', async (t) => {
  for (const [flags, expected] of [
    [[], ['info']],
    [
      ['-o', 'LogLevel=VERBOSE'],
      ['info', 'verbose'],
    ],
    [['-vv'], ['info', 'verbose', 'debug1', 'debug2']],
    [['-q'], []],
  ]) {
    const child = setting.start(t, ['--log-format', 'json', '--json', ...flags, '-D', '127.0.0.1:0', '-R', '0']);
    await child.report('listening');
    await child.report('listening');
    child.signal('SIGTERM');
    const { status, stderr } = await child.end();
    assert.equal(status, 0);
    const all = records(stderr);
    assert.deepEqual(
      [...levels(all)].filter((level) => !expected.includes(level)),
      [],
      flags.join(' '),
    );
    if (flags.length === 0) {
      assert.deepEqual(all[0], { level: 'info', message: '?[31mred?[0m\nsecond line' });
      assert.match(all[1].message, /^Allocated port \d+ for remote forward to SOCKS$/);
    }
    if (flags[0] === '-vv') {
      assert.ok(all.some(({ level, message }) => level === 'debug1' && /^Authenticated to /.test(message)));
      assert.ok(!all.some(({ message }) => message.startsWith('debug')));
    }
  }
});

test('-E has the lines in its file, without the banner, and failures are lines, too', async (t) => {
  const log = setting.file('log', '');
  const args = ['--log-format=json', '-E', log, '-i', '/nowhere', '-D', '127.0.0.1:0'];
  const refused = await setting.start(t, args, { knownHosts: '/dev/null' }).end();
  assert.equal(refused.status, 255);
  assert.deepEqual(records(refused.stderr), [
    { level: 'info', message: 'Warning: Identity file /nowhere not accessible: No such file or directory.' },
  ]);
  const all = records(readFileSync(log, 'utf8'));
  assert.deepEqual(all.at(-1), { level: 'fatal', message: 'Host key verification failed.' });

  const wrong = setting.file('config', 'Port what\n');
  const config = await Cli.start(t, ['--log-format=json', '-F', wrong, 'host']).end();
  assert.equal(config.status, 255);
  const [{ level, message }] = records(config.stderr);
  assert.equal(level, 'fatal');
  assert.match(message, /^sshtunnel: .*config.*what/);
});

test('there is no view, and another format is refused', { skip: !hasTerminal && 'no terminal' }, async (t) => {
  const args = ['--log-format', 'json', '-v', '-D', '127.0.0.1:0', ...setting.options(), '127.0.0.1'];
  const terminal = AtTerminal.start(t, args);
  await terminal.sees(/"message":"1 of 1 forwardings are open\."/);
  terminal.type('\x03');
  await terminal.sees(/status 0/);
  assert.ok(!terminal.stdout.includes('\x1b['));
  const other = await Cli.start(t, ['--log-format', 'xml', 'host']).end();
  assert.deepEqual([other.status, other.stderr], [255, 'sshtunnel: --log-format requires text or json\n']);
});
