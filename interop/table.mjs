// The matrix as a table: a row an algorithm, a column a server.

import { KINDS } from './matrix.mjs';

const WORKS = 'yes';
const FAILS = '**no**';
const NOT_THERE = '–';
const FLAWED = 'no';

/** What the servers offer and cannot do, a line each. */
export function flaws(results) {
  return results.flatMap(({ name, cases }) =>
    cases.filter(({ flaw }) => flaw).map((one) => `- ${name}, \`${one.name}\`: ${one.flaw}`),
  );
}

/** @param results an object per server: { name, version, cases: [{ kind, name, error? }] } */
export function table(results) {
  const rows = [];
  for (const kind of Object.keys(KINDS)) {
    const names = new Set(
      results.flatMap(({ cases }) => cases.filter((one) => one.kind === kind).map(({ name }) => name)),
    );
    for (const name of names) {
      const cells = results.map(({ cases }) => {
        const found = cases.find((one) => one.kind === kind && one.name === name);
        if (!found) return NOT_THERE;
        if (found.flaw) return FLAWED;
        return found.error ? FAILS : WORKS;
      });
      rows.push([KINDS[kind], `\`${name}\``, ...cells]);
    }
  }
  const head = ['', '', ...results.map(({ name, version }) => `${name} ${version}`)];
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
