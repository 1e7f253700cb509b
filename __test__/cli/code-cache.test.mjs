// The compiled code that the command of a package keeps: when, where, and where not.

import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after } from 'node:test';

import { stageCommand } from '../../bench/harness/command.mjs';
import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const require = createRequire(import.meta.url);
const NAME = 'sshtunnel-native';
const UNIX = { skip: process.platform === 'win32' && 'there are no modes of files' };

const folder = temporaryFolder('code-cache');
const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove(), folder.remove()]));

const { file: command } = await stageCommand(folder.at('package'));
const { runCached } = require(join(command, '..', '..', 'dist', 'cli', 'code-cache.js'));

let folders = 0;

/** A new folder for caches, and the one in it that the command would use. */
function caches(mode = 0o700) {
  const base = folder.at(String(++folders));
  mkdirSync(base);
  chmodSync(base, mode);
  return { base, own: join(base, NAME) };
}

const environment = (base, env = {}) => ({
  NODE_DISABLE_COMPILE_CACHE: '',
  NODE_COMPILE_CACHE: '',
  XDG_CACHE_HOME: base,
  ...env,
});

/** Relays a text with the command. */
async function relay(t, env) {
  const target = await echo(t);
  const child = setting.start(t, ['-W', `127.0.0.1:${target.port}`], { command, env, stdin: 'pipe' });
  child.child.stdin.end('there and back');
  assert.deepEqual(await child.end(), { status: 0, stdout: 'there and back', stderr: '' });
}

/** The one file in a folder. */
function only(path) {
  const names = readdirSync(path);
  assert.equal(names.length, 1, names.join());
  return join(path, names[0]);
}

test('the code of a run is kept in a private folder, and used by the next one', UNIX, async (t) => {
  const { base, own } = caches();
  await relay(t, environment(base));
  assert.equal(statSync(own).mode & 0o777, 0o700);
  const file = only(own);
  const { ino, mode, size } = statSync(file);
  assert.equal(mode & 0o777, 0o600);
  assert.ok(size > 100_000, String(size));
  // What is refused is written again.
  await relay(t, environment(base));
  assert.equal(statSync(only(own)).ino, ino);
});

test('code that Node.js refuses is replaced', UNIX, async (t) => {
  const { base, own } = caches();
  await relay(t, environment(base));
  const file = only(own);
  const code = readFileSync(file);
  for (const damaged of [code.subarray(0, code.length / 2), Buffer.alloc(code.length), Buffer.alloc(0)]) {
    writeFileSync(file, damaged);
    await relay(t, environment(base));
    assert.ok(readFileSync(file).length > code.length / 2);
    assert.notDeepEqual(readFileSync(file), damaged);
  }
});

test('forwards that listen are enough for it to be kept', async (t) => {
  const { base, own } = caches();
  const target = await echo(t);
  const forward = ['-L', `127.0.0.1:0:127.0.0.1:${target.port}`];
  const child = setting.start(t, ['--json', '--no-view', ...forward], { command, env: environment(base) });
  await child.report('listening');
  child.child.kill('SIGTERM');
  await child.exit;
  assert.ok(existsSync(only(own)));
});

test('what does not connect keeps nothing: most of the code has not been compiled', async (t) => {
  const { base, own } = caches();
  await Cli.start(t, ['--version'], { command, env: environment(base) }).end();
  await Cli.start(t, ['-F', 'none', '-G', 'host'], { command, env: environment(base) }).end();
  assert.deepEqual(readdirSync(own), []);
});

test('code of another version of the file is removed, and not used', () => {
  const { base, own } = caches();
  const path = join(base, 'module.js');
  const load = (identity, value) => {
    writeFileSync(path, `// ${identity}\n'use strict'; exports.value = () => ${value}; exports.file = __filename;`);
    const { exports, keep } = runCached(path);
    assert.deepEqual([exports.value(), exports.file], [value, path]);
    keep();
  };
  const { XDG_CACHE_HOME, NODE_DISABLE_COMPILE_CACHE } = process.env;
  Object.assign(process.env, environment(base));
  try {
    load('a1', 1);
    const first = only(own);
    // As long as the first one.
    load('b2', 2);
    assert.notEqual(only(own), first);
    // Without a name, nothing is kept.
    load('', 3);
    assert.ok(only(own).includes('b2'));
  } finally {
    Object.assign(process.env, { XDG_CACHE_HOME, NODE_DISABLE_COMPILE_CACHE });
    if (XDG_CACHE_HOME === undefined) delete process.env.XDG_CACHE_HOME;
    if (NODE_DISABLE_COMPILE_CACHE === undefined) delete process.env.NODE_DISABLE_COMPILE_CACHE;
  }
});

test('without XDG_CACHE_HOME it is kept in .cache of the home, if that is there', {
  skip: process.platform !== 'linux' && 'other systems have another folder',
}, async (t) => {
  const { base: home } = caches();
  await relay(t, environment('', { HOME: home }));
  assert.deepEqual(readdirSync(home), []);
  mkdirSync(join(home, '.cache'), { mode: 0o700 });
  await relay(t, environment('', { HOME: home }));
  assert.ok(existsSync(only(join(home, '.cache', NAME))));
});

test('the settings of Node.js for its cache apply', async (t) => {
  const { base, own } = caches();
  const { base: chosen } = caches();
  await relay(t, environment(base, { NODE_COMPILE_CACHE: chosen }));
  assert.ok(existsSync(only(join(chosen, NAME))));
  await relay(t, environment(base, { NODE_DISABLE_COMPILE_CACHE: '1' }));
  assert.ok(!existsSync(own));
});

test('nothing is kept where others may write', UNIX, async (t) => {
  for (const mode of [0o720, 0o702]) {
    const { base, own } = caches(mode);
    await relay(t, environment(base));
    assert.ok(!existsSync(own), mode.toString(8));
  }
  const { base, own } = caches();
  mkdirSync(own);
  chmodSync(own, 0o770);
  await relay(t, environment(base));
  assert.deepEqual(readdirSync(own), []);
});

test('nothing is kept in a folder of another user', {
  skip: UNIX.skip || (process.getuid() !== 0 && 'only root can give a folder away'),
}, async (t) => {
  const { base, own } = caches();
  chownSync(base, 1, 1);
  await relay(t, environment(base));
  assert.ok(!existsSync(own));
});

test('the command runs where nothing can be kept', async (t) => {
  const { base, own } = caches();
  writeFileSync(own, 'a file');
  await relay(t, environment(base));
  await relay(t, environment(join(base, 'missing')));
  await relay(t, environment('relative'));
  assert.deepEqual(readdirSync(base), [NAME]);
  assert.ok(!existsSync('relative'));
});
