// One connection through the tunnel with both ends in this process: what each end does, what
// it read, and whether that is right.

import { createHash } from 'node:crypto';

import { KIB, MIB, PATTERN, Target, patternHash } from '../../__test__/helpers/peers.mjs';

const HEADER = 8;
const LONGEST_PLAY = 60_000; // ms

/** Random numbers that a seed repeats (mulberry32). */
export function randomness(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit) => Math.floor(next() * limit);
  return {
    next,
    below,
    chance: (share) => next() < share,
    of: (list) => list[below(list.length)],
    /** Sizes of every order of magnitude, equally often. */
    size: (most) => (next() < 0.1 ? 0 : Math.floor(2 ** (next() * Math.log2(most)))),
  };
}

/** The plan of both ends of a connection. */
export function makePlan(id, random) {
  return {
    id,
    up: random.size(4 * MIB),
    down: random.size(4 * MIB),
    // Which end sends first; half of the scenarios need half-close.
    order: random.of(['together', 'together', 'client first', 'target first']),
    ending: random.of(['whole', 'whole', 'whole', 'whole', 'client resets', 'target resets']),
    /** The number of sent bytes after which an end resets. */
    part: random.next(),
    /** Milliseconds for which the client reads nothing. */
    stall: random.chance(0.2) ? random.below(300) : 0,
  };
}

function headerOf(plan) {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(plan.id);
  header.write('soak', 4);
  return header;
}

/** The hash of the first bytes that a client sends. */
function clientHash(plan, count) {
  if (count <= HEADER) return createHash('sha256').update(headerOf(plan).subarray(0, count)).digest('hex');
  const hash = createHash('sha256').update(headerOf(plan));
  for (let left = count - HEADER; left > 0; left -= PATTERN.length) hash.update(PATTERN.subarray(0, left));
  return hash.digest('hex');
}

/** The target of all connections; their first bytes tell which scenario they belong to. */
export class Stage {
  #scenarios = new Map();

  static async start() {
    const stage = new Stage();
    stage.target = await Target.start((peer) => stage.#accept(peer));
    return stage;
  }

  get port() {
    return this.target.port;
  }

  stop() {
    return this.target.stop();
  }

  /**
   * Runs a plan. `connect` returns the client's end, which reads nothing yet. Resolves when both ends
   * are closed, with what each sent and read, and how its stream ended.
   */
  async play(plan, connect, changed = null) {
    const play = { plan, changed, client: null, target: null, disturbed: false, late: false };
    this.#scenarios.set(plan.id, play);
    const limit = setTimeout(() => {
      play.late = true;
      play.client?.socket.destroy();
      play.target?.socket.destroy();
    }, LONGEST_PLAY);
    try {
      play.client = await connect(play);
      await Promise.all([actAsClient(play), play.client.closed]);
      await play.target?.closed;
    } finally {
      clearTimeout(limit);
      this.#scenarios.delete(plan.id);
      this.target.forget();
    }
    return play;
  }

  async #accept(peer) {
    peer.socket.on('error', () => {});
    let first = Buffer.alloc(0);
    const play = await new Promise((resolve) => {
      peer.socket.on('data', (chunk) => {
        if (first.length >= HEADER) return;
        first = Buffer.concat([first, chunk.subarray(0, HEADER)]);
        if (first.length >= HEADER) resolve(this.#scenarios.get(first.readUInt32BE()));
      });
      peer.ended.then(() => resolve(undefined));
      peer.read();
    });
    // Interrupted before its first bytes arrived, or its scenario has ended.
    if (play === undefined) return peer.socket.destroy();
    play.target = peer;
    await actAsTarget(play, peer);
  }
}

async function actAsClient({ plan, client }) {
  const { socket } = client;
  socket.write(headerOf(plan));
  if (plan.stall > 0) setTimeout(() => client.read(), plan.stall);
  else client.read();
  if (plan.order === 'target first') await client.ended;
  if (plan.ending === 'client resets') {
    await client.send(Math.floor(plan.up * plan.part));
    if (!socket.destroyed) await client.reset();
    return;
  }
  await client.send(plan.up);
  client.end();
}

async function actAsTarget({ plan, changed }, peer) {
  if (plan.order === 'client first') {
    const { end } = await peer.ended;
    if (end !== 'FIN') return;
  }
  if (plan.ending === 'target resets') {
    await peer.send(Math.floor(plan.down * plan.part));
    if (!peer.socket.destroyed) peer.socket.resetAndDestroy();
    return;
  }
  await peer.send(plan.down, changed ?? PATTERN);
  peer.end();
}

/**
 * The faults of a finished scenario; a list of sentences.
 * @param options.undisturbed nothing happened that may interrupt a connection
 * @param options.local which end is the one that the tunnel has a socket with: 'client' or 'target'
 */
export function faults({ plan, client, target, disturbed, late }, { undisturbed, local }) {
  const found = [];
  if (late) found.push(`it was not over after ${LONGEST_PLAY / 1000} s`);
  if (client === null) return found;
  const down = client.report();
  const up = target?.report();
  if (down.bytes > plan.down || down.sha256 !== patternHash(down.bytes)) {
    found.push(`the client read ${down.bytes} bytes that are not what the target sent`);
  }
  if (up && (up.bytes > HEADER + plan.up || up.sha256 !== clientHash(plan, up.bytes))) {
    found.push(`the target read ${up.bytes} bytes that are not what the client sent`);
  }
  if (late || disturbed || plan.ending !== 'whole') return found;
  const whole = { client: down.bytes === plan.down, target: up?.bytes === HEADER + plan.up };
  const ends = { client: down, target: up };
  // The end that a tunnel closes never sees FIN before everything.
  if (ends[local]?.end === 'FIN' && !whole[local]) {
    found.push(
      `the ${local} saw FIN after ${ends[local].bytes} bytes of ${local === 'client' ? plan.down : HEADER + plan.up}`,
    );
  }
  if (undisturbed && !(whole.client && whole.target && down.end === 'FIN' && up.end === 'FIN')) {
    found.push(
      `nothing happened, and yet the client read ${down.bytes} of ${plan.down} (${down.end}), the target ${up?.bytes} of ${HEADER + plan.up} (${up?.end})`,
    );
  }
  return found;
}

/** The faults of a report that says `clean`; a list of sentences. */
export function reportFaults({ plan, client, target }, report, local) {
  if (!report.clean) return [];
  const up = HEADER + plan.up;
  const [bytesUp, bytesDown] = local === 'client' ? [up, plan.down] : [plan.down, up];
  const found = [];
  if (report.bytesUp !== bytesUp || report.bytesDown !== bytesDown) {
    found.push(
      `the report says clean with ${report.bytesUp} up, ${report.bytesDown} down instead of ${bytesUp} and ${bytesDown}`,
    );
  }
  if (client.bytes !== plan.down || target?.bytes !== up) {
    found.push(
      `the report says clean, and the ends read ${client.bytes} of ${plan.down} and ${target?.bytes} of ${up}`,
    );
  }
  return found;
}

/** A pattern with one wrong byte, which must be detected. */
export function damagedPattern() {
  const changed = Buffer.from(PATTERN);
  changed[KIB] ^= 1;
  return changed;
}
