// `npm run platforms`: the addon for each platform, built, examined and run on this machine, which has to be Linux. Writes
// what was seen into docs/platforms.md.
//
//   npm run platforms -- [--check | --suites] [--no-build] [--no-units] [--no-page] [platform...] [suite...]
//
// --check only compiles, without a C compiler for the platform; --suites runs the suites of Node.js there, or the named
// ones; --no-build takes the binaries of the last run; --no-units leaves the unit tests of Rust out; --no-page prints the
// results and leaves the page as it is. What this machine lacks is named, and is no failure.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { platforms } from './packages.mjs';
import { buildFor, buildTests, checkFor, ensureTarget } from './platforms/build.mjs';
import { inspect } from './platforms/inspect.mjs';
import { closingRows, demonstrate, load, nodeCommand, program, runner, suites, unitTests } from './platforms/run.mjs';
import { FOLDER, Missing } from './platforms/tools.mjs';
import { ROOT } from './setup.mjs';

const PAGE = join(ROOT, 'docs', 'platforms.md');
const BEGIN = '<!-- written by npm run platforms -->';
const END = '<!-- end of the results -->';

/** The platforms of the packages by short names. Windows has another ABI here: Microsoft's needs Microsoft's SDK. */
const TARGETS = Object.fromEntries(
  platforms().map(({ target, platform, arch, name, binary }) => {
    const short = platform === 'win32' ? 'win32-x64' : name;
    const triple = target.replace('-windows-msvc', '-windows-gnu');
    return [short, { name: short, triple, platform, arch, binary }];
  }),
);

/** Does one step; what it returns, or why it failed. */
function attempt(step) {
  try {
    return { seen: step() };
  } catch (error) {
    if (error instanceof Missing) return { missing: error.message };
    return { wrong: error.message };
  }
}

const words = ({ seen, missing, wrong }) => {
  if (missing !== undefined) return `not here: ${missing}`;
  return wrong === undefined ? seen : `**no**: ${wrong}`;
};

/** Where a binary is after the last run. */
function lastBinary({ name, triple, binary }) {
  const path = triple.includes('-linux-') ? join(ROOT, binary) : join(FOLDER, name, binary);
  if (!existsSync(path)) throw new Missing('it was not built');
  return path;
}

/** What passed of tests in words; throws if some failed, whose names are printed. */
function counted(title, { passed, all, failed }) {
  for (const name of failed) console.log(`${title}: ${name}`);
  if (failed.length > 0) throw new Error(`${failed.length} of ${all} fail`);
  return `${passed} of ${all}`;
}

function inNode(target, binary) {
  const node = attempt(() => nodeCommand(target.name));
  if (node.seen === undefined) return [words(node), '-', '-', '-'];
  // The binary for Windows is named as Microsoft's, which is what the loader looks for.
  const env = { NAPI_RS_NATIVE_LIBRARY_PATH: target.platform === 'win32' ? binary : '' };
  const loaded = attempt(() => load(node.seen, env));
  if (loaded.seen === undefined) return [words(loaded), '-', '-', '-'];
  const demonstration = attempt(() => demonstrate(node.seen, env));
  const parts = attempt(() => program(target.name, node.seen, env));
  const rows = attempt(() => counted(`${target.name}, closing table`, closingRows(node.seen, env)));
  return [loaded.seen, words(demonstration), words(parts), words(rows)];
}

/** The unit tests of each crate. */
function inRust(target) {
  const command = attempt(() => runner(target.name));
  if (command.seen === undefined) return '-';
  const programs = attempt(() => buildTests(target));
  if (programs.seen === undefined) return words(programs);
  const found = Object.entries(programs.seen).map(([crate, program]) => {
    const passed = attempt(() => counted(`${target.name}, ${crate}`, unitTests(command.seen, program)));
    return `${crate.replaceAll('_', '-')} ${words(passed)}`;
  });
  return found.join('; ');
}

function results(target, { build, units }) {
  const built = attempt(() => (build ? buildFor(target) : lastBinary(target)));
  if (built.seen === undefined) return [words(built), '-', '-', '-', '-', '-'];
  const file = attempt(() => inspect(readFileSync(built.seen), target).join(', '));
  return [words(file), ...inNode(target, built.seen), units ? inRust(target) : '-'];
}

/** Puts lines of the table in place of those of the same platforms, in the order of the packages. */
function write(lines) {
  const text = readFileSync(PAGE, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks the lines '${BEGIN}' and '${END}'`);
  const kept = Array.from(text.slice(from, to).matchAll(/^\| ([\w-]+) \|.*$/gm), ([line, name]) => [name, line]);
  const all = { ...Object.fromEntries(kept), ...lines };
  const body = Object.keys(TARGETS).flatMap((name) => all[name] ?? []);
  const head = ['platform', 'binary', 'loads in', 'demonstration', 'program', 'closing rules', 'unit tests', 'seen'];
  const table = [`| ${head.join(' | ')} |`, `${'|---'.repeat(head.length)}|`, ...body];
  writeFileSync(PAGE, `${text.slice(0, from)}${[BEGIN, '', ...table, ''].join('\n')}\n${text.slice(to)}`);
}

const flag = { type: 'boolean' };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: flag, suites: flag, 'no-build': flag, 'no-units': flag, 'no-page': flag },
});
const named = positionals.filter((name) => values.suites && name.endsWith('.test.mjs'));
const names = positionals.filter((name) => !named.includes(name));
const unknown = names.filter((name) => !(name in TARGETS));
if (unknown.length > 0 || process.platform !== 'linux') {
  const known = Object.keys(TARGETS).join(', ');
  console.error(unknown.length > 0 ? `${unknown.join(', ')}: there are ${known}` : 'This needs Linux.');
  process.exit(2);
}

/** Compiles for platforms; returns a line for each that lacks something, and one for the others. */
function check(targets) {
  const results = targets.map((target) => [target, attempt(() => ensureTarget(target.triple))]);
  const lines = results.filter(([, { missing }]) => missing).map(([{ name }, result]) => `${name}: ${words(result)}`);
  const ready = results.filter(([, { missing }]) => !missing).map(([target]) => target);
  if (ready.length === 0) return lines;
  const since = performance.now();
  const checked = attempt(() => {
    checkFor(ready.map(({ triple }) => triple));
    return `compiles, ${Math.round((performance.now() - since) / 1000)} s in all`;
  });
  return [...lines, `${ready.map(({ name }) => name).join(', ')}: ${words(checked)}`];
}

/** Runs the suites on a platform. */
function runSuites(target) {
  const ran = attempt(() => {
    if (!values['no-build']) buildFor(target);
    if (!suites(target.name, named)) throw new Error('suites fail');
    return 'suites pass';
  });
  return `${target.name}: ${words(ran)}`;
}

/** Does everything with a platform. */
function examine(target) {
  const found = results(target, { build: !values['no-build'], units: !values['no-units'] });
  const date = new Date().toISOString().slice(0, 10);
  const line = `| ${[target.name, ...found, date].join(' | ')} |`;
  if (!values['no-page']) write({ [target.name]: line });
  return line;
}

const targets = (names.length > 0 ? names : Object.keys(TARGETS)).map((name) => TARGETS[name]);
const jobs = values.check
  ? [() => check(targets)]
  : targets.map((one) => () => [(values.suites ? runSuites : examine)(one)]);
for (const job of jobs) {
  for (const line of job()) {
    console.log(line);
    if (line.includes('**no**')) process.exitCode = 1;
  }
}
