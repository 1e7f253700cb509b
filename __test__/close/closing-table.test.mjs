// The closing table: each event that ends a connection, in each Linger mode, and both ends asked what they saw. The
// expectations are those of helpers/closing-rules.mjs, which the documents are written from.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { RULES, expected } from '../helpers/closing-rules.mjs';
import { COLUMNS, SHORT, same } from '../helpers/columns.mjs';
import { KIB, MIB, PATTERN, behaviors, patternHash, refusingPort, settled } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { REASONS, Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, only, openTunnel } from '../helpers/tunnels.mjs';
import { differing } from '../../scripts/closing-table.mjs';

process.setMaxListeners(50); // servers and their folders wait for the end of the process
const sshd = await Sshd.start();
const refusing = await refusingPort();
after(() => Promise.all([sshd.stop(), refusing.stop()]));

const ENDLESS = behaviors.endless();

const SIZE = 2 * MIB;
/** Sent to a client that does not read, within the initial window. */
const FITS = PATTERN.length;

/** Servers with behavior that sshd does not have. */
const ssh2 = (onOpen) => () => Ssh2Server.start({ onOpen });
const accepting = ssh2((open) => open.accept());

/** There is no event for "nothing more happens". */
const quiet = () => settled(() => 0);

/**
 * Both directions are full: neither the client nor the target reads, both have sent. The client goes on sending until
 * the close has begun: receive buffers grow with the load of the machine, to more than any fixed number of bytes.
 */
async function stuckBoth({ tunnel, client, remoteEnd }) {
  client.send(Infinity);
  await remoteEnd.send(SIZE);
  await settled(() => client.accepted);
  await settled(async () => (await only(tunnel)).bytesDown);
}

/** Data for a client that does not read is buffered in the tunnel. */
const stuckDown = ({ tunnel }) => settled(async () => (await only(tunnel)).bytesDown);

/** Data for a target that does not read fills every buffer in between. The client goes on sending, as above. */
async function stuckUp({ tunnel, client }) {
  client.send(Infinity);
  await settled(() => client.accepted);
  await settled(async () => (await only(tunnel)).bytesUp);
}

/** A small exchange in both directions, after which nothing is in flight. */
async function exchange({ client, remoteEnd }) {
  await client.send(KIB);
  await remoteEnd.read().received(KIB);
  await remoteEnd.send(KIB);
  await client.received(KIB);
}

/** Calls of the application that close connections. */
const disconnect = async ({ tunnel }) => tunnel.promises.disconnect((await only(tunnel)).connectionId);
const shutdown = ({ tunnel }) => tunnel.promises.shutdown();
const close = ({ tunnel }) => tunnel.close({ timeout: 0 });

/**
 * Each row: what comes before (`prepare`), the `event`, and the rule that says what is seen then in the three columns;
 * a row's own `graceful`, `hard` or `code` takes precedence.
 * - `target`: what the program behind the server does; without it, nothing until it is told to
 * - `server`: where it is not the sshd that all share; of an ssh2 server `remoteEnd` is the channel
 * - `stalls`: who does not read before the connection has ended, or, in the first column, before the connection was
 *   seen to be held; in the last column the linger time runs out
 * - `drops`: by columns, the directions in which bytes are lost; without it, none
 * - `sent`: what the remote end sent in all, where all of it has reached the tunnel
 */
const TABLE = [
  {
    name: 'FIN from the client, then an answer and FIN from the remote end',
    rule: RULES.localFin,
    target: behaviors.replier(SIZE),
    async event({ client }) {
      await client.send(SIZE);
      client.end();
    },
    sent: SIZE,
  },
  {
    name: 'FIN from the remote end, then an answer and FIN from the client',
    rule: RULES.remoteEof,
    target: behaviors.source(SIZE),
    async event({ client }) {
      await client.ended;
      await client.send(SIZE);
      client.end();
    },
    sent: SIZE,
  },
  {
    name: 'both have ended, and nobody closes a client that takes its time',
    rule: RULES.bothEnded,
    target: behaviors.replier(FITS),
    read: false,
    async event({ tunnel, client }) {
      client.end();
      while ((await only(tunnel)).state !== 'closing');
      client.read();
    },
    sent: FITS,
  },
  ...Object.entries({ disconnect, shutdown }).map(([name, event]) => ({
    name: `both have ended, and a client that takes its time is closed by ${name}()`,
    rule: RULES.closedByCall,
    target: behaviors.replier(FITS),
    stalls: 'client',
    async prepare({ tunnel, client }) {
      client.end();
      while ((await only(tunnel)).state !== 'closing');
      await quiet(); // if the time ran from here, the close would end too early
    },
    event,
    sent: FITS,
    drops: { hard: ['down'], bounded: ['down'] },
    graceful: RULES.bothEnded.graceful,
  })),
  {
    name: 'RST from the client, and the remote end takes what was sent before',
    rule: RULES.localReset,
    prepare: stuckUp,
    async event({ tunnel, client, remoteEnd }) {
      await client.reset();
      // Before the tunnel has noticed the reset, it would read more as soon as the remote end reads.
      while ((await tunnel.promises.connections()).some(({ state }) => state === 'open'));
      remoteEnd.read();
    },
    drops: { hard: ['up'] },
  },
  {
    name: 'RST from the client, and the remote end stalls',
    rule: RULES.localReset,
    stalls: 'remoteEnd',
    prepare: stuckUp,
    event: ({ client }) => client.reset(),
    drops: { hard: ['up'], bounded: ['up'] },
  },
  {
    name: 'RST from the client in the midst of data down',
    rule: RULES.localReset,
    target: ENDLESS,
    prepare: ({ client }) => client.received(4 * MIB),
    event: ({ client }) => client.reset(),
    drops: same('some that were under way'),
  },
  ...[false, true].map((withEof) => ({
    name: `CLOSE ${withEof ? 'with EOF ' : ''}while the client still sends`,
    rule: RULES.earlyClose,
    server: accepting,
    async prepare({ client, remoteEnd }) {
      remoteEnd.write(PATTERN.subarray(0, FITS / 2));
      await client.received(Math.floor(FITS / 2));
      // Nothing reads the channel, so a part of this stays in the tunnel.
      client.send(4 * MIB);
      await until(() => remoteEnd.readableLength > 0);
      await settled(() => remoteEnd.readableLength, 1000);
    },
    event({ remoteEnd }) {
      if (withEof) remoteEnd.eof();
      remoteEnd.close();
    },
    sent: Math.floor(FITS / 2),
    drops: same(['up']),
    // After EOF the client already has its FIN when CLOSE arrives, so only writing fails.
    ...(withEof && { hard: RULES.earlyClose.graceful }),
  })),
  {
    name: 'EOF and CLOSE at once, and the client stalls',
    rule: RULES.eofAndClose,
    server: accepting,
    stalls: 'client',
    async prepare(setup) {
      await new Promise((sent) => setup.remoteEnd.write(PATTERN, sent));
      await stuckDown(setup);
    },
    event({ remoteEnd }) {
      remoteEnd.eof();
      remoteEnd.close();
    },
    sent: FITS,
    drops: { hard: ['down'], bounded: ['down'] },
  },
  {
    name: 'a target that refuses',
    rule: RULES.targetRefused,
    options: { forwardPort: refusing.port },
    unopened: true,
    code: 'ERR_SSH_OPEN_CONNECT_FAILED',
  },
  ...Object.entries(REASONS).map(([name, reason]) => ({
    name: `an opening that is refused: ${name}`,
    rule: RULES.targetRefused,
    server: ssh2((open) => open.reject(reason)),
    unopened: true,
    code: `ERR_SSH_OPEN_${name}`,
  })),
  {
    name: 'an opening that is never answered',
    rule: RULES.unanswered,
    options: { readyTimeout: 2000 }, // for the session, too
    unopened: true,
    server: ssh2(() => {}),
  },
  {
    name: 'a request that is rejected',
    rule: RULES.rejected,
    unopened: true,
    listeners: { connectionRequest: (request) => request.reject() },
  },
  {
    name: 'the session is lost, and the client reads',
    rule: RULES.disconnected,
    server: () => Sshd.start(),
    target: ENDLESS,
    prepare: ({ client }) => client.received(4 * MIB),
    event: ({ server }) => server.killSessions(),
    drops: { hard: 'some that were under way' },
  },
  {
    name: 'the session is lost, and the client stalls',
    rule: RULES.disconnected,
    server: () => Sshd.start(),
    target: ENDLESS,
    stalls: 'client',
    prepare: stuckDown,
    event: ({ server }) => server.killSessions(),
    drops: { hard: ['down'], bounded: ['down'] },
  },
  ...Object.entries({ disconnect, shutdown, close }).map(([name, event]) => ({
    name: `${name}() with nothing under way`,
    rule: RULES.closedByCall,
    prepare: exchange,
    event,
    sent: KIB,
  })),
  {
    name: 'idle for too long',
    rule: RULES.idle,
    options: { idleTimeout: 2000 },
    prepare: exchange,
    sent: KIB,
  },
  {
    // With unread input, a plain close() of the sockets API would drop unsent data.
    name: 'disconnect() while both directions are full',
    rule: RULES.closedByCall,
    read: false,
    prepare: stuckBoth,
    async event({ tunnel, client, remoteEnd, column }) {
      const { connectionId } = await only(tunnel);
      const disconnected = tunnel.promises.disconnect(connectionId);
      // Nothing is read before the close has begun, or, in hard mode, has ended.
      await (column === 'hard' ? disconnected : only(tunnel));
      client.stopSending(); // what a closing connection reads and drops is limited
      remoteEnd.read();
      client.read();
      await disconnected;
    },
    sent: SIZE,
    drops: { graceful: ['up'], hard: ['up', 'down'], bounded: ['up'] },
  },
  {
    name: 'disconnect(), and the client stalls',
    rule: RULES.closedByCall,
    target: ENDLESS,
    stalls: 'client',
    prepare: stuckDown,
    event: disconnect,
    drops: { hard: ['down'], bounded: ['down'] },
  },
  {
    name: 'disconnect(), and the remote end stalls',
    rule: RULES.closedByCall,
    stalls: 'remoteEnd',
    prepare: stuckUp,
    event: disconnect,
    drops: same(['up']),
  },
  {
    name: 'idle for too long, and the client stalls',
    rule: RULES.idle,
    // Far longer than the first bytes of the target take on a busy machine.
    options: { idleTimeout: 2000 },
    target: ENDLESS,
    stalls: 'client',
    drops: { hard: ['down'], bounded: ['down'] },
  },
];

/**
 * The numbers of delivered and of dropped bytes, each with the most that it may be. Only Windows may leave it open what became
 * of the bytes that it has taken: before version 1703 of Windows 10, and in wine.
 */
function counts({ bytesDown, droppedDown, unconfirmedDown }, { platform = process.platform }) {
  if (platform !== 'win32') assert.equal(unconfirmedDown, 0);
  return {
    delivered: [bytesDown, bytesDown + unconfirmedDown],
    dropped: [droppedDown, droppedDown + unconfirmedDown],
    all: bytesDown + droppedDown + unconfirmedDown,
  };
}

const within = ([least, most], count) => assert.ok(least <= count && count <= most, `${count}: ${least} to ${most}`);

/** A client connected through a tunnel to a remote end. */
async function setUp(t, row, server, options) {
  const opened = await openTunnel(t, server, row.target ?? behaviors.idle(), options);
  for (const [event, listener] of Object.entries(row.listeners ?? {})) opened.tunnel.on(event, listener);
  // A tunnel in another process knows its listeners when it has answered the next call.
  await opened.tunnel.promises.connections();
  const client = await opened.connect({ read: row.read !== false && row.stalls !== 'client' });
  if (row.unopened) return { ...opened, server, client };
  const remoteEnd = await (server instanceof Ssh2Server ? server.nextChannel() : opened.target.next());
  return { ...opened, server, client, remoteEnd };
}

/** Checks that a closing connection has not ended. */
async function isHeld({ tunnel, eventLog }) {
  while ((await only(tunnel)).state !== 'closing');
  await quiet();
  assert.deepEqual(eventLog.all('disconnected'), []);
}

/** What the rule of a row, or the row itself, expects. */
function outcome(row, column) {
  const { code = row.code, ...rest } = row[column] ?? expected(row.rule, row)[column];
  return { code, ...rest };
}

async function play(t, row, column) {
  const server = row.server ? await row.server() : sshd;
  if (row.server) t.after(() => server.stop());
  const linger = column === 'bounded' && row.stalls ? SHORT : COLUMNS[column];
  const { client: clientSees, ...reported } = outcome(row, column);
  const setup = await setUp(t, row, server, { ...row.options, linger });
  const { eventLog, client, remoteEnd } = setup;
  const ended = eventLog.next('disconnected');

  await row.prepare?.(setup);
  const arrived = remoteEnd?.readableLength;
  const since = performance.now();
  // Some events last until the connection has ended.
  const happened = row.event?.({ ...setup, column });
  if (row.stalls) {
    if (column === 'graceful') await isHeld(setup);
    else await ended;
    const lasted = performance.now() - since;
    const least = column === 'bounded' ? linger.l_linger * 1000 : 0;
    assert.ok(lasted > least - 2, `${lasted} ms`); // clocks are rounded
    client.stopSending();
    (row.stalls === 'remoteEnd' ? remoteEnd : client).read();
  }
  const seen = await client.ended;
  client.end();
  const end = await ended;
  await happened;

  // A FIN that was sent right before a hard close may have arrived.
  const cut = column === 'hard' && end.unconfirmedDown > 0 && { closedBy: 'reset' };
  assertIncludes(end, { lingerExpired: false, linger, ...reported, ...cut });
  assert.equal(seen.end, clientSees);
  assert.equal(seen.sha256, patternHash(seen.bytes));
  const drops = row.drops?.[column] ?? [];
  const { delivered, dropped, all } = counts(end, setup.tunnel);
  if (Array.isArray(drops)) {
    const drop = dropped[drops.includes('down') ? 1 : 0] > 0;
    // On Windows, what was not read when the reset arrived is lost.
    const lost = clientSees === 'closed here' && setup.tunnel.platform === 'win32' && end.droppedUp > 0;
    assert.deepEqual([end.droppedUp > 0, drop], [lost || drops.includes('up'), drops.includes('down')]);
  }
  if (row.sent !== undefined) assert.equal(all, row.sent);
  // Data that the client had not read when it reset the connection, or when a write failed,
  // counts as delivered.
  const unread = seen.end === 'closed here' || seen.error?.syscall === 'write';
  if (unread) assert.ok(delivered[1] >= seen.bytes);
  else if (Array.isArray(drops)) within(delivered, seen.bytes);
  else assert.ok(end.bytesDown <= seen.bytes);
  // A graceful close reads everything that the client sent.
  if (reported.closedBy === 'graceful' && column !== 'hard') assert.equal(end.bytesUp + end.droppedUp, client.accepted);
  else assert.ok(end.bytesUp + end.droppedUp <= client.accepted);
  if (row.unopened) {
    assert.deepEqual([eventLog.all('connection').length, setup.target.peers.length], [0, 0]);
    assert.equal(setup.tunnel.listening, true); // only that connection failed
  } else {
    await examineFar(row, { remoteEnd, arrived }, end);
  }
}

/** Checks what the remote end read, if it still exists. */
async function examineFar(row, { remoteEnd, arrived }, { bytesUp, code }) {
  if (code === 'ERR_SSH_DISCONNECTED') return undefined;
  if (arrived !== undefined) return assert.equal(bytesUp, arrived);
  const { bytes, sha256, end } = await remoteEnd.read().ended;
  assert.deepEqual({ bytes, sha256 }, { bytes: bytesUp, sha256: patternHash(bytesUp) });
  // SSH has no message for a reset. A target that is sending when the server closes gets these errors.
  assert.ok(end === 'FIN' || (row.target === ENDLESS && ['EPIPE', 'ECONNRESET'].includes(end)), end);
}

describe('the closing table', { concurrency: 6 }, () => {
  for (const row of TABLE) {
    for (const column of Object.keys(COLUMNS)) test(`${row.name}: ${column}`, (t) => play(t, row, column));
  }
});

test('every rule is tried here, or by the tests that it names', () => {
  const tried = new Set(TABLE.map(({ rule }) => rule));
  for (const [name, rule] of Object.entries(RULES)) {
    assert.ok(tried.has(rule) || rule.tests, name);
    for (const [file, titles] of Object.entries(rule.tests ?? {})) {
      const source = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
      for (const title of titles) assert.ok(source.includes(title), `${file} has no test '${title}'`);
    }
  }
});

test('README.md, docs/guide.md and docs/closing.md have the rules', () => {
  const files = differing().map(({ file }) => file);
  assert.deepEqual(files, [], 'npm run closing-table');
});
