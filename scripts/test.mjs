// `npm test`: installs and builds what is missing, then runs the tests of both languages.
// With arguments, it runs only these suites of Node.js, such as `npm test -- __test__/close/half-closed.test.mjs`;
// with --no-rust, all of them and no tests of Rust.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { ensureSshd } from '../__test__/helpers/ensure-sshd.mjs';
import { npmProject } from '../__test__/helpers/npm-project.mjs';
import { ensureServices } from '../__test__/helpers/services.mjs';
import { ensureTools } from '../__test__/helpers/tools.mjs';
import { prepare } from '../bench/harness/prepare.mjs';
import { ROOT, setup } from './setup.mjs';

// Limit of a suite in milliseconds, far above what any needs. It ends a process that something keeps alive.
const LONGEST_SUITE = 300_000;
// Suites mostly wait for servers and timers: two per core keep a machine busy without starving any.
const SIDE_BY_SIDE = 2 * availableParallelism();

setup();
if (!ensureSshd()) process.exit(1);

const { values, positionals: chosen } = parseArgs({
  allowPositionals: true,
  options: { 'no-rust': { type: 'boolean' } },
});
// Installs and builds before any time limit runs; the suites themselves report what is missing.
if (chosen.length === 0) {
  // Imported here, because it needs packages that setup() has installed.
  const { SERVERS } = await import('../interop/servers.mjs');
  for (const server of SERVERS) server.available();
  ensureServices();
  ensureTools();
  npmProject();
  prepare({ npm: false, release: false });
}
const results = [];
let failed = false;

if (chosen.length === 0 && !values['no-rust']) {
  console.log('Tests of the Rust code');
  const cargo = spawn('cargo', ['test', '--workspace', '--locked'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  cargo.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text);
    output += text;
  });
  const [code] = await once(cargo, 'close');
  failed = code !== 0;
  results.push(...(output.match(/^test result: .*$/gm) ?? []));
  if (results.length === 0) failed = true;
}

const folder = join(ROOT, '__test__');
const suites = readdirSync(folder, { recursive: true })
  .filter((name) => name.endsWith('.test.mjs'))
  .sort();
const files = chosen.length > 0 ? chosen : suites.map((name) => join('__test__', name));
const isTimed = (name) => name.endsWith('.timing.test.mjs');
run(
  'Tests of the addon',
  files.filter((name) => !isTimed(name)),
  SIDE_BY_SIDE,
);
run('Tests that measure time or memory, one suite after the other', files.filter(isTimed), 1);

/** Runs suites of Node.js, `concurrency` of them at a time. */
function run(title, names, concurrency) {
  if (names.length === 0) return;
  console.log(`\n${title}`);
  const options = [
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${LONGEST_SUITE}`,
    '--test-reporter=spec',
  ];
  const { status } = spawnSync(process.execPath, [...options, ...names], { cwd: ROOT, stdio: 'inherit' });
  failed ||= status !== 0;
}

if (results.length > 0) {
  console.log('\nRust, as cargo test reported above:');
  for (const line of results.filter((line) => !/ 0 passed; 0 failed/.test(line))) console.log(line);
}
console.log(failed ? 'Tests failed.' : 'All tests passed.');
process.exit(failed ? 1 : 0);
