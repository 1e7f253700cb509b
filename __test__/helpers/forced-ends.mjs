// The calls that end a connection or a tunnel in any state.

import assert from 'node:assert/strict';

export const HARD = { l_onoff: 1, l_linger: 0 };

/** The documented bound of a forced end, and a tolerance for a busy machine. */
const PROMISE = 2000;
const MOMENT = 500;

export function isOver(since) {
  const took = performance.now() - since;
  assert.ok(took < PROMISE + MOMENT, `${took} ms`);
}

const called = (call) =>
  new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))));

const TIMEOUT = 100;

/** Each gets the tunnel and the connection; `after`: how long it may wait before it acts. */
export const FORCED_ENDS = {
  // A new Linger alone does not end an open connection.
  'setLinger(false)': { act: (tunnel, connection) => connection.promises.setLinger(false), closes: false },
  'setLingerOption()': { act: (tunnel, connection) => connection.setLingerOption(HARD), closes: false },
  'reset()': { act: (tunnel, connection) => connection.promises.reset() },
  'reset() that blocks': { act: (tunnel, connection) => connection.reset() },
  'shutdown({ force: true })': { act: (tunnel) => tunnel.promises.shutdown({ force: true }) },
  'shutdown({ force: true }, callback)': {
    act: (tunnel) => called((callback) => tunnel.shutdown({ force: true }, callback)),
  },
  'shutdown({ force: true }) that blocks': { act: (tunnel) => tunnel.shutdown({ force: true }) },
  'shutdown() and by force again': {
    async act(tunnel) {
      const first = tunnel.promises.shutdown();
      tunnel.shutdown({ force: true });
      await first;
    },
  },
  'close({ timeout })': { act: (tunnel) => tunnel.close({ timeout: TIMEOUT }), after: TIMEOUT },
  'shutdown(), then close({ timeout })': {
    async act(tunnel) {
      const first = tunnel.promises.shutdown();
      await tunnel.close({ timeout: TIMEOUT });
      await first;
    },
    after: TIMEOUT,
  },
  'close({ timeout }), then shutdown()': {
    async act(tunnel) {
      const first = tunnel.close({ timeout: TIMEOUT });
      await tunnel.promises.shutdown();
      await first;
    },
    after: TIMEOUT,
  },
};

/** One connection of a tunnel, and the client at its local end. */
export class EndingConnection {
  constructor({ tunnel, eventLog, client, connectionId, done }) {
    Object.assign(this, { tunnel, eventLog, client, connectionId, done });
  }

  /** @param closing whether the connection is being closed already */
  async endBy({ act, closes = true, after = 0 }, { closing }) {
    const connection = (await this.tunnel.promises.connections()).find(
      ({ connectionId }) => connectionId === this.connectionId,
    );
    const since = performance.now();
    await act(this.tunnel, connection);
    if (!closes && !closing) await connection.promises.close();
    this.end = await this.eventLog.next('disconnected');
    isOver(since + after);
  }

  /** The one report. */
  async onlyEnd() {
    await this.tunnel.promises.stats(); // every earlier event has arrived by then
    assert.deepEqual(this.eventLog.all('disconnected'), [this.end]);
    assert.equal(this.end.connectionId, this.connectionId);
    return this.end;
  }
}
