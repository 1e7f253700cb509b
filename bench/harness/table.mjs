// The figures of a part as a table of Markdown, which reads well on a terminal, too.

/** Three digits that say something, or as many as stand before the point. */
export function figure(number) {
  if (number === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
  return number.toLocaleString('en-US', { maximumFractionDigits: Math.min(digits, 5) });
}

export function spreadText(spread) {
  if (!spread) return '–';
  const { median, least, most } = spread;
  return least === most ? figure(median) : `${figure(median)} (${figure(least)}–${figure(most)})`;
}

/** Rows of cells, the first of them the head, with columns as wide as they have to be. */
export function markdown(rows) {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`);
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return lines.join('\n');
}

/** A row for each case and peer; ours over the peer's in the columns with a sign of division. */
export function table({ metrics, cases }) {
  const names = Object.keys(metrics);
  const compared = names.filter((name) => metrics[name].compared);
  const head = [
    '',
    'peer',
    ...names.map((name) => metrics[name].label),
    ...compared.map((name) => `ours / it: ${metrics[name].short ?? metrics[name].label}`),
  ];
  const rows = cases.flatMap(({ name: title, peers }) =>
    Object.values(peers).map(({ label, spreads, ratios, tried, failed }, index) => [
      index === 0 ? title : '',
      failed ? `${label}: ${failed} of ${tried} rounds failed` : label,
      ...names.map((name) => spreadText(spreads[name])),
      ...compared.map((name) => (ratios[name] ? figure(ratios[name].median) : '')),
    ]),
  );
  return markdown([head, ...rows]);
}

/** Why rounds failed, a line for each case and peer. */
export function failures({ cases }) {
  return cases.flatMap(({ name, peers }) =>
    Object.values(peers).flatMap(({ label, tried, failed, reason }) =>
      failed ? `- ${name}, ${label}: ${failed} of ${tried} rounds failed: ${reason}` : [],
    ),
  );
}
