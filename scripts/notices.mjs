// `npm run notices`: THIRD-PARTY-NOTICES.txt, the licenses of all crates whose code is in a binary. It is in
// every package; `--check` fails where it is not that of Cargo.lock.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { crates } from './crates.mjs';
import { NOTICES, platforms } from './packages.mjs';
import { ROOT } from './setup.mjs';

const RULE = '='.repeat(80);
const LICENSE_FILE = /^(?:licen[cs]e|copying|notice|copyright|unlicense)(?:[-._].*)?$/i;
const MIT = /Permission is hereby granted, free of charge, to any\s+person obtaining a copy/;

/** Crates of one repository that leave its license out, with the package of npm that has it. */
const ELSEWHERE = { napi: '@napi-rs/cli', 'napi-sys': '@napi-rs/cli' };

const HEAD = `The binaries of sshtunnel-native hold code of the packages below, each under the license that follows
its name, and that of the Rust standard library. Made by \`npm run notices\`.
`;

const STANDARD_LIBRARY = `The Rust standard library
Copyright (c) The Rust Project Contributors
and what it is made with: addr2line, adler2, cfg-if, compiler-builtins, dlmalloc, gimli, hashbrown, libc, memchr,
miniz_oxide, object, rustc-demangle, std_detect, unwinding
Used under the MIT license:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without
limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of
the Software, and to permit persons to whom the Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions
of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED
TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL
THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
DEALINGS IN THE SOFTWARE.
`;

/** Without what differs only in form. */
const tidy = (text) =>
  text
    .replaceAll('\r', '')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/^\n+|\n+$/g, '');

/** The files of licenses in a folder; of C code that came with a crate, those in folders below, too. */
function licenseFiles(folder, deep) {
  const entries = readdirSync(folder, { recursive: deep, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && LICENSE_FILE.test(entry.name));
  const paths = files.map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  return paths.sort((one, other) => (relative(folder, one) < relative(folder, other) ? -1 : 1));
}

/** The texts that a crate is used under: where there is a choice, the MIT license, which is the shortest. */
function texts({ name, license, folder }) {
  const from = ELSEWHERE[name] === undefined ? folder : join(ROOT, 'node_modules', ELSEWHERE[name]);
  const all = licenseFiles(from, name.endsWith('-sys')).map((file) => tidy(readFileSync(file, 'utf8')));
  if (all.length === 0) throw new Error(`${name} has no file with its license`);
  const choice = !license.includes(' AND ') && / OR |\//.test(license) && /\bMIT\b/.test(license);
  const mit = all.filter((text) => MIT.test(text));
  return [...new Set(choice && mit.length > 0 ? mit : all)];
}

/** The names of some targets where others are not meant, as people call them. */
function where(targets) {
  if (targets.length === platforms().length) return '';
  const systems = new Set(
    targets.map(
      (target) => ({ linux: 'Linux', apple: 'macOS', windows: 'Windows' })[/linux|apple|windows/.exec(target)[0]],
    ),
  );
  return ` (${[...systems].join(', ')})`;
}

/** The whole file. */
export function notices() {
  const byText = new Map();
  for (const crate of crates()) {
    const text = texts(crate).join(`\n\n${'-'.repeat(80)}\n\n`);
    byText.set(text, [...(byText.get(text) ?? []), `${crate.id}${where(crate.targets)}: ${crate.license}`]);
  }
  const parts = [...byText].map(([text, names]) => `${names.join('\n')}\n\n${text}\n`);
  return [HEAD, ...parts, STANDARD_LIBRARY].join(`\n${RULE}\n\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  const path = join(ROOT, NOTICES);
  const made = notices();
  if (!values.check) {
    writeFileSync(path, made);
    console.log(`${NOTICES}: ${Math.ceil(made.length / 1024)} KiB`);
  } else if (readFileSync(path, 'utf8').replaceAll('\r', '') !== made) {
    console.error(`${NOTICES} is not that of Cargo.lock: npm run notices`);
    process.exit(1);
  }
}
