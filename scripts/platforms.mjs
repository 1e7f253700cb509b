// `npm run platforms`: the addon for each platform, built, examined and run on this machine, which has to be Linux. Writes
// what was seen into docs/platforms.md.
//
//   npm run platforms -- [--check] [--no-build] [--no-page] [platform...]
//
// --check only compiles, without a C compiler for the platform; --no-build takes the binaries of the last run; --no-page
// prints the results and leaves the page as it is. What this machine lacks is named, and is no failure.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { platforms } from './packages.mjs';
import { buildFor, checkFor } from './platforms/build.mjs';
import { inspect } from './platforms/inspect.mjs';
import { closingRows, demonstrate, load, nodeCommand } from './platforms/run.mjs';
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

function results(target, { build }) {
  const built = attempt(() => (build ? buildFor(target) : lastBinary(target)));
  if (built.seen === undefined) return [words(built), '-', '-', '-'];
  const file = attempt(() => inspect(readFileSync(built.seen), target).join(', '));
  const node = attempt(() => nodeCommand(target.name));
  if (node.seen === undefined) return [words(file), words(node), '-', '-'];
  // The binary for Windows is named as Microsoft's, which is what the loader looks for.
  const env = { NAPI_RS_NATIVE_LIBRARY_PATH: target.platform === 'win32' ? built.seen : '' };
  const loaded = attempt(() => load(node.seen, env));
  if (loaded.seen === undefined) return [words(file), words(loaded), '-', '-'];
  const demonstration = attempt(() => demonstrate(node.seen, env));
  const rows = attempt(() => {
    const { passed, all, failed } = closingRows(node.seen, env);
    for (const name of failed) console.log(`${target.name}, closing table: ${name}`);
    if (failed.length > 0) throw new Error(`${failed.length} of ${all} fail`);
    return `${passed} of ${all}`;
  });
  return [words(file), loaded.seen, words(demonstration), words(rows)];
}

/** Puts lines of the table in place of those of the same platforms, in the order of the packages. */
function write(lines) {
  const text = readFileSync(PAGE, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks the lines '${BEGIN}' and '${END}'`);
  const kept = Array.from(text.slice(from, to).matchAll(/^\| ([\w-]+) \|.*$/gm), ([line, name]) => [name, line]);
  const all = { ...Object.fromEntries(kept), ...lines };
  const body = Object.keys(TARGETS).flatMap((name) => all[name] ?? []);
  const head = ['| platform | binary | loads in | demonstration | closing rules | seen |', '|---|---|---|---|---|---|'];
  writeFileSync(PAGE, `${text.slice(0, from)}${[BEGIN, '', ...head, ...body, ''].join('\n')}\n${text.slice(to)}`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean' }, 'no-build': { type: 'boolean' }, 'no-page': { type: 'boolean' } },
});
const unknown = positionals.filter((name) => !(name in TARGETS));
if (unknown.length > 0 || process.platform !== 'linux') {
  const names = Object.keys(TARGETS).join(', ');
  console.error(unknown.length > 0 ? `${unknown.join(', ')}: there are ${names}` : 'This needs Linux.');
  process.exit(2);
}
const chosen = (positionals.length > 0 ? positionals : Object.keys(TARGETS)).map((name) => TARGETS[name]);
for (const target of chosen) {
  if (values.check) {
    const checked = attempt(() => (checkFor(target), 'compiles'));
    console.log(`${target.name}: ${words(checked)}`);
    if (checked.wrong !== undefined) process.exitCode = 1;
    continue;
  }
  const found = results(target, { build: !values['no-build'] });
  const date = new Date().toISOString().slice(0, 10);
  const line = `| ${[target.name, ...found, date].join(' | ')} |`;
  console.log(line);
  if (!values['no-page']) write({ [target.name]: line });
  if (line.includes('**no**')) process.exitCode = 1;
}
