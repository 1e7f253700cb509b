// Replies of a server belong to the right requests, also when some are missing or wrong: every request ends, and no
// connection reaches the target of another forward.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import {
  CHANNEL_OPEN,
  CHANNEL_OPEN_CONFIRMATION,
  CHANNEL_OPEN_FAILURE,
  REQUEST_FAILURE,
  REQUEST_SUCCESS,
  ScriptedServer,
  UNIMPLEMENTED,
  Values,
  requestName,
} from '../helpers/scripted-server.mjs';

const READY_TIMEOUT = 2000;
const REFUSED = { code: 'ERR_SSH_FORWARD_REFUSED' };
const SILENT = { code: 'ETIMEDOUT', message: /did not answer the request to listen on localhost:\d+ within 2000 ms/ };

/** A tunnel whose server answers the n-th request for a port, from 1, by `answers[n](session)`. */
async function connected(t, answers, { keepalives = true, ...options } = {}) {
  let count = 0;
  const server = await ScriptedServer.start({
    request: (session, { name, wantsReply }) => {
      if (name === 'keepalive@openssh.com') return !keepalives;
      if (name !== 'tcpip-forward') {
        if (wantsReply) session.send(REQUEST_SUCCESS);
        return true;
      }
      count += 1;
      answers[count - 1]?.(session);
      return true;
    },
    other: (session, payload) => {
      if ([CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE].includes(payload[0])) session.answered?.(payload[0]);
    },
  });
  const tunnel = new SSHTunnel({ ...server.login, readyTimeout: READY_TIMEOUT, ...options });
  tunnel.on('error', () => {});
  t.after(async () => {
    // The server closes no channel, for which the tunnel would wait.
    await server.stop();
    await tunnel.promises.shutdown();
  });
  await tunnel.promises.connect();
  return { tunnel, server, session: server.sessions[0] };
}

/** Targets by name, and which were reached. */
async function targets(t, ...names) {
  const reached = [];
  const news = new EventEmitter();
  const ports = {};
  for (const name of names) {
    const target = net.createServer((socket) => {
      reached.push(name);
      news.emit('reached');
      socket.on('error', () => {}).destroy();
    });
    target.listen(0, '127.0.0.1');
    await once(target, 'listening');
    t.after(() => target.close());
    ports[name] = target.address().port;
  }
  /** The reached targets, once there are this many. */
  const all = async (count) => {
    while (reached.length < count) await once(news, 'reached');
    return reached;
  };
  return { reached: all, ports };
}

const forward = (tunnel, forwardPort, remotePort = 0) =>
  tunnel.promises.forwardRemote({ remotePort, forwardHost: '127.0.0.1', forwardPort });
const granted = (port) => (session) => session.send(REQUEST_SUCCESS, port);
const unimplemented = (session) => session.send(UNIMPLEMENTED, session.sequence);
const nothing = () => {};

/** Opens a forwarded-tcpip channel for this port; returns the reply. */
async function brings(session, port) {
  const answered = new Promise((resolve) => (session.answered = resolve));
  session.send(CHANNEL_OPEN, 'forwarded-tcpip', 7, 1 << 20, 32_768, 'localhost', port, '192.0.2.1', 5);
  return (await answered) === CHANNEL_OPEN_CONFIRMATION;
}

test('UNIMPLEMENTED fails the request it refers to', async (t) => {
  for (const unknown of [0, 1, 2]) {
    const { reached, ports } = await targets(t, 'a', 'b', 'c');
    const answers = [5001, 5002, 5003].map((port, at) => (at === unknown ? unimplemented : granted(port)));
    const { tunnel, session } = await connected(t, answers);
    const made = await Promise.allSettled(['a', 'b', 'c'].map((name) => forward(tunnel, ports[name])));
    for (const [at, { status, reason, value }] of made.entries()) {
      assert.equal(status, at === unknown ? 'rejected' : 'fulfilled');
      if (at === unknown) assert.equal(reason.code, REFUSED.code);
      else assert.equal(value.remotePort, 5001 + at);
      assert.equal(await brings(session, 5001 + at), at !== unknown);
    }
    assert.deepEqual(
      await reached(2),
      ['a', 'b', 'c'].filter((_, at) => at !== unknown),
    );
  }
});

test('a request without a reply times out, and so do those behind it', async (t) => {
  const { tunnel } = await connected(t, [nothing]);
  const both = [forward(tunnel, 9), forward(tunnel, 9, 8080)];
  for (const made of both) await assert.rejects(made, SILENT);
});

test('a late success is cancelled and given to no request', async (t) => {
  const { reached, ports } = await targets(t, 'a', 'b');
  const { tunnel, session } = await connected(t, [nothing, nothing]);
  await assert.rejects(forward(tunnel, ports.a), SILENT);
  const second = forward(tunnel, ports.b);
  await session.next((payload) => requestName(payload) === 'tcpip-forward');
  await session.next((payload) => requestName(payload) === 'tcpip-forward');
  granted(5001)(session);
  const cancelled = await session.next((payload) => requestName(payload) === 'cancel-tcpip-forward');
  const values = new Values(cancelled);
  assert.deepEqual(
    [values.text(), values.flag(), values.text(), values.number()],
    ['cancel-tcpip-forward', false, 'localhost', 5001],
  );
  assert.equal(await brings(session, 5001), false);
  granted(5002)(session);
  assert.equal((await second).remotePort, 5002);
  assert.equal(await brings(session, 5002), true);
  assert.deepEqual(await reached(1), ['b']);
});

test('a skipped reply is not confused with the next one', async (t) => {
  const { reached, ports } = await targets(t, 'a', 'b');
  const { tunnel, session } = await connected(t, [nothing, granted(5002)]);
  const made = await Promise.allSettled([forward(tunnel, ports.a), forward(tunnel, ports.b)]);
  assert.deepEqual(
    made.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  await assert.rejects(forward(tunnel, ports.b), SILENT);
  assert.equal(await brings(session, 5002), false);
  assert.deepEqual(await reached(0), []);
});

test('unanswered keepalives do not shift other replies', async (t) => {
  const { reached, ports } = await targets(t, 'a', 'b', 'c');
  const answers = [granted(5001), (session) => session.send(REQUEST_FAILURE), granted(5003)];
  const { tunnel, session } = await connected(t, answers, {
    keepalives: false,
    keepaliveInterval: 200,
    keepaliveCountMax: 1000,
  });
  assert.equal((await forward(tunnel, ports.a)).remotePort, 5001);
  // It got some more requests without answering.
  for (let count = 0; count < 4; count++)
    await session.next((payload) => requestName(payload) === 'keepalive@openssh.com');
  await assert.rejects(forward(tunnel, ports.b), REFUSED);
  assert.equal((await forward(tunnel, ports.c)).remotePort, 5003);
  assert.equal(await brings(session, 5003), true);
  assert.equal(await brings(session, 5001), true);
  assert.deepEqual(await reached(2), ['c', 'a']);
});

test('a reply between KEXINIT and NEWKEYS is accepted', async (t) => {
  const { reached, ports } = await targets(t, 'a', 'b');
  const late = [];
  const { tunnel, session } = await connected(t, [
    (s) => late.push(granted(5001), s.offer()),
    (s) => late.push(granted(5002), s.offer()),
  ]);
  for (const [hook, name, port] of [
    ['beforeReply', 'a', 5001],
    ['beforeNewKeys', 'b', 5002],
  ]) {
    session.script[hook] = () => late.splice(0).forEach((answer) => answer?.(session));
    assert.equal((await forward(tunnel, ports[name])).remotePort, port);
    delete session.script[hook];
    assert.equal(await brings(session, port), true);
  }
  assert.deepEqual(await reached(2), ['a', 'b']);
});

test('UNIMPLEMENTED rejects a channel open', async (t) => {
  const server = await ScriptedServer.start({
    open: (session) => {
      unimplemented(session);
      return true;
    },
  });
  const tunnel = new SSHTunnel({ ...server.login, readyTimeout: READY_TIMEOUT });
  tunnel.on('error', () => {});
  t.after(async () => {
    // The server closes no channel, for which the tunnel would wait.
    await server.stop();
    await tunnel.promises.shutdown();
  });
  await tunnel.promises.connect();
  const socket = tunnel.dial('db.internal', 5432);
  const [error] = await once(socket, 'error');
  assert.equal(error.code, 'ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE');
});
