// The compiled code that the command keeps: where, and where not.

import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { nodeProgram } from '../helpers/npm-programs.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const NAME = 'sshtunnel-native';

const folder = temporaryFolder('compile-cache');
after(folder.remove);
// The oldest versions of Node.js that are supported have no such cache.
const node = `${process.platform}-${process.arch}` === 'linux-x64' ? nodeProgram('24.21.0') : null;
const skip = node === null && 'there is no other Node.js for this machine';

let folders = 0;

/** A new folder for caches, and the one in it that the command would use. */
function caches(mode = 0o700) {
  const base = join(folder.path, String(++folders));
  mkdirSync(base);
  chmodSync(base, mode);
  return { base, own: join(base, NAME) };
}

/** Runs the command once, and gives what Node.js says of its cache. */
async function start(base, env = {}) {
  const { NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE, ...inherited } = process.env;
  const { code, stdout, stderr } = await run(node, [join(ROOT, 'bin', 'sshtunnel.js'), '--version'], {
    cwd: folder.path,
    env: { ...inherited, XDG_CACHE_HOME: base, NODE_DEBUG_NATIVE: 'COMPILE_CACHE', ...env },
  });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^sshtunnel /m);
  return stdout + stderr;
}

test('compiled code is kept in the folder for caches, which is private, and used by the next start', {
  skip,
}, async () => {
  const { base, own } = caches();
  const accepted = /arguments\.js was accepted/;
  assert.doesNotMatch(await start(base), accepted);
  assert.equal(statSync(own).mode & 0o777, 0o700);
  assert.match(await start(base), accepted);
});

test('without XDG_CACHE_HOME it is kept in .cache of the home, if that is there', { skip }, async () => {
  const { base: home } = caches();
  await start(undefined, { HOME: home });
  assert.deepEqual(readdirSync(home), []);
  mkdirSync(join(home, '.cache'), { mode: 0o700 });
  await start(undefined, { HOME: home });
  assert.ok(existsSync(join(home, '.cache', NAME)));
});

test('the settings of Node.js for its cache take precedence', { skip }, async () => {
  const { base, own } = caches();
  const { base: chosen } = caches();
  await start(base, { NODE_COMPILE_CACHE: chosen });
  assert.ok(readdirSync(chosen).length > 0);
  await start(base, { NODE_DISABLE_COMPILE_CACHE: '1' });
  assert.ok(!existsSync(own));
});

test('nothing is kept where others may write', { skip }, async () => {
  for (const mode of [0o720, 0o702]) {
    const { base, own } = caches(mode);
    await start(base);
    assert.ok(!existsSync(own), mode.toString(8));
  }
  const { base, own } = caches();
  mkdirSync(own);
  chmodSync(own, 0o770);
  await start(base);
  assert.deepEqual(readdirSync(own), []);
});

test('nothing is kept in a folder of another user', {
  skip: skip || (process.getuid() !== 0 && 'only root can give a folder away'),
}, async () => {
  const { base, own } = caches();
  chownSync(base, 1, 1);
  await start(base);
  assert.ok(!existsSync(own));
});

test('the command runs where nothing can be kept', { skip }, async () => {
  const { base, own } = caches();
  writeFileSync(own, 'a file');
  await start(base);
  await start(join(base, 'missing'));
  await start('relative');
  assert.deepEqual(readdirSync(base), [NAME]);
  assert.ok(!existsSync(join(folder.path, 'relative')));
});
