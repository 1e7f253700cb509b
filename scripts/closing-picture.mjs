// Draws docs/closing.svg: the packets of a graceful, a bounded and a hard close, as tcpdump sees them
// on this machine's loopback. Run by hand, where tcpdump is installed and may capture:
//
//   npm run build && sudo node scripts/closing-picture.mjs

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { SO_LINGER, promises, setsockopt } from '../index.js';
import { ROOT } from './setup.mjs';

const SIZE = 1024 * 1024; // bytes that the program sends before it closes
const READS = 1000; // ms after the close: when the peer of the graceful one begins to read
const SHOWN = 2300; // ms

const closes = [
  { name: 'graceful', linger: { l_onoff: 0, l_linger: 0 }, reads: READS },
  { name: 'bounded', linger: { l_onoff: 1, l_linger: 2 } },
  { name: 'hard', linger: { l_onoff: 1, l_linger: 0 } },
];

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
/** The time of day in milliseconds, as exact as tcpdump's. */
const now = () => performance.timeOrigin + performance.now();

/** Captures what goes to and from a port, until the function that it gives is called. */
async function capture(port) {
  // Without -s the kernel has room for a few packets only, and loses others.
  const options = ['-i', 'lo', '-s', '128', '-B', '8192', '-n', '-tt', '-S', '-l', `tcp port ${port}`];
  const tcpdump = spawn('tcpdump', options);
  let lines = '';
  let report = '';
  tcpdump.stdout.setEncoding('utf8').on('data', (text) => (lines += text));
  const [message] = await Promise.race([once(tcpdump.stderr, 'data'), once(tcpdump, 'exit')]);
  if (tcpdump.exitCode !== null) throw new Error(`tcpdump: ${message}`);
  tcpdump.stderr.setEncoding('utf8').on('data', (words) => (report += words));
  return async () => {
    await pause(1500); // the kernel hands over in batches, the last one after a second
    tcpdump.kill('SIGINT');
    await once(tcpdump, 'close');
    if (!report.includes('0 packets dropped')) throw new Error(`not everything was captured: ${report}`);
    return fresh(
      lines
        .trim()
        .split('\n')
        .map((line) => packet(line, port)),
    );
  };
}

/** A line of tcpdump's: when, in which direction, and what. */
function packet(line, port) {
  const [, seconds, from, flags] = /^([\d.]+) IP6? \S+?\.(\d+) > \S+: Flags \[(\S+)\]/.exec(line);
  const length = Number(/length (\d+)/.exec(line)[1]);
  const down = Number(from) !== port; // the peer is the one that listens
  const kind = flags.includes('R') ? 'RST' : flags.includes('F') ? 'FIN' : length > 0 ? 'data' : 'ack';
  const end = Number(/seq \d+:(\d+)/.exec(line)?.[1]);
  const window = Number(/win (\d+)/.exec(line)?.[1]);
  return {
    time: Number(seconds) * 1000,
    down,
    kind,
    length,
    end,
    syn: flags.includes('S'),
    full: !down && window === 0,
  };
}

/** Bytes that were sent before, such as those of a probe, count no more; a FIN counts by itself. */
function fresh(packets) {
  let highest = 0;
  return packets.flatMap((one) => {
    if (one.length === 0) return one;
    const length = highest === 0 ? one.length : Math.min(one.length, Math.max(0, one.end - highest));
    highest = Math.max(highest, one.end);
    const data = { ...one, length, kind: length === 0 ? 'ack' : 'data' };
    return one.kind === 'data' ? data : [data, { ...one, length: 0 }];
  });
}

/** Closes a connection with unread data in one way. */
async function observe({ linger, reads }) {
  const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  const finish = await capture(port);
  const socket = net.connect(port, '127.0.0.1');
  const [[peer]] = await Promise.all([once(server, 'connection'), once(socket, 'connect')]);
  peer.on('error', () => {});
  await new Promise((done) => socket.write(Buffer.alloc(SIZE), done));
  await pause(50);
  setsockopt(socket, SO_LINGER, linger);
  const called = now();
  const closed = promises.closesocket(socket).then((result) => ({ ...result, time: now() - called }));
  if (reads !== undefined) setTimeout(() => peer.resume(), reads);
  const result = await closed;
  await pause(called + SHOWN - now());
  const packets = (await finish()).map((one) => ({ ...one, time: one.time - called }));
  peer.destroy();
  server.close();
  return { packets, result };
}

const LEFT = 150;
const WIDTH = 960;
const LANE = 190;
const FIRST = -100; // ms, the left edge
const x = (time) => LEFT + ((time - FIRST) / (SHOWN - FIRST)) * (WIDTH - LEFT - 20);
const bytes = (count) => (count >= 1024 ? `${Math.round(count / 1024)} KiB` : `${count} bytes`);
const text = (at, y, words, more = '') => `<text x="${at.toFixed(1)}" y="${y}" ${more}>${words}</text>`;

const LOOKS = {
  data: { class: 'data', order: 1 },
  ack: { class: 'ack', order: 0 },
  FIN: { class: 'fin', order: 2 },
  RST: { class: 'rst', order: 3 },
};

/** Packets that one line can stand for: of one kind, in one direction, at about the same time. */
function group(packets) {
  const groups = [];
  for (const one of packets) {
    if (one.syn || one.time < FIRST || one.time > SHOWN) continue;
    const last = groups.findLast((other) => other.kind === one.kind && other.down === one.down);
    if (last && one.time - last.until < 8) {
      last.count += 1;
      last.length += one.length;
      last.until = one.time;
    } else {
      groups.push({ ...one, count: 1, until: one.time });
    }
  }
  return groups.sort((a, b) => LOOKS[a.kind].order - LOOKS[b.kind].order);
}

function arrow({ time, down, kind, length, count, full }, top, bottom) {
  const [from, to] = down ? [top, bottom] : [bottom, top];
  const at = x(time).toFixed(1);
  const tip = to + (down ? -7 : 7);
  const title = `${(time / 1000).toFixed(3)} s: ${count > 1 ? `${count} packets, ` : ''}${kind}${length ? `, ${bytes(length)}` : ''}${full ? ', window full' : ''}`;
  const label = kind === 'FIN' || kind === 'RST' ? kind : length > 1024 ? bytes(length) : '';
  // FIN and RST may be at the same place as data: they are told at their ends.
  const y = kind === 'data' ? (from + to) / 2 : down ? bottom - 12 : top + 20;
  return [
    `<g class="${LOOKS[kind].class}"><title>${title}</title>`,
    `<path d="M${at} ${from}V${to}M${(x(time) - 4).toFixed(1)} ${tip}L${at} ${to}L${(x(time) + 4).toFixed(1)} ${tip}"/>`,
    label && (time < 0 ? text(x(time) - 7, y, label, 'text-anchor="end"') : text(x(time) + 7, y, label)),
    '</g>',
  ].join('');
}

function lane({ name, linger, reads }, { packets, result }, index) {
  const y = 44 + index * LANE;
  const [top, bottom] = [y + 34, y + 128];
  const outcome = `graceful: ${result.graceful}, unsent: ${result.unsent}`;
  const moments = [
    [0, 'closesocket()'],
    [result.time, outcome],
  ];
  const near = result.time < 300;
  return [
    text(14, y + 4, `${name} {${linger.l_onoff}, ${linger.l_linger}}`, 'class="name"'),
    text(14, top + 4, 'program'),
    text(14, bottom + 4, 'peer'),
    `<path class="rail" d="M${LEFT} ${top}H${WIDTH - 20}M${LEFT} ${bottom}H${WIDTH - 20}"/>`,
    ...(near
      ? [text(x(0) - 4, top - 10, `closesocket(): ${outcome}`)]
      : moments.map(([time, words], at) => text(x(time), top - 10, words, at ? 'text-anchor="end"' : 'dx="-4"'))),
    ...moments.map(([time]) => `<circle cx="${x(time).toFixed(1)}" cy="${top}" r="3.5"/>`),
    text(x(reads ?? 0) + (reads ? 0 : 30), bottom + 22, reads ? 'reads' : 'does not read'),
    reads ? `<circle cx="${x(reads).toFixed(1)}" cy="${bottom}" r="3.5"/>` : '',
    ...group(packets).map((one) => arrow(one, top, bottom)),
  ].join('\n');
}

function axis(y) {
  const ticks = [0, 500, 1000, 1500, 2000];
  return [
    `<path class="rail" d="M${LEFT} ${y}H${WIDTH - 20}${ticks.map((time) => `M${x(time).toFixed(1)} ${y}v5`).join('')}"/>`,
    ...ticks.map((time) => text(x(time), y + 20, `${time / 1000} s`, 'text-anchor="middle"')),
    text(x(500), y - 20, 'gray: acknowledgments, and window probes of the kernel'),
  ].join('\n');
}

const observed = [];
for (const close of closes) observed.push(await observe(close));
const height = 44 + closes.length * LANE + 30;
writeFileSync(
  join(ROOT, 'docs', 'closing.svg'),
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13">
<title>A graceful, a bounded and a hard close of 1 MiB that the peer has not read</title>
<style>
rect{fill:#fff}text,circle{fill:#222}path{fill:none}.name{font-weight:bold;font-size:15px}.rail{stroke:#999}
.data path{stroke:#1769c2;stroke-width:2}.data text{fill:#1769c2}.ack path{stroke:#bbb}
.fin path{stroke:#188038;stroke-width:2.5}.fin text{fill:#188038;font-weight:bold}
.rst path{stroke:#c5221f;stroke-width:2.5}.rst text{fill:#c5221f;font-weight:bold}
</style>
<rect width="${WIDTH}" height="${height}"/>
${closes.map((close, index) => lane(close, observed[index], index)).join('\n')}
${axis(44 + closes.length * LANE)}
</svg>
`,
);
process.exit();
