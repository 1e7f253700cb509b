// docs/speed.md and what belongs to it: the figures of the last run of each part, and their charts.

import { existsSync, mkdirSync, readFileSync, rmSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../../scripts/setup.mjs';
import { chart } from './chart.mjs';
import { goalTable, goals } from './goals.mjs';
import { failures, table } from './table.mjs';

const PAGE = join(ROOT, 'docs', 'speed.md');
const FOLDER = join(ROOT, 'docs', 'speed');
const FIGURES = join(FOLDER, 'figures.json');

const BEGIN = '<!-- written by npm run bench -->';
const END = '<!-- until here -->';

/** Puts a text between the two marks; everything else on the page was written by hand. */
function between(page, text) {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`docs/speed.md lacks its marks: ${BEGIN} and ${END}`);
  return `${page.slice(0, from)}${BEGIN}\n\n${text}\n\n${page.slice(to)}`;
}

/** The figures of a part to keep: everything but the single rounds and the texts of its definition. */
function kept({ name, metrics, cases }, stamp) {
  const slim = cases.map((one) => ({
    name: one.name,
    peers: Object.fromEntries(Object.entries(one.peers).map(([peer, { rounds, ...rest }]) => [peer, rest])),
  }));
  return { name, metrics, stamp, cases: slim };
}

function stampText({ date, rounds, machine, versions }) {
  const { processor, cores, memory, system } = machine;
  const names = Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
  return `${date}, ${rounds} rounds; ${processor}, ${cores} cores, ${memory}, ${system}; ${names}.`;
}

const picture = ({ file, title }) => `![${title}](speed/${file})`;

/** The heading, the remaining charts and the figures of a part; its first chart is at the head of the page. */
function section(part, { title, about }, [, ...drawn]) {
  return [`## ${title}`, about, ...drawn.map(picture), table(part), failures(part).join('\n'), stampText(part.stamp)]
    .filter(Boolean)
    .join('\n\n');
}

const anchor = (title) =>
  title
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-');

const fileOf = (part, metric) => `${part.name}-${metric}.svg`;

/** Draws what a part wants drawn; gives titles and files. */
function draw(part, definition) {
  return (definition.charts ?? []).map(({ metric, title, only = /./ }) => {
    const cases = part.cases.filter(({ name }) => only.test(name));
    const file = fileOf(part, metric);
    const note = `median, least and most of ${part.stamp.rounds} rounds`;
    writeFileSync(join(FOLDER, file), chart({ title, note, cases, metric }));
    return { file, title };
  });
}

/**
 * Writes the page anew, with these parts in place of their last figures.
 * @param order all definitions of parts, in the order of the page
 */
export function write(parts, stamp, order) {
  mkdirSync(FOLDER, { recursive: true });
  const known = existsSync(FIGURES) ? JSON.parse(readFileSync(FIGURES, 'utf8')) : [];
  const all = new Map([...known, ...parts.map((part) => kept(part, stamp))].map((part) => [part.name, part]));
  const sorted = order.flatMap(({ name }) => all.get(name) ?? []);

  for (const name of readdirSync(FOLDER)) if (name.endsWith('.svg')) rmSync(join(FOLDER, name));
  const drawn = sorted.map((part) => {
    const definition = order.find(({ name }) => name === part.name);
    return { part, definition, charts: draw(part, definition) };
  });
  const charts = drawn.flatMap(({ definition: { title }, charts: [first] }) =>
    first ? [`**[${title}](#${anchor(title)})**: ${first.title}`, picture(first)] : [],
  );
  const sections = drawn.map(({ part, definition, charts: all }) => section(part, definition, all));
  const text = ['## Charts', ...charts, '## Goals', goalTable(goals(sorted)), ...sections].join('\n\n');
  writeFileSync(PAGE, between(readFileSync(PAGE, 'utf8'), text));
  writeFileSync(FIGURES, `${JSON.stringify(sorted)}\n`);
}
