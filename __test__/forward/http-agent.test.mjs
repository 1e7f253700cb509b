// tunnel.httpAgent(): requests of http and https without a local port.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { refusingPort, settled } from '../helpers/peers.mjs';
import { ROOT, descriptors, runModule, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const folder = temporaryFolder('agent');
const certificate = makeCertificate();
after(async () => {
  await server.stop();
  folder.remove();
});

/** A certificate for localhost, signed by itself, and its key. */
function makeCertificate() {
  const [key, cert] = ['key', 'cert'].map((name) => join(folder.path, name));
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '1',
      '-keyout',
      key,
      '-out',
      cert,
      ...names,
    ],
    { stdio: 'pipe' },
  );
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

/** A web server that answers with the request, and counts connections. */
async function web(t, make) {
  const it = make((request, response) => {
    response.end(`${request.method} ${request.url} ${request.headers.host}`);
  });
  it.listen(0, '127.0.0.1');
  await once(it, 'listening');
  let connections = 0;
  it.on('connection', () => (connections += 1));
  t.after(() => it.close().closeAllConnections());
  return { port: it.address().port, connections: () => connections, server: it };
}

async function make(t, options) {
  const tunnel = new SSHTunnel({ ...server.login, ...options });
  t.after(() => tunnel.promises.shutdown(), { timeout: 10_000 });
  return { tunnel, eventLog: new EventLog(tunnel) };
}

async function get(of, options) {
  const [response] = await once(of.get(options), 'response');
  return text(response);
}

/** Sends this many requests, some at a time, and checks every response. */
async function askOften(of, options, count) {
  let asked = 0;
  const work = async () => {
    while (asked < count) {
      const path = `/${asked++}`;
      assert.equal(await get(of, { ...options, path }), `GET ${path} ${options.host}:${options.port}`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
}

test('one agent serves http and https', async (t) => {
  const { tunnel, eventLog } = await make(t);
  const agent = tunnel.httpAgent();
  const plain = await web(t, http.createServer);
  const secure = await web(t, (handler) => https.createServer(certificate, handler));
  assert.ok(agent instanceof http.Agent);
  assert.equal(
    await get(http, { host: 'localhost', port: plain.port, path: '/a', agent }),
    `GET /a localhost:${plain.port}`,
  );
  const options = { host: 'localhost', port: secure.port, path: '/b', agent, ca: certificate.cert };
  assert.equal(await get(https, options), `GET /b localhost:${secure.port}`);
  assert.equal(
    await get(http, {
      ...new URL(`http://localhost:${plain.port}/c`),
      hostname: 'localhost',
      port: plain.port,
      path: '/c',
      agent,
    }),
    `GET /c localhost:${plain.port}`,
  );
  for (const port of [plain.port, secure.port]) assert.equal((await eventLog.next('connection')).forwardPort, port);
  // The certificate is checked, against the name that was asked for.
  await assert.rejects(get(https, { ...options, ca: undefined }), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  await assert.rejects(get(https, { ...options, servername: 'elsewhere' }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

test('default ports are those of the protocols', (t) => {
  const agent = new SSHTunnel({ host: 'h', username: 'u' }).httpAgent();
  const asked = [];
  t.mock.method(agent, 'addRequest', (request, { port }) =>
    asked.push([request.protocol, port, request.getHeader('host')]),
  );
  for (const of of [http, https])
    of.get(`${of === http ? 'http' : 'https'}://example.org/`, { agent }).on('error', () => {});
  https.get('https://example.org:80/', { agent }).on('error', () => {});
  assert.deepEqual(asked, [
    ['http:', 80, 'example.org'],
    ['https:', 443, 'example.org'],
    ['https:', 80, 'example.org:80'],
  ]);
});

test('a thousand requests use at most maxSockets connections', { timeout: 120_000 }, async (t) => {
  const { tunnel, eventLog } = await make(t);
  const plain = await web(t, http.createServer);
  const secure = await web(t, (handler) => https.createServer(certificate, handler));
  await tunnel.promises.connect();
  const before = await settled(descriptors);
  const agent = tunnel.httpAgent({ keepAlive: true, maxSockets: 8 });
  const requests = Array.from({ length: 1000 }, (_, index) => {
    const [of, { port }] = index % 2 ? [https, secure] : [http, plain];
    return get(of, { host: 'localhost', port, path: `/${index}`, agent, ca: certificate.cert }).then((body) => {
      assert.equal(body, `GET /${index} localhost:${port}`);
    });
  });
  await Promise.all(requests);
  assert.deepEqual([plain.connections(), secure.connections()], [8, 8]);
  agent.destroy();
  for (let count = 0; count < 16; count++) assert.equal((await eventLog.next('disconnected')).code, 'OK');
  assert.deepEqual(await tunnel.promises.connections(), []);
  plain.server.closeAllConnections();
  secure.server.closeAllConnections();
  await until(() => descriptors() <= before + 1);
});

test('ten thousand requests with and without keepAlive leave nothing behind', { timeout: 120_000 }, async (t) => {
  const { tunnel } = await make(t);
  const plain = await web(t, http.createServer);
  const secure = await web(t, (handler) => https.createServer(certificate, handler));
  // Warm-up: some of the first request's descriptors stay.
  await askOften(https, { host: 'localhost', port: secure.port, agent: tunnel.httpAgent(), ca: certificate.cert }, 1);
  const before = await settled(descriptors);
  const opened = () => plain.connections() + secure.connections();
  for (const [options, of, { port }, count, connections] of [
    [{ keepAlive: true, maxSockets: 8 }, http, plain, 5000, 8],
    [{ keepAlive: true, maxSockets: 8 }, https, secure, 3800, 8],
    [{ keepAlive: false }, http, plain, 1000, 1000],
    [{ keepAlive: false }, https, secure, 200, 200],
  ]) {
    const agent = tunnel.httpAgent(options);
    const already = opened();
    await askOften(of, { host: 'localhost', port, agent, ca: certificate.cert }, count);
    assert.equal(opened() - already, connections);
    // An agent without keepAlive need not be destroyed.
    if (options.keepAlive) agent.destroy();
    await until(() => agent.totalSocketCount === 0);
    assert.deepEqual(
      [agent.sockets, agent.freeSockets, agent.requests].map((kept) => Object.keys(kept)),
      [[], [], []],
    );
    // A TLS socket does not wait for the end of the one below.
    await until(async () => (await tunnel.promises.connections()).length === 0);
  }
  const { accepted, pending, open, ended } = (await tunnel.promises.stats()).connections;
  const all = Object.values(ended).reduce((sum, count) => sum + count);
  assert.deepEqual([accepted, pending, open, all], [1217, 0, 0, 1217]);
  await until(() => descriptors() <= before);
  // It would fail while a dial() socket is open.
  tunnel.shutdown();
});

test('without keepAlive every request uses its own connection and closes it', async (t) => {
  const { tunnel, eventLog } = await make(t);
  const plain = await web(t, http.createServer);
  const agent = tunnel.httpAgent();
  for (let count = 0; count < 5; count++) {
    await get(http, { host: 'localhost', port: plain.port, agent });
    await eventLog.next('disconnected');
  }
  assert.equal(plain.connections(), 5);
  // One connect: the session stays.
  assert.equal(eventLog.all('ready').length, 1);
  assert.deepEqual(await tunnel.promises.connections(), []);
});

test('an idle connection of an agent does not keep the process running', async (t) => {
  const plain = await web(t, http.createServer);
  const secure = await web(t, (handler) => https.createServer(certificate, handler));
  for (const [protocol, { port }] of [
    ['http', plain],
    ['https', secure],
  ]) {
    const { code, stdout, stderr } = await runModule(`
      import { get } from 'node:${protocol}';
      import { text } from 'node:stream/consumers';
      const { SSHTunnel } = await import(${JSON.stringify(join(ROOT, 'index.js'))});
      const tunnel = new SSHTunnel(${JSON.stringify(server.login)});
      tunnel.unref();
      const agent = tunnel.httpAgent({ keepAlive: true, maxSockets: 1 });
      for (const path of ['/a', '/b']) {
        const options = { host: '127.0.0.1', port: ${port}, path, agent, rejectUnauthorized: false };
        console.log(await new Promise((resolve) => get(options, (response) => resolve(text(response)))));
        await new Promise(setImmediate); // the agent has it back
      }`);
    assert.deepEqual([code, stdout.replaceAll(`127.0.0.1:${port}`, 'h')], [0, 'GET /a h\nGET /b h\n'], stderr);
  }
  assert.deepEqual([plain.connections(), secure.connections()], [1, 1]);
});

test("an unreachable target fails with the tunnel's error code", async (t) => {
  const refusing = await refusingPort();
  t.after(refusing.stop);
  const { tunnel } = await make(t);
  const agent = tunnel.httpAgent();
  for (const of of [http, https]) {
    await assert.rejects(get(of, { host: '127.0.0.1', port: refusing.port, agent }), {
      code: 'ERR_SSH_OPEN_CONNECT_FAILED',
    });
  }
});

test('a response truncated by a disconnect is an error, also if its length is not known', async (t) => {
  const { tunnel, eventLog } = await make(t);
  const agent = tunnel.httpAgent();
  const cut = (request, response) => {
    // The end of the connection is the end of the body.
    response.useChunkedEncodingByDefault = false;
    response.shouldKeepAlive = false;
    response.write('half');
  };
  for (const [of, it] of [
    [http, http.createServer(cut)],
    [https, https.createServer(certificate, cut)],
  ]) {
    it.listen(0, '127.0.0.1');
    await once(it, 'listening');
    t.after(() => it.close().closeAllConnections());
    const request = of.get({ host: 'localhost', port: it.address().port, agent, ca: certificate.cert });
    const [response] = await once(request, 'response');
    await once(response, 'readable');
    server.killSessions();
    // Node's parser accepts any end of the connection as the end of such a body, so the error is on the request.
    const [error] = await once(request, 'error');
    assert.equal(error.code, 'ECONNRESET');
    await eventLog.next('close');
  }
});

test('invalid options throw', async (t) => {
  const { tunnel } = await make(t);
  for (const options of [5, null, [], 'x'])
    assert.throws(() => tunnel.httpAgent(options), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
});
