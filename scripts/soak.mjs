// `npm run soak -- [--minutes 20]`: uses and interrupts a tunnel for a given time,
// with a private server on the loopback interface, and counts everything. Exits with 0 if
// nothing was lost, mixed up, misreported or leaked, else with 1 and the faults.

import { once } from 'node:events';
import { openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

import { SSHTunnel } from '../index.js';
import { Peer, connect } from '../__test__/helpers/peers.mjs';
import { ask5 } from '../__test__/helpers/socks.mjs';
import { Sshd } from '../__test__/helpers/sshd.mjs';
import { Ledger, keyOf } from './soak/ledger.mjs';
import { Stage, damagedPattern, faults, makePlan, randomness, reportFaults } from './soak/scenarios.mjs';
import { growth, left, mib, sample } from './soak/resources.mjs';

const RECONNECT = { initialDelay: 20, maxDelay: 200 };
const BETWEEN_QUIET = 30_000; // ms
const LONGEST_QUIET = 60_000;
const MOST_FAULTS_SHOWN = 20;
/** Faults that `--induce` makes, which must be detected. */
const INDUCED = ['memory', 'descriptor', 'bytes', 'report'];

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    connections: { type: 'string', default: '12' },
    induce: { type: 'string' },
  },
});
const duration = values.seconds === undefined ? Number(values.minutes) * 60_000 : Number(values.seconds) * 1000;
const [seed, atOnce] = [Number(values.seed), Number(values.connections)];
if (!(duration > 0 && Number.isInteger(seed) && atOnce >= 1) || (values.induce && !INDUCED.includes(values.induce))) {
  console.error(
    `usage: npm run soak -- [--minutes 20 | --seconds n] [--seed n] [--connections 12] [--induce ${INDUCED.join('|')}]`,
  );
  process.exit(2);
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const random = randomness(seed);
console.log(`soak: ${duration / 1000} s, seed ${seed}, ${atOnce} connections at once`);

const server = await Sshd.start({ logLevel: 'INFO', config: ['RekeyLimit 1M'] });
const stage = await Stage.start();
const options = { ...server.login, reconnect: RECONNECT, forwardHost: '127.0.0.1', forwardPort: stage.port };
// The threads that serve tunnels stay, one for each of the first few, and are no leak.
const first = Array.from({ length: availableParallelism() }, () => new SSHTunnel(options));
await Promise.all(first.map((one) => one.promises.startListening()));
await Promise.all(first.map((one) => one.promises.shutdown()));
const before = sample();

const tunnel = new SSHTunnel(options);
const ledger = new Ledger(tunnel);
process.on('unhandledRejection', (error) => ledger.fault(`an unhandled rejection: ${error?.stack ?? error}`));
process.on('uncaughtException', (error) => ledger.fault(`an uncaught exception: ${error?.stack ?? error}`));
await tunnel.promises.startListening();
const dynamic = await tunnel.promises.forwardDynamic({});
const remote = await tunnel.promises.forwardRemote({
  remoteHost: '127.0.0.1',
  forwardHost: '127.0.0.1',
  forwardPort: stage.port,
});

/** Running scenarios, by the key of their connections. */
const playing = new Map();
const counts = { scenarios: 0, whole: 0, cut: 0, refused: 0, kills: 0, pauses: 0, disconnects: 0, up: 0, down: 0 };
/** Counts events that may interrupt connections: a scenario during which it does not change is undisturbed. */
let troubles = 0;
/** Whether there is a session, according to the events. */
let up = true;
for (const name of ['reconnecting', 'ready']) {
  tunnel.on(name, () => {
    troubles++;
    up = name === 'ready';
  });
}
let stopping = false;
process.once('SIGINT', () => (stopping = true));

/** The forwards to the target: how a client connects, and which end the tunnel has a socket with. */
const FORCED_ENDS = {
  local: { local: 'client', forwardId: 0, connect: () => connect(tunnel.localPort, { read: false }) },
  socks: {
    local: 'client',
    forwardId: dynamic.forwardId,
    connect: async () => {
      const { peer, code } = await ask5(dynamic.localPort, '127.0.0.1', stage.port);
      if (code !== 0) throw Object.assign(new Error(`SOCKS: ${code}`), { code: 'refused', peer });
      return peer;
    },
  },
  remote: { local: 'target', forwardId: remote.forwardId, connect: () => connect(remote.remotePort, { read: false }) },
  dialed: {
    local: 'client',
    connect: () => dialedPeer(tunnel.dial({ host: '127.0.0.1', port: stage.port, allowHalfOpen: true })),
  },
  temporary: {
    local: 'client',
    connect: async (play) => {
      const forward = await tunnel.promises.forwardLocal({ forwardHost: '127.0.0.1', forwardPort: stage.port });
      play.over = () => forward.promises.stop();
      play.forwardId = forward.forwardId;
      return connect(forward.localPort, { read: false });
    },
  },
};
/** The end of a socket without a port is reported by its events only. */
function dialedPeer(socket) {
  const peer = new Peer(socket.pause(), { read: false });
  let ended = false;
  socket.on('end', () => (ended = true));
  const { report } = Peer.prototype;
  peer.report = () => ({ ...report.call(peer), ...(ended && { end: 'FIN' }) });
  return peer;
}

const OFTEN = ['local', 'local', 'local', 'socks', 'remote', 'remote', 'dialed', 'dialed', 'temporary'];
const kept = [];

/** One connection from its start to its report. */
async function playOnce(number) {
  const way = random.of(OFTEN);
  const plan = makePlan(number, random);
  const since = up && (way !== 'remote' || remote.listening) ? troubles : -1;
  let report;
  const begin = async (play) => {
    const client = await FORCED_ENDS[way].connect(play);
    const { connectionId, localPort } = client.socket;
    play.key =
      way === 'dialed'
        ? keyOf({ connectionId })
        : keyOf({ forwardId: play.forwardId ?? FORCED_ENDS[way].forwardId, remotePort: localPort });
    playing.set(play.key, play);
    report = ledger.expect(play.key);
    return client;
  };
  counts.scenarios++;
  let play;
  try {
    play = await stage.play(plan, begin, values.induce === 'bytes' && number % 5 === 0 ? damagedPattern() : null);
  } catch (error) {
    // Without a session nothing listens at the server, and a proxy reports a failure.
    counts.refused++;
    error.peer?.socket.destroy();
    if (troubles === since) ledger.fault(`${way}: nothing happened, and yet: ${error.code ?? ''} ${error.message}`);
    return;
  }
  playing.delete(play.key);
  const isUndisturbed = () => troubles === since && !play.hardened;
  const { local } = FORCED_ENDS[way];
  const found = faults(play, { undisturbed: isUndisturbed(), local });
  const whole = play.plan.ending === 'whole' && play.client.bytes === plan.down && play.target?.bytes === plan.up + 8;
  counts[whole ? 'whole' : 'cut']++;
  counts.up += play.target?.bytes ?? 0;
  counts.down += play.client.bytes;
  if (!whole) ledger.dismiss(play.key);
  else {
    const end = await report();
    if (end === null) found.push('both ends are done, and there is no report');
    else {
      found.push(...reportFaults(play, end, local));
      // A disconnect between the last byte and the last CLOSE leaves that unconfirmed.
      if (isUndisturbed() && !play.disturbed && !end.clean)
        found.push(`both ends have everything, and the report says ${end.code}: ${end.reason}`);
    }
  }
  await play.over?.();
  for (const text of found)
    ledger.fault(
      `play ${number} (${play.key}), ${way}, ${plan.order}, ${plan.ending}, up ${plan.up}, down ${plan.down}: ${text}`,
    );
  if (values.induce === 'memory') kept.push(Buffer.alloc(256 * 1024, number));
  if (values.induce === 'descriptor' && number % 20 === 0) openSync('/dev/null');
  if (values.induce === 'report' && number === 20) {
    tunnel.emit('disconnected', { connectionId: 1, code: 'OK' });
    ledger.counts.ended--;
  }
}

const allow = (code) => (error) => {
  if (error.code !== code) throw error;
};

/** Disturbances of the tunnel, with their average interval in milliseconds. */
const ACTIONS = [
  [
    6000,
    'the session dies',
    async () => {
      up = false;
      troubles++;
      counts.kills++;
      server.killSessions();
    },
  ],
  [
    9000,
    'the server pauses',
    async () => {
      counts.pauses++;
      server.freezeSessions();
      await pause(random.below(600));
      server.thawSessions();
    },
  ],
  [
    300,
    'another Linger',
    () => {
      const linger = random.of([
        { l_onoff: 0, l_linger: 0 },
        { l_onoff: 1, l_linger: 0 },
        { l_onoff: 1, l_linger: 1 + random.below(30) },
      ]);
      return tunnel.promises.setLingerOption(linger);
    },
  ],
  [
    700,
    'another Linger for a connection',
    async () => {
      const connections = await tunnel.promises.connections();
      if (connections.length === 0) return;
      const connection = random.of(connections);
      const linger = random.chance(0.5);
      // This resets a closing connection.
      const play = playing.get(keyOf(connection));
      if (!linger && play) play.hardened = true;
      // It may have ended since it was listed.
      await connection.promises.setLinger(linger).catch(allow('ERR_TUNNEL_NO_CONNECTION'));
    },
  ],
  [
    1500,
    'a connection is ended',
    async () => {
      const play = random.of([...playing.values()]);
      if (play === undefined) return;
      const connections = await tunnel.promises.connections();
      const info = connections.find((one) => play.key === keyOf(one));
      if (info === undefined) return;
      counts.disconnects++;
      play.disturbed = true;
      await tunnel.promises.disconnect(info.connectionId).catch(allow('ERR_TUNNEL_NO_CONNECTION'));
    },
  ],
];

let quiet = false;
async function keepDoing([every, name, action]) {
  while (!stopping) {
    await pause(every / 2 + random.below(every));
    if (quiet || stopping) continue;
    await action().catch((error) => ledger.fault(`${name}: ${error.stack}`));
  }
}

let number = 0;
const active = new Set();
async function keepPlaying(until) {
  while (!stopping && Date.now() < until) {
    const play = playOnce(++number).catch((error) => ledger.fault(`play ${number}: ${error.stack}`));
    active.add(play);
    play.then(() => active.delete(play));
    if (active.size >= atOnce) await Promise.race(active);
    await pause(random.below(30));
  }
}

/** Waits until no connection is open and there is a session, then checks the resources. */
async function settle() {
  quiet = true;
  const limit = Date.now() + LONGEST_QUIET;
  await Promise.all(active);
  for (;;) {
    const { sessions, connections } = await tunnel.promises.stats();
    const listed = await tunnel.promises.connections();
    const open = listed.length;
    if (open === 0 && sessions.up === 1 && remote.listening && ledger.counts.ended === connections.accepted) break;
    if (Date.now() > limit) {
      for (const { connectionId, ...info } of listed) console.error(connectionId, info);
      ledger.fault(
        `not quiet after ${LONGEST_QUIET / 1000} s: ${open} connections, ${sessions.up} sessions, ${connections.accepted} accepted, ${ledger.counts.ended} ended, remote forward ${remote.listening}`,
      );
      stopping = true;
      break;
    }
    await pause(20);
  }
  ledger.settle();
  const now = sample();
  quiet = false;
  return now;
}

const began = Date.now();
const samples = [];
const actions = ACTIONS.map(keepDoing);
while (!stopping && Date.now() < began + duration && ledger.faults.length < MOST_FAULTS_SHOWN) {
  await keepPlaying(Math.min(began + duration, Date.now() + Math.min(BETWEEN_QUIET, duration / 4)));
  const now = await settle();
  if (samples.length > 0) for (const text of left(samples[0], now)) ledger.fault(text);
  samples.push(now);
  const { scenarios, whole, cut, refused, kills, pauses, disconnects } = counts;
  const seconds = Math.round((Date.now() - began) / 1000);
  console.log(
    `${String(seconds).padStart(5)} s: ${scenarios} connections (${whole} whole, ${cut} cut, ${refused} not begun), ${mib(counts.up)} MiB up, ${mib(counts.down)} down, ` +
      `${kills} sessions killed, ${pauses} pauses, ${disconnects} ended here; ` +
      `${mib(now.memory)} MiB resident, ${mib(now.heap)} heap, ${now.descriptors} descriptors, ${now.threads} threads`,
  );
}
stopping = true;
await Promise.all(actions);

const closed = once(tunnel, 'close');
await tunnel.promises.shutdown();
await closed;
const problems = [...ledger.faults, ...growth(samples)];
const { descriptors } = sample();
if (descriptors > before.descriptors)
  problems.push(`${descriptors} descriptors after the shutdown, ${before.descriptors} before the tunnel`);
await stage.stop();
await server.stop();

for (const text of problems.slice(0, MOST_FAULTS_SHOWN)) console.error(`WRONG: ${text}`);
console.log(problems.length === 0 ? `nothing wrong (seed ${seed})` : `${problems.length} things wrong (seed ${seed})`);
process.exit(problems.length === 0 ? 0 : 1);
