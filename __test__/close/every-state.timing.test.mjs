// The application can end a connection in every state: all states, times all calls. Each test asks the local client
// what it read, and the tunnel for one report that adds up.

import assert from 'node:assert/strict';
import { after, describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { EndingConnection, FORCED_ENDS, isOver } from '../helpers/forced-ends.mjs';
import { MIB, PATTERN, behaviors, refusingPort, settled } from '../helpers/peers.mjs';
import { greeting } from '../helpers/socks.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, listed, only, openRemote, openScripted, openTunnel } from '../helpers/tunnels.mjs';

process.setMaxListeners(50); // servers wait for the end of the process
const server = await Sshd.start();
const nobody = await refusingPort();
after(() => Promise.all([server.stop(), nobody.stop()]));

/** More than both ends and everything between them buffer. */
const FLOOD = 20 * MIB;

/** A connection whose client does not read, with all buffers towards it full. */
async function stalledClient(t, { behavior = behaviors.endless(), options, from = server } = {}) {
  const opened = await openTunnel(t, from, behavior, options);
  const client = await opened.connect({ read: false });
  const { connectionId } = await opened.eventLog.next('connection');
  await settled(async () => (await only(opened.tunnel)).bytesDown);
  return { ...opened, client, connectionId };
}

/** A connection whose remote end does not read, with all buffers towards it full. */
async function stalledTarget(t, { options } = {}) {
  const opened = await openTunnel(t, server, behaviors.idle(), options);
  const client = await opened.connect();
  const { connectionId } = await opened.eventLog.next('connection');
  client.send(FLOOD);
  await settled(() => client.accepted);
  await settled(async () => (await only(opened.tunnel)).bytesUp);
  return { ...opened, client, connectionId };
}

const disconnect = ({ tunnel, connectionId }) => tunnel.promises.disconnect(connectionId);
const closing = async ({ tunnel }) => {
  while ((await only(tunnel)).state !== 'closing');
};

/**
 * Each state: how it is reached, and the report of a hard end.
 * - `kinds`: 'closing' where a graceful close is under way, which a new Linger ends by itself
 */
const STATES = [
  {
    name: 'closed gracefully, and the client does not read',
    async prepare(t, options) {
      const setup = await stalledClient(t, { options });
      const done = disconnect(setup);
      await closing(setup);
      return { ...setup, done };
    },
    closing: true,
    loses: ['down'],
    end: { code: 'ECONNABORTED' },
  },
  {
    name: 'closed gracefully, and the remote end does not read',
    async prepare(t, options) {
      const setup = await stalledTarget(t, { options });
      const done = disconnect(setup);
      await closing(setup);
      return { ...setup, done };
    },
    closing: true,
    loses: ['up'],
    end: { code: 'ECONNABORTED' },
  },
  {
    name: 'reset by the client, and the remote end does not read',
    async prepare(t, options) {
      const setup = await stalledTarget(t, { options });
      await setup.client.reset();
      await closing(setup);
      return setup;
    },
    closing: true,
    loses: ['up'],
    client: 'closed here',
    end: { code: 'ECONNRESET' },
  },
  {
    name: 'ended by both, and the client does not read',
    async prepare(t, options) {
      const setup = await openTunnel(t, server, behaviors.replier(PATTERN.length), options);
      const client = await setup.connect({ read: false });
      client.end();
      const { connectionId } = await setup.eventLog.next('connection');
      await closing(setup);
      return { ...setup, client, connectionId };
    },
    closing: true,
    loses: ['down'],
    end: { code: 'ECONNABORTED' },
  },
  {
    name: 'closed by the server, and the client does not read',
    async prepare(t, options) {
      const setup = await openScripted(t, { options, how: { read: false } });
      const remoteEnd = await setup.ssh2.nextChannel();
      await new Promise((sent) => remoteEnd.write(PATTERN, sent));
      await settled(async () => (await only(setup.tunnel)).bytesDown);
      remoteEnd.close();
      await closing(setup);
      const { connectionId } = await setup.eventLog.next('connection');
      return { ...setup, connectionId };
    },
    closing: true,
    loses: ['down'],
    end: { code: 'ERR_SSH_CHANNEL_CLOSED' },
  },
  {
    name: 'its session lost, and the client does not read',
    async prepare(t, options) {
      const own = await Sshd.start();
      t.after(() => own.stop());
      const setup = await stalledClient(t, { from: own, options });
      own.killSessions();
      await closing(setup);
      return setup;
    },
    closing: true,
    loses: ['down'],
    end: { code: 'ERR_SSH_DISCONNECTED' },
  },
  {
    name: 'open, and neither side reads',
    prepare: (t, options) => stalledClient(t, { options }),
    loses: ['down'],
    end: { code: 'ECONNABORTED' },
  },
  {
    name: 'of a remote forward, closed gracefully, and the target does not read',
    async prepare(t, options) {
      const setup = await openRemote(t, server, behaviors.idle(), { options });
      const remoteEnd = await setup.connect();
      const { connectionId } = await setup.eventLog.next('connection');
      remoteEnd.send(FLOOD);
      await settled(() => remoteEnd.accepted);
      await settled(async () => (await only(setup.tunnel)).bytesDown);
      const done = disconnect({ ...setup, connectionId });
      await closing(setup);
      return { ...setup, client: await setup.target.next(), connectionId, done };
    },
    closing: true,
    loses: ['down'],
    end: { code: 'ECONNABORTED' },
  },
  {
    name: 'its client has not said in SOCKS where to',
    async prepare(t, options) {
      const setup = await openTunnel(t, server, behaviors.idle(), options);
      const forward = await setup.tunnel.promises.forwardDynamic({});
      const client = await setup.connect({ port: forward.localPort });
      client.socket.write(greeting(0));
      const { connectionId } = (await listed(setup.tunnel, 1))[0];
      await client.received(2);
      return { ...setup, client, connectionId };
    },
    end: { code: 'ECONNABORTED' },
    unopened: true,
  },
  {
    name: 'waiting for an answer to its request',
    async prepare(t, options) {
      const setup = await openTunnel(t, server, behaviors.idle(), options);
      const asked = new Promise((resolve) => setup.tunnel.on('connectionRequest', resolve));
      const client = await setup.connect();
      const { connectionId } = await asked;
      return { ...setup, client, connectionId };
    },
    end: { code: 'ECONNABORTED' },
    unopened: true,
  },
  {
    name: 'opening, and the server does not answer',
    async prepare(t, options) {
      const setup = await openScripted(t, { onOpen: () => {}, options });
      const { connectionId } = (await listed(setup.tunnel, 1))[0];
      return { ...setup, connectionId };
    },
    end: { code: 'ECONNABORTED' },
    unopened: true,
  },
  {
    name: 'waiting for a session that does not come back',
    async prepare(t, options) {
      const own = await Sshd.start();
      t.after(() => own.stop());
      const setup = await openTunnel(t, own, behaviors.idle(), { ...options, reconnect: { initialDelay: 60_000 } });
      await own.halt();
      await setup.eventLog.next('reconnecting');
      const client = await setup.connect();
      const { connectionId } = (await listed(setup.tunnel, 1))[0];
      return { ...setup, client, connectionId };
    },
    end: { code: 'ECONNABORTED' },
    unopened: true,
  },
];

async function play(t, state, way, options) {
  const setup = new EndingConnection(await state.prepare(t, options));
  await setup.endBy(FORCED_ENDS[way], { closing: state.closing === true });
  const end = await setup.onlyEnd();
  assertIncludes(end, { closedBy: 'reset', clean: false, lingerExpired: false, ...state.end });
  const seen = await setup.client.read().ended;
  assert.equal(seen.end, state.client ?? 'ECONNRESET');
  assert.deepEqual(
    [end.droppedUp > 0, end.droppedDown > 0],
    ['up', 'down'].map((it) => state.loses?.includes(it) ?? false),
  );
  if (seen.end === 'ECONNRESET' && !state.unopened) assert.equal(seen.bytes, end.bytesDown);
  await setup.done;
}

for (const sessions of [1, 2]) {
  describe(`${sessions} session(s)`, { concurrency: 4 }, () => {
    for (const state of STATES) {
      for (const way of Object.keys(FORCED_ENDS))
        test(`${state.name}: ${way}`, (t) => play(t, state, way, { sessions }));
    }
  });
}

test('a new linger time counts from the call, also while closing, and can be withdrawn', async (t) => {
  const setup = await stalledClient(t);
  const done = disconnect(setup);
  await closing(setup);
  const connection = await only(setup.tunnel);
  await connection.promises.setLingerOption({ l_onoff: 1, l_linger: 1 });
  await connection.promises.setLinger(true);
  await new Promise((resolve) => setTimeout(resolve, 1200)); // the withdrawn time
  assert.deepEqual(setup.eventLog.all('disconnected'), []);
  assert.deepEqual(connection.getLingerOption(), { l_onoff: 0, l_linger: 0 });
  const since = performance.now();
  await connection.promises.setLingerOption({ l_onoff: 1, l_linger: 1 });
  await done;
  assert.ok(performance.now() - since > 998);
  assertIncludes(await setup.eventLog.next('disconnected'), {
    code: 'ECONNABORTED',
    closedBy: 'reset',
    lingerExpired: true,
    linger: { l_onoff: 1, l_linger: 1 },
  });
  assert.equal((await setup.client.read().ended).end, 'ECONNRESET');
});

for (const [name, harden] of Object.entries({
  'shutdown({ force: true })': (tunnel) => tunnel.promises.shutdown({ force: true }),
  'setLinger(false)': (tunnel, connections) => Promise.all(connections.map((it) => it.promises.setLinger(false))),
})) {
  test(`${name} is not undone by a softer Linger right after it`, async (t) => {
    const COUNT = 20; // a single one may end before the second call
    const { tunnel, eventLog, ssh2, connect, client } = await openScripted(t, { how: { read: false } });
    const clients = [client];
    for (let i = 0; i < COUNT; i++) {
      if (i > 0) clients.push(await connect({ read: false }));
      const remoteEnd = await ssh2.nextChannel();
      remoteEnd.write(Buffer.alloc(MIB));
      remoteEnd.close();
    }
    let connections;
    do connections = await tunnel.promises.connections();
    while (connections.some(({ state }) => state !== 'closing'));
    const since = performance.now();
    const done = harden(tunnel, connections);
    const softened = connections.map((it) =>
      assert.rejects(it.promises.setLinger(true), { code: 'ERR_TUNNEL_NO_CONNECTION' }),
    );
    await Promise.all([done, ...softened, tunnel.promises.shutdown()]);
    isOver(since);
    const ends = eventLog.all('disconnected');
    assert.equal(ends.length, COUNT);
    for (const end of ends) assertIncludes(end, { code: 'ERR_SSH_CHANNEL_CLOSED', closedBy: 'reset', clean: false });
    for (const client of clients) assert.equal((await client.read().ended).end, 'ECONNRESET');
  });
}

test('connection.close() closes by its Linger in three forms, and fails after the end', async (t) => {
  const { eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const ways = [
    (connection) => connection.promises.close(),
    (connection) =>
      new Promise((resolve, reject) =>
        connection.close((error, ...rest) => (error ? reject(error) : resolve(...rest))),
      ),
    (connection) => connection.close(),
  ];
  for (const way of ways) {
    const client = await connect();
    client.ended.then(() => client.end());
    const connection = await eventLog.next('connection');
    await client.send(1000);
    await client.received(1000);
    assert.equal(await way(connection), undefined);
    assertIncludes(await eventLog.next('disconnected'), { code: 'OK', closedBy: 'graceful' });
    assertIncludes(await client.ended, { bytes: 1000, end: 'FIN' });
    const over = { code: 'ERR_TUNNEL_NO_CONNECTION' };
    await assert.rejects(connection.promises.close(), over);
    await assert.rejects(connection.promises.reset(), over);
    assert.throws(() => connection.reset(), over);
    assert.throws(() => connection.close(5), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => connection.reset(5), { code: 'ERR_INVALID_ARG_TYPE' });
  }
});

test('close({ timeout }) closes what is delivered in time and resets the rest within two seconds', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.endless());
  const reads = await connect();
  const stalls = await connect({ read: false });
  await reads.received(MIB);
  await settled(async () => (await listed(tunnel, 2))[1].bytesDown);
  reads.ended.then(() => reads.end());
  const since = performance.now();
  const ends = await tunnel.close({ timeout: 300 });
  isOver(since + 300);
  assert.deepEqual(ends, eventLog.all('disconnected'));
  assertIncludes(ends[0], { code: 'OK', closedBy: 'graceful', droppedDown: 0 });
  assertIncludes(ends[1], { code: 'ECONNABORTED', closedBy: 'reset', clean: false, lingerExpired: false });
  assert.match(ends[1].reason, /closed by close\(\); reset because the timeout of close\(\) expired/);
  assert.equal((await reads.ended).end, 'FIN');
  assertIncludes(await stalls.read().ended, { end: 'ECONNRESET', bytes: ends[1].bytesDown });
});
