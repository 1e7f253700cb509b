// Credentials as functions, which are called for each authentication.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { certifier, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { behaviors, exchange } from '../helpers/peers.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openTunnel, withoutForward } from '../helpers/tunnels.mjs';

const folder = temporaryFolder('functions');
const authority = makeKey(folder.at('authority'));
const server = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`] });
after(async () => {
  await server.stop();
  folder.remove();
});

const { username } = userInfo();
const SOON = { initialDelay: 20, maxDelay: 100 };

let keys = 0;

/** A new key pair, and how sshd logs that it has accepted it. */
function newKey(options) {
  return makeKey(folder.at(`key${keys++}`), options);
}

function accepted({ fingerprint }) {
  return server.logged(new RegExp(`Accepted publickey .*${fingerprint.replace(/[+/.]/g, '\\$&')}`));
}

/** A tunnel without credentials other than these. */
function make(t, options, { login } = server) {
  return withoutForward(t, login, { privateKey: undefined, password: undefined, ...options });
}

async function connectOnce(t, options, to) {
  const { tunnel } = make(t, options, to);
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
}

/** A server that takes one password, and the methods that were requested. */
async function passwordServer(t, { methods = ['password'], password = 'right' } = {}) {
  const requested = [];
  const it = await Ssh2Server.start({
    authenticate: (context) => {
      requested.push(context.method);
      if (context.method === 'password' && context.password === password) return context.accept();
      if (context.method !== 'keyboard-interactive') return context.reject(methods);
      return context.prompt([{ prompt: 'Password: ', echo: false }], ([given]) =>
        given === password ? context.accept() : context.reject(),
      );
    },
  });
  t.after(() => it.stop());
  return { login: it.login, requested };
}

test('a function gives the key of the first connection and of every reconnect, each time another one', async (t) => {
  const [first, second, third] = [newKey(), newKey(), newKey()];
  const left = [first, second, third];
  for (const { publicKey } of left) server.authorize(publicKey);
  const requests = [];
  const privateKey = async (request) => {
    requests.push(request);
    return left.shift().privateKey;
  };
  const it = await openTunnel(t, server, behaviors.echo(), { privateKey, reconnect: SOON });
  await it.eventLog.next('ready');
  await accepted(first);
  for (const key of [second, third]) {
    server.killSessions();
    await it.eventLog.next('ready');
    await accepted(key);
  }
  await exchange(await it.connect());
  assert.equal(left.length, 0);
  for (const [index, { signal, ...rest }] of requests.entries()) {
    assert.deepEqual(rest, { username, host: '127.0.0.1', port: server.port, attempt: index + 1 });
    assert.ok(signal instanceof AbortSignal && !signal.aborted);
  }
});

test('a function is called for each of several sessions', async (t) => {
  let calls = 0;
  const privateKey = () => (calls++, server.key.privateKey);
  const it = await openTunnel(t, server, behaviors.echo(), { privateKey, sessions: 2 });
  assert.equal(calls, 1);
  await exchange(await it.connect());
  await exchange(await it.connect());
  while ((await it.tunnel.promises.stats()).sessions.up < 2) await exchange(await it.connect());
  assert.equal(calls, 2);
});

test('a function is not called before the host key is verified', async (t) => {
  const never = () => assert.fail('it was called');
  const options = { privateKey: never, password: never, hostKey: [newKey().publicKey] };
  const { tunnel } = make(t, options);
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_HOST_KEY' });
});

test('a function gives the certificate of a fixed key', async (t) => {
  const key = newKey();
  const certify = certifier(authority, { kind: 'user', principals: username });
  const certificate = async () => readFileSync(certify(key));
  await connectOnce(t, { privateKey: key.privateKey, certificate });
  await connectOnce(t, { privateKey: () => key.privateKey, certificate });
  await accepted({ fingerprint: `ED25519-CERT ${key.fingerprint}` });
});

test('a function gives the passphrase of a fixed key, and is asked again after a reconnect', async (t) => {
  const passphrase = 'correct horse';
  const { privateKey, publicKey } = newKey({ passphrase });
  server.authorize(publicKey);
  let calls = 0;
  const given = [() => Buffer.from(passphrase), () => passphrase];
  const it = await openTunnel(t, server, behaviors.echo(), {
    privateKey,
    passphrase: () => given[calls++ % 2](),
    reconnect: SOON,
  });
  await it.eventLog.next('ready');
  server.killSessions();
  await it.eventLog.next('ready');
  await exchange(await it.connect());
  assert.equal(calls, 2);
  await connectOnce(t, { privateKey: () => privateKey, passphrase });
  await connectOnce(t, { privateKey: () => ({ key: privateKey, passphrase }), passphrase: () => 'of another key' });
  for (const wrong of ['wrong', undefined]) {
    const { tunnel } = make(t, { privateKey, passphrase: () => wrong });
    await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_PRIVATE_KEY' });
  }
});

test('a function chooses keys of the agent, with a certificate that the agent does not have', async (t) => {
  const [key, other] = [newKey(), newKey()];
  const agent = await Agent.start();
  t.after(() => agent.stop());
  for (const { file } of [other, key]) agent.add(file);
  const line = readFileSync(certifier(authority, { kind: 'user', principals: username })(key), 'utf8');
  await connectOnce(t, { agent: agent.path, agentKeys: async () => [line] });
  await accepted({ fingerprint: `ED25519-CERT ${key.fingerprint}` });
  const { tunnel } = make(t, { agent: agent.path, agentKeys: () => [other.publicKey] });
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_AUTH' });
});

test('a password function is called only when the password is to be sent, and once', async (t) => {
  let calls = 0;
  const password = async () => (calls++, 'right');
  await connectOnce(t, { privateKey: server.key.privateKey, password });
  assert.equal(calls, 0);
  for (const method of ['password', 'keyboard-interactive']) {
    const to = await passwordServer(t, { methods: [method] });
    await connectOnce(t, { password }, to);
    assert.deepEqual(to.requested, ['none', method]);
  }
  assert.equal(calls, 2);
  const to = await passwordServer(t, { methods: ['password', 'keyboard-interactive'], password: 'another' });
  const { tunnel } = make(t, { password }, to);
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_AUTH', triedMethods: ['none', 'password'] });
  assert.equal(calls, 3);
});

test('undefined stands for no credential', async (t) => {
  const none = () => undefined;
  const to = await passwordServer(t, { methods: ['password', 'keyboard-interactive'] });
  const { tunnel } = make(t, { privateKey: none, passphrase: none, password: async () => undefined }, to);
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_AUTH' });
  await connectOnce(t, { privateKey: server.key.privateKey, certificate: none, password: none });
});

test('a function that throws or rejects fails every waiting call with its cause', async (t) => {
  const cause = new Error('the vault is sealed');
  const failing = {
    privateKey: () => {
      throw cause;
    },
    certificate: () => Promise.reject(cause),
    passphrase: () => Promise.reject(cause),
    agentKeys: () => Promise.reject(cause),
  };
  for (const [option, call] of Object.entries(failing)) {
    const { tunnel } = make(t, { privateKey: server.key.privateKey, agent: '/nowhere', [option]: call });
    const calls = [tunnel.promises.connect(), tunnel.promises.forwardDynamic({})];
    for (const { reason } of await Promise.allSettled(calls)) {
      const message = `options.${option}() threw, or its promise was rejected`;
      assertIncludes(reason, { code: 'ERR_SSH_CREDENTIALS', message, cause });
    }
  }
  const to = await passwordServer(t);
  const { tunnel } = make(t, { password: () => Promise.reject(cause) }, to);
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_CREDENTIALS', cause });
});

test('a function that throws is called again by reconnect, and one with an invalid result is not', async (t) => {
  let calls = 0;
  const cause = new Error('out of reach');
  const privateKey = async () => {
    calls += 1;
    if (calls === 2) throw cause;
    return calls < 4 ? server.key.privateKey : 5;
  };
  const it = await openTunnel(t, server, behaviors.echo(), { privateKey, reconnect: SOON });
  await it.eventLog.next('ready');
  server.killSessions();
  await it.eventLog.next('reconnecting');
  assertIncludes((await it.eventLog.next('reconnecting')).error, { code: 'ERR_SSH_CREDENTIALS', cause });
  await it.eventLog.next('ready');
  server.killSessions();
  assertIncludes(await it.eventLog.next('error'), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.equal(calls, 4);
});

test('an invalid result is the error of the constructor', async (t) => {
  const agent = '/nowhere';
  const { privateKey } = server.key;
  for (const [option, value] of [
    ['privateKey', 5],
    ['privateKey', [privateKey, null]],
    ['privateKey', [{ key: privateKey, passphrase: 5 }]],
    ['passphrase', {}],
    ['certificate', ['x']],
    ['agentKeys', 5],
    ['agentKeys', ['not a key']],
    ['agentKeys', ['']],
  ]) {
    let expected;
    try {
      new SSHTunnel({ ...server.login, agent, privateKey, [option]: value });
    } catch (error) {
      expected = error;
    }
    const { code, message, name } = expected;
    const { tunnel } = make(t, { agent, privateKey, [option]: async () => value });
    await assert.rejects(tunnel.promises.connect(), (error) => {
      assertIncludes(error, { code, message, name, cause: undefined });
      return true;
    });
  }
  const two = () => [privateKey, privateKey];
  for (const certificate of ['line', () => 'line']) {
    const { tunnel } = make(t, { privateKey: two, certificate });
    await assert.rejects(tunnel.promises.connect(), { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' });
  }
  const to = await passwordServer(t);
  const { tunnel } = make(t, { password: () => 5 }, to);
  await assert.rejects(tunnel.promises.connect(), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  const unusable = make(t, { privateKey: () => 'no key' });
  await assert.rejects(unusable.tunnel.promises.connect(), { code: 'ERR_SSH_PRIVATE_KEY' });
});

test('a jump host has functions of its own, and its errors name them', async (t) => {
  const seen = [];
  const give = (place) => (request) => (seen.push([place, request.port]), server.key.privateKey);
  const hop = { ...server.login, privateKey: give('hop') };
  await connectOnce(t, { privateKey: give('server'), jump: hop });
  assert.deepEqual(seen, [
    ['hop', server.port],
    ['server', server.port],
  ]);
  const cause = new Error('no');
  const { tunnel } = make(t, {
    privateKey: give('server'),
    jump: [{ ...hop, privateKey: () => Promise.reject(cause) }],
  });
  await assert.rejects(tunnel.promises.connect(), (error) => {
    assertIncludes(error, { code: 'ERR_SSH_CREDENTIALS', cause, hop: { host: '127.0.0.1', port: server.port } });
    assert.match(error.message, /options\.jump\[0\]\.privateKey\(\) threw/);
    return true;
  });
});

test('a blocking call is refused where a function would have to run on its thread', (t) => {
  const give = () => server.key.privateKey;
  const agent = { list: () => [], sign: give };
  for (const [options, option] of [
    [{ privateKey: give }, 'privateKey'],
    [{ password: give }, 'password'],
    [{ privateKey: 'key', passphrase: give }, 'passphrase'],
    [{ privateKey: 'key', certificate: give }, 'certificate'],
    [{ agent: '/nowhere', agentKeys: give }, 'agentKeys'],
    [{ agent }, 'agent'],
  ]) {
    const refused = { code: 'ERR_TUNNEL_WOULD_DEADLOCK', message: new RegExp(`options\\.${option},`) };
    const { tunnel } = make(t, { ...options, forwardHost: '127.0.0.1', forwardPort: 1 });
    assert.throws(() => tunnel.connect(), refused);
    assert.throws(() => tunnel.startListening(), refused);
    const { tunnel: behind } = make(t, { jump: { ...server.login, ...options } });
    assert.throws(() => behind.connect(), { code: refused.code, message: new RegExp(`options\\.jump\\.${option},`) });
  }
  // Without these the functions are never called.
  make(t, { passphrase: give, agentKeys: give });
});

/** A function that never answers, and its request. */
function pending() {
  const asked = new EventEmitter();
  const privateKey = (request) => {
    asked.emit('request', request);
    return new Promise(() => {});
  };
  return { privateKey, asked: once(asked, 'request').then(([request]) => request) };
}

const aborted = ({ signal }) => signal.aborted || once(signal, 'abort');

test('the signal of a function aborts with the call, the tunnel, the time limit and the connection', async (t) => {
  const failed = (promise) => promise.then(assert.fail, (error) => error.code);
  await t.test('the call is aborted', async (t) => {
    const { privateKey, asked } = pending();
    const controller = new AbortController();
    const connecting = failed(make(t, { privateKey }).tunnel.promises.connect({ signal: controller.signal }));
    const request = await asked;
    assert.equal(request.signal.aborted, false);
    controller.abort();
    await aborted(request);
    assert.equal(await connecting, 'ABORT_ERR');
  });
  for (const how of ['shutdown', 'close']) {
    await t.test(how, async (t) => {
      const { privateKey, asked } = pending();
      const { tunnel } = make(t, { privateKey });
      const connecting = failed(tunnel.promises.connect());
      const request = await asked;
      await tunnel.promises[how]();
      assert.equal(request.signal.aborted, true);
      assert.equal(await connecting, 'ERR_TUNNEL_CLOSED');
    });
  }
  await t.test('the time limit', async (t) => {
    const { privateKey, asked } = pending();
    const connecting = failed(make(t, { privateKey, readyTimeout: 300 }).tunnel.promises.connect());
    await aborted(await asked);
    assert.equal(await connecting, 'ETIMEDOUT');
  });
  await t.test('the connection breaks while a password is asked for', async (t) => {
    const { privateKey: password, asked } = pending();
    let end;
    const it = await Ssh2Server.start({
      authenticate: (context, session) => {
        end = session.end;
        context.reject(['password']);
      },
    });
    t.after(() => it.stop());
    const connecting = failed(make(t, { password }, it).tunnel.promises.connect());
    const request = await asked;
    end();
    await aborted(request);
    assert.equal(await connecting, 'ERR_SSH_DISCONNECTED');
  });
});

test('an answer that comes too late is ignored', async (t) => {
  let answer;
  const privateKey = () => new Promise((resolve) => (answer = resolve));
  const { tunnel } = make(t, { privateKey, readyTimeout: 300 });
  await assert.rejects(tunnel.promises.connect(), {
    code: 'ETIMEDOUT',
    message: /the keys that the application gives/,
  });
  answer(server.key.privateKey);
  await assert.rejects(tunnel.promises.connect(), { code: 'ETIMEDOUT' });
});
