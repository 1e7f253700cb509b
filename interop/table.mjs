// The matrix as a table: a row for each algorithm, a column for each server.

import { KINDS } from './matrix.mjs';

const WORKS = 'yes';
const FAILS = '**no**';
const NOT_THERE = '–';
const FLAWED = 'no';

/** The flaws and the lacks of the servers, one per line. */
export function notes(results) {
  return results.flatMap(({ name, cases }) => {
    const reasons = new Map();
    for (const one of cases) {
      const reason = one.flaw ?? one.lack;
      if (reason) reasons.set(reason, [...(reasons.get(reason) ?? []), title(one)]);
    }
    return [...reasons].map(([reason, titles]) => `- ${name}, ${titles.join(', ')}: ${reason}`);
  });
}

/** Formats names of the protocol as code. */
const title = ({ kind, name }) => (kind === 'behavior' ? name : `\`${name}\``);

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
        if (!found || found.lack) return NOT_THERE;
        if (found.flaw) return FLAWED;
        if (found.error) return FAILS;
        return found.partly ?? WORKS;
      });
      rows.push([KINDS[kind], title({ kind, name }), ...cells]);
    }
  }
  const head = ['', '', ...results.map(({ name, version }) => `${name} ${version}`)];
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
