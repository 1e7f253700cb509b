// Binaries examined as files, and the page that says what was seen of them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { isOwn, platforms } from '../../scripts/packages.mjs';
import { exportedNames } from '../../scripts/platforms/exports.mjs';
import { inspect } from '../../scripts/platforms/inspect.mjs';
import { test } from '../helpers/bounded.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const [SYMBOL_TABLE, BUILD_VERSION, CODE_SIGNATURE] = [0x02, 0x32, 0x1d];
const NAMES = '\0_napi_register_module_v1\0';

/** An executable of macOS with these load commands, each a list of 32-bit numbers, and one symbol of a type. */
function machO(type, ...others) {
  const commands = [[SYMBOL_TABLE, 0, 1, 0, NAMES.length], ...others];
  const words = commands.flatMap(([number, ...rest]) => [number, 4 * (2 + rest.length), ...rest]);
  const end = 4 * (8 + words.length);
  [words[2], words[4]] = [end, end + 16]; // where the symbols and their names are
  const numbers = [0xfeedfacf, 0x0100000c, 0, 6, commands.length, 4 * words.length, 0, 0, ...words, 1, type, 0, 0];
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [at, number] of numbers.entries()) bytes.writeUInt32LE(number, 4 * at);
  return Buffer.concat([bytes, Buffer.from(NAMES)]);
}

/** Types of symbols in a section. */
const [EXTERNAL, PRIVATE] = [0x0f, 0x1f];

const macos = { platform: 'darwin', arch: 'arm64' };
const minimum = [BUILD_VERSION, 1, (11 << 16) | (3 << 8), 0, 0];

test('the binary of this platform is an addon', () => {
  const here = platforms().find(isOwn);
  const bytes = readFileSync(join(ROOT, here.binary));
  const [size, libc] = inspect(bytes, here);
  assert.match(size, /^\d+\.\d MiB$/);
  if (here.abi === 'gnu') assert.match(libc, /^glibc 2\.\d+$/);
  assert.throws(() => inspect(bytes, macos), /^Error: for /);
  assert.throws(() => inspect(Buffer.from('text'), here), /^Error: for undefined/);
});

test('a binary for macOS is described by its load commands', () => {
  const signed = machO(EXTERNAL, minimum, [CODE_SIGNATURE, 0, 0]);
  assert.deepEqual(inspect(signed, macos).slice(1), ['macOS 11.3', 'signed ad hoc']);
  assert.throws(() => inspect(machO(EXTERNAL, minimum), macos), /no code signature/);
  const hidden = machO(PRIVATE, minimum, [CODE_SIGNATURE, 0, 0]);
  assert.throws(() => inspect(hidden, macos), /it does not export napi_register_module_v1/);
});

test('the addon exports one name', () => {
  const here = platforms().find(isOwn);
  assert.deepEqual(exportedNames(readFileSync(join(ROOT, here.binary)), process.platform), ['napi_register_module_v1']);
});

test('docs/platforms.md has results of platforms that there are', () => {
  const page = readFileSync(join(ROOT, 'docs', 'platforms.md'), 'utf8');
  const [, table] = /<!-- written by npm run platforms -->\n(.*)<!-- end of the results -->/s.exec(page);
  const names = Array.from(table.matchAll(/^\| ([\w-]+) \|.* \| (\d{4}-\d\d-\d\d) \|$/gm), ([, name]) => name);
  assert.ok(names.length > 0);
  const known = platforms().map(({ name }) => name.replace(/-msvc$/, ''));
  assert.deepEqual(
    names,
    known.filter((name) => names.includes(name)),
  );
});

test('npm run platforms names the platforms if there is none of that name', async () => {
  const { code, stderr } = await run(process.execPath, [join(ROOT, 'scripts', 'platforms.mjs'), 'vax']);
  assert.equal(code, 2);
  assert.match(stderr, /^vax: there are linux-x64-gnu, .*win32-x64/);
});
