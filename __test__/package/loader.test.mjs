// A package without a matching binary: the errors, in incomplete copies and on simulated platforms.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { isOwn, platforms, readManifest } from '../../scripts/packages.mjs';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const folder = temporaryFolder('loader');
after(folder.remove);

const { version } = readManifest();
const OWN = `${process.platform}-${process.arch}`;
const here = platforms().find(isOwn);

const LINUX = { skip: process.platform !== 'linux' && 'one C library only' };

let copies = 0;

/** The package as users have it, without its binary. */
function copy() {
  const path = join(folder.path, String(++copies));
  mkdirSync(path);
  for (const name of ['package.json', 'index.js', 'lib']) {
    cpSync(join(ROOT, name), join(path, name), { recursive: true });
  }
  return path;
}

const TELL = `(error) => console.log(JSON.stringify({ ...error, message: error.message, isError: error instanceof Error, cause: error.cause?.message }))`;

/** Requires a copy in a child process, after `first`; gives the error. */
async function failure(path, { first = '', env = {} } = {}) {
  const source = `${first}; try { require('./index.js'); console.log('null') } catch (error) { (${TELL})(error) }`;
  const { stdout, stderr } = await run(process.execPath, ['--eval', source], {
    cwd: path,
    env: { ...process.env, ...env },
  });
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

const pretend = (values) =>
  Object.entries(values)
    .map(([name, value]) => `Object.defineProperty(process, '${name}', { value: '${value}' })`)
    .join(';');

test('a missing platform package is an error with its name and a remedy', async () => {
  const error = await failure(copy());
  assert.equal(error.code, 'ERR_TUNNEL_NO_BINARY');
  assert.equal(error.isError, true);
  assert.match(
    error.message,
    new RegExp(`on ${process.platform} ${process.arch}, (?:glibc [0-9.]+|musl), Node.js ${process.version}: `),
  );
  assert.ok(error.message.includes(`package sshtunnel-native-${here.name} ${version} is not installed`), error.message);
  assert.ok(error.message.includes("'npm ci && npm run build && npm run pack'"), error.message);
  assert.match(error.cause, new RegExp(`Cannot find module 'sshtunnel-native-${here.name}'`));
});

test('import throws the same error as require', async () => {
  const source = `import('./index.js').then(() => console.log('null'), ${TELL})`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', source], { cwd: copy() });
  assert.equal(JSON.parse(stdout).code, 'ERR_TUNNEL_NO_BINARY');
});

for (const [platform, arch, name] of [
  ['darwin', 'arm64', 'darwin-arm64'],
  ['darwin', 'x64', 'darwin-x64'],
  ['win32', 'x64', 'win32-x64-msvc'],
]) {
  test(`a missing platform package is an error on ${name}`, async () => {
    const error = await failure(copy(), { first: pretend({ platform, arch }) });
    assert.ok(error.message.includes(`on ${platform} ${arch}, Node.js`), error.message);
    assert.ok(error.message.includes(`package sshtunnel-native-${name} ${version} is not installed`), error.message);
  });
}

test('a missing platform package is an error with musl', async () => {
  const first = 'process.report.getReport = () => ({ header: {} })';
  const error = await failure(copy(), { first });
  assert.ok(error.message.includes(`on ${process.platform} ${process.arch}, musl, Node.js`), error.message);
  assert.ok(error.message.includes(`package sshtunnel-native-${OWN}-musl ${version} is not installed`), error.message);
});

for (const [platform, arch] of [
  ['freebsd', 'x64'],
  ['linux', 'riscv64'],
  ['win32', 'ia32'],
]) {
  test(`an unsupported platform is an error that lists the supported ones: ${platform} ${arch}`, async () => {
    const error = await failure(copy(), { first: pretend({ platform, arch }) });
    assert.equal(error.code, 'ERR_TUNNEL_NO_BINARY');
    const [, names] = error.message.match(/there are binaries for (.*) only\./);
    assert.deepEqual(
      names.split(', '),
      platforms().map(({ name }) => name),
      'as package.json has them',
    );
  });
}

test('a binary that fails to load is an error with the cause', async () => {
  const path = copy();
  writeFileSync(join(path, here.binary), 'no executable');
  const error = await failure(path);
  assert.equal(error.code, 'ERR_TUNNEL_NO_BINARY');
  assert.match(error.message, /the one that is installed does not load: .*(too short|invalid ELF|Exec format error)/);
});

test('an environment variable that names no binary is an error with its name', async () => {
  const error = await failure(copy(), { env: { NAPI_RS_NATIVE_LIBRARY_PATH: '/nowhere.node' } });
  assert.match(error.message, /NAPI_RS_NATIVE_LIBRARY_PATH does not lead to one: .*\/nowhere\.node/);
});

test('the same copy loads with its binary', async () => {
  const path = copy();
  cpSync(join(ROOT, here.binary), join(path, here.binary));
  assert.equal(await failure(path), null);
});

// A Node.js for musl may run on a system with glibc, and the other way round: only Node.js itself knows.
for (const [name, header, ldd] of [
  [`${OWN}-musl`, '{}', 'GNU libc'],
  [`${OWN}-gnu`, "{ glibcVersionRuntime: '2.28' }", 'musl libc'],
]) {
  test(`the binary is that of the C library of Node.js, not of /usr/bin/ldd: ${name}`, LINUX, async () => {
    const path = copy();
    for (const abi of ['gnu', 'musl'])
      writeFileSync(join(path, `sshtunnel-native.${OWN}-${abi}.node`), 'no executable');
    cpSync(join(ROOT, here.binary), join(path, `sshtunnel-native.${name}.node`));
    const first = `
      process.report.getReport = () => ({ header: ${header} });
      const fs = require('node:fs');
      const { readFileSync } = fs;
      fs.readFileSync = (file, ...rest) => (file === '/usr/bin/ldd' ? '${ldd}' : readFileSync(file, ...rest))`;
    assert.equal(await failure(path, { first }), null);
  });
}
