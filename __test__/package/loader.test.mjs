// A package without a matching binary: the errors, in incomplete copies and on simulated platforms.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
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

/** A 64-bit program, as far as its headers go: with the path of an interpreter, or linked statically. */
function program(interpreter) {
  const [start, size] = [64, 56];
  const name = Buffer.from(interpreter === undefined ? '' : `${interpreter}\0`);
  const head = Buffer.alloc(start + 2 * size);
  head.write('7f454c460201', 'hex');
  head.writeBigUInt64LE(BigInt(start), 32);
  head.writeUInt16LE(size, 54);
  head.writeUInt16LE(2, 56);
  head.writeUInt32LE(interpreter === undefined ? 1 : 3, start + size);
  head.writeBigUInt64LE(BigInt(head.length), start + size + 8);
  head.writeBigUInt64LE(BigInt(name.length), start + size + 32);
  const path = join(folder.path, `program-${++copies}`);
  writeFileSync(path, Buffer.concat([head, name]));
  return path;
}

/** Makes another file the program that runs, and gives the header of its reports; null: no report may be asked for. */
const runAs = (path, header) => `
  const fs = require('node:fs');
  const { openSync } = fs;
  fs.openSync = (file, ...rest) => openSync(file === '/proc/self/exe' ? ${JSON.stringify(path)} : file, ...rest);
  process.report.getReport = () => ({ header: ${header} })${header === null ? '.none.none' : ''}`;

test('a missing platform package is an error with musl', LINUX, async () => {
  const first = runAs(program(), '{}');
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

test('the command without its binary prints one line, and --help and --version work', async () => {
  const path = copy();
  cpSync(join(ROOT, 'bin'), join(path, 'bin'), { recursive: true });
  const command = async (...args) => {
    const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' };
    const { code, stdout, stderr } = await run(process.execPath, ['bin/sshtunnel.js', ...args], { cwd: path, env });
    return [code, stdout, stderr];
  };
  for (const flag of ['--version', '-V', '-vV'])
    assert.deepEqual(await command(flag), [0, `sshtunnel ${version}\n`, '']);
  const [code, help, stderr] = await command('--help');
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(help, /^usage: sshtunnel /);
  for (const args of [['h'], ['-L', '1:a:1', 'h'], ['-f', '-D', '1', 'h'], ['-W', 'a:1', 'h'], ['-J', 'a', 'h']]) {
    const [status, stdout, text] = await command(...args);
    assert.deepEqual([status, stdout], [255, '']);
    assert.match(text, /^sshtunnel: sshtunnel-native has no binary .*\n$/);
  }
  for (const [args, text] of [
    [[], /a destination is missing/],
    [['-Z', 'h'], /unknown option -- Z/],
  ]) {
    const [status, , words] = await command(...args);
    assert.equal(status, 255);
    assert.match(words, text);
  }
});

test('a loader that gives something else than the addon is an error that says so', async () => {
  const path = copy();
  const file = join(path, 'other.js');
  for (const [source, what] of [
    ["module.exports = '/assets/1f2e.node'", "'/assets/1f2e.node'"],
    ['module.exports = {}', 'object'],
    ["module.exports = { default: 'x' }", 'object'],
    ['module.exports = undefined', 'undefined'],
    ['module.exports = { attach: 1 }', 'object'],
  ]) {
    writeFileSync(file, source);
    // As a file that was built, and as the one that the environment names.
    const extension = "require('module')._extensions['.node'] = (module) => { module.exports = require('./other.js') }";
    writeFileSync(join(path, here.binary), '');
    for (const how of [{ first: extension }, { env: { NAPI_RS_NATIVE_LIBRARY_PATH: file } }]) {
      const { code, message } = await failure(path, how);
      assert.equal(code, 'ERR_TUNNEL_NO_BINARY');
      assert.ok(message.includes(`gives something else (${what})`) && message.includes('external'), message);
    }
  }
  // As some bundlers wrap modules.
  writeFileSync(file, `module.exports = { default: require(${JSON.stringify(join(ROOT, here.binary))}) }`);
  assert.equal(await failure(path, { env: { NAPI_RS_NATIVE_LIBRARY_PATH: file } }), null);
});

test('the same copy loads with its binary', async () => {
  const path = copy();
  cpSync(join(ROOT, here.binary), join(path, here.binary));
  assert.equal(await failure(path), null);
});

// A Node.js for musl may run on a system with glibc, and the other way round: only Node.js itself knows.
const [GNU, MUSL] = [`${OWN}-gnu`, `${OWN}-musl`];
const glibcHeader = "{ glibcVersionRuntime: '2.28' }";
for (const [what, name, path, header] of [
  ['the interpreter of glibc', GNU, () => program('/lib64/ld-linux-x86-64.so.2'), null],
  [
    'the interpreter of glibc in another folder',
    GNU,
    () => program('/nix/store/x-glibc/lib/ld-linux-aarch64.so.1'),
    null,
  ],
  ['the interpreter of musl', MUSL, () => program('/lib/ld-musl-x86_64.so.1'), null],
  ['a report of glibc and no interpreter', GNU, () => program(), glibcHeader],
  ['a report of musl and no interpreter', MUSL, () => program(), '{}'],
  ['a report of musl and an unknown interpreter', MUSL, () => program('/lib/ld.so.1'), '{}'],
  ['a report of glibc and no ELF file', GNU, () => join(ROOT, 'package.json'), glibcHeader],
  ['a report of musl and no /proc', MUSL, () => join(folder.path, 'nowhere'), '{}'],
]) {
  test(`the binary is that of the C library of Node.js: ${what}`, LINUX, async () => {
    const copied = copy();
    for (const abi of ['gnu', 'musl'])
      writeFileSync(join(copied, `sshtunnel-native.${OWN}-${abi}.node`), 'no executable');
    cpSync(join(ROOT, here.binary), join(copied, `sshtunnel-native.${name}.node`));
    assert.equal(await failure(copied, { first: runAs(path(), header) }), null);
  });
}

test('the interpreter and the report of this Node.js agree', LINUX, () => {
  const { abiOfProgram, reportedLibc } = createRequire(import.meta.url)('../../lib/native/libc.js');
  assert.equal(abiOfProgram(), reportedLibc().abi);
});
