// What a request and a new connection cost where there are many of something: they should cost the same.

import { readdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

import { Child } from '../../__test__/helpers/process.mjs';
import { complete, measure, serve } from '../harness/load.mjs';
import { Meter, resident } from '../harness/processor.mjs';
import { AES256, MIB } from './common.mjs';
import { ask } from './requests.mjs';

const PROGRAM = new URL('../peers/scale-process.mjs', import.meta.url).href;
const LIMIT = 60_000; // ms that idle connections may take to open
/**
 * sshd looks at every channel of a session whenever it wakes up. With one session for all, most of a request's time
 * would be sshd's, and even with many it is longer than beside none. A process that has slept longer finds less in the
 * processor's caches, so that each row has the same pause, in milliseconds, after each answer.
 */
const SESSIONS = 64;
const PAUSE = 10;

/** A number of things, in the place of a peer. The largest number of a case is compared with the others. */
const sizes = (counts, unit, options) =>
  counts.map((count, index) => {
    const text = count.toLocaleString('en-US');
    const label = `${text} ${unit}${count === 1 ? '' : 's'}`;
    return { name: index === 0 ? 'ours' : text, label, weight: 1, options: options(count) };
  });

const forwards = (count) => ({ forwards: count });
const tunnels = (count) => ({ tunnels: count });
const connections = (count) => ({ tunnels: 1, sessions: SESSIONS, connections: count });

const CASES = [
  { name: 'forwards of one tunnel', counts: [5000, 1000, 100, 1], quick: [100, 1], unit: 'forward', options: forwards },
  { name: 'tunnels', counts: [500, 200, 50, 1], quick: [4, 1], unit: 'tunnel', options: tunnels },
  {
    name: 'idle connections',
    counts: [10_000, 1000, 1],
    quick: [16, 1],
    unit: 'connection',
    options: (count) => ({ tunnels: 1, connections: count, server: 'russh' }),
  },
  {
    name: 'idle connections, with sshd',
    counts: [10_000, 1000, SESSIONS],
    quick: [16, 4],
    unit: 'connection',
    options: connections,
    pause: PAUSE,
  },
];

/** Processor milliseconds per second of a process that nobody asks for anything. */
async function idleness(pids, seconds) {
  const meter = new Meter(pids);
  const began = performance.now();
  await setTimeout(seconds * 1000);
  return (meter.read() * 1000) / ((performance.now() - began) / 1000);
}

/** Processor microseconds per connection, for a number of connections one after the other. */
async function connect(tunnel, count, pause) {
  const meter = new Meter(tunnel.pids);
  complete(await measure('short', { port: `${tunnel.port}/close`, atOnce: 1, count, pause }));
  return (meter.read() / count) * 1e6;
}

export const scale = {
  name: 'scale',
  title: 'Scale',
  about: [
    'A request and a response of 1 KiB each on one connection, and connections for one request each, one after the other, while there are many',
    'forwards of one tunnel, tunnels of one process, or connections that carry nothing. Processor time is that of the process. All rows of a case',
    'are open at once and measured in turn, and a request and a connection should cost the same in each. The idle connections share one session',
    'with a server made of russh. sshd looks at every channel of a session at each wake-up: with it they have',
    `${SESSIONS} sessions, and each answer is followed by a pause of ${PAUSE} ms: the process sleeps as long however long sshd takes.`,
    'Set-up, once for each row, is until all listen (of tunnels with their sessions, 8 at a time), or until each connection has echoed a byte.',
  ].join(' '),
  metrics: {
    request: { label: 'us of a request', compared: true, short: 'request' },
    connection: { label: 'us of a connection', compared: true, short: 'connection' },
    idle: { label: 'idle, ms/s' },
    wall: { label: 'set-up ms' },
    processor: { label: 'processor ms of it' },
    rss: { label: 'resident MiB' },
    threads: { label: 'threads' },
  },

  cases: ({ quick }) =>
    CASES.map(({ name, counts, quick: few, unit, options, pause }) => ({
      name,
      peers: sizes(quick ? few : counts, unit, options),
      pause,
    })),

  open: ({ name, options }, _, context) => open(name, options, context),

  async measure(tunnel, { pause = 0 }, { quick }) {
    const [pid] = tunnel.pids();
    const idle = await idleness(tunnel.pids, quick ? 0.3 : 2);
    const asked = { ...tunnel, port: `${tunnel.port}/answer` };
    const { processor: request } = await ask(asked, 1, quick ? 0.3 : 2, 0, pause);
    const connection = await connect(tunnel, quick ? 50 : pause > 0 ? 200 : 1000, pause);
    const threads = readdirSync(`/proc/${pid}/task`).length;
    return { ...tunnel.setup, request, connection, idle, rss: resident(pid).rss / MIB, threads };
  },
};

/** A program with what the options say, and connections that stay. */
async function open(name, options, context) {
  const server = await (options.server === 'russh' ? context.russh() : context.server('scale'));
  const child = await Child.start(PROGRAM);
  const pids = () => [child.pid];
  try {
    const login = { ...server.login, kex: context.kex, cipher: AES256, target: context.targets.any };
    const { port, setup } = await child.ask('open', { ...login, ...options });
    const held = options.connections ? await hold(pids, port, options.connections) : { setup };
    const stop = async () => {
      await held.program?.stop();
      await child.stop();
    };
    return { ...held, name, port, pids, child, serverPids: () => server.sessions(), stop };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** Opens connections that stay, and do nothing from then on. */
async function hold(pids, port, count) {
  const meter = new Meter(pids);
  const began = performance.now();
  const { program, ...opened } = await serve('idle', { port: `${port}/echo`, connections: count }, LIMIT);
  try {
    complete(opened);
    return { program, setup: { wall: performance.now() - began, processor: meter.read() * 1000 } };
  } catch (error) {
    await program.stop();
    throw error;
  }
}

/** Values of the option `sessions`. Ours is what the others are compared with. */
const WAYS = [
  { name: 'ours', label: "'auto'", value: 'auto' },
  { name: '1', label: '1 session', value: 1 },
  { name: '64', label: '64 sessions', value: SESSIONS },
];

const IDLE = [0, 1000, 3000, 8000];

export const sessions = {
  name: 'scale-sessions',
  group: 'scale',
  title: 'Sessions',
  about: [
    'The option `sessions` beside connections that carry nothing, which are opened 64 at a time. Requests are of 1 KiB each, one after the other on a',
    'connection that is opened last, which goes to the session with the fewest. Processor times are of one request, and of one connection for a request;',
    'those of sshd are of all sessions. An echo is that of a byte on each of the idle connections at once. Pages that several processes of sshd share are',
    'counted for each. Every round has a tunnel of its own.',
  ].join(' '),
  metrics: {
    p50: { label: 'request p50 ms', compared: true, short: 'p50' },
    p99: { label: 'p99 ms' },
    request: { label: 'us of a request' },
    server: { label: 'sshd us of it' },
    connection: { label: 'us of a connection' },
    echo: { label: 'echo on all, s' },
    wall: { label: 'set-up s' },
    up: { label: 'sessions' },
    rss: { label: 'resident MiB' },
    serverRss: { label: 'sshd resident MiB' },
  },
  charts: [{ metric: 'p50', title: 'Milliseconds of a request beside idle connections' }],
  fresh: true,
  cold: true,

  cases: ({ quick }) =>
    (quick ? [0, 20] : IDLE).map((connections) => ({
      name: connections === 0 ? 'none' : connections.toLocaleString('en-US'),
      peers: WAYS.map(({ value, ...way }) => ({
        ...way,
        weight: 1,
        options: { tunnels: 1, sessions: value, connections },
      })),
    })),
  open: ({ name, options }, _, context) => open(name, options, context),

  async measure(tunnel, _, { quick }) {
    const asked = { ...tunnel, port: `${tunnel.port}/answer` };
    const { p50, p99, processor: request, server } = await ask(asked, 1, quick ? 0.3 : 2);
    const connection = await connect(tunnel, quick ? 50 : 300, 0);
    const { sessions: stats } = await tunnel.child.ask('stats');
    const values = { p50, p99, request, server, connection, up: stats.up, rss: residentOf(tunnel.pids()) };
    const { seconds: echo } = tunnel.program ? await tunnel.program.ask('echo', LIMIT) : {};
    return { ...values, echo, wall: tunnel.setup.wall / 1000, serverRss: residentOf(tunnel.serverPids()) };
  },
};

/** Resident mebibytes of processes; one may have ended since it was listed. */
function residentOf(pids) {
  const each = pids.map((pid) => {
    try {
      return resident(pid).rss;
    } catch {
      return 0;
    }
  });
  return each.reduce((sum, bytes) => sum + bytes, 0) / MIB;
}
