// Drivers whose socket of dial() cannot be opened, or is cut under a request: each tells its caller, and the process lives on.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after } from 'node:test';
import tls from 'node:tls';

import { test } from '../helpers/bounded.mjs';
import { npmProject } from '../helpers/npm-project.mjs';
import { Target, behaviors, refusingPort } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { withoutForward } from '../helpers/tunnels.mjs';

const project = npmProject();
assert.notEqual(project, null, 'the packages of the drivers are needed');
const require = createRequire(join(project, 'index.js'));

const server = await Sshd.start();
const refusing = await refusingPort();
after(() => Promise.all([server.stop(), refusing.stop()]));

const login = { user: 'u', password: 'p', database: 'd' };

/**
 * One request of each driver over sockets that `dial` opens, or with `connected`, promises of open ones. Its promise is
 * that of the answer.
 */
const REQUESTS = {
  pg: async ({ dial }) => {
    const { Client } = require('pg');
    const client = new Client({ ...login, stream: dial });
    client.on('error', () => {});
    await client.connect();
  },
  'pg with ssl': async ({ dial }) => {
    const { Client } = require('pg');
    const client = new Client({ ...login, ssl: true, stream: dial });
    client.on('error', () => {});
    await client.connect();
  },
  'Postgres.js': async ({ connected }) => {
    const sql = require('postgres')({ ...login, socket: connected, max: 1 });
    try {
      await sql`select 1`;
    } finally {
      await sql.end({ timeout: 0 });
    }
  },
  mysql2: async ({ dial }) => {
    const connection = await require('mysql2/promise').createConnection({ ...login, stream: dial });
    await connection.end();
  },
  ioredis: async ({ dial }) => {
    const { AbstractConnector, Redis } = require('ioredis');
    class Connector extends AbstractConnector {
      async connect() {
        this.stream = dial();
        return this.stream;
      }
    }
    const redis = new Redis({ Connector, lazyConnect: true, retryStrategy: () => null });
    // connect() says that the connection is closed, and this event says why.
    const failed = new Promise((_, reject) => redis.once('error', reject));
    await Promise.all([failed, redis.connect().catch(() => {})]).finally(() => redis.disconnect());
  },
  undici: ({ connected }) => {
    const { Client } = require('undici');
    const client = new Client('http://h', {
      connect: (_, callback) => connected().then((socket) => callback(null, socket), callback),
    });
    return client.request({ path: '/', method: 'GET' }).finally(() => client.destroy());
  },
  'undici with a socket that is not connected yet': ({ dial }) => {
    const { Client } = require('undici');
    const client = new Client('http://h', { connect: (_, done) => process.nextTick(done, null, dial()) });
    return client.request({ path: '/', method: 'GET' }).finally(() => client.destroy());
  },
  ws: ({ tunnel, port }) => {
    const WebSocket = require('ws');
    return once(new WebSocket(`ws://127.0.0.1:${port}/`, { agent: tunnel.httpAgent() }), 'open');
  },
  nodemailer: ({ connected }) => {
    const transport = require('nodemailer').createTransport({
      host: 'h',
      getSocket: (_, callback) => connected().then((connection) => callback(null, { connection }), callback),
    });
    return transport.sendMail({ from: 'a@h', to: 'b@h', text: 't' });
  },
  ssh2: async ({ dial }) => {
    const { Client } = require('ssh2');
    const client = new Client();
    const ready = new Promise((resolve, reject) => {
      client.on('ready', resolve).on('error', reject);
      client.on('close', () => reject(new Error('closed')));
    });
    client.connect({ sock: dial(), username: 'u', password: 'p' });
    await ready;
  },
  tls: ({ dial }) => once(tls.connect({ socket: dial() }), 'secureConnect'),
  http2: async ({ dial }) => {
    const session = http2.connect('http://h', { createConnection: dial });
    const failed = new Promise((_, reject) => session.on('error', reject));
    const stream = session.request({ ':path': '/' });
    await Promise.race([failed, once(stream, 'response')]);
  },
};

/** Runs a request; returns its error, and the sockets that it was handed. */
async function fail(tunnel, port, request) {
  const sockets = [];
  const keep = (socket) => {
    sockets.push(socket);
    return socket;
  };
  const dial = () => keep(tunnel.dial('127.0.0.1', port));
  const connected = () => tunnel.promises.dial('127.0.0.1', port).then(keep);
  const error = await request({ tunnel, port, dial, connected }).then(
    () => assert.fail('it did not fail'),
    (error) => error,
  );
  return { error, sockets };
}

for (const [name, request] of Object.entries(REQUESTS)) {
  test(`${name}: a target that refuses is an error of the call`, async (t) => {
    const { tunnel, eventLog } = withoutForward(t, server.login);
    const { error } = await fail(tunnel, refusing.port, request);
    const codes = [error.code, error.cause?.code, error.errors?.[0]?.code];
    assert.ok(codes.includes('ERR_SSH_OPEN_CONNECT_FAILED') || /refused/i.test(error.message), String(error.stack));
    assert.equal((await eventLog.next('disconnected')).code, 'ERR_SSH_OPEN_CONNECT_FAILED');
  });

  test(`${name}: a session that disconnects under a request is an error of the call`, async (t) => {
    // A server that reads and never answers.
    const target = await Target.start(behaviors.sink());
    t.after(() => target.stop());
    const { tunnel, eventLog } = withoutForward(t, server.login);
    const failing = fail(tunnel, target.port, request);
    const peer = await target.next();
    // Drivers that wait for the server's greeting send nothing.
    if (!['mysql2', 'nodemailer'].includes(name)) await peer.received(1);
    server.killSessions();
    const { error, sockets } = await failing;
    assert.ok(error instanceof Error);
    for (const socket of sockets) {
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
      assert.deepEqual([socket.destroyed, socket.writable, socket.readyState], [true, false, 'closed']);
    }
    assert.equal((await eventLog.next('disconnected')).code, 'ERR_SSH_DISCONNECTED');
  });
}
