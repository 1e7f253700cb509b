// `npm run fuzz`: builds every fuzz target and runs each for a while, side by side. Needs nothing but
// Rust: libFuzzer comes with a crate, and what it watches the code with is in every stable compiler.
//
//   npm run fuzz -- [--seconds <for each target, 5 by default>] [<target> ...]
//
// Begins with the seeds, keeps what it learns in a temporary folder, and puts the input of a finding
// into target/fuzz/findings. Ends with exit code 1 if there is one.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

import { ROOT, mustRun } from './setup.mjs';

const CRATE = join(ROOT, 'crates', 'ssh-proto', 'fuzz');
const BUILT = join(ROOT, 'target', 'fuzz');
const FINDINGS = join(BUILT, 'findings');
// What cargo-fuzz gives the compiler, too, but for the sanitizer, which takes a nightly one.
const COVERAGE = [
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Cllvm-args=-simplifycfg-branch-fold-threshold=0',
];
// Bounds of one target: no input takes a tenth of this time, not even on a machine that does much
// else, and a length that is believed shows up as memory that is asked for, whether it is used or not.
const LONGEST_INPUT = 25; // seconds
const MOST_RESIDENT = 512; // MiB
const MOST_ADDRESSES = 2 * 1024 * 1024; // KiB

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '5' } },
  allowPositionals: true,
});
const seconds = Number(values.seconds);
const all = readdirSync(join(CRATE, 'fuzz_targets')).map((name) => basename(name, '.rs'));
const unknown = positionals.find((name) => !all.includes(name));
if (!(Number.isInteger(seconds) && seconds > 0) || unknown !== undefined) {
  console.error(unknown === undefined ? `--seconds ${values.seconds}` : `no target ${unknown}: ${all.join(', ')}`);
  process.exit(2);
}
const targets = positionals.length > 0 ? positionals : all;

// Both workspaces have to use the same releases, or other code is tried than what is used.
const locked = (folder) =>
  Array.from(readFileSync(join(folder, 'Cargo.lock'), 'utf8').matchAll(/^name = "(.*)"\nversion = "(.*)"$/gm));
const ours = locked(ROOT).map(([, name, version]) => ({ name, version }));
for (const [, name, version] of locked(CRATE)) {
  const same = ours.filter((other) => other.name === name);
  if (same.length > 0 && !same.some((other) => other.version === version)) {
    console.error(`The fuzz targets use ${name} ${version}, the addon does not: see CONTRIBUTING.md`);
    process.exit(1);
  }
}

// With its name given, the compiler builds what runs at build time without the flags.
const host = spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout.match(/^host: (.*)$/m)[1];
const bins = targets.flatMap((name) => ['--bin', name]);
mustRun('cargo', ['build', '--release', '--locked', '--target', host, ...bins], {
  cwd: CRATE,
  env: { ...process.env, CARGO_TARGET_DIR: BUILT, RUSTFLAGS: COVERAGE.join(' ') },
});

/** Runs one target; returns what it came to. */
async function run(target, folder) {
  const corpus = join(folder, target);
  const found = join(FINDINGS, target);
  mkdirSync(corpus);
  mkdirSync(found, { recursive: true });
  const program = join(BUILT, host, 'release', target);
  const limits = [`-max_total_time=${seconds}`, `-timeout=${LONGEST_INPUT}`, `-rss_limit_mb=${MOST_RESIDENT}`];
  const folders = [corpus, join(CRATE, 'seeds', target)];
  const options = [...limits, '-len_control=20', '-print_final_stats=1', `-artifact_prefix=${found}/`];
  const script = `ulimit -v ${MOST_ADDRESSES}; exec "$@"`;
  const child = spawn('sh', ['-c', script, 'sh', program, ...options, ...folders], {
    env: { ...process.env, TMPDIR: corpus },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output = (output + text).slice(-20_000);
  });
  const [code] = await once(child, 'close');
  const executions = Number(output.match(/number_of_executed_units: (\d+)/)?.[1] ?? 0);
  const edges = Number(output.match(/.*cov: (\d+)/s)?.[1] ?? 0);
  const good = code === 0 && executions > 0;
  // Without the lines about its progress.
  if (!good) console.error(`\n${target} found something:\n${output.replaceAll(/^#\d+\t.*\n/gm, '')}`);
  return { target, executions, edges, result: good ? 'nothing found' : `FINDING: ${found}` };
}

const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
const results = [];
try {
  const waiting = [...targets];
  const worker = async () => {
    while (waiting.length > 0) results.push(await run(waiting.shift(), folder));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
results.sort((a, b) => targets.indexOf(a.target) - targets.indexOf(b.target));
console.table(Object.fromEntries(results.map(({ target, ...rest }) => [target, rest])));
process.exit(results.every(({ result }) => result === 'nothing found') ? 0 : 1);
