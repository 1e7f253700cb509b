// authHandler of ssh2 in createTunnel(), side by side with tunnel-ssh: what the server is asked, and who is let in. Also
// members of the server that tunnel-ssh has from net.Server.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';

import ssh2 from 'ssh2';

import { createTunnel } from '../../tunnel-ssh.js';
import { test } from '../helpers/bounded.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Target, behaviors, connect } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { close, happened, open, packages, rejection } from '../helpers/tunnel-ssh.mjs';

const folder = temporaryFolder('auth-handler');
const key = makeKey(folder.at('key'), { passphrase: 'open' });
const parsed = ssh2.utils.parseKey(key.publicKey);
const target = await Target.start(behaviors.echo());
after(() => (folder.remove(), target.stop()));

const forward = { dstAddr: '127.0.0.1', dstPort: String(target.port) };

/** A server that tells what it was asked, and lets in by these methods. */
async function serve(t, ...accepted) {
  const asked = [];
  const server = await Ssh2Server.start({
    authenticate: (context) => {
      const { method, username } = context;
      // A key is offered first, and then used.
      if (asked.at(-1) !== `${method} ${username}`) asked.push(`${method} ${username}`);
      const accepts = {
        none: () => false,
        password: () => context.password === 'right',
        publickey: () => context.key.data.equals(parsed.getPublicSSH()),
        'keyboard-interactive': () => false,
      };
      if (method === 'keyboard-interactive' && accepted.includes(method)) {
        context.prompt([{ prompt: 'Color? ', echo: true }], 'Questions', ([answer]) =>
          answer === 'blue' ? context.accept() : context.reject(),
        );
      } else if (accepted.includes(method) && accepts[method]()) context.accept();
      else context.reject(['publickey', 'password', 'keyboard-interactive']);
    },
  });
  t.after(() => server.stop());
  return { asked, port: server.port, hostKey: server.login.hostKey };
}

const password = { type: 'password', username: 'user', password: 'right' };
const readKey = { type: 'publickey', username: 'user', key: key.privateKey, passphrase: 'open' };
const question = {
  type: 'keyboard-interactive',
  username: 'user',
  prompt: (name, instructions, lang, prompts, finish) => finish(prompts.map(() => 'blue')),
};

/** Handlers that both packages know, the methods that the server accepts, and what it is asked. */
const HANDLERS = {
  'an object with a password': [() => [password], ['password'], ['password user']],
  'an object with an encrypted key': [() => [readKey], ['publickey'], ['publickey user']],
  'an object with a key that was parsed': [
    () => [{ ...readKey, key: ssh2.utils.parseKey(key.privateKey, 'open') }],
    ['publickey'],
    ['publickey user'],
  ],
  'an object that answers questions': [() => [question], ['keyboard-interactive'], ['keyboard-interactive user']],
  'names and objects': [
    () => ['none', readKey, 'password'],
    ['password'],
    ['none user', 'publickey user', 'password user'],
  ],
  'a function that returns names': [
    () => {
      const names = ['none', 'password'];
      return () => names.shift() ?? false;
    },
    ['password'],
    ['none user', 'password user'],
  ],
  'a function that calls back objects': [
    () => {
      let isFirst = true;
      return (methodsLeft, partialSuccess, next) => {
        assert.equal(methodsLeft === null, isFirst);
        setImmediate(next, isFirst ? { type: 'none', username: 'user' } : password);
        isFirst = false;
      };
    },
    ['password'],
    ['none user', 'password user'],
  ],
  'a name without a credential': [() => ['agent', 'password'], ['password'], ['password user']],
};

for (const [what, [make, accepted, expected]] of Object.entries(HANDLERS)) {
  test(`authHandler: ${what}`, async (t) => {
    for (const [name, create] of Object.entries(packages)) {
      const { asked, port, hostKey } = await serve(t, ...accepted);
      const login = { host: '127.0.0.1', port: String(port), hostKey, username: 'user', password: 'right' };
      const [server, client] = await create({}, { port: 0 }, { ...login, authHandler: make() }, forward);
      assert.deepEqual(asked, expected, name);
      client.end();
      await close(server);
    }
  });
}

test('a function is not asked for ever, and its promises are awaited', async (t) => {
  const { asked, port, hostKey } = await serve(t, 'none');
  let count = 0;
  const authHandler = async () => {
    count += 1;
    return 'password';
  };
  const login = { host: '127.0.0.1', port, hostKey, username: 'user', password: 'wrong', authHandler };
  assert.equal((await rejection(createTunnel({}, {}, login, forward))).code, 'ERR_SSH_AUTH');
  assert.deepEqual([asked, count], [['password user'], 2]);
});

test('an authHandler that cannot be followed is a TypeError that says why', async () => {
  const login = { host: '127.0.0.1', port: 1, username: 'user', password: 'right', hostKey: 'SHA256:x' };
  for (const [authHandler, pattern] of [
    [() => false, /authHandler' must contain a method that has a credential/],
    [[{ type: 'hostbased' }], /authHandler\[0\]\.type' must be one of: none, /],
    [[password, { ...password, password: 'other' }], /authHandler\[1\]\.password' must not have another password/],
    [['password', { ...password, username: 'other' }], /must not have several user names/],
    [[{ type: 'agent', username: 'user', agent: {} }], /must be the path of a socket, or an OpenSSHAgent/],
    ['password', /must be a list of methods, or a function/],
  ]) {
    const error = await rejection(createTunnel({}, {}, { ...login, authHandler }, forward));
    assert.equal(error.name, 'TypeError');
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /right/);
  }
});

test('numbers may be text', async (t) => {
  const { port, hostKey } = await serve(t, 'password');
  const ssh = { host: '127.0.0.1', port: `${port}`, hostKey, username: 'user', password: 'right' };
  const numbers = { readyTimeout: '15000', keepaliveInterval: '1000', keepaliveCountMax: '2' };
  const [server] = await open(t, { server: { port: '0' }, ssh: { ...ssh, ...numbers }, forward });
  assert.ok(server.listening);
  const error = await rejection(createTunnel({}, {}, { ...ssh, readyTimeout: 'soon' }, forward));
  assert.equal(error.code, 'ERR_INVALID_ARG_TYPE');
});

test('maxConnections drops further connections, and connections counts them', async (t) => {
  for (const [name, create] of Object.entries(packages)) {
    const ssh = await Ssh2Server.start();
    t.after(() => ssh.stop());
    const [server, client] = await create({}, { host: '127.0.0.1', port: 0 }, ssh.login, forward);
    // Also after a failure.
    t.after(() => client.destroy());
    const { port } = server.address();
    server.maxConnections = 1;
    assert.equal(server.maxConnections, 1);
    const first = await connect(port);
    await first.send(1);
    await first.received(1);
    const dropped = happened(server, 'drop');
    const second = await connect(port);
    const [{ remotePort }] = await dropped;
    assert.ok(remotePort > 0, name);
    assert.equal((await second.ended).bytes, 0);
    if (create === createTunnel) assert.equal(server.connections, 1);
    // Room again, when the first has ended.
    const count = () => new Promise((resolve) => server.getConnections((_, number) => resolve(number)));
    first.socket.destroy();
    await until(async () => (await count()) === 0);
    const third = await connect(port);
    await third.send(1);
    await third.received(1);
    third.socket.destroy();
    client.end();
    await close(server);
  }
});

test('listen() says that the server listens, and after its close that a new tunnel is needed', async (t) => {
  const ssh = await Ssh2Server.start();
  t.after(() => ssh.stop());
  const [server] = await createTunnel({}, {}, ssh.login, forward);
  assert.throws(() => server.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' });
  const closed = once(server, 'close');
  server.close();
  await closed;
  assert.throws(() => server.listen(0), { code: 'ERR_METHOD_NOT_IMPLEMENTED', message: /createTunnel\(\) again/ });
  assert.equal(server.connections, 0);
});
