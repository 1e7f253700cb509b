// tunnel.localUrl(): a URL of a server behind the tunnel, with a local address.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { promisify } from 'node:util';

import { LocalUrl } from '../../lib/local-url.js';
import { test } from '../helpers/bounded.mjs';
import { KIB, Target, behaviors, connect, exchange, refuses } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const portsOf = (url) => [...url.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port));

test('the targets of a URL, and what stays of it', () => {
  for (const [url, targets, local] of [
    [
      'postgres://u:p%40ss@db.internal:5433/app?ssl=true#x',
      ['db.internal:5433'],
      'postgres://u:p%40ss@127.0.0.1:1/app?ssl=true#x',
    ],
    ['postgresql://db.internal', ['db.internal:5432'], 'postgresql://127.0.0.1:1'],
    ['MySQL://root@db', ['db:3306'], 'mysql://root@127.0.0.1:1'],
    [
      'mongodb://u:p@a,b:27018,[fd00::1]:1/db?w=1',
      ['a:27017', 'b:27018', 'fd00::1:1'],
      'mongodb://u:p@127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/db?w=1',
    ],
    ['redis://:secret@cache', ['cache:6379'], 'redis://:secret@127.0.0.1:1'],
    ['rediss://cache/0', ['cache:6379'], 'rediss://127.0.0.1:1/0'],
    ['amqps://mq', ['mq:5671'], 'amqps://127.0.0.1:1'],
    ['http://api.internal/a@b,c?d=e:f', ['api.internal:80'], 'http://127.0.0.1:1/a@b,c?d=e:f'],
    ['tcp://h:7', ['h:7'], 'tcp://127.0.0.1:1'],
    [new URL('https://api.internal/path'), ['api.internal:443'], 'https://127.0.0.1:1/path'],
    ['https://h:0443?q', ['h:443'], 'https://127.0.0.1:1?q'],
  ]) {
    const parsed = new LocalUrl(url);
    assert.deepEqual(
      parsed.targets.map(({ host, port }) => `${host}:${port}`),
      targets,
    );
    assert.equal(parsed.withPorts(targets.map((_, index) => index + 1)), local);
  }
});

test('a URL that does not tell its servers is refused, and is in no message', (t) => {
  const { tunnel } = withoutForward(t, server.login);
  for (const url of [
    '',
    'db.internal',
    'postgres:db',
    'postgres://',
    'postgres://u:secret@',
    'postgres://u:secret@/app',
    'tcp://secret',
    'postgres://a,,b',
    'mongodb+srv://u:secret@cluster.internal',
    'postgres://%2Frun%2Fpostgresql/secret',
    'postgres://h:99999/secret',
    'postgres://u:secret@h:1x/',
    'postgres://h:0/secret',
  ]) {
    assert.throws(
      () => tunnel.localUrl(url),
      (error) => {
        assert.ok(['ERR_INVALID_ARG_VALUE', 'ERR_OUT_OF_RANGE'].includes(error.code), url);
        return !error.message.includes('secret');
      },
      url,
    );
  }
  for (const url of [undefined, null, 5, {}, ['postgres://h']])
    assert.throws(() => tunnel.localUrl(url), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  assert.deepEqual(tunnel.forwards(), []);
});

test('each server has one port, which is used again', async (t) => {
  const [first, second] = [await Target.start(behaviors.echo()), await Target.start(behaviors.echo())];
  t.after(() => Promise.all([first.stop(), second.stop()]));
  const { tunnel } = withoutForward(t, server.login);
  const [one] = portsOf(await tunnel.promises.localUrl(`redis://127.0.0.1:${first.port}/0`));
  const both = await tunnel.promises.localUrl(`mongodb://127.0.0.1:${first.port},127.0.0.1:${second.port}/?w=1`);
  const [again, other] = portsOf(both);
  assert.equal(again, one);
  assert.equal(both, `mongodb://127.0.0.1:${one},127.0.0.1:${other}/?w=1`);
  assert.equal(tunnel.forwards().length, 2);
  for (const [port, target] of [
    [one, first],
    [other, second],
  ]) {
    const client = await connect(port);
    await exchange(client, KIB);
    assert.equal(target.peers.length, 1);
    client.socket.destroy();
  }
  // A port that was closed is no port to give again.
  await tunnel.forwards()[0].promises.stop();
  const [anew] = portsOf(await tunnel.promises.localUrl(`redis://127.0.0.1:${first.port}/0`));
  assert.equal(await refuses(anew), false);
});

test('a server that a URL names twice has one port, in every form of the call', async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const url = `mongodb://localhost:${target.port},LOCALHOST:${target.port}/`;
  for (const open of [
    (tunnel) => tunnel.promises.localUrl(url),
    (tunnel) => promisify(tunnel.localUrl).call(tunnel, url),
    (tunnel) => tunnel.localUrl(url),
  ]) {
    const { tunnel } = withoutForward(t, server.login);
    const [port, same] = portsOf(await open(tunnel));
    assert.equal(port, same);
    assert.equal(tunnel.forwards().length, 1);
  }
});

test('calls at the same time share the ports of their servers, in both forms', async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const url = `tcp://127.0.0.1:${target.port}`;
  for (const open of [
    (tunnel, url) => tunnel.promises.localUrl(url),
    (tunnel, url) => promisify(tunnel.localUrl).call(tunnel, url),
  ]) {
    const { tunnel } = withoutForward(t, server.login);
    const urls = await Promise.all([open(tunnel, url), open(tunnel, url), open(tunnel, url)]);
    assert.equal(new Set(urls).size, 1);
    assert.equal(tunnel.forwards().length, 1);
    assert.equal(await refuses(portsOf(urls[0])[0]), false);
  }
});

test('callbacks come in the order of the calls, and a blocking call returns the URL', async (t) => {
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const { tunnel } = withoutForward(t, server.login);
  const order = [];
  await new Promise((resolve) => {
    tunnel.localUrl(`tcp://127.0.0.1:${target.port},127.0.0.2:${target.port}`, (error, url) =>
      order.push([error, portsOf(url).length]),
    );
    tunnel.getLinger((error, linger) => resolve(order.push([error, linger])));
  });
  assert.deepEqual(order, [
    [null, 2],
    [null, true],
  ]);
  const [port] = portsOf(tunnel.localUrl(`tcp://127.0.0.1:${target.port}`));
  assert.equal(await refuses(port), false);
});

test('without a session there is an error, and no forward', async (t) => {
  const { tunnel } = withoutForward(t, { ...server.login, username: 'nobody-of-this-name' });
  const url = 'mongodb://a,b';
  await assert.rejects(tunnel.promises.localUrl(url), { code: 'ERR_SSH_AUTH' });
  await new Promise((resolve) => {
    tunnel.localUrl(url, (error, data) => {
      assert.deepEqual([error.code, data], ['ERR_SSH_AUTH', undefined]);
      resolve();
    });
  });
  assert.throws(() => tunnel.localUrl(url), { code: 'ERR_SSH_AUTH' });
  assert.deepEqual(tunnel.forwards(), []);
});
