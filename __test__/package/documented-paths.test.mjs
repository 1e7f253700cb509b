// CONTRIBUTING.md and docs/architecture.md name files and functions: all of them exist. So do the pictures of README.md, which
// are not packed.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT } from '../helpers/process.mjs';

const PAGES = ['CONTRIBUTING.md', 'docs/architecture.md'];
const PATH = /^[\w.@-]+(?:\/[\w.@-]+)*\/?$/;
const EXTENSION = /\.(?:rs|js|mjs|ts|md|toml|json|jsonc|yml|svg|txt)$/;

/** The text of a page without its blocks of code. */
const proseOf = (page) => readFileSync(join(ROOT, page), 'utf8').replaceAll(/^```.*?^```/gms, '');

/** Whether a quoted text is meant as a path of the repository. */
const isPath = (text) =>
  PATH.test(text) && (text.includes('/') ? /^(?:\.|[a-z_]+\/)/.test(text) : EXTENSION.test(text));

/** Whether a file defines a function, type, constant or method of this name. */
function defines(source, name) {
  const word = name
    .replace(/(?:\(\)|!)$/, '')
    .split(/::|\./)
    .at(-1);
  const definition = new RegExp(
    `\\b(?:fn|function|class|struct|enum|trait|const|static|type|interface|macro_rules!)\\s+${word}\\b|^\\s*(?:pub\\(\\w+\\) |static |async |#)*${word}(?:\\(|: \\(|,$| \\{|<)`,
    'm',
  );
  return definition.test(source);
}

const RUST = ['src', 'crates/ssh-proto/src'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => name.endsWith('.rs'))
    .map((name) => readFileSync(join(ROOT, folder, name), 'utf8')),
);

test('README.md shows pictures that exist, each for both color schemes', () => {
  const page = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const pictures = Array.from(page.matchAll(/\b(src|srcset)="([^"]+)"/g), ([, , path]) => path);
  assert.ok(pictures.length > 0);
  const lacking = pictures.filter((path) => !existsSync(join(ROOT, path)));
  assert.deepEqual(lacking, []);
  assert.deepEqual(
    readdirSync(join(ROOT, 'docs/images')).sort(),
    pictures.map((path) => path.replace('docs/images/', '')).sort(),
  );
});

for (const page of PAGES) {
  test(`${page} names files that exist`, () => {
    const named = [...proseOf(page).matchAll(/`([^`\n]+)`/g)].map(([, text]) => text).filter(isPath);
    assert.ok(named.length > 20);
    assert.deepEqual(
      named.filter((path) => !existsSync(join(ROOT, path))),
      [],
    );
  });

  test(`${page} names functions that their files define`, () => {
    const named = [...proseOf(page).matchAll(/`([^`\n]+)`:\s+((?:`[^`\n]+`(?:,\s+)?)+)/g)].filter(([, file]) =>
      isPath(file),
    );
    assert.ok(named.length > 5);
    const missing = named.flatMap(([, file, names]) => {
      const source = readFileSync(join(ROOT, file), 'utf8');
      const all = [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
      return all.filter((name) => !defines(source, name)).map((name) => `${file}: ${name}`);
    });
    assert.deepEqual(missing, []);
  });

  test(`${page} names Rust functions that exist`, () => {
    const named = [...proseOf(page).matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)].map(([, name]) => name);
    const missing = named.filter((name) => !RUST.some((source) => source.includes(`fn ${name}(`)));
    assert.deepEqual(missing, []);
  });
}
