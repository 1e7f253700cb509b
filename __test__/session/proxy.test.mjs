// Servers that are reached through an HTTP or SOCKS proxy.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { MIB, Target, behaviors, refusingPort } from '../helpers/peers.mjs';
import { LOGIN, PROXIES, ScriptedProxy, serveHttp, serveSocks } from '../helpers/proxies.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, makeTunnel, openTunnel, roundTrip, withoutForward } from '../helpers/tunnels.mjs';

const { isExcepted } = createRequire(import.meta.url)('../../lib/validate/proxy.js');

const server = await Sshd.start();
const gateway = await Sshd.start();
const nobody = await refusingPort();
const proxies = [];
// They outlive the tunnels.
after(() => Promise.all([server, gateway, nobody, ...proxies].map((each) => each.stop())));

const through = (proxy, login = server.login) => ({ login: { ...login, proxy } });
const failure = (tunnel) =>
  tunnel.promises.connect().then(
    () => undefined,
    (error) => error,
  );
const failsThrough = (t, proxy, options) => failure(makeTunnel(t, { ...server.login, proxy }, 1, options));

/** A proxy in this process. */
async function scripted(serve, host) {
  const proxy = await ScriptedProxy.start(serve, host);
  proxies.push(proxy);
  return proxy;
}

for (const [name, { scheme, start, isThere }] of Object.entries(PROXIES)) {
  const skip = isThere() ? false : `there is no ${name}`;
  const credentials = Object.values(LOGIN).join(':');

  test(`${name}: 16 MiB pass both ways`, { skip }, async (t) => {
    const proxy = await start();
    t.after(() => proxy.stop());
    await roundTrip(await openTunnel(t, through(`${scheme}://127.0.0.1:${proxy.port}`), behaviors.echo()), 16 * MIB);
  });

  test(`${name}: a password is sent, and one that is wrong or missing is a typed error`, { skip }, async (t) => {
    const proxy = await start(LOGIN);
    t.after(() => proxy.stop());
    const place = `127.0.0.1:${proxy.port}`;
    await roundTrip(await openTunnel(t, through(`${scheme}://${credentials}@${place}`), behaviors.echo()), MIB);
    const parts = { protocol: scheme, host: '127.0.0.1', port: proxy.port };
    const password = Buffer.from(LOGIN.password);
    await roundTrip(await openTunnel(t, through({ ...parts, ...LOGIN, password }), behaviors.echo()), MIB);
    for (const wrong of [
      `${scheme}://${place}`,
      `${scheme}://anna:canary@${place}`,
      { ...parts, ...LOGIN, password: 'canary' },
    ]) {
      const error = await failsThrough(t, wrong, { reconnect: { initial: true } });
      assert.equal(error.code, 'ERR_TUNNEL_PROXY');
      assertIncludes(error.proxy, { host: '127.0.0.1', port: proxy.port, reason: 'auth' });
      // tinyproxy has 401 for credentials that are wrong.
      if (scheme === 'http') assert.ok([401, 407].includes(error.proxy.statusCode), error.message);
      else assert.equal(error.proxy.statusCode, undefined);
      assert.ok(error.message.startsWith(`proxy ${place}: it re`), error.message);
      assert.doesNotMatch(`${error.stack}${JSON.stringify(error)}`, /canary|pass-word/);
    }
  });

  test(`${name}: a server that refuses is a typed error`, { skip }, async (t) => {
    const proxy = await start();
    t.after(() => proxy.stop());
    const login = { ...server.login, port: nobody.port, proxy: `${scheme}://127.0.0.1:${proxy.port}` };
    const error = await failure(makeTunnel(t, login, 1));
    assert.equal(error.code, 'ERR_TUNNEL_PROXY');
    assert.equal(error.proxy.reason, 'refused');
    if (scheme === 'http') assert.ok(error.proxy.statusCode >= 500 && error.proxy.statusMessage.length > 0);
    else assert.equal(error.proxy.replyCode, 5);
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${nobody.port}: .*(5\\d\\d \\w|refused \\(reply 5\\))`));
  });
}

test('bytes that a server sends right behind the reply of its proxy are its own', async (t) => {
  for (const [scheme, serve] of [
    ['http', serveHttp(server.port)],
    ['socks5', serveSocks(server.port)],
    ['socks5h', serveSocks(server.port)],
  ]) {
    const { port } = await scripted(serve);
    await roundTrip(await openTunnel(t, through(`${scheme}://127.0.0.1:${port}`), behaviors.echo()), MIB);
  }
});

test('the proxy resolves the name of the server', async (t) => {
  const login = { ...server.login, host: 'db.invalid' };
  const http = await scripted(serveHttp(server.port));
  await roundTrip(await openTunnel(t, through(`http://127.0.0.1:${http.port}`, login), behaviors.echo()));
  const place = `db.invalid:${server.port}`;
  assert.deepEqual(http.requests, [`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`]);
  const socks = await scripted(serveSocks(server.port));
  await roundTrip(await openTunnel(t, through(`socks5://127.0.0.1:${socks.port}`, login), behaviors.echo()));
  const { port } = server;
  const name = Buffer.from('db.invalid');
  assert.deepEqual(socks.requests, [Buffer.of(5, 1, 0, 3, name.length, ...name, port >> 8, port & 255)]);
});

test('a URL may have escapes', async (t) => {
  const proxy = await scripted(serveHttp(server.port));
  const url = `http://an%20na:p%40ss%3Aword%25%C3%A9@127.0.0.1:${proxy.port}/`;
  await roundTrip(await openTunnel(t, through(url), behaviors.echo()));
  const [, credentials] = /^Proxy-Authorization: Basic (\S+)\r$/m.exec(proxy.requests[0]);
  assert.equal(Buffer.from(credentials, 'base64').toString(), 'an na:p@ss:word%é');
});

test('addresses may be IPv6', async (t) => {
  const login = { ...server.login, host: '2001:db8::1' };
  const http = await scripted(serveHttp(server.port), '::1');
  await roundTrip(await openTunnel(t, through(`http://[::1]:${http.port}`, login), behaviors.echo()));
  assert.match(http.requests[0], new RegExp(`^CONNECT \\[2001:db8::1\\]:${server.port} `));
  const socks = await scripted(serveSocks(server.port), '::1');
  const parts = { protocol: 'socks5', host: '::1', port: socks.port };
  await roundTrip(await openTunnel(t, through(parts, login), behaviors.echo()));
  assert.equal(socks.requests[0].toString('hex', 3, 20), '0420010db8000000000000000000000001');
});

test('a proxy leads to the first jump host', async (t) => {
  const proxy = await scripted(serveHttp(gateway.port));
  const login = { ...server.login, jump: { ...gateway.login, host: 'gate.invalid' } };
  await roundTrip(await openTunnel(t, through(`http://127.0.0.1:${proxy.port}`, login), behaviors.echo()), MIB);
  assert.equal(proxy.requests.length, 1);
  assert.match(proxy.requests[0], /^CONNECT gate\.invalid:/);
  const error = await failsThrough(t, `http://127.0.0.1:${nobody.port}`, { jump: { ...gateway.login } });
  assertIncludes(error, { code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: nobody.port });
  assert.deepEqual(error.hop, { host: '127.0.0.1', port: gateway.port });
});

test('each session goes through the proxy, also after a reconnect', async (t) => {
  const proxy = await scripted(serveSocks(server.port));
  const { tunnel, eventLog } = withoutForward(t, server.login, {
    proxy: `socks5://127.0.0.1:${proxy.port}`,
    sessions: 2,
    reconnect: { initialDelay: 1 },
  });
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  await tunnel.promises.forwardLocal({ forwardHost: '127.0.0.1', forwardPort: target.port });
  const dial = () => tunnel.promises.dial('127.0.0.1', target.port);
  await eventLog.next('ready');
  const sockets = [];
  while (proxy.requests.length < 2) sockets.push((await dial()).on('error', () => {}));
  proxy.cut();
  await eventLog.next('reconnecting');
  await eventLog.next('ready');
  assert.equal(proxy.requests.length, 3);
  for (const socket of [...sockets, await dial()]) socket.destroy();
});

test('a proxy that cannot be reached is a system error with its address', async (t) => {
  const error = await failsThrough(t, `http://127.0.0.1:${nobody.port}`);
  assertIncludes(error, { code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: nobody.port });
  assertIncludes(await failsThrough(t, 'socks5://nowhere.invalid'), { code: 'ENOTFOUND', address: 'nowhere.invalid' });
});

test('what is no proxy is a typed error, and one that says nothing is a timeout', async (t) => {
  for (const scheme of ['http', 'socks5']) {
    const error = await failsThrough(t, `${scheme}://127.0.0.1:${server.port}`);
    assert.equal(error.code, 'ERR_TUNNEL_PROXY');
    assert.equal(error.proxy.reason, 'invalid', error.message);
    const silent = await scripted(() => {});
    const late = await failsThrough(t, `${scheme}://127.0.0.1:${silent.port}`, { readyTimeout: 100 });
    assertIncludes(late, { code: 'ETIMEDOUT' });
    assert.match(late.message, /waiting for the proxy to connect$/);
    const cut = await scripted((_, socket) => socket.end());
    const closed = await failsThrough(t, `${scheme}://127.0.0.1:${cut.port}`);
    assertIncludes(closed.proxy, { reason: 'closed', port: cut.port });
  }
  const quoted = await failsThrough(t, `http://127.0.0.1:${server.port}`);
  assert.match(quoted.message, /is not that of an HTTP proxy: "SSH-2\.0-OpenSSH/);
  const hostile = await scripted(serveHttp(undefined, 'HTTP/1.1 403 \x1b]0;title\x07 no\r\n\r\n'));
  const refused = await failsThrough(t, `http://127.0.0.1:${hostile.port}`);
  assertIncludes(refused.proxy, { reason: 'refused', statusCode: 403, statusMessage: '?]0;title? no' });
});

test('a server behind a local proxy is not on this machine', async (t) => {
  const proxy = await scripted(serveHttp(server.port));
  const login = { ...server.login, hostKey: gateway.login.hostKey, noHostAuthenticationForLocalhost: true };
  const error = await failure(makeTunnel(t, { ...login, proxy: `http://127.0.0.1:${proxy.port}` }, 1));
  assert.equal(error?.code, 'ERR_SSH_HOST_KEY');
  assert.equal(await failure(makeTunnel(t, login, 1)), undefined);
});

const VARIABLES = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy', 'NO_PROXY', 'no_proxy'];

/** Sets these variables of the environment, and no others of proxies, for `work`. */
function withEnvironment(values, work) {
  const before = VARIABLES.map((name) => [name, process.env[name]]);
  const set = ([name, value]) => (value === undefined ? delete process.env[name] : (process.env[name] = value));
  before.forEach(([name]) => delete process.env[name]);
  Object.entries(values).forEach(set);
  try {
    return work();
  } finally {
    before.forEach(set);
  }
}

test("the environment counts with 'env' only", async (t) => {
  const [used, other] = [await scripted(serveHttp(server.port)), await scripted(serveSocks(server.port))];
  const url = `http://127.0.0.1:${used.port}`;
  const socks = `socks5h://127.0.0.1:${other.port}`;
  const make = (values, proxy) =>
    withEnvironment(values, () => makeTunnel(t, { ...server.login, ...(proxy === undefined ? {} : { proxy }) }, 1));
  for (const [values, proxy, expected] of [
    [{ HTTPS_PROXY: url, ALL_PROXY: socks }, undefined, 'none'],
    [{}, 'env', 'none'],
    [{ HTTPS_PROXY: '' }, 'env', 'none'],
    [{ HTTPS_PROXY: url, ALL_PROXY: socks }, 'env', 'http'],
    [{ https_proxy: url, HTTPS_PROXY: socks }, 'env', 'http'],
    [{ HTTPS_PROXY: `127.0.0.1:${used.port}` }, 'env', 'http'],
    [{ ALL_PROXY: socks }, 'env', 'socks'],
    [{ all_proxy: socks, ALL_PROXY: url }, 'env', 'socks'],
    [{ HTTPS_PROXY: url, NO_PROXY: 'example.com, 127.0.0.0/8' }, 'env', 'none'],
    [{ HTTPS_PROXY: url, no_proxy: 'example.com', NO_PROXY: '*' }, 'env', 'http'],
  ]) {
    const before = [used.requests.length, other.requests.length];
    await make(values, proxy).promises.connect();
    const asked = [used.requests.length - before[0], other.requests.length - before[1]];
    assert.deepEqual(asked, { none: [0, 0], http: [1, 0], socks: [0, 1] }[expected], JSON.stringify([values, proxy]));
  }
  withEnvironment({ ALL_PROXY: 'https://anna:canary@proxy' }, () =>
    assert.throws(
      () => makeTunnel(t, { ...server.login, proxy: 'env' }, 1),
      (error) =>
        error.code === 'ERR_INVALID_ARG_VALUE' && /ALL_PROXY/.test(error.message) && !/canary/.test(error.stack),
    ),
  );
});

test('NO_PROXY has names with their subdomains, addresses, networks and ports', () => {
  const excepted = (host, list, port = 22) => isExcepted({ host, port }, list);
  for (const [host, list] of [
    ['db.test', '*'],
    ['db.test', 'db.test'],
    ['DB.Test.', 'x, dB.tesT'],
    ['db.test', 'test'],
    ['db.test', '.test'],
    ['db.test', '*.test'],
    ['db.test', 'a b,db.test:22'],
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3:22'],
    ['fd00::1', 'fd00::1'],
    ['fd00::1', 'fd00:0::1'],
    ['fd00::1', '[fd00::1]:22'],
    ['fd00::1', 'fd00::/8'],
  ])
    assert.ok(excepted(host, list), `${host} in ${list}`);
  for (const [host, list] of [
    ['db.test', ''],
    ['db.test', 'b.test'],
    ['db.test', 'db.test:23'],
    ['db.test', '.'],
    ['mydb.test', 'db.test'],
    ['10.1.2.3', '11.0.0.0/8'],
    ['10.1.2.3', '10.0.0.0/33'],
    ['10.1.2.3', '2.3'],
    ['10.1.2.3', 'fd00::/8'],
    ['fd00::1', '[fd00::1]:23'],
    ['fd00::1', '10.0.0.0/8'],
    ['fd00::1', 'fd00::/x'],
  ])
    assert.ok(!excepted(host, list), `${host} not in ${list}`);
});

test('a proxy that cannot be used is refused by the constructor', () => {
  const refused = (proxy, code, pattern, options = {}) => {
    const make = () => new SSHTunnel({ ...server.login, proxy, ...options });
    assert.throws(make, (error) => {
      assert.equal(error.code, code);
      assert.match(error.message, pattern);
      assert.doesNotMatch(error.stack, /canary/);
      return error instanceof (code === 'ERR_OUT_OF_RANGE' ? RangeError : TypeError);
    });
  };
  const [type, value] = ['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_VALUE'];
  for (const wrong of [true, 1, null, [], () => {}]) refused(wrong, type, /"options.proxy" property must be one of/);
  for (const url of [
    '',
    'proxy',
    'proxy:3128',
    'http://',
    'http://anna:canary@h/path',
    'http://h/?canary',
    'http://h#x',
  ])
    refused(url, value, /'options.proxy' must be 'env', or a URL such as http:/);
  refused('http://anna:canary%zz@h', value, /must have only valid escapes/);
  refused('https://anna:canary@h', value, /must be 'http', 'socks5' or 'socks5h': for a proxy behind TLS, give a func/);
  refused('socks4://h', value, /must be 'http', 'socks5' or 'socks5h'\. Received 'socks4'/);
  refused('socks5://h:0', 'ERR_OUT_OF_RANGE', /"options.proxy.port"/);
  refused({}, type, /"options.proxy.protocol"/);
  refused({ protocol: 'http' }, type, /"options.proxy.host"/);
  refused({ protocol: 'http', host: 'a\nb' }, value, /'options.proxy.host' must not contain control/);
  refused({ protocol: 'http', host: 'h', port: '1' }, type, /"options.proxy.port"/);
  refused({ protocol: 'http', host: 'h', password: 'canary' }, type, /"options.proxy.username"/);
  refused({ protocol: 'http', host: 'h', username: 'a:b' }, value, /must not contain a colon/);
  refused({ protocol: 'http', host: 'h', username: 'a', password: 1 }, type, /"options.proxy.password"/);
  refused({ protocol: 'socks5', host: 'h', username: 'a' }, value, /'options.proxy.password' must have 1 to 255 bytes/);
  const long = 'canary'.repeat(50);
  refused(
    { protocol: 'socks5', host: 'h', username: 'a', password: long },
    value,
    /proxy.password' must have 1 to 255/,
  );
  refused(
    { protocol: 'socks5', host: 'h', username: 'a'.repeat(256), password: 'x' },
    value,
    /proxy.username' must have/,
  );
  refused('socks5://h', value, /'options.host' leads to a SOCKS 5 proxy, which/, { host: 'x'.repeat(256) });
  refused('http://h', value, /'options.host' leads to an HTTP proxy, which/, { host: 'hôte' });
  refused('http://h', value, /'options.jump.host' leads to an HTTP/, { jump: { ...server.login, host: 'a b' } });
  refused('http://h', value, /'options.proxy' must not be given together with proxyCommand/, { proxyCommand: 'nc' });
  const jump = { ...server.login, proxyCommand: 'nc' };
  refused('http://h', value, /'options.proxy' must not be given together with proxyCommand/, { jump });
  refused(undefined, value, /'options.jump.proxy' must not be given: options.proxy/, {
    jump: { ...server.login, proxy: 'http://h' },
  });
});
