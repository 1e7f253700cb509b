// The reports of a tunnel about its connections, and whether they add up.

const MOST_FAULTS = 50;
const LATEST_REPORT = 20_000; // ms

export class Ledger {
  faults = [];
  counts = { opened: 0, ended: 0, losses: 0 };
  /** The connections that were reported as open, by the key that both ends know. */
  #open = new Map();
  #ended = new Set();
  #highest = 0;
  #settled = 0;
  #waiting = new Map();

  constructor(tunnel) {
    tunnel.on('connection', (info) => {
      this.counts.opened++;
      if (this.#open.has(info.connectionId)) this.fault(`connection ${info.connectionId}: 'connection' twice`);
      this.#open.set(info.connectionId, keyOf(info));
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
    if (code === 'OK' && !this.#open.has(connectionId))
      this.fault(`connection ${connectionId}: ${reason}, and it was never open`);
    const key = this.#open.get(connectionId);
    this.#open.delete(connectionId);
    this.#waiting.get(key)?.(end);
    this.#waiting.delete(key);
  }

  fault(text) {
    if (this.faults.length >= MOST_FAULTS) return;
    this.faults.push(text);
    console.error(`WRONG: ${text}`);
  }

  /** Nothing is open: no earlier connection may end again. */
  settle() {
    for (const [connectionId] of this.#open)
      this.fault(`connection ${connectionId}: nothing is open, and no 'disconnected' came`);
    this.#open.clear();
    this.#ended.clear();
    this.#settled = this.#highest;
  }

  /** To be called before a connection ends; returns a function that waits for its report, for a limited time. */
  expect(key) {
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

  dismiss(key) {
    this.#waiting.delete(key);
  }
}

/**
 * The key of a connection that both ends know: the forward and the port of the client
 * (two forwards may have clients with the same port), or the number of a dialed one.
 */
export const keyOf = ({ forwardId, remotePort, connectionId }) =>
  remotePort === undefined ? `dialed ${connectionId}` : `port ${remotePort} of forward ${forwardId}`;
