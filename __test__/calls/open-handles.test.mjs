// What async_hooks sees of tunnels: after 'close' nothing of them is left, so that tools which look for open handles, such
// as `jest --detectOpenHandles`, find nothing. Tools that replace the timers of a program do not stop it.

import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { once } from 'node:events';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { after, mock } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { Target, behaviors } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const target = await Target.start(behaviors.echo());
after(() => Promise.all([server.stop(), target.stop()]));

/** The resources of the addon and of `lib/` that exist, by their async ids. */
const open = new Map();
createHook({
  init: (id, type) => /SSHTUNNEL|threadsafe/.test(type) && open.set(id, type),
  destroy: (id) => open.delete(id),
}).enable();
const types = () => [...open.values()].sort();

const LINK = 'napi_rs_threadsafe_function';

async function exchange(tunnel) {
  const socket = tunnel.dial('127.0.0.1', target.port);
  socket.end('hello');
  assert.equal(await text(socket), 'hello');
}

test('nothing is open after the last close, and again after a second start', async () => {
  const tunnel = new SSHTunnel(server.login);
  assert.ok(!types().includes(LINK), 'a tunnel that is not started needs no link');
  for (let start = 0; start < 2; start++) {
    const closed = once(tunnel, 'close');
    await tunnel.promises.connect();
    assert.deepEqual(types(), ['SSHTUNNEL', LINK]);
    await exchange(tunnel);
    await tunnel.promises.close();
    await closed;
    await until(() => types().length === 0);
  }
});

test('the link stays while one of two tunnels is up, also one that was unref()ed', async () => {
  const [first, second] = [new SSHTunnel(server.login), new SSHTunnel(server.login)];
  await Promise.all([first.promises.connect(), second.unref().promises.connect()]);
  await first.promises.close();
  await until(() => types().filter((type) => type === 'SSHTUNNEL').length === 1);
  assert.ok(types().includes(LINK));
  // Its events still arrive.
  const lost = new Promise((resolve) => second.once('close', resolve));
  second.on('error', () => {});
  server.killSessions();
  await lost;
  await until(() => types().length === 0);
});

test('blocking calls open and close the link, too', async () => {
  const tunnel = new SSHTunnel(server.login);
  const closed = once(tunnel, 'close');
  tunnel.connect();
  assert.deepEqual(tunnel.connections(), []);
  tunnel.shutdown();
  await closed;
  await until(() => types().length === 0);
});

test('the stream of a sock is closed with its session', async () => {
  const sock = net.connect(server.port, '127.0.0.1');
  const tunnel = new SSHTunnel({ ...server.login, sock });
  await tunnel.promises.connect();
  assert.deepEqual(types(), ['SSHTUNNEL', 'SSHTUNNELSOCK', LINK]);
  await tunnel.promises.shutdown();
  await until(() => types().length === 0);
});

test('a program whose timers are replaced by a test runner goes on', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate'] });
  try {
    const tunnel = new SSHTunnel(server.login);
    await exchange(tunnel);
    await tunnel.promises.close({ timeout: 1000 });
  } finally {
    mock.timers.reset();
  }
});
