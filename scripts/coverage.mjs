// `npm run coverage`: how much of the code the tests run, in Rust and in JavaScript. The Rust tests and the suites run
// once, with an addon that counts; suites that compare speeds or memory may fail with it, which is reported and changes
// nothing here. With arguments: only these suites, such as `npm run coverage -- __test__/close/drain.test.mjs`.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT, mustRun, setup } from './setup.mjs';

const C8 = 'c8@12.0.0';
const FOLDER = join(ROOT, 'target', 'coverage');
const PROFILES = join(FOLDER, 'profiles');
const SCRIPTS = join(FOLDER, 'scripts');
/** All processes write their counts into four files: one file for each process would fill a disk. */
const PROFILE = join(PROFILES, '%4m.profraw');
/** Not ours, or tests themselves. */
const IGNORED = '/(rustc|registry|git|fixtures|tests|fuzzing)/|tests?\\.rs$|/build\\.rs$';

/** Suites that compile other programs. */
const SKIPPED = ['compat/interop.test.mjs', 'package/bench.timing.test.mjs'].map((name) => join(...name.split('/')));

const capture = (command, args, options) =>
  spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 28, ...options }).stdout;

/** A tool of LLVM in the version of this Rust; rustup installs it. */
function llvmTool(name) {
  const [, host] = /^host: (.*)$/m.exec(capture('rustc', ['--version', '--verbose']));
  const path = join(capture('rustc', ['--print', 'sysroot']).trim(), 'lib', 'rustlib', host, 'bin', name);
  if (!existsSync(path)) mustRun('rustup', ['component', 'add', 'llvm-tools']);
  return path;
}

/** Builds with counters; returns the programs of the tests, or the addon. */
function build(args, env) {
  const output = capture('cargo', [...args, '--locked', '--message-format=json-render-diagnostics'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const artifacts = output
    .split('\n')
    .filter((line) => line.includes('"compiler-artifact"'))
    .map((line) => JSON.parse(line));
  const tests = artifacts.flatMap(({ executable, profile }) => (executable && profile.test ? [executable] : []));
  const addon = artifacts.flatMap(({ target, filenames }) => (target.kind.includes('cdylib') ? filenames : []));
  return { tests, addon: addon.find((file) => /\.(so|dylib|dll)$/.test(file)) };
}

setup();
const [profdata, cov] = ['llvm-profdata', 'llvm-cov'].map(llvmTool);
for (const folder of [PROFILES, SCRIPTS]) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}
const counting = {
  ...process.env,
  RUSTFLAGS: '-C instrument-coverage',
  CARGO_TARGET_DIR: FOLDER,
  LLVM_PROFILE_FILE: PROFILE,
};
const { tests } = build(['test', '--workspace', '--no-run'], counting);
const addon = join(FOLDER, 'sshtunnel.node'); // by which Node.js knows an addon
copyFileSync(build(['build'], counting).addon, addon);
for (const program of tests) spawnSync(program, { cwd: ROOT, env: counting, stdio: ['ignore', 'ignore', 'inherit'] });

const chosen = process.argv.slice(2);
const suites = readdirSync(join(ROOT, '__test__'), { recursive: true })
  .filter((name) => name.endsWith('.test.mjs') && !SKIPPED.includes(name))
  .map((name) => join('__test__', name))
  .sort();
const { status } = spawnSync(process.execPath, ['scripts/test.mjs', ...(chosen.length > 0 ? chosen : suites)], {
  cwd: ROOT,
  stdio: 'inherit',
  env: {
    ...process.env,
    LLVM_PROFILE_FILE: PROFILE,
    NAPI_RS_NATIVE_LIBRARY_PATH: addon,
    NODE_V8_COVERAGE: SCRIPTS,
  },
});
if (status !== 0) console.log('Some suites failed with the addon that counts; the totals have what they ran.');

const merged = join(FOLDER, 'merged.profdata');
const raw = readdirSync(PROFILES).map((name) => join(PROFILES, name));
mustRun(profdata, ['merge', '--sparse', '--failure-mode=all', '--output', merged, ...raw]);
const objects = [addon, ...tests].flatMap((file, at) => (at === 0 ? [file] : ['--object', file]));
const report = capture(cov, ['report', ...objects, `--instr-profile=${merged}`, `--ignore-filename-regex=${IGNORED}`]);
console.log('\nRust: regions, functions and lines');
console.log(
  report
    .split('\n')
    .slice(0, 1)
    .concat(report.match(/^TOTAL.*$/m))
    .join('\n'),
);

console.log('\nJavaScript');
const sources = ['index.js', 'opentelemetry.js', 'prometheus.js', 'tunnel-ssh.js', 'bin/**', 'lib/**'].flatMap(
  (pattern) => ['--include', pattern],
);
mustRun('npx', [
  '--yes',
  C8,
  'report',
  '--all',
  ...sources,
  `--temp-directory=${SCRIPTS}`,
  '--merge-async',
  '--reporter=text-summary',
]);
