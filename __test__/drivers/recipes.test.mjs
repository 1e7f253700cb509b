// The programs of docs/recipes.md run as printed, with the packages that they are about. Only the SSH server knows the
// names of their hosts, so that a connection beside the tunnel finds nothing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after } from 'node:test';
import tls from 'node:tls';

import { test } from '../helpers/bounded.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { MongoServer, startReplicaSet, startRouters } from '../helpers/mongo-server.mjs';
import { NamedHosts } from '../helpers/named-hosts.mjs';
import { npmProject } from '../helpers/npm-project.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { RedisCluster } from '../helpers/redis-cluster.mjs';
import { MariaDb, Postgres, Redis } from '../helpers/services.mjs';
import { SmtpServer } from '../helpers/smtp-server.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';

const project = npmProject();
assert.notEqual(project, null, 'the packages of the recipes are needed');
const require = createRequire(join(project, 'index.js'));

const PASSWORD = 'right';
const REDIS_NODES = ['redis-1.internal', 'redis-2.internal', 'redis-3.internal'];
const MONGO_SET = ['mongo-1.internal:27017', 'mongo-2.internal:27017', 'mongo-3.internal:27017'];

const files = temporaryFolder('recipes');

/** A certificate for all names. */
function makeCertificate() {
  const names = ['api', 'h2', 'grpc', 'tls', 'mail'].map((name) => `DNS:${name}.internal`).join(',');
  const [key, cert] = [files.at('key.pem'), files.at('cert.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert];
  const options = ['-subj', '/CN=internal', '-addext', `subjectAltName=${names}`, '-days', '2'];
  execFileSync(findProgram('openssl'), ['req', '-x509', ...kind, ...options], { stdio: 'ignore' });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

const certificate = makeCertificate();

/** Servers of Node.js and of packages, listening on ports of their own. */
const listening = [];
async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  listening.push(server);
  return server.address().port;
}

const answer = (request, response) => response.end(`${request.headers.host ?? ''}${request.url}`);
const api = https.createServer(certificate, answer);
const { WebSocketServer } = require('ws');
new WebSocketServer({ server: api }).on('connection', (socket) =>
  socket.on('message', (message) => socket.send(`you said ${message}`)),
);

async function startGrpc() {
  const { Server, ServerCredentials } = require('@grpc/grpc-js');
  const server = new Server();
  const bytes = (buffer) => buffer;
  const echo = { path: '/Test/Echo', requestStream: false, responseStream: false };
  const converters = { requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes };
  server.addService(
    { Echo: { ...echo, ...converters, responseDeserialize: bytes } },
    { Echo: (call, callback) => callback(null, Buffer.from(`${call.getHost()} got ${call.request}`)) },
  );
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: certificate.key, cert_chain: certificate.cert },
  ]);
  const bind = (resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
  return { port: await new Promise(bind), stop: () => server.forceShutdown() };
}

const bson = require('bson');
const [postgres, mariadb, redis, cluster, mongo, mongoSet, routers, smtp, grpc] = await Promise.all([
  Postgres.start(),
  MariaDb.start(),
  Redis.start(),
  RedisCluster.start(REDIS_NODES, PASSWORD),
  MongoServer.start(bson),
  startReplicaSet(bson, 'rs0', MONGO_SET),
  startRouters(bson, 2),
  SmtpServer.start(certificate, PASSWORD),
  startGrpc(),
]);
const apiPort = await listen(http.createServer(answer));
const inner = await Ssh2Server.start({ onOpen: ({ connect }) => connect({ host: '127.0.0.1', port: apiPort }) });

const PORTS = {
  'db.internal:5432': postgres.port,
  'db.internal:3306': mariadb.port,
  'redis.internal:6379': redis.port,
  ...cluster.ports,
  'api.internal:80': apiPort,
  'api.internal:443': await listen(api),
  'h2.internal:443': await listen(
    http2.createSecureServer(certificate, (request, response) => response.end(request.url)),
  ),
  'grpc.internal:443': grpc.port,
  'tls.internal:636': await listen(tls.createServer(certificate, (socket) => socket.end('hello'))),
  'mail.internal:587': smtp.port,
  'inner.internal:22': inner.port,
};

after(async () => {
  for (const server of listening) server.close();
  for (const server of listening) server.closeAllConnections?.();
  const services = [postgres, mariadb, redis, cluster, mongo, mongoSet, ...routers, smtp, grpc, inner];
  await Promise.all(services.map((service) => service.stop()));
  files.remove();
});

const page = readFileSync(join(ROOT, 'docs', 'recipes.md'), 'utf8');
const [preamble, ...recipes] = [...page.matchAll(/^```js\n(.*?)^```/gms)].map(([, program]) => program);

const EVERY_KEY = { REDIS_PASSWORD: PASSWORD };
const cut = (names) => names.map((name) => `${name}:6379`);
const { PGUSER, PGPASSWORD, PGDATABASE } = postgres.environment;
const POSTGRES = { DATABASE_URL: `postgres://${PGUSER}:${PGPASSWORD}@db.internal/${PGDATABASE}` };
const MARIADB = { DATABASE_URL: `mysql://app:${mariadb.password}@db.internal/app` };
const MONGOS = Object.fromEntries(routers.map(({ port }, at) => [`mongos-${at + 1}.internal:27017`, port]));

/** The most lines of a program that connects a database or an HTTP client, with its imports. */
const MAX_LINES = 6;

/**
 * The recipes, by a text that only one of them has.
 * - `prints`: what it prints; `hosts`: the names that it connects to through the tunnel
 * - `isShort`: whether it has at most MAX_LINES
 */
const RECIPES = {
  connectionString: { prints: /^42\n$/, hosts: ['db.internal:5432'], env: POSTGRES, isShort: true },
  'new pg.Pool({ stream': {
    prints: /^42\n$/,
    hosts: ['db.internal:5432'],
    env: postgres.environment,
    isShort: true,
  },
  'postgres({ socket': { prints: /^42\n$/, hosts: ['db.internal:5432'], env: postgres.environment },
  'postgres(await': { prints: /^42\n$/, hosts: ['db.internal:5432'], env: postgres.environment },
  'createPool(await': { prints: /^42\n$/, hosts: ['db.internal:3306'], env: MARIADB, isShort: true },
  'createPool({ stream': {
    prints: /^42\n$/,
    hosts: ['db.internal:3306'],
    env: { MYSQL_PASSWORD: mariadb.password },
    isShort: true,
  },
  "from 'knex'": { prints: /^42\n$/, hosts: ['db.internal:5432'], env: postgres.environment },
  "from 'typeorm'": { prints: /^42\n$/, hosts: ['db.internal:5432'], env: POSTGRES },
  spawnSync: { prints: /^42\n$/, hosts: ['db.internal:5432'], env: postgres.environment },
  directConnection: {
    prints: /^42\n$/,
    hosts: ['mongo-1.internal:27017'],
    ports: { 'mongo-1.internal:27017': mongo.port },
    isShort: true,
  },
  'mongos-1': { prints: /^42\n$/, hosts: Object.keys(MONGOS), ports: MONGOS, isShort: true },
  replicaSet: { prints: /^42\n$/, hosts: MONGO_SET, ports: mongoSet.ports },
  'new Redis(await': {
    prints: /^42\n$/,
    hosts: ['redis.internal:6379'],
    env: { REDIS_URL: `redis://:${redis.password}@redis.internal` },
    isShort: true,
  },
  'class Connector': {
    prints: /^OK 42\n$/,
    hosts: ['redis.internal:6379'],
    env: { REDIS_PASSWORD: redis.password },
    isShort: true,
  },
  createClient: {
    prints: /^42\n$/,
    hosts: ['redis.internal:6379'],
    env: { REDIS_URL: `redis://:${redis.password}@redis.internal` },
  },
  natMap: { prints: /^30\n$/, hosts: cut(REDIS_NODES), env: EVERY_KEY },
  createCluster: { prints: /^30\n$/, hosts: cut(REDIS_NODES), env: EVERY_KEY },
  dnsLookup: { prints: /^30\n$/, hosts: cut(REDIS_NODES), env: EVERY_KEY },
  'https.get': { prints: /^200 api\.internal\/status\n$/, hosts: ['api.internal:443'] },
  'fetch(await': { prints: /^200 127\.0\.0\.1:\d+\/status\n$/, hosts: ['api.internal:80'], isShort: true },
  "new Client('http": { prints: /^200 api\.internal\/status\n$/, hosts: ['api.internal:80'], isShort: true },
  buildConnector: {
    prints: /^(200 api\.internal\/status\n){2}$/,
    hosts: ['api.internal:443', 'api.internal:80'],
  },
  'http2.connect': { prints: /^\/status\n$/, hosts: ['h2.internal:443'] },
  WebSocket: { prints: /^you said hello\n$/, hosts: ['api.internal:443'] },
  '@grpc/grpc-js': { prints: /^grpc\.internal got hello\n$/, hosts: ['grpc.internal:443'] },
  nodemailer: { prints: /^250 kept\n$/, hosts: ['mail.internal:587'], env: { SMTP_PASSWORD: PASSWORD } },
  'tls.internal': { prints: /^hello\n$/, hosts: ['tls.internal:636'] },
  forwardOut: {
    prints: /^HTTP\/1\.1 200 OK[^]*\/status$/,
    hosts: ['inner.internal:22'],
    env: { SSH_PASSWORD: PASSWORD },
  },
  HTTPAgent: { prints: /^200 api\.internal\/status\n$/, hosts: ['inner.internal:22'], env: { SSH_PASSWORD: PASSWORD } },
};

for (const [text, { prints, hosts, env, ports, isShort }] of Object.entries(RECIPES)) {
  test(`docs/recipes.md: the program with ${text} prints its answer and exits`, { timeout: 60_000 }, async (t) => {
    const [recipe, ...others] = recipes.filter((program) => program.includes(text));
    assert.equal(others.length, 0);
    if (isShort) assert.ok(recipe.match(/^.+$/gm).length <= MAX_LINES, recipe);
    const named = await NamedHosts.start({ ...PORTS, ...ports });
    t.after(() => named.stop());
    const login = { "'bastion.example'": `'127.0.0.1', port: ${named.port}`, "'me'": "'user'" };
    const start = Object.entries(login).reduce((program, [from, to]) => program.replace(from, to), preamble);
    const source = `${start}${recipe}await tunnel.close({ timeout: 5000 });\n`;
    const authorities = {
      NODE_EXTRA_CA_CERTS: files.at('cert.pem'),
      GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: files.at('cert.pem'),
    };
    const own = { ...named.environment, ...authorities, ...env };
    const options = { cwd: project, env: { ...process.env, ...own }, timeout: 50_000 };
    const { code, late, stdout, stderr } = await run(
      process.execPath,
      ['--input-type=module', '--eval', source],
      options,
    );
    assert.deepEqual([code, late, stderr], [0, false, ''], stdout);
    assert.match(stdout, prints);
    assert.deepEqual([...new Set(named.used)].sort(), [...hosts].sort());
  });
}

test('docs/recipes.md: every program is run, and the mail was delivered', () => {
  const missing = recipes.filter((program) => !Object.keys(RECIPES).some((text) => program.includes(text)));
  assert.deepEqual(missing, []);
  assert.equal(recipes.length, Object.keys(RECIPES).length);
  assert.match(smtp.mails.join(), /hello/);
});

test('docs/recipes.md lists the versions of the packages', () => {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, '__test__', 'drivers', 'package.json'), 'utf8'));
  for (const [name, version] of Object.entries(dependencies))
    assert.ok(page.includes(`| ${name} | ${version} |`), `${name} ${version}`);
});
