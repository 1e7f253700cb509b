// The check for circles of imports between folders finds every circle and nothing else.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { circles, faults } from '../../scripts/circles.mjs';
import { ROOT } from '../../scripts/setup.mjs';

/** A repository of these files. */
function repository(t, files) {
  const root = mkdtempSync(join(tmpdir(), 'circles-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const RUST = {
  'src/lib.rs': 'mod a;\nmod b;\n',
  'src/a/mod.rs': 'mod one;\nmod two;\npub(crate) use one::One;\n',
  'src/a/one.rs': 'use super::two::Two;\npub(crate) struct One(Two);\n',
  'src/a/two.rs': 'use super::One;\npub(crate) struct Two(Option<Box<One>>);\n',
  'src/b/mod.rs': 'mod three;\npub(crate) use three::Three;\n',
  'src/b/three.rs': 'use crate::a::{self, One as First};\npub(crate) struct Three(First);\n',
};

test('Rust: circles within a folder are allowed, and re-exports and declarations are resolved', (t) => {
  assert.deepEqual(circles(repository(t, RUST)), []);
});

for (const [how, line] of Object.entries({
  'use through a re-export': 'use crate::b::Three;',
  'use with braces and another name': 'use {std::fmt, crate::{b::{Three as Other}}};',
  'use of everything': 'use crate::b::*;\nfn all(_: Three) {}',
  'a path in the code': 'fn path(_: crate::b::Three) {}',
  'a path that begins at a module': 'use super::super::b;\nfn path(_: b::Three) {}',
  'a module within the file': 'mod inner { use super::super::super::b::Three; }',
})) {
  test(`Rust: ${how} is found as a circle between folders`, (t) => {
    const root = repository(t, { ...RUST, 'src/a/two.rs': `${RUST['src/a/two.rs']}${line}\n` });
    assert.deepEqual(circles(root).sort(), ['src/a/two.rs -> src/b/three.rs', 'src/b/three.rs -> src/a/one.rs']);
  });
}

test('Rust: comments, strings and tests are ignored, and x.rs belongs to the folder x', (t) => {
  const quiet = [
    '// use crate::b::Three;',
    '/* crate::b::Three */',
    'const TEXT: &str = "crate::b::Three \\" crate::b::Three";',
    'const RAW: &str = r#"crate::b::Three " crate::b::Three"#;',
    "fn life<'a>(quote: char) -> bool { quote == '\"' || quote == '\\'' }",
    '#[cfg(test)]\nuse crate::b::Three;',
    '#[cfg(test)]\nmod tests {\n  use crate::b::Three;\n}',
    'fn opaque() -> impl Sized + use<> {}',
  ];
  const root = repository(t, { ...RUST, 'src/a/two.rs': [RUST['src/a/two.rs'], ...quiet].join('\n') });
  assert.deepEqual(circles(root), []);
  const folder = {
    'src/lib.rs': 'mod x;\n',
    'src/x.rs': 'mod y;\npub(crate) struct X(y::Y);\n',
    'src/x/y.rs': 'pub(crate) struct Y(Option<Box<super::X>>);\n',
  };
  assert.deepEqual(circles(repository(t, folder)), []);
});

const JAVASCRIPT = {
  'index.js': "const { a } = require('./lib/a/one.js');\n",
  'lib/a/one.js': "const two = require('./two.js');\n",
  'lib/a/two.js': "const one = require('./one.js');\n// require('../b/three.js')\n",
  'lib/b/three.js': "const one = require('../a/one.js');\n",
};

test('JavaScript: circles between folders are found, others are allowed', (t) => {
  assert.deepEqual(circles(repository(t, JAVASCRIPT)), []);
  for (const line of [
    "const three = require('../b/three.js');",
    "import { three } from '../b/three.js';",
    "const three = () => import('../b/three.js');",
  ]) {
    const found = circles(repository(t, { ...JAVASCRIPT, 'lib/a/two.js': `${JAVASCRIPT['lib/a/two.js']}${line}\n` }));
    assert.deepEqual(found.sort(), ['lib/a/two.js -> lib/b/three.js', 'lib/b/three.js -> lib/a/one.js'], line);
  }
});

test('each exception allows one import and fails when that import is gone', (t) => {
  const root = repository(t, { ...RUST, 'src/a/two.rs': `${RUST['src/a/two.rs']}use crate::b::Three;\n` });
  const entry = 'src/a/two.rs -> src/b/three.rs';
  assert.deepEqual(faults(root, [entry]), []);
  assert.match(faults(root, []).join('\n'), /two\.rs -> src\/b\/three\.rs is part of a circle/);
  const stale = faults(repository(t, RUST), [entry]);
  assert.deepEqual(stale, [`${entry} is part of no circle any more: take it from the list`]);
});

test('this repository has no circles but the exceptions', () => {
  assert.deepEqual(faults(ROOT), []);
});
