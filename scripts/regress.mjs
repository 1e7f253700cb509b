// `npm run regress`: OpenSSH's own regress scripts with the command sshtunnel as their ssh. Prints what came of each, and
// writes the table of docs/interop.md. Exits with 1 if a check fails that a tunnel could pass.
//
//   npm run regress -- [--keep] [--verbose] [script...]
//
// With names of scripts, such as `npm run regress -- banner percent`, it runs these and writes nothing. --keep leaves
// their folders, with the logs of ssh and sshd; --verbose prints what they print.
//
// It uses the built addon.

import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { regressScripts } from './regress/package.mjs';
import { judge, report } from './regress/results.mjs';
import { runScript } from './regress/run.mjs';
import { EXCLUSIVE, REMOTE_ROUTE, SLOW, whyNot } from './regress/scripts.mjs';
import { withSection } from './section.mjs';
import { ROOT } from './setup.mjs';

const PAGE = join(ROOT, 'docs', 'interop.md');
const MARKS = { begin: '<!-- written by npm run regress -->', end: '<!-- end of the regress scripts -->' };

/** Scripts that run at a time: they wait for the clock more than they compute. */
const PARALLEL = 6;

const flag = { type: 'boolean', default: false };
const { values, positionals } = parseArgs({ allowPositionals: true, options: { keep: flag, verbose: flag } });

const { folder: scripts, version, missing } = regressScripts({ all: true });
if (missing !== undefined) {
  console.error(`The regress scripts cannot be had here: ${missing}`);
  process.exit(2);
}
const all = readdirSync(scripts)
  .filter((name) => name.endsWith('.sh'))
  .map((name) => name.slice(0, -'.sh'.length));
const unknown = positionals.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}. The scripts are ${all.join(', ')}`);
  process.exit(2);
}

const root = mkdtempSync(join(tmpdir(), 'regress-'));
process.on('exit', () => {
  if (!values.keep) rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => process.exit(130));

let count = 0;

/** Runs a script in a new folder, whose name is in none of the patterns of scripts. */
async function run(name, keys) {
  const folder = join(root, String(++count));
  const route = REMOTE_ROUTE.includes(name) ? 'remote' : 'local';
  const result = await runScript(join(scripts, `${name}.sh`), {
    scripts,
    folder,
    keys,
    route,
    verbose: values.verbose,
  });
  if (!values.keep) rmSync(folder, { recursive: true });
  const judgment = judge(name, result);
  console.log(`${name} (${result.seconds.toFixed(0)} s, ${judgment.how}): ${judgment.words}`);
  for (const note of judgment.notes) console.log(`  ${note}`);
  if (values.keep) console.log(`  ${folder}`);
  return judgment;
}

/** The keys that every script would make first. */
async function makeKeys() {
  const empty = join(root, 'empty.sh');
  writeFileSync(empty, 'tid="keys"\n');
  const folder = join(root, 'keys');
  const { code, output } = await runScript(empty, { scripts, folder });
  if (code === 0) return folder;
  console.error(`The scripts cannot begin here:\n${output}`);
  process.exit(1);
}

/** Runs scripts side by side, long ones first. Scripts that use the same ports run one at a time. */
async function runAll(names, keys) {
  const waiting = [...SLOW.filter((name) => names.includes(name)), ...names.filter((name) => !SLOW.includes(name))];
  const judgments = [];
  let isTaken = false;
  const next = () => {
    const at = waiting.findIndex((name) => !(isTaken && EXCLUSIVE.includes(name)));
    return at < 0 ? undefined : waiting.splice(at, 1)[0];
  };
  const work = async () => {
    for (let name; (name = next()) !== undefined; ) {
      const exclusive = EXCLUSIVE.includes(name);
      isTaken ||= exclusive;
      judgments.push(await run(name, keys));
      if (exclusive) isTaken = false;
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return judgments.sort((a, b) => (a.name < b.name ? -1 : 1));
}

const named = positionals.length > 0;
const judgments = await runAll(
  named ? positionals : all.filter((name) => whyNot(name) === undefined),
  await makeKeys(),
);
const failed = judgments.filter(({ passed }) => !passed);
console.log(`${judgments.length - failed.length} of ${judgments.length} scripts pass, with openssh-tests ${version}`);
if (!named) {
  const text = report(judgments, version, new Date().toISOString().slice(0, 10));
  writeFileSync(PAGE, withSection('docs/interop.md', readFileSync(PAGE, 'utf8'), MARKS, text));
}
process.exitCode = failed.length > 0 ? 1 : 0;
