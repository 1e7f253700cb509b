// `sshtunnel --web`: the server of the web page, without a browser.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';

import * as pageText from '../../lib/cli/web/page/text.mjs';
import { test } from '../helpers/bounded.mjs';
import { Setting, echo } from '../helpers/cli.mjs';
import { MIB, behaviors, connect, exchange, refuses, settled } from '../helpers/peers.mjs';
import { ROOT, signal, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';
import { States, act, ask, partsOf, raw } from '../helpers/web.mjs';

const require = createRequire(import.meta.url);
const { StateStream } = require('../../lib/cli/web/state-stream.js');
const text = require('../../lib/cli/output/text.js');

const PAGE = join(ROOT, 'lib', 'cli', 'web', 'page');
const UNIX = { skip: process.platform === 'win32' && 'there is no background on Windows' };
const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

/** The command with its page, and a forward to an echo or another target. */
async function start(t, { args = [], behavior, web = '0' } = {}) {
  const target = await echo(t, behavior);
  const child = setting.start(t, ['--json', '--web', web, '-L', `127.0.0.1:0:127.0.0.1:${target.port}`, ...args]);
  const { url } = await child.report('web');
  const { localPort } = await child.report('listening');
  /** A connection through the tunnel, and its number. */
  const open = async () => {
    const client = await connect(localPort);
    t.after(() => client.socket.destroy());
    const { connectionId } = await child.report('connection');
    return { client, connectionId };
  };
  return { child, url, target, localPort, open };
}

test('the address is loopback, with any port, and its token is only shown', async (t) => {
  const { child, url } = await start(t, { args: ['-vvv'] });
  const { hostname, port, token } = partsOf(url);
  assert.equal(hostname, '127.0.0.1');
  assert.ok(port > 0);
  assert.match(token, /^[\w-]{43}$/);
  assert.equal(url, `http://127.0.0.1:${port}/#token=${token}`);
  await child.says('stderr', /^Web page: .*$/m);
  // Once for the user, and once in the JSON lines.
  assert.equal(child.stderr.split(token).length, 2);
  assert.match(child.stderr, new RegExp(`^Web page: ${url}$`, 'm'));
  assert.equal(child.stdout.split(token).length, 2);
  const states = await States.open(t, url);
  const state = await states.find(({ session }) => session.state === 'connected');
  assert.ok(!JSON.stringify(state).includes(token));
  const other = await start(t);
  assert.notEqual(partsOf(other.url).token, token);
});

test('hosts that are no loopback address, ports in use and other words are refused before it connects', async (t) => {
  const { port } = await echo(t);
  const reason = /^sshtunnel: --web: '[^']+' is not a loopback address such as 127\.0\.0\.1: [^\n]+\n$/;
  for (const [address, expected] of [
    ['0.0.0.0:0', reason],
    ['192.168.1.1:8400', reason],
    ['[::]:0', reason],
    ['[::ffff:127.0.0.1]:0', reason],
    ['example.com:80', reason],
    ['127.0.0.1.example.com:80', reason],
    ['*:80', reason],
    [
      `127.0.0.1:${port}`,
      new RegExp(`^sshtunnel: --web: cannot listen on 127\\.0\\.0\\.1:${port}: Address already in use\n$`),
    ],
    ['eighty', /^sshtunnel: --web requires \[host:\]port\n$/],
    ['/tmp/socket', /^sshtunnel: --web requires \[host:\]port\n$/],
  ]) {
    const { status, stdout, stderr } = await setting.start(t, ['--web', address, '-D', '0']).end();
    assert.deepEqual([status, stdout], [255, ''], address);
    assert.match(stderr, expected);
  }
});

test('other addresses of this machine are those of the host and of the URL', async (t) => {
  for (const [web, hostname] of [
    ['127.0.0.2:0', '127.0.0.2'],
    ['localhost:0', '127.0.0.1'],
    ['[::1]:0', '[::1]'],
  ]) {
    const child = setting.start(t, ['--json', '--web', web, '-D', '0']);
    const { url } = await child.report('web');
    assert.equal(partsOf(url).hostname, hostname);
    // http.request() takes the address without brackets.
    const response = await fetch(new URL('/', url));
    assert.equal(response.status, 200);
    child.signal('SIGKILL');
  }
});

test('files need no token, hold nothing of the run, and may load and run nothing else', async (t) => {
  const { url } = await start(t);
  const names = readdirSync(PAGE);
  assert.ok(names.length > 5);
  for (const name of names) {
    const { status, headers, text: content } = await ask(url, { path: name === 'page.html' ? '/' : `/${name}` });
    assert.deepEqual([status, content], [200, readFileSync(join(PAGE, name), 'utf8')], name);
    assertIncludes(headers, {
      'cache-control': 'no-store',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
        "frame-ancestors 'none'; form-action 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    });
    assert.match(headers['content-type'], /^(text\/(html|css|javascript); charset=utf-8|image\/svg\+xml)$/);
    // Neither an address of another place, nor code or style in the markup.
    if (name.endsWith('.html')) assert.doesNotMatch(content, /https?:|<style|<script>|style=|\son\w+=/);
    else assert.doesNotMatch(content.replaceAll('http://www.w3.org/2000/svg', ''), /https?:/);
  }
});

test('states and actions need the token, in the header', async (t) => {
  const { url, open } = await start(t);
  const { client, connectionId } = await open();
  const { token } = partsOf(url);
  const wrong = `${token.slice(0, -1)}${token.at(-1) === 'A' ? 'B' : 'A'}`;
  for (const [path, headers] of [
    ['', {}],
    ['', { authorization: '' }],
    ['', { authorization: `Bearer ${wrong}` }],
    ['', { authorization: `Bearer ${token}x` }],
    ['', { authorization: `Bearer ${token.slice(0, -1)}` }],
    ['', { authorization: `Basic ${Buffer.from(`:${token}`).toString('base64')}` }],
    ['', { cookie: `token=${token}` }],
    [`?token=${token}`, {}],
  ]) {
    const states = await ask(url, { path: `/events${path}`, headers });
    assert.deepEqual([states.status, states.headers['www-authenticate']], [401, 'Bearer'], JSON.stringify(headers));
    for (const action of ['close', 'reset']) {
      const { status } = await ask(url, {
        path: `/connections/${connectionId}/${action}${path}`,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': 2, ...headers },
        body: '{}',
      });
      assert.equal(status, 401);
    }
  }
  await exchange(client);
});

test('a page of another origin is refused, also by a name that leads here', async (t) => {
  const { url } = await start(t);
  const { origin, port, authorization } = partsOf(url);
  const status = async (headers) =>
    (await ask(url, { path: '/events', headers: { authorization, ...headers } })).status;
  for (const host of [
    'attacker.example',
    `attacker.example:${port}`,
    `127.0.0.2:${port}`,
    '127.0.0.1',
    `localhost:1${port}`,
  ])
    assert.equal(await status({ host }), 421, host);
  for (const other of [
    'http://attacker.example',
    `https://127.0.0.1:${port}`,
    'http://127.0.0.1',
    `http://localhost:${port}`,
    'null',
  ])
    assert.equal(await status({ origin: other }), 403, other);
  for (const site of ['cross-site', 'same-site', 'something new'])
    assert.equal(await status({ 'sec-fetch-site': site }), 403, site);
  // The page itself is refused, too: a name that leads here shows nothing.
  assert.equal((await ask(url, { headers: { host: `attacker.example:${port}` } })).status, 421);
  for (const headers of [
    { origin, 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
    { host: `LOCALHOST:${port}`, origin: `http://localhost:${port}` },
  ])
    assert.equal((await ask(url, { headers })).status, 200, JSON.stringify(headers));
  assert.match(await raw(url, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await raw(url, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 421 /);
  assert.match(await raw(url, 'GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 421 /);
});

test('there are no other paths and methods', async (t) => {
  const { url } = await start(t);
  const { authorization, hostname, port } = partsOf(url);
  const headers = { authorization };
  for (const path of [
    '/page.html',
    '/../server.js',
    '/%2e%2e/server.js',
    '/..%2fserver.js',
    '/page/page.css',
    '/package.json',
    '//page.css',
    '/page.css/',
    '/constructor',
    '/__proto__',
    '/connections',
    '/connections/1',
    '/connections/0/close',
    '/connections/-1/close',
    '/connections/1/exit',
    '/connections/1e3/close',
    '/connections/1/close/',
    '/connections/99999999999999999999/close',
    '*',
  ])
    assert.equal((await ask(url, { path, headers })).status, 404, path);
  for (const method of ['HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH'])
    for (const path of ['/', '/events']) {
      const refused = await ask(url, { path, method, headers });
      assert.deepEqual([refused.status, refused.headers.allow], [405, 'GET'], `${method} ${path}`);
    }
  for (const method of ['GET', 'PUT', 'DELETE'])
    assertIncludes((await ask(url, { path: '/connections/1/close', method, headers })).headers, { allow: 'POST' });
  assert.match(
    await raw(url, `GET http://attacker.example/ HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`),
    /^HTTP\/1\.1 404 /,
  );
  assert.equal(await raw(url, `CONNECT attacker.example:80 HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`), '');
});

test('requests are limited in size and time', async (t) => {
  const { url, open } = await start(t);
  const { client, connectionId } = await open();
  const { hostname, port, authorization } = partsOf(url);
  const host = `Host: ${hostname}:${port}\r\n`;
  assert.match(await raw(url, `GET / HTTP/1.1\r\n${host}X: ${'x'.repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await raw(url, `GET /${'x'.repeat(9000)} HTTP/1.1\r\n${host}\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await raw(url, '\x16\x03\x01\x02\x00\x01'), /^HTTP\/1\.1 400 /);
  const post = async (options) => (await act(url, connectionId, 'reset', options)).status;
  assert.equal(await post({ headers: { 'content-type': 'text/plain' } }), 415);
  assert.equal(await post({ headers: { 'content-type': 'application/x-www-form-urlencoded' } }), 415);
  assert.equal(await post({ headers: { 'content-type': 'application/jsonp' } }), 415);
  assert.equal(await post({ body: `{"a":"${'x'.repeat(2000)}"}` }), 413);
  for (const body of ['', '[]', 'null', '"{}"', '{', 'x=1']) assert.equal(await post({ body }), 400, body);
  const chunked = `POST /connections/${connectionId}/reset HTTP/1.1\r\n${host}Authorization: ${authorization}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
  assert.match(await raw(url, `${chunked}2\r\n{}\r\n0\r\n\r\n`), /^HTTP\/1\.1 411 /);
  // Nothing of this has reached the connection.
  await exchange(client);
  // A client that does not complete its headers is disconnected.
  assert.match(await raw(url, `GET / HTTP/1.1\r\n${host}X: `), /^HTTP\/1\.1 408 /);
});

test('a connection is closed by its Linger, or reset, as its ends see it', async (t) => {
  const { child, url, target, open } = await start(t);
  const closed = await open();
  const reset = await open();
  const other = await open();
  const [closedEnd, resetEnd] = [await target.next(), await target.next()];
  for (const { client } of [closed, reset, other]) await exchange(client);
  assert.equal((await act(url, closed.connectionId, 'close')).status, 202);
  assert.equal((await closed.client.ended).end, 'FIN');
  closed.client.end();
  assert.equal((await closedEnd.ended).end, 'FIN');
  assertIncludes(await child.report('disconnected'), { connectionId: closed.connectionId, closedBy: 'graceful' });
  assert.equal((await act(url, reset.connectionId, 'reset')).status, 202);
  assert.equal((await reset.client.ended).end, 'ECONNRESET');
  assertIncludes(await child.report('disconnected'), { connectionId: reset.connectionId, closedBy: 'reset' });
  await resetEnd.ended;
  for (const id of [closed.connectionId, reset.connectionId, 99, 999_999_999_999_999]) {
    const { status, text: message } = await act(url, id, 'close');
    assert.equal(status, 404);
    assert.equal(message, `Connection ${id} does not exist, or has ended.\n`);
  }
  await exchange(other.client);
});

test('with Linger=no, close resets', async (t) => {
  const { url, open } = await start(t, { args: ['-o', 'Linger=no'] });
  const { client, connectionId } = await open();
  await exchange(client);
  assert.equal((await act(url, connectionId, 'close')).status, 202);
  assert.equal((await client.ended).end, 'ECONNRESET');
});

test('states follow what happens, and none is sent while nothing does', async (t) => {
  const { url, target, localPort, open } = await start(t);
  const states = await States.open(t, url);
  assert.equal(states.status, 200);
  assert.equal(states.headers['content-type'], 'text/event-stream; charset=utf-8');
  const first = await states.find(() => true);
  assert.match(first.destination, /^\S+@127\.0\.0\.1:\d+$/);
  assertIncludes(first.forwardings[0], {
    kind: 'local',
    from: `127.0.0.1:${localPort}`,
    to: `127.0.0.1:${target.port}`,
  });
  const { client, connectionId } = await open();
  await exchange(client);
  await states.find(({ connections: [one] }) => one?.connectionId === connectionId && one.up > 0 && one.down > 0);
  // Rates are those of a second: then nothing changes any more.
  await states.find(({ connections: [one] }) => one?.upRate > 0);
  await states.find(({ connections: [one] }) => one?.up > 0 && one.upRate === 0);
  const count = await settled(() => states.all.length, 1000);
  client.end();
  await client.ended;
  const last = await states.find(({ ends }) => ends.length === 1);
  assert.deepEqual([last.connections, last.ends[0].connectionId, last.ends[0].outcome], [[], connectionId, 'ok']);
  assert.equal(states.all.indexOf(last), count);
  // Another page gets the present state at once.
  const other = await States.open(t, url);
  assert.equal((await other.find(() => true)).totals.ended, 1);
});

test('sixteen pages may be open, and one that is closed makes room', async (t) => {
  const { url } = await start(t);
  const { authorization } = partsOf(url);
  const pages = [];
  for (let count = 0; count < 16; count++) pages.push(await States.open(t, url));
  assert.deepEqual(new Set(pages.map(({ status }) => status)), new Set([200]));
  assert.equal((await ask(url, { path: '/events', headers: { authorization } })).status, 503);
  assert.equal((await ask(url)).status, 200);
  pages[7].close();
  await until(async () => {
    const page = await States.open(t, url);
    return page.status === 200;
  });
});

test('connections without requests cannot keep pages from loading for long', async (t) => {
  const { url } = await start(t);
  const { hostname, port } = partsOf(url);
  const idle = Array.from({ length: 100 }, () => net.connect({ host: hostname, port }).on('error', () => {}));
  t.after(() => idle.forEach((socket) => socket.destroy()));
  await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once('close', resolve).resume())));
  assert.equal((await ask(url)).status, 200);
});

test('a page that reads slowly skips states, and gets the latest one', async (t) => {
  const padding = 'x'.repeat(8 * MIB);
  let number = 0;
  const monitor = { refresh: async () => {}, snapshot: () => ({ number: ++number, padding }) };
  const states = new StateStream(monitor);
  let response;
  const site = http.createServer((_, it) => states.add((response = it)));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => site.close());
  const socket = net.connect(site.address().port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nHost: here\r\n\r\n');
  await until(() => number >= 1 && response.writableLength > 0);
  const sizes = [];
  for (let round = 0; round < 4; round++) {
    const before = number;
    await until(() => number > before);
    sizes.push(response.writableLength);
  }
  assert.ok(Math.max(...sizes) < 9 * MIB, String(sizes));
  // As it reads on, it gets a state that is not the next one.
  let received = '';
  const numbers = () => [...received.matchAll(/"number":(\d+)/g)].map(([, it]) => Number(it));
  socket.setEncoding('latin1').on('data', (part) => (received += part.replaceAll(/x{8,}/g, '')));
  socket.resume();
  await until(() => numbers().length >= 2);
  assert.ok(numbers()[1] > numbers()[0] + 2, String(numbers()));
  states.end();
  await until(() => received.includes('event: end'));
  assert.equal(numbers().at(-1), number);
});

test('the end of the command is the last that its pages hear, and they do not delay it', async (t) => {
  const { child, url, open } = await start(t);
  const { client } = await open();
  const states = await States.open(t, url);
  await states.find(({ connections }) => connections.length === 1);
  child.signal('SIGTERM');
  await states.find(({ closing }) => closing);
  // A page may be opened while connections finish.
  const late = await States.open(t, url);
  await late.find(({ closing, connections }) => closing && connections.length === 1);
  client.end();
  assert.equal(await child.exit, 0);
  for (const page of [states, late]) {
    await page.closed;
    assert.equal(page.isEnded, true);
    assertIncludes(page.all.at(-1), {
      closing: true,
      connections: [],
      totals: { ended: 1, failed: 0, cut: 0, lost: 0 },
    });
  }
  assert.equal(await refuses(partsOf(url).port), true);
});

test('a second signal, and a session that is not established, are told, too', async (t) => {
  const { child, url, open } = await start(t);
  await open();
  const states = await States.open(t, url);
  child.signal('SIGTERM');
  await states.find(({ closing }) => closing);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 'SIGTERM');
  await states.closed;
  assert.equal(states.isEnded, true);
  assertIncludes(states.all.at(-1).totals, { ended: 1, cut: 1 });

  const waiting = await connect(server.port);
  t.after(() => waiting.socket.destroy());
  const mute = await echo(t, behaviors.idle());
  const stuck = setting.start(t, [
    '--json',
    '--web',
    '0',
    '-D',
    '0',
    '-o',
    `Port=${mute.port}`,
    '-o',
    'ConnectTimeout=2',
  ]);
  const early = await States.open(t, (await stuck.report('web')).url);
  const state = await early.find(({ session }) => session.state === 'connecting');
  assert.deepEqual([state.forwardings, state.connections], [[], []]);
  assert.equal(await stuck.exit, 255);
  await early.closed;
  assert.equal(early.isEnded, true);
  assert.match(early.all.at(-1).messages.at(-1).text, /timed out/);
});

test('the page of a command in the background is served on', UNIX, async (t) => {
  const target = await echo(t);
  const path = setting.missing('socket');
  const control = ['-M', '-S', path];
  const child = setting.start(t, ['-f', ...control, '--web', '0', '-L', `127.0.0.1:0:127.0.0.1:${target.port}`]);
  const { status, stderr } = await child.end();
  assert.equal(status, 0);
  const [, url] = /^Web page: (\S+)$/m.exec(stderr);
  const states = await States.open(t, url);
  const { pid } = await states.find(({ session }) => session.state === 'connected');
  t.after(() => signal(pid, 'SIGKILL'));
  assert.equal((await setting.start(t, ['-S', path, '-O', 'exit']).end()).status, 0);
  await states.closed;
  assert.equal(states.isEnded, true);
});

test('numbers and addresses of the page are those of the terminal', () => {
  const numbers = [0, 1, 999, 1000, 1023, 1024, 102_348, 102_400, 1e6, 1048575, 1e9, 1e12, 1e15, 1e18, 1e21];
  for (const number of numbers) {
    assert.equal(pageText.amount(number), text.amount(number));
    assert.equal(pageText.duration(number), text.duration(number));
  }
  for (const host of ['127.0.0.1', '::1', 'db']) assert.equal(pageText.place(host, 22), text.place(host, 22));
  assert.equal(pageText.LOCAL_CLIENT, text.LOCAL_CLIENT);
});
