'use strict';

// What is known of a running command at this moment: its session, forwards and connections, their rates, the last ends
// and messages. The view, the web page, the health checks and the supervisor show it, and act through it.

const { plain, targetOf } = require('./output/text.js');

/** Ends and messages that are remembered. */
const MAX_ENDS = 100;
const MAX_MESSAGES = 100;
/** Milliseconds over which rates are measured. */
const SPAN = 1000;
/** Milliseconds between two pictures of the connections, at least, and as a multiple of what asking for them took. */
const MIN_PERIOD = 250;
const SHARE = 10;
/** Milliseconds for which an answer about the connections is current. */
const FRESH = 200;

/** Codes of ends of connections that had been opened; with another one, the target was not reached. */
const OPENED = ['OK', 'ECONNABORTED', 'ECONNRESET', 'ETIMEDOUT', 'ERR_SSH_CHANNEL_CLOSED', 'ERR_SSH_DISCONNECTED'];

/**
 * The session: `connecting` before the first one, `connected`, `reconnecting` after one was lost, `lost` when none follows.
 * @typedef {object} SessionState
 * @property {'connecting' | 'connected' | 'reconnecting' | 'lost'} state
 * @property {number} since milliseconds since 1970
 * @property {number} [attempt] the number of the next attempt to reconnect
 * @property {number} [nextAttempt] when it begins, in milliseconds since 1970
 */

/**
 * A message for the user; the same one in succession counts once.
 * @typedef {{ time: number, level: string, text: string, count: number }} Message
 */

/**
 * The end of a connection: a report, when it came, which of the totals counts it, the forwarding as
 * `-L 127.0.0.1:8080 -> db:80` while there is one, and the target, if it was seen.
 * @typedef {import('../../index.js').ConnectionEnd & { time: number, outcome: 'ok' | 'failed' | 'cut', forwarding?: string,
 *   target?: string }} End
 */

/**
 * A connection that exists, and when it was first seen, in milliseconds since 1970.
 * @typedef {{ info: import('../../index.js').Connection, flow: Flow, since: number }} Entry
 */

/** Bytes in both directions, and their rates in bytes per second. */
class Flow {
  up = 0;
  down = 0;
  upRate = 0;
  downRate = 0;
  #since = 0;
  #base = { up: 0, down: 0 };

  constructor(now) {
    this.#since = now;
  }

  /** The bytes until now. */
  set(up, down, now) {
    Object.assign(this, { up, down });
    const time = now - this.#since;
    if (time < SPAN) return;
    this.upRate = ((up - this.#base.up) * 1000) / time;
    this.downRate = ((down - this.#base.down) * 1000) / time;
    this.#base = { up, down };
    this.#since = now;
  }
}

class Monitor {
  /** What the command connects to, as `user@host:port`. */
  destination = '';
  /** The URL of the web page, with its token: for the user at the terminal, and no part of a snapshot. @type {string | undefined} */
  page;
  /** Whether the command ends: no connection is accepted any more. */
  closing = false;
  /** @type {SessionState} */
  session = { state: 'connecting', since: Date.now() };
  /** @type {import('./forwardings.js').Forwarding[]} */
  forwardings = [];
  /** The last ends, the latest first. @type {End[]} */
  ends = [];
  /** The connections that exist, the busiest first. @type {Entry[]} */
  connections = [];
  /** The latest last. @type {Message[]} */
  messages = [];
  /**
   * Connections that have ended; those of them that did not reach their target; that were cut, which is to say reset, or
   * ended with bytes that were not delivered; and these bytes.
   */
  totals = { ended: 0, failed: 0, cut: 0, lost: 0 };
  /** Milliseconds with a session, before the present one. */
  #upBefore = 0;
  /** Called when the session has changed. @type {Set<() => void>} */
  watchers = new Set();
  #tunnel;
  #sampled = -Infinity;
  /** @type {Promise<void> | undefined} */
  #sampling;
  /** By the number of a forward. @type {Map<number, { open: number, ended: number, flow: Flow, past: { up: number, down: number } }>} */
  #forwards = new Map();
  /** By the number of a connection. @type {Map<number, Entry>} */
  #entries = new Map();

  /** Watches a tunnel. @param {import('../../index.js').SSHTunnel} tunnel */
  follow(tunnel) {
    this.#tunnel = tunnel;
    tunnel.once('close', () => {
      this.#tunnel = undefined;
      this.sample([]);
    });
  }

  /**
   * @param {SessionState['state']} state
   * @param {{ attempt?: number, delay?: number }} [next] the next attempt, and in how many milliseconds it begins
   */
  setSession(state, { attempt, delay } = {}) {
    const since = Date.now();
    this.#upBefore = this.upTime(since);
    this.session = { state, since, attempt, nextAttempt: delay === undefined ? undefined : since + delay };
    for (const watcher of this.watchers) watcher();
  }

  /** The milliseconds for which there was a session. */
  upTime(now = Date.now()) {
    const { state, since } = this.session;
    return this.#upBefore + (state === 'connected' ? now - since : 0);
  }

  /** Remembers a message. */
  message(level, text) {
    const last = this.messages.at(-1);
    if (last?.text === text && last.level === level) {
      last.count += 1;
      last.time = Date.now();
      return;
    }
    this.messages.push({ time: Date.now(), level, text, count: 1 });
    if (this.messages.length > MAX_MESSAGES) this.messages.shift();
  }

  /** The connections of a forward. */
  forward(forwardId, now = performance.now()) {
    let forward = this.#forwards.get(forwardId);
    if (forward === undefined) {
      forward = { open: 0, ended: 0, flow: new Flow(now), past: { up: 0, down: 0 } };
      this.#forwards.set(forwardId, forward);
    }
    return forward;
  }

  /** The connections of all forwards of a forwarding together. @param {import('./forwardings.js').Forwarding} forwarding */
  total({ forwards }) {
    const total = { open: 0, ended: 0, up: 0, down: 0, upRate: 0, downRate: 0 };
    for (const { forwardId } of forwards) {
      const { open, ended, flow } = this.forward(forwardId);
      total.open += open;
      total.ended += ended;
      for (const member of ['up', 'down', 'upRate', 'downRate']) total[member] += flow[member];
    }
    return total;
  }

  /** The forwarding that a forward belongs to. @param {number} forwardId */
  forwardingOf(forwardId) {
    return this.forwardings.find(({ forwards }) => forwards.some((forward) => forward.forwardId === forwardId));
  }

  /** A connection has ended. @param {import('../../index.js').ConnectionEnd} end */
  ended(end) {
    const forward = this.forward(end.forwardId);
    forward.ended += 1;
    forward.past.up += end.bytesUp;
    forward.past.down += end.bytesDown;
    const lost = end.droppedUp + end.droppedDown + end.unconfirmedDown;
    this.totals.ended += 1;
    this.totals.lost += lost;
    const outcome = outcomeOf(end, lost);
    if (outcome !== 'ok') this.totals[outcome] += 1;
    const forwarding = this.forwardingOf(end.forwardId)?.name;
    const target = targetOf(this.#entries.get(end.connectionId)?.info ?? {});
    this.ends.unshift({
      ...end,
      time: Date.now(),
      outcome,
      forwarding: forwarding && plain(forwarding),
      target: target === '' ? undefined : plain(target),
    });
    this.ends.length = Math.min(this.ends.length, MAX_ENDS);
  }

  /** Asks for the connections that exist, unless they were asked for just now. */
  async refresh() {
    if (this.#tunnel === undefined || performance.now() - this.#sampled < FRESH) return;
    this.#sampling ??= this.#ask();
    await this.#sampling;
  }

  async #ask() {
    try {
      // A promise: a callback would wait for that of close().
      this.sample(await this.#tunnel.promises.connections());
    } finally {
      this.#sampling = undefined;
    }
  }

  /** Takes the connections that exist at this moment. */
  sample(infos, now = performance.now()) {
    this.#sampled = now;
    const before = this.#entries;
    this.#entries = new Map();
    const sums = new Map();
    this.connections = infos.map((info) => {
      const { flow, since } = before.get(info.connectionId) ?? { flow: new Flow(now), since: Date.now() };
      flow.set(info.bytesUp, info.bytesDown, now);
      const entry = { info, flow, since };
      this.#entries.set(info.connectionId, entry);
      const sum = sums.get(info.forwardId) ?? { open: 0, up: 0, down: 0 };
      sums.set(info.forwardId, { open: sum.open + 1, up: sum.up + info.bytesUp, down: sum.down + info.bytesDown });
      return entry;
    });
    const rate = ({ flow }) => flow.upRate + flow.downRate;
    this.connections.sort((a, b) => rate(b) - rate(a) || a.info.connectionId - b.info.connectionId);
    for (const forwardId of sums.keys()) this.forward(forwardId, now);
    for (const [forwardId, forward] of this.#forwards) {
      const { open, up, down } = sums.get(forwardId) ?? { open: 0, up: 0, down: 0 };
      forward.open = open;
      forward.flow.set(forward.past.up + up, forward.past.down + down, now);
    }
  }

  /** Closes a connection by its Linger. @param {number} connectionId */
  async close(connectionId) {
    await (await this.find(connectionId))?.promises.close();
  }

  /** Resets a connection. @param {number} connectionId */
  async reset(connectionId) {
    await (await this.find(connectionId))?.promises.reset();
  }

  /** The connection of this number, if it exists at this moment. @param {number} connectionId */
  async find(connectionId) {
    const infos = (await this.#tunnel?.promises.connections()) ?? [];
    return infos.find((info) => info.connectionId === connectionId);
  }

  /** Everything as a JSON object of its own, as of the last refresh(). docs/control.md describes it. */
  snapshot() {
    return {
      destination: this.destination,
      pid: process.pid,
      closing: this.closing,
      session: this.session,
      upTime: this.upTime(),
      forwardings: this.forwardings.map((forwarding) => ({
        kind: forwarding.kind,
        name: plain(forwarding.name),
        from: plain(forwarding.from),
        to: plain(forwarding.to),
        failed: forwarding.forwards.length === 0,
        forwardIds: forwarding.forwards.map(({ forwardId }) => forwardId),
        ...this.total(forwarding),
      })),
      connections: this.connections.map(({ info, since, flow }) => ({
        connectionId: info.connectionId,
        forwardId: info.forwardId,
        state: info.state,
        remoteAddress: info.remoteAddress,
        remotePort: info.remotePort,
        forwardHost: info.forwardHost,
        forwardPort: info.forwardPort,
        forwardPath: info.forwardPath,
        since,
        up: flow.up,
        down: flow.down,
        upRate: flow.upRate,
        downRate: flow.downRate,
      })),
      ends: [...this.ends],
      messages: this.messages.map((message) => ({ ...message })),
      totals: { ...this.totals },
    };
  }
}

/**
 * Which of the totals counts the end of a connection.
 * @param {import('../../index.js').ConnectionEnd} end
 * @param {number} lost the bytes that were not delivered
 * @returns {End['outcome']}
 */
function outcomeOf({ code, closedBy }, lost) {
  if (!OPENED.includes(code)) return 'failed';
  return closedBy === 'reset' || lost > 0 ? 'cut' : 'ok';
}

/** Milliseconds until the connections are shown again: a tunnel with many is asked less often. @param {number} took what asking took */
function pauseAfter(took) {
  return Math.max(MIN_PERIOD, took * SHARE);
}

module.exports = { Monitor, pauseAfter };
