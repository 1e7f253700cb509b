// What a tunnel tells of its connections, and whether it adds up.

const MOST_FAULTS = 50;
const LATEST_REPORT = 20_000; // ms

export class Ledger {
  faults = [];
  counts = { opened: 0, ended: 0, losses: 0 };
  /** The connections that were told to be open: the port of each one's program, undefined where it was dialed. */
  #open = new Map();
  #ended = new Set();
  #highest = 0;
  #settled = 0;
  #waiting = new Map();

  constructor(tunnel) {
    tunnel.on('connection', ({ connectionId, remotePort }) => {
      this.counts.opened++;
      if (this.#open.has(connectionId)) this.fault(`connection ${connectionId}: 'connection' twice`);
      this.#open.set(connectionId, remotePort);
    });
    tunnel.on('disconnected', (end) => this.#over(end));
    tunnel.on('reconnecting', ({ attempt }) => {
      if (attempt === 1) this.counts.losses++;
    });
    for (const name of ['error', 'forwardError', 'sessionError']) {
      tunnel.on(name, (error) => this.fault(`the event '${name}': ${error.code} ${error.message}`));
    }
  }

  #over(end) {
    const { connectionId, code, reason } = end;
    this.counts.ended++;
    if (connectionId <= this.#settled || this.#ended.has(connectionId)) {
      return this.fault(`connection ${connectionId}: 'disconnected' twice`);
    }
    this.#ended.add(connectionId);
    this.#highest = Math.max(this.#highest, connectionId);
    if (code === 'OK' && !this.#open.has(connectionId)) this.fault(`connection ${connectionId}: ${reason}, and it was never open`);
    const key = keyOf(this.#open.get(connectionId), connectionId);
    this.#open.delete(connectionId);
    this.#waiting.get(key)?.(end);
    this.#waiting.delete(key);
  }

  fault(text) {
    if (this.faults.length >= MOST_FAULTS) return;
    this.faults.push(text);
    console.error(`WRONG: ${text}`);
  }

  /** Nothing is open: what has ended until now may not end again. */
  settle() {
    for (const [connectionId] of this.#open) this.fault(`connection ${connectionId}: nothing is open, and no 'disconnected' came`);
    this.#open.clear();
    this.#ended.clear();
    this.#settled = this.#highest;
  }

  /**
   * The report of the connection of a program with this port, or of one that was dialed, which has a
   * number. Called before it ends; gives a function that waits for the report, for a limited time.
   */
  expect(port, connectionId) {
    const key = keyOf(port, connectionId);
    const report = new Promise((resolve) => this.#waiting.set(key, resolve));
    return async () => {
      let timer;
      const late = new Promise((resolve) => (timer = setTimeout(resolve, LATEST_REPORT, null)));
      const end = await Promise.race([report, late]);
      clearTimeout(timer);
      this.#waiting.delete(key);
      return end;
    };
  }

  dismiss(port, connectionId) {
    this.#waiting.delete(keyOf(port, connectionId));
  }
}

/** What a connection is known by at both ends. */
export const keyOf = (port, connectionId) => port ?? `dialed ${connectionId}`;
