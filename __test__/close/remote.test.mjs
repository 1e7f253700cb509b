// Ends of connections of remote forwards: the closing table with the target as the local end, and with a client that
// connects to the server.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { COLUMNS, SHORT, same } from '../helpers/columns.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { KIB, MIB, PATTERN, behaviors, patternHash, settled } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, only, openRemote } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const folder = temporaryFolder('remote-closing');
after(async () => {
  await server.stop();
  folder.remove();
});

const SIZE = 2 * MIB;
/** More than both ends and everything between them buffer. */
const FLOOD = 20 * MIB;

const WHOLE = { peer: 'FIN', client: 'FIN', code: 'OK', clean: true, closedBy: 'graceful' };
const FIN = { peer: 'FIN', closedBy: 'graceful' };
const RST = { peer: 'ECONNRESET', clean: false, closedBy: 'reset' };
const ABORTED = { ...RST, code: 'ECONNABORTED' };
const EXPIRED = { ...ABORTED, lingerExpired: true };
const LOST = { ...RST, code: 'ERR_SSH_DISCONNECTED' };
/** The target has reset the connection and sees no end. */
const BY_TARGET = { peer: 'closed here', client: 'FIN', code: 'ECONNRESET', clean: false, closedBy: 'reset' };

/** A small exchange in both directions, after which nothing is in flight. */
async function exchange({ client, peer }) {
  await client.send(KIB);
  await peer.received(KIB);
  await peer.send(KIB);
  await client.received(KIB);
}

/** More data has arrived for a target that does not read than its kernel buffers. */
async function stuckDown({ tunnel, client }) {
  client.send(FLOOD);
  while ((await only(tunnel)).bytesDown < PATTERN.length);
}

/** As above; the kernel buffers less for a Unix socket. */
async function stuckUnix({ tunnel, client }) {
  client.send(FLOOD);
  await settled(() => client.accepted);
  await settled(async () => (await only(tunnel)).bytesDown);
}

/** Data for a remote client that does not read fills every buffer in between. */
async function stuckUp({ tunnel, peer }) {
  peer.send(FLOOD);
  await settled(() => peer.accepted);
  await settled(async () => (await only(tunnel)).bytesUp);
}

const disconnect = async ({ tunnel }) => tunnel.promises.disconnect((await only(tunnel)).connectionId);
const shutdown = ({ tunnel }) => tunnel.promises.shutdown();

/**
 * Each row: what comes before (`prepare`), the `event`, and what the target (`peer`), the remote client
 * (`client`, where it is told) and the report say of it.
 * - `stalls`: who does not read before the connection is over, or, in the first column, before it was
 *   seen that it is held; in the last column the linger time runs out
 * - `drops`: by columns, the directions in which bytes are lost; without it, none
 */
const TABLE = [
  {
    name: 'the remote client ends, then the target answers and ends',
    target: behaviors.replier(SIZE),
    async event({ client }) {
      await client.send(SIZE);
      client.end();
    },
    ...same(WHOLE),
  },
  {
    name: 'the target ends, then the remote client answers and ends',
    target: behaviors.source(SIZE),
    async event({ client }) {
      await client.ended;
      await client.send(SIZE);
      client.end();
    },
    ...same(WHOLE),
  },
  {
    name: 'the target resets',
    prepare: exchange,
    event: ({ peer }) => peer.reset(),
    ...same(BY_TARGET),
  },
  {
    name: 'the target resets, and the remote client stalls',
    stalls: 'client',
    prepare: stuckUp,
    event: ({ peer }) => peer.reset(),
    drops: { hard: ['up'], bounded: ['up'] },
    ...same(BY_TARGET),
    bounded: { ...BY_TARGET, lingerExpired: true },
  },
  ...Object.entries({ disconnect, shutdown }).map(([name, event]) => ({
    name: `${name}() with nothing under way`,
    prepare: exchange,
    event,
    ...same({ ...FIN, client: 'FIN', code: 'OK' }),
    hard: { ...ABORTED, client: 'FIN' },
  })),
  ...Object.entries({ disconnect, shutdown }).map(([name, event]) => ({
    name: `${name}(), and the target stalls`,
    stalls: 'peer',
    prepare: stuckDown,
    event,
    drops: { hard: ['down'], bounded: ['down'] },
    graceful: { ...FIN, clean: false, code: 'OK' },
    hard: ABORTED,
    bounded: EXPIRED,
  })),
  {
    name: 'disconnect(), and the remote client stalls',
    stalls: 'client',
    prepare: stuckUp,
    event: disconnect,
    drops: same(['up']),
    graceful: { ...FIN, client: 'FIN', clean: false, code: 'OK' },
    hard: { ...ABORTED, client: 'FIN' },
    bounded: { ...EXPIRED, client: 'FIN' },
  },
  {
    name: 'the session is lost',
    prepare: exchange,
    event: ({ at }) => at.killSessions(),
    ...same(LOST),
    own: true,
  },
  {
    name: 'the session is lost, and the target stalls',
    stalls: 'peer',
    prepare: stuckDown,
    event: ({ at }) => at.killSessions(),
    own: true,
    drops: { hard: ['down'], bounded: ['down'] },
    ...same(LOST),
    bounded: { ...LOST, lingerExpired: true },
  },
];

/** A remote client connected through a remote forward to a target, and the sshd in between. */
async function setUp(t, row, options, path) {
  const at = row.own ? await Sshd.start() : server;
  if (row.own) t.after(() => at.stop());
  const it = await openRemote(t, at, row.target ?? behaviors.idle(), { options, path });
  it.tunnel.on('error', () => {}); // the session is lost
  const client = await it.connect({ read: row.stalls !== 'client' });
  const peer = await it.target.next();
  if (row.stalls !== 'peer') peer.read();
  await it.eventLog.next('connection');
  return { ...it, at, client, peer };
}

/** Checks that a closing connection has not ended. */
async function isHeld({ tunnel, eventLog }) {
  while ((await only(tunnel)).state !== 'closing');
  await settled(() => 0); // there is no event for "nothing more happens"
  assert.deepEqual(eventLog.all('disconnected'), []);
}

async function play(t, row, column) {
  const linger = column === 'bounded' && row.stalls ? SHORT : COLUMNS[column];
  const { peer: peerSees, client: clientSees, ...reported } = row[column];
  const setup = await setUp(t, row, { linger });
  const { client, peer, eventLog } = setup;
  const ended = eventLog.next('disconnected');

  await row.prepare?.(setup);
  const since = performance.now();
  // Some events last until the connection has ended.
  const happened = row.event(setup);
  if (row.stalls) {
    if (column === 'graceful') await isHeld(setup);
    else await ended;
    const least = column === 'bounded' ? linger.l_linger * 1000 : 0;
    const lasted = performance.now() - since;
    assert.ok(lasted > least - 2, `${lasted} ms`); // clocks are rounded
    setup[row.stalls].read();
  }
  const seen = await peer.ended;
  peer.end();
  const remoteEnd = clientSees === undefined ? undefined : await client.ended;
  client.end();
  const end = await ended;
  await happened;

  assertIncludes(end, { lingerExpired: false, linger, ...reported });
  assert.equal(seen.end, peerSees);
  assert.equal(seen.sha256, patternHash(seen.bytes));
  const drops = row.drops?.[column] ?? [];
  assert.deepEqual([end.droppedUp > 0, end.droppedDown > 0], [drops.includes('up'), drops.includes('down')]);
  assert.equal(end.bytesDown, seen.bytes);
  if (remoteEnd === undefined) return;
  assert.equal(remoteEnd.end, clientSees);
  assertIncludes(remoteEnd, { bytes: end.bytesUp, sha256: patternHash(end.bytesUp) });
}

describe('the closing table', { concurrency: 4 }, () => {
  for (const row of TABLE) {
    for (const column of Object.keys(COLUMNS)) test(`${row.name}: ${column}`, (t) => play(t, row, column));
  }
});

describe('a target on a Unix socket', () => {
  let paths = 0;
  const path = () => join(folder.path, `${++paths}.sock`);

  // A Unix socket has no reset: the client reads the delivered data, then the end.
  for (const [name, row, linger, reported] of [
    ['disconnect(), hard', { prepare: exchange, event: disconnect }, COLUMNS.hard, { code: 'ECONNABORTED' }],
    [
      'the session is lost',
      { prepare: exchange, event: ({ at }) => at.killSessions(), own: true },
      COLUMNS.graceful,
      { code: 'ERR_SSH_DISCONNECTED' },
    ],
    [
      'disconnect(), and the target stalls',
      { prepare: stuckUnix, event: disconnect, stalls: 'peer' },
      SHORT,
      { code: 'ECONNABORTED', lingerExpired: true },
    ],
    [
      'the session is lost, and the target stalls',
      { prepare: stuckUnix, event: ({ at }) => at.killSessions(), own: true, stalls: 'peer' },
      SHORT,
      { code: 'ERR_SSH_DISCONNECTED', lingerExpired: true },
    ],
  ]) {
    test(`${name} ends the target's stream, and the report says that it was truncated`, async (t) => {
      const setup = await setUp(t, row, { linger }, path());
      await row.prepare(setup);
      const happened = row.event(setup);
      const end = await setup.eventLog.next('disconnected');
      const seen = await setup.peer.read().ended;
      await happened;
      assertIncludes(end, { lingerExpired: false, clean: false, closedBy: 'reset', ...reported });
      assertIncludes(seen, { bytes: end.bytesDown, sha256: patternHash(end.bytesDown), end: 'FIN' });
      assert.equal(end.droppedDown > 0, row.stalls === 'peer');
    });
  }

  test('gets an error if bytes from it were unread', async (t) => {
    const setup = await setUp(t, { stalls: 'client' }, { linger: false }, path());
    await stuckUp(setup);
    await disconnect(setup);
    const { end } = await setup.peer.ended;
    assert.ok(['ECONNRESET', 'EPIPE'].includes(end), end);
    const report = await setup.eventLog.next('disconnected');
    assertIncludes(report, { code: 'ECONNABORTED', clean: false, closedBy: 'reset', droppedDown: 0 });
    assert.ok(report.droppedUp > 0);
    assertIncludes(await setup.client.read().ended, { bytes: report.bytesUp, sha256: patternHash(report.bytesUp) });
  });
});
