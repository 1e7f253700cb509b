'use strict';

// What the view shows: connections and bytes of each forwarding, how the last ones ended, and how fast
// things move.

/** Ends that are remembered. */
const ENDS = 100;
/** Milliseconds over which speed is measured. */
const SPAN = 1000;

/** Bytes of one thing in both directions, and how many of them move in a second. */
class Traffic {
  up = 0;
  down = 0;
  upRate = 0;
  downRate = 0;
  #since = 0;
  #base = { up: 0, down: 0 };

  constructor(now) {
    this.#since = now;
  }

  /** What it has come to until now. */
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

class Tally {
  session = 'connecting';
  /** Since when the session is in this state. */
  since = performance.now();
  /** The last ends, the latest first. */
  ends = [];
  /** Connections of now with their traffic, the busiest first. @type {{ info: object, traffic: Traffic }[]} */
  connections = [];
  /** By the number of a forward. @type {Map<number, { open: number, ended: number, traffic: Traffic, past: { up: number, down: number } }>} */
  #forwards = new Map();
  #traffic = new Map();

  state(session) {
    this.session = session;
    this.since = performance.now();
  }

  /** What became of a forward's connections. */
  forward(forwardId) {
    let forward = this.#forwards.get(forwardId);
    if (forward === undefined) {
      forward = { open: 0, ended: 0, traffic: new Traffic(performance.now()), past: { up: 0, down: 0 } };
      this.#forwards.set(forwardId, forward);
    }
    return forward;
  }

  /** A connection has ended. */
  ended(end) {
    const forward = this.forward(end.forwardId);
    forward.ended += 1;
    forward.past.up += end.bytesUp;
    forward.past.down += end.bytesDown;
    this.ends.unshift(end);
    this.ends.length = Math.min(this.ends.length, ENDS);
  }

  /** The connections that exist at this moment. */
  sample(infos, now = performance.now()) {
    const before = this.#traffic;
    this.#traffic = new Map();
    const sums = new Map();
    this.connections = infos.map((info) => {
      const traffic = before.get(info.connectionId) ?? new Traffic(now);
      traffic.set(info.bytesUp, info.bytesDown, now);
      this.#traffic.set(info.connectionId, traffic);
      const sum = sums.get(info.forwardId) ?? { open: 0, up: 0, down: 0 };
      sums.set(info.forwardId, { open: sum.open + 1, up: sum.up + info.bytesUp, down: sum.down + info.bytesDown });
      return { info, traffic };
    });
    const speed = ({ traffic }) => traffic.upRate + traffic.downRate;
    this.connections.sort((a, b) => speed(b) - speed(a) || a.info.connectionId - b.info.connectionId);
    for (const forwardId of sums.keys()) this.forward(forwardId);
    for (const [forwardId, forward] of this.#forwards) {
      const { open, up, down } = sums.get(forwardId) ?? { open: 0, up: 0, down: 0 };
      forward.open = open;
      forward.traffic.set(forward.past.up + up, forward.past.down + down, now);
    }
  }
}

module.exports = { Tally };
