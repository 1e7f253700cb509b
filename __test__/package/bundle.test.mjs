// The command of the package, which is one file in place of its modules.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { pack } from '../../scripts/pack.mjs';
import { test } from '../helpers/bounded.mjs';
import { COMMAND, Cli, Setting, echo } from '../helpers/cli.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { Manager } from '../helpers/manager.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { partsOf } from '../helpers/web.mjs';

const LINUX = { skip: process.platform !== 'linux' && 'processes are found in /proc' };
const folder = temporaryFolder('bundle');
const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove(), folder.remove()]));

const packed = await pack(folder.path);
await run('tar', ['--extract', '--file', packed.main.file, '--directory', folder.path]);
const root = folder.at('package');
symlinkSync(join(ROOT, packed.here.binary), join(root, packed.here.binary));
const command = join(root, 'bin', 'sshtunnel.js');

test('the package has none of the modules', () => {
  assert.ok(existsSync(join(root, 'dist', 'cli', 'index.js')));
  assert.ok(!existsSync(join(root, 'lib', 'cli', 'index.js')));
});

test('it prints what the modules print', async (t) => {
  for (const args of [
    ['--version'],
    ['--help'],
    ['--help', 'all'],
    ['-Q', 'kex'],
    ['-G', '-F', 'none', 'host'],
    ['completion', 'bash'],
    ['completion', 'query', '--', 'sshtunnel', '-o', 'Strict'],
    ['-L', 'nowhere', 'host'],
    ['-o', 'LogLevel=none', 'host'],
    [],
  ]) {
    const [bundled, modules] = await Promise.all(
      [command, COMMAND].map((command) => Cli.start(t, args, { command }).end()),
    );
    assert.ok(bundled.stdout + bundled.stderr !== '', args.join(' '));
    assert.deepEqual(bundled, modules, args.join(' '));
  }
});

test('it relays, and waits for nothing at its end', async (t) => {
  const target = await echo(t);
  const child = setting.start(t, ['-W', `127.0.0.1:${target.port}`], { command, stdin: 'pipe' });
  child.child.stdin.end('there and back');
  assert.deepEqual(await child.end(), { status: 0, stdout: 'there and back', stderr: '' });
});

test('its page has the files of the package', async (t) => {
  const target = await echo(t);
  const forward = `127.0.0.1:0:127.0.0.1:${target.port}`;
  const child = setting.start(t, ['--json', '--web', '0', '-L', forward], { command });
  const { url } = await child.report('web');
  const response = await fetch(new URL('/page.mjs', `http://127.0.0.1:${partsOf(url).port}`));
  assert.equal(await response.text(), readFileSync(join(ROOT, 'lib', 'cli', 'web', 'page', 'page.mjs'), 'utf8'));
});

test('it starts itself as the supervisor and its tunnels', LINUX, async (t) => {
  const target = await echo(t);
  const manager = Manager.create(t, server);
  await manager.profile('db', target);
  const { status, stdout } = await Cli.start(t, ['up', '-F', manager.config, 'db'], {
    command,
    env: manager.env,
  }).end();
  assert.match(stdout, /^db: up, /);
  assert.equal(status, 0);
  const [{ pid }] = await manager.list(t);
  assert.ok(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(command));
});
