// What the figures have to show, and whether they do.

import { nameOf } from '../parts/slow.mjs';
import { figure, markdown } from './table.mjs';

const NOISE = 0.05; // how far apart two medians of the same thing may be, where one is compared with itself

/** Figures by part, case, peer and metric; undefined for what was not measured. */
class Figures {
  #parts;

  constructor(parts) {
    this.#parts = new Map(parts.map(({ name, cases }) => [name, new Map(cases.map((one) => [one.name, one.peers]))]));
  }

  ratio(part, one, metric, peer = 'ssh') {
    return this.#parts.get(part)?.get(one)?.[peer]?.ratios[metric]?.median;
  }

  median(part, one, metric, peer) {
    return this.#parts.get(part)?.get(one)?.[peer]?.spreads[metric]?.median;
  }

  ours(part, one, metric) {
    return this.median(part, one, metric, 'ours');
  }

  /** The ratios of a metric to a peer's in every case of every part that has both. */
  ratios(metric, peer) {
    return Array.from(this.#parts.keys()).flatMap((part) =>
      Array.from(this.#parts.get(part).keys()).flatMap((one) => this.ratio(part, one, metric, peer) ?? []),
    );
  }

  /** Rounds of ours that failed, and connections. */
  failures() {
    const ours = Array.from(this.#parts.values()).flatMap((cases) =>
      Array.from(cases.values()).flatMap(({ ours: one }) => one ?? []),
    );
    return ours.length === 0
      ? undefined
      : ours.reduce((sum, { failed, spreads }) => sum + failed + (spreads.failures?.most ?? 0), 0);
  }
}

/** The worst of some figures; undefined if one of them is missing. */
const most = (...numbers) => (numbers.includes(undefined) || numbers.length === 0 ? undefined : Math.max(...numbers));
const least = (...numbers) => (numbers.includes(undefined) || numbers.length === 0 ? undefined : Math.min(...numbers));

const atMost = (limit, text, of, unit = '') => ({ text, limit, of, unit, sign: '≤', holds: (value) => value <= limit });
const atLeast = (limit, text, of, unit = '') => ({
  text,
  limit,
  of,
  unit,
  sign: '≥',
  holds: (value) => value >= limit,
});
const below = (limit, text, of, unit = '') => ({ text, limit, of, unit, sign: '<', holds: (value) => value < limit });
const above = (limit, text, of, unit = '') => ({ text, limit, of, unit, sign: '>', holds: (value) => value > limit });

const CPU = {
  'AES-256-GCM': { up: 0.55, down: 0.6 },
  'AES-128-GCM': { up: 0.55, down: 0.6 },
  ChaCha20: { up: 0.65, down: 0.95 },
};

const bulk = Object.entries(CPU).flatMap(([cipher, limits]) =>
  Object.entries(limits).flatMap(([direction, limit]) => {
    const one = `${cipher} ${direction} 1`;
    const eight = `${cipher} ${direction} 8`;
    const times = (metric) => (figures) => figures.ours('bulk', eight, metric) / figures.ours('bulk', one, metric);
    return [
      atMost(limit, `${cipher} ${direction}: processor time per GiB, of OpenSSH's`, (figures) =>
        figures.ratio('bulk', one, 'processor'),
      ),
      atMost(1.25, `${cipher} ${direction}: processor time per GiB, of the floor's`, (figures) =>
        figures.ratio('bulk', one, 'processor', 'floor'),
      ),
      above(1, `${cipher} ${direction}: MiB/s, of OpenSSH's`, (figures) => figures.ratio('bulk', one, 'rate')),
      atMost(
        1 + NOISE,
        `${cipher} ${direction}: processor time per GiB on 8 connections, of that on 1`,
        times('processor'),
      ),
      atLeast(1 - NOISE, `${cipher} ${direction}: MiB/s on 8 connections, of that on 1`, times('rate')),
    ];
  }),
);

const BOTH = 'AES-256-GCM both 1';
const single = (figures, metric) =>
  ['up', 'down'].map((direction) => figures.ours('bulk', `AES-256-GCM ${direction} 1`, metric));
bulk.push(
  atMost(
    1 + NOISE,
    'both directions at once: processor time per GiB, of the dearer direction alone',
    (figures) => figures.ours('bulk', BOTH, 'processor') / most(...single(figures, 'processor')),
  ),
  atLeast(
    1 - NOISE,
    'both directions at once: MiB/s in all, of the slower direction alone',
    (figures) => figures.ours('bulk', BOTH, 'rate') / least(...single(figures, 'rate')),
  ),
);

const requests = [1, 64, 512].flatMap((connections) => {
  const one = `${connections} ${connections === 1 ? 'connection' : 'connections'}`;
  const of = (metric) => (figures) => figures.ratio('requests', one, metric);
  return [
    atMost(0.65, `requests on ${one}: processor time of each, of OpenSSH's`, of('processor')),
    atLeast(1.1, `requests on ${one}: per second, of OpenSSH's`, of('rate')),
    connections === 1
      ? below(1, `requests on ${one}: p99`, (figures) => figures.ours('requests', one, 'p99'), ' ms')
      : atMost(1, `requests on ${one}: p99, of OpenSSH's`, of('p99')),
  ];
});

const beside = ['up', 'down'].flatMap((direction) =>
  ['p50', 'p99'].map((metric) =>
    atMost(1, `requests beside bulk ${direction}: ${metric}, of OpenSSH's`, (figures) =>
      figures.ratio('beside', `beside bulk ${direction}`, metric),
    ),
  ),
);

const short = [16, 128].flatMap((atOnce) => {
  const one = `${atOnce} at once`;
  return [
    atMost(0.45, `short connections, ${one}: processor time of each, of OpenSSH's`, (figures) =>
      figures.ratio('short', one, 'processor'),
    ),
    atLeast(1, `short connections, ${one}: per second, of OpenSSH's`, (figures) => figures.ratio('short', one, 'rate')),
  ];
});

const logon = [
  atMost(0.1, "connect to first forwarded byte, of OpenSSH's", (figures) =>
    figures.ratio('logon', 'first byte of the target', 'first'),
  ),
  atMost(0.4, "logon: time, of `ssh`'s", (figures) => figures.ratio('logon', 'logon', 'wall')),
  atMost(0.4, "logon: processor time, of `ssh`'s", (figures) => figures.ratio('logon', 'logon', 'processor')),
];

const command = [
  atMost(0.7, "`sshtunnel -W` on loopback, from start to end: time, of `ssh`'s", (figures) =>
    figures.ratio('command', 'on loopback', 'wall'),
  ),
  atMost(5.5, '`sshtunnel -W` over 100 ms, from start to end: round trips', (figures) =>
    figures.ours('command', 'over 100 ms', 'trips'),
  ),
];

const node = ['bulk up 1', 'bulk down 1'].flatMap((one) => [
  below(1, `event loop, ${one}: utilization`, (figures) => figures.ours('node', one, 'utilization'), ' %'),
  below(5, `event loop, ${one}: delay p99`, (figures) => figures.ours('node', one, 'p99'), ' ms'),
]);

const idle = [
  atMost(
    4096,
    'resident memory of an idle connection, of 10,000',
    (figures) => figures.ours('idle', '10,000', 'rss'),
    ' bytes',
  ),
  atMost(1, '10,000 connections echo a byte each, in all', (figures) => figures.ours('idle', '10,000', 'echo'), ' s'),
];

/** The sizes of each case of the part `scale` that are compared, by the names of its peers. */
const SCALE = [
  ['forwards of one tunnel', 'ours', '1', '5,000 forwards, of that with 1'],
  ['tunnels', '200', '1', '200 tunnels, of that with 1'],
  ['idle connections', 'ours', '1', '10,000 idle connections, of that with 1'],
  ['idle connections, with sshd', 'ours', '64', '10,000 idle connections and sshd, of that with one on each session'],
];
const scale = SCALE.flatMap(([one, most, least, text]) =>
  ['request', 'connection'].map((metric) =>
    atMost(1.1, `processor time of a ${metric} with ${text}`, (figures) => {
      const of = (peer) => figures.median('scale', one, metric, peer);
      return of(most) / of(least);
    }),
  ),
);

const sessions = [
  atMost(
    2,
    "request beside 8,000 idle connections with sessions: 'auto': p50, of that beside none",
    (figures) =>
      figures.median('scale-sessions', '8,000', 'p50', 'ours') /
      figures.median('scale-sessions', 'none', 'p50', 'ours'),
  ),
];

const long = [
  atLeast(4, "long link, download: MiB/s, of OpenSSH's", (figures) => figures.ratio('long', 'down', 'rate')),
  atLeast(1, "long link, upload: MiB/s, of OpenSSH's", (figures) => figures.ratio('long', 'up', 'rate')),
];

/** How many times as long as one segment a request may take, beside one connection and beside 4. */
const SEGMENTS = { up: 3, down: 6 };
const slow = [5, 20, 100].flatMap((rate) =>
  ['up', 'down'].flatMap((direction) => {
    const segment = (16 * 1024 * 8) / (rate * 1000); // ms
    const limit = SEGMENTS[direction] * segment + 5;
    const [one, four] = [1, 4].map((connections) => nameOf({ rate, direction, connections }));
    const alone = nameOf({ rate, direction, alone: true });
    const ms = (limit) => Math.round(limit * 10) / 10;
    return [
      atMost(ms(limit), `request beside bulk, ${one}: p50`, (figures) => figures.ours('slow', one, 'p50'), ' ms'),
      atMost(ms(3 * limit), `request beside bulk, ${one}: p99`, (figures) => figures.ours('slow', one, 'p99'), ' ms'),
      atMost(0.12, `request beside bulk, ${one}: p50, of OpenSSH's`, (figures) => figures.ratio('slow', one, 'p50')),
      atMost(ms(2 * limit), `request beside bulk, ${four}: p50`, (figures) => figures.ours('slow', four, 'p50'), ' ms'),
      atLeast(0.93, `bulk beside requests, ${one}: Mbit/s, of OpenSSH's`, (figures) =>
        figures.ratio('slow', one, 'rate'),
      ),
      atLeast(0.98, `bulk ${alone}: Mbit/s, of OpenSSH's`, (figures) => figures.ratio('slow', alone, 'rate')),
    ];
  }),
);
slow.push(
  ...['up', 'down'].map((direction) => {
    const [one, many] = [false, true].map((many) => nameOf({ rate: 20, direction, many }));
    return atMost(
      2,
      `request beside bulk, ${many}, and 1,000 connections idle: p99, of that where one asks`,
      (figures) => figures.ours('slow', many, 'p99') / figures.ours('slow', one, 'p99'),
    );
  }),
);

const property = [
  atMost(600, 'getLinger(), blocking', (figures) => figures.ours('property', 'blocking', 'time'), ' ns'),
  atMost(1, "getLinger(), blocking: time, of sockopt's getter", (figures) =>
    figures.ratio('property', 'blocking', 'time', 'sockopt'),
  ),
  ...['callbacks one after the other', 'callbacks, 5,000 at once'].map((one) =>
    atMost(1, `getLinger(callback), ${one}: time, of fs.fstat's`, (figures) =>
      figures.ratio('property', one, 'time', 'fstat'),
    ),
  ),
];

const everywhere = [
  atMost(0.5, "processor time of tunnel-ssh's, the worst of all parts", (figures) =>
    most(...figures.ratios('processor', 'tunnel-ssh')),
  ),
  atMost(0, 'failures of ours in all parts', (figures) => figures.failures()),
];

const GOALS = [
  ...bulk,
  ...requests,
  ...beside,
  ...short,
  ...logon,
  ...command,
  ...node,
  ...idle,
  ...scale,
  ...sessions,
  ...long,
  ...slow,
  ...property,
  ...everywhere,
];

/** Every goal that the parts have figures for: { text, limit, figure, met }. */
export function goals(parts) {
  const figures = new Figures(parts);
  return GOALS.flatMap(({ text, limit, of, unit, sign, holds }) => {
    const value = of(figures);
    if (value === undefined || Number.isNaN(value)) return [];
    return { text, limit: `${sign} ${limit}${unit}`, figure: `${figure(value)}${unit}`, met: holds(value) };
  });
}

export function goalTable(list) {
  const rows = list.map(({ text, limit, figure: value, met }) => [text, limit, value, met ? 'met' : '**not met**']);
  return markdown([['goal', 'limit', 'figure', ''], ...rows]);
}
