// Bar charts as SVG: a group for each case, a bar for each peer, whiskers from least to most.

import { figure } from './table.mjs';

const WIDTH = 760;
const LEFT = 190; // where bars begin
const RIGHT = 100; // room for the figure behind the longest one
const BAR = 14;
const GAP = 3;
const BETWEEN = 14; // groups
const HEAD = 52;
const LEGEND_ROW = 18;
const LEGEND_COLUMNS = 3;

// Readable on white and on black; ours stands out.
const COLORS = ['#1f77d0', '#8a8f98', '#e08a1e', '#b5559b', '#3a9e5c', '#7d6fd1'];

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll(/[*`]/g, '');

function bar({ spread, color, failed }, y, scale) {
  const middle = y + BAR / 2;
  if (!spread) return `<text x="${LEFT + 4}" y="${middle + 4}" class="value">${failed ? 'failed' : '–'}</text>`;
  const at = (value) => (LEFT + value * scale).toFixed(1);
  const { median, least, most } = spread;
  const end = Math.max(median, most);
  return [
    `<rect x="${LEFT}" y="${y}" width="${Math.max(1, median * scale).toFixed(1)}" height="${BAR}" rx="2" fill="${color}"/>`,
    `<path class="whisker" d="M${at(least)} ${middle}H${at(most)}M${at(least)} ${middle - 4}v8M${at(most)} ${middle - 4}v8"/>`,
    `<text x="${(Number(at(end)) + 7).toFixed(1)}" y="${middle + 4}" class="value">${figure(median)}</text>`,
  ].join('');
}

/** Those that have a figure, or failed to have one. */
const shownOf = (peers, metric) => Object.entries(peers).filter(([, { spreads, failed }]) => spreads[metric] || failed);

/** @param cases of a part, with their peers; @param metric the name of the metric to draw */
export function chart({ title, note, cases, metric }) {
  const labels = new Map(
    cases.flatMap(({ peers }) => shownOf(peers, metric).map(([name, { label }]) => [name, label])),
  );
  const names = Array.from(labels.keys());
  const color = (name) => COLORS[names.indexOf(name) % COLORS.length];
  const shown = cases.map(({ name, peers }) => ({
    name,
    bars: shownOf(peers, metric).map(([peer, { spreads, failed }]) => ({
      spread: spreads[metric],
      failed,
      color: color(peer),
    })),
  }));
  const highest = Math.max(
    ...shown.flatMap(({ bars }) => bars.map(({ spread }) => spread?.most ?? 0)),
    Number.MIN_VALUE,
  );
  const scale = (WIDTH - LEFT - RIGHT) / highest;

  let y = HEAD + LEGEND_ROW * Math.ceil(names.length / LEGEND_COLUMNS);
  const parts = shown.map(({ name, bars }) => {
    const height = bars.length * (BAR + GAP) - GAP;
    const label = `<text x="${LEFT - 10}" y="${y + height / 2 + 4}" text-anchor="end">${escaped(name)}</text>`;
    const drawn = bars.map((one, index) => bar(one, y + index * (BAR + GAP), scale));
    y += height + BETWEEN;
    return [label, ...drawn].join('\n');
  });
  const legend = names.map((name, index) => {
    const x = LEFT + (index % LEGEND_COLUMNS) * 185;
    const top = HEAD - 12 + Math.floor(index / LEGEND_COLUMNS) * LEGEND_ROW;
    return `<rect x="${x}" y="${top - 9}" width="10" height="10" rx="2" fill="${color(name)}"/><text x="${x + 15}" y="${top}">${escaped(labels.get(name))}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="12">
<title>${escaped(title)}</title>
<style>
text{fill:#24292f}.head{font-size:15px;font-weight:600}.value,.note{fill:#57606a}.axis{stroke:#8c959f}.whisker{stroke:#24292f;fill:none}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.value,.note{fill:#9da7b1}.axis{stroke:#6e7681}.whisker{stroke:#e6edf3}}
</style>
<text x="10" y="20" class="head">${escaped(title)}</text>
<text x="${WIDTH - 10}" y="20" text-anchor="end" class="note">${escaped(note)}</text>
${legend.join('\n')}
<path class="axis" d="M${LEFT - 0.5} ${HEAD + LEGEND_ROW * Math.ceil(names.length / LEGEND_COLUMNS) - 6}V${y - 6}"/>
${parts.join('\n')}
</svg>
`;
}
