'use strict';

// What the view shows: connections and bytes of each forwarding, the last ends, and rates.

/** Ends that are remembered. */
const MAX_ENDS = 100;
/** Milliseconds over which rates are measured. */
const SPAN = 1000;

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

class Traffic {
  session = 'connecting';
  /** Since when the session is in this state. */
  since = performance.now();
  /** The last ends, the latest first. */
  ends = [];
  /** The connections that exist, the busiest first. @type {{ info: object, flow: Flow }[]} */
  connections = [];
  /** By the number of a forward. @type {Map<number, { open: number, ended: number, flow: Flow, past: { up: number, down: number } }>} */
  #forwards = new Map();
  #flows = new Map();

  setSession(session) {
    this.session = session;
    this.since = performance.now();
  }

  /** The connections of a forward. */
  forward(forwardId) {
    let forward = this.#forwards.get(forwardId);
    if (forward === undefined) {
      forward = { open: 0, ended: 0, flow: new Flow(performance.now()), past: { up: 0, down: 0 } };
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
    this.ends.length = Math.min(this.ends.length, MAX_ENDS);
  }

  /** Takes the connections that exist at this moment. */
  sample(infos, now = performance.now()) {
    const before = this.#flows;
    this.#flows = new Map();
    const sums = new Map();
    this.connections = infos.map((info) => {
      const flow = before.get(info.connectionId) ?? new Flow(now);
      flow.set(info.bytesUp, info.bytesDown, now);
      this.#flows.set(info.connectionId, flow);
      const sum = sums.get(info.forwardId) ?? { open: 0, up: 0, down: 0 };
      sums.set(info.forwardId, { open: sum.open + 1, up: sum.up + info.bytesUp, down: sum.down + info.bytesDown });
      return { info, flow };
    });
    const rate = ({ flow }) => flow.upRate + flow.downRate;
    this.connections.sort((a, b) => rate(b) - rate(a) || a.info.connectionId - b.info.connectionId);
    for (const forwardId of sums.keys()) this.forward(forwardId);
    for (const [forwardId, forward] of this.#forwards) {
      const { open, up, down } = sums.get(forwardId) ?? { open: 0, up: 0, down: 0 };
      forward.open = open;
      forward.flow.set(forward.past.up + up, forward.past.down + down, now);
    }
  }
}

module.exports = { Traffic };
