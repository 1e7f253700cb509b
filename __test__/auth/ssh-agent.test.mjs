// Authentication with keys in an agent, with a real server and a real agent, and with agents that fail.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { Agent, AgentProxy, SecurityKeyAgent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const folder = temporaryFolder('auth');
const at = (name) => join(folder.path, name);
const authority = makeKey(at('authority'));
const trust = [`TrustedUserCAKeys ${authority.file}.pub`, 'MaxAuthTries 20'];
const server = await Sshd.start({ config: trust });
const twoKeys = await Sshd.start({ config: ['AuthenticationMethods publickey,publickey'] });
after(async () => {
  await Promise.all([server.stop(), twoKeys.stop()]);
  folder.remove();
});

const REFUSED = 'ERR_SSH_AUTH';
let keys = 0;

/** A key pair, authorized at the server if requested. */
function newKey(options, { known = true } = {}) {
  const key = makeKey(at(`key${keys++}`), options);
  if (known) server.authorize(key.publicKey);
  return key;
}

async function agentWith(t, ...held) {
  const agent = await Agent.start();
  t.after(() => agent.stop());
  for (const { file } of held) agent.add(file);
  return agent;
}

async function proxyOf(t, agent, onSign) {
  const proxy = await AgentProxy.start(agent, onSign);
  t.after(() => proxy.stop());
  return proxy;
}

/** A tunnel without any credentials but those given. */
function make(options, login = server.login) {
  return new SSHTunnel({
    ...login,
    privateKey: undefined,
    forwardHost: '127.0.0.1',
    forwardPort: 1,
    ...options,
  });
}

async function connectOnce(options, login) {
  const tunnel = make(options, login);
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
}

async function refusal(options, code = REFUSED) {
  let message;
  await assert.rejects(make(options).promises.connect(), (error) => {
    assert.equal(error.code, code, error.message);
    message = error.message;
    return true;
  });
  return message;
}

function accepted(fingerprint, kind) {
  return server.logged(new RegExp(`Accepted publickey .*${kind} ${fingerprint.replace(/[+/.]/g, '\\$&')}`));
}

for (const [type, kind, bits] of [
  ['ed25519', 'ED25519'],
  ['ecdsa', 'ECDSA'],
  ['ecdsa', 'ECDSA', 384],
  ['rsa', 'RSA'],
]) {
  test(`a key in the agent authenticates: ${type} ${bits ?? ''}`, async (t) => {
    const key = newKey({ type, bits });
    const agent = await agentWith(t, key);
    await connectOnce({ agent: agent.path });
    await accepted(key.fingerprint, kind);
  });
}

for (const type of ['ed25519', 'ecdsa', 'rsa']) {
  test(`a certificate in the agent authenticates: ${type}`, async (t) => {
    const key = newKey({ type }, { known: false });
    const agent = await agentWith(t, key);
    await refusal({ agent: agent.path });
    keygen('-q', '-s', authority.file, '-I', `cert-${type}`, '-n', userInfo().username, `${key.file}.pub`);
    agent.add(key.file);
    await connectOnce({ agent: agent.path });
    await server.logged(new RegExp(`Accepted certificate ID "cert-${type}"`));
  });
}

for (const [type, kind] of [
  ['ed25519', 'ED25519-SK'],
  ['ecdsa', 'ECDSA-SK'],
]) {
  test(`a security key behind the agent authenticates: ${type}`, async (t) => {
    const agent = await SecurityKeyAgent.start(type);
    t.after(() => agent.stop());
    await refusal({ agent: agent.path });
    server.authorize(agent.publicKey);
    await connectOnce({ agent: agent.path });
    const line = at(`security-${type}.pub`);
    writeFileSync(line, agent.publicKey);
    await accepted(keygen('-l', '-f', line).split(' ')[1], kind);
    await connectOnce({ agent: agent.path, agentKeys: agent.publicKey });
  });

  test(`a certificate of a security key authenticates: ${type}`, async (t) => {
    const agent = await SecurityKeyAgent.start(type);
    t.after(() => agent.stop());
    const line = at(`certified-${type}.pub`);
    writeFileSync(line, agent.publicKey);
    keygen('-q', '-s', authority.file, '-I', `sk-${type}`, '-n', userInfo().username, line);
    const certificate = readFileSync(line.replace('.pub', '-cert.pub'), 'utf8').split(' ')[1];
    const { publicKey } = agent;
    agent.blob = Buffer.from(certificate, 'base64');
    await connectOnce({ agent: agent.path, agentKeys: publicKey });
    await server.logged(new RegExp(`Accepted certificate ID "sk-${type}"`));
  });
}

test('agentKeys restricts which keys of the agent are offered', async (t) => {
  const keys = [newKey({}), newKey({ type: 'rsa' }), newKey({})];
  const agent = (await agentWith(t, ...keys)).path;
  await connectOnce({ agent, agentKeys: [keys[2].publicKey, keys[1].publicKey] });
  await accepted(keys[1].fingerprint, 'RSA'); // in the order of the agent
  const otherKey = makeKey(at('not-held')).publicKey;
  assert.match(await refusal({ agent, agentKeys: otherKey }), /agent \(it has no other key\)/);
  assert.match(await refusal({ agent, agentKeys: [] }), /agent \(it has no other key\)/);
  for (const line of ['ssh-ed25519', 'ssh-ed25519 AAAA', keys[0].privateKey]) {
    assert.throws(
      () => make({ agent, agentKeys: line }),
      (error) => {
        assert.equal(error.code, 'ERR_INVALID_ARG_VALUE');
        assert.match(error.message, /^The property 'options\.agentKeys' is invalid: expected lines of public keys/);
        assert.doesNotMatch(error.message, /b3BlbnNzaC1rZXk/, 'no part of a private key');
        return true;
      },
    );
  }
});

test('the agent signs only with the key that the server accepts', async (t) => {
  const strangers = Array.from({ length: 3 }, () => newKey({}, { known: false }));
  const proxy = await proxyOf(t, await agentWith(t, ...strangers, newKey({})));
  await connectOnce({ agent: proxy.path });
  assert.equal(proxy.signatures, 1);
});

test('the agent is not contacted when the private key is accepted', async (t) => {
  const proxy = await proxyOf(t, await agentWith(t, newKey({})));
  await connectOnce({ privateKey: server.key.privateKey, agent: proxy.path });
  assert.deepEqual(proxy.requests, []);
});

test('the agent is tried after the private key is refused', async (t) => {
  const agent = await agentWith(t, newKey({}));
  await connectOnce({ privateKey: newKey({}, { known: false }).privateKey, agent: agent.path });
});

test('a server that requires two keys gets one from the option and one from the agent', async (t) => {
  const second = makeKey(at('second'));
  twoKeys.authorize(second.publicKey);
  const agent = await agentWith(t, twoKeys.key, second); // it has the first key too
  await connectOnce({ privateKey: twoKeys.key.privateKey, agent: agent.path }, twoKeys.login);
  await twoKeys.logged(/Partial publickey/);
  // A key counts as one step, however often it is offered.
  const alone = await agentWith(t, twoKeys.key);
  const tunnel = make({ privateKey: twoKeys.key.privateKey, agent: alone.path }, twoKeys.login);
  await assert.rejects(tunnel.promises.connect(), (error) => {
    assert.equal(error.code, REFUSED);
    assert.match(error.message, /one step of several.*the server accepts publickey/);
    return true;
  });
});

test('an agent without keys fails authentication', async (t) => {
  const agent = await agentWith(t);
  assert.match(await refusal({ agent: agent.path }), /tried agent/);
});

test('a missing agent is an error in every form of call', async (t) => {
  const agent = at('nobody');
  const expected = { code: REFUSED, message: /connect ENOENT .*nobody/ };
  assert.throws(() => make({ agent }).connect(), expected);
  await assert.rejects(make({ agent }).promises.connect(), expected);
  const error = await new Promise((resolve) => make({ agent }).connect(resolve));
  assert.equal(error.code, REFUSED);
  await assert.rejects(make({ agent: folder.path }).promises.connect(), { code: REFUSED });
  await connectOnce({ agent, privateKey: server.key.privateKey, authHandler: ['agent', 'publickey'] });
});

test('an agent works in every form of call', async (t) => {
  const agent = (await agentWith(t, newKey({}))).path;
  const blocking = make({ agent });
  blocking.connect();
  blocking.shutdown();
  const called = make({ agent });
  await new Promise((resolve, reject) => called.connect((error) => (error ? reject(error) : resolve())));
  await called.promises.shutdown();
});

const MISDEEDS = {
  'dies in mid signature': [(_, proxy) => proxy.die(), /it closed the connection/],
  'dies in the middle of its answer': [
    (socket, proxy) => socket.write(Buffer.from([0, 0, 0, 99, 14]), () => proxy.die()),
    /it closed/,
  ],
  'lies about the length of its answer': [
    (socket) => socket.write(Buffer.from([255, 255, 255, 255, 14])),
    /4294967295 bytes/,
  ],
  'lies about the length of the signature': [
    (socket) => socket.write(Buffer.from([0, 0, 0, 5, 14, 255, 255, 255, 255])),
    /malformed/,
  ],
  'says nothing': [(socket) => socket.write(Buffer.from([0, 0, 0, 0])), /malformed/],
  'refuses to sign': [(socket) => socket.write(Buffer.from([0, 0, 0, 1, 5])), /it refused/],
  'signs with what is no signature': [
    (socket) => socket.write(Buffer.from([0, 0, 0, 9, 14, 0, 0, 0, 4, 1, 2, 3, 4])),
    /another kind/,
  ],
};

for (const [name, [misdeed, message]] of Object.entries(MISDEEDS)) {
  test(`an agent that ${name} fails authentication`, async (t) => {
    const agent = await agentWith(t, newKey({}));
    let proxy = await proxyOf(t, agent, misdeed);
    assert.match(await refusal({ agent: proxy.path }), message);
    assert.equal(proxy.signatures, 1);
    // The next method is tried.
    proxy = await proxyOf(t, agent, misdeed);
    const { privateKey } = server.key;
    await connectOnce({ agent: proxy.path, privateKey, authHandler: ['agent', 'publickey'] });
  });
}

test('readyTimeout ends the wait for an agent that never answers', async (t) => {
  const proxy = await proxyOf(t, await agentWith(t, newKey({})), () => {});
  const since = performance.now();
  const message = await refusal({ agent: proxy.path, readyTimeout: 700 }, 'ETIMEDOUT');
  assert.match(message, /the agent's signature/);
  assert.ok(performance.now() - since < 5000);
});

test('authHandler restricts the methods that are tried', async (t) => {
  const agent = (await agentWith(t, newKey({}))).path;
  const { privateKey } = newKey({}, { known: false });
  assert.doesNotMatch(await refusal({ agent, privateKey, authHandler: ['publickey'] }), /agent/);
  await connectOnce({ agent, privateKey, authHandler: ['agent'] });
  assert.match(await refusal({ agent, authHandler: ['none'] }), /tried none; the server accepts publickey/);
});

/** A server that accepts the methods in `takes` and lists `names`; `asked` has the requested methods in order. */
async function authServer(t, { takes, names }) {
  const asked = [];
  const judging = await Ssh2Server.start({
    authenticate: (context) => {
      asked.push(context.method);
      if (takes.includes(context.method)) context.accept();
      else context.reject(names);
    },
  });
  t.after(() => judging.stop());
  return { login: { ...judging.login, password: undefined }, asked };
}

const { privateKey } = server.key;
for (const [name, { takes = ['none'], names, given, expected }] of Object.entries({
  'alone, and lists nothing': { names: [], given: { privateKey }, expected: ['publickey', 'none'] },
  'and lists keys, as servers do that take keys, too': {
    names: ['publickey'],
    given: { privateKey },
    expected: ['publickey', 'none'],
  },
  'and would take a password': {
    takes: ['none', 'password'],
    names: ['password'],
    given: { password: 'right' },
    expected: ['none'],
  },
  'and would ask questions': {
    takes: ['none', 'keyboard-interactive'],
    names: ['keyboard-interactive'],
    given: { tryKeyboard: true },
    expected: ['none'],
  },
})) {
  test(`a server that accepts users without credentials ${name}`, async (t) => {
    const { login, asked } = await authServer(t, { takes, names });
    await connectOnce(given, login);
    assert.deepEqual(asked, expected);
  });
}

test("the password is tried when the reply to 'none' lists no methods", async (t) => {
  const { login, asked } = await authServer(t, { takes: ['password'], names: [] });
  await connectOnce({ password: 'right' }, login);
  assert.deepEqual(asked, ['none', 'password']);
});

test("'none' is requested once, and never with an authHandler that lacks it", async (t) => {
  const { login, asked } = await authServer(t, { takes: [], names: ['publickey'] });
  for (const [given, expected] of [
    [{ privateKey, password: 'right' }, ['publickey', 'none']],
    [{ privateKey, authHandler: ['publickey'] }, ['publickey']],
    [{ privateKey, authHandler: ['none', 'publickey'] }, ['none', 'publickey']],
    [{ privateKey, password: 'right', authHandler: ['password', 'none'] }, ['password', 'none']],
  ]) {
    asked.length = 0;
    await assert.rejects(make(given, login).promises.connect(), { code: REFUSED });
    assert.deepEqual(asked, expected);
  }
});

test('the password is sent only after the server accepted the ssh-userauth service', async (t) => {
  const reluctant = await Ssh2Server.start();
  t.after(() => reluctant.stop());
  const serve = new Promise((resolve) => {
    reluctant.server.on('connection', ({ _protocol: protocol }) => {
      const accept = protocol.serviceAccept.bind(protocol);
      protocol.serviceAccept = (service) => resolve(() => accept(service));
    });
  });
  const tunnel = make({ authHandler: ['password'] }, reluctant.login);
  const connected = tunnel.promises.connect();
  const accept = await serve;
  await new Promise(setImmediate); // data sent with the request was read with it
  assert.ok(!reluctant.lines.some((line) => line.includes('USERAUTH_REQUEST')));
  accept();
  await connected;
  await reluctant.logged(/Inbound: Received USERAUTH_REQUEST \(password\)/);
  await tunnel.promises.shutdown();
});

// Which keys of the agent come first, and certificates that it does not have.

/** The server's log from now on has the fingerprints in this order. */
async function offered(t, options, fingerprints) {
  const since = server.log().length;
  await connectOnce(options);
  const seen = [
    ...server
      .log()
      .slice(since)
      .matchAll(/(?:Failed|Accepted) publickey .* (SHA256:\S+)/g),
  ];
  assert.deepEqual(
    seen.map(([, fingerprint]) => fingerprint),
    fingerprints,
  );
}

test('agentKeysFirst moves keys of the agent to the front, in its order', async (t) => {
  const unknown = Array.from({ length: 3 }, () => newKey({}, { known: false }));
  const [first, last] = [newKey({}, { known: false }), newKey({})];
  const agent = (await agentWith(t, ...unknown, first, last)).path;
  await offered(t, { agent, agentKeysFirst: last.publicKey }, [last.fingerprint]);
  const agentKeysFirst = [last.publicKey, first.publicKey];
  await offered(t, { agent, agentKeysFirst }, [first.fingerprint, last.fingerprint]);
  // Others follow, and a key that the agent does not have is no problem.
  const elsewhere = makeKey(at('elsewhere')).publicKey;
  await connectOnce({ agent, agentKeysFirst: [elsewhere, unknown[0].publicKey] });
  assert.throws(() => make({ agent, agentKeysFirst: 'ssh-ed25519 AAAA' }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /'options\.agentKeysFirst' is invalid: expected lines of public keys/,
  });
});

for (const type of ['ed25519', 'ecdsa', 'rsa']) {
  test(`a certificate goes with a key of the agent that has none: ${type}`, async (t) => {
    const [other, key] = [newKey({}, { known: false }), newKey({ type }, { known: false })];
    const agent = (await agentWith(t, other, key)).path; // before there is a certificate beside it
    keygen('-q', '-s', authority.file, '-I', `lent-${type}`, '-n', userInfo().username, `${key.file}.pub`);
    const certificate = readFileSync(`${key.file}-cert.pub`, 'utf8');
    for (const option of ['agentKeys', 'agentKeysFirst']) {
      await connectOnce({ agent, [option]: certificate });
      await server.logged(new RegExp(`Accepted certificate ID "lent-${type}"`));
      await connectOnce({ agent, [option]: `# its certificate\n${certificate}` });
    }
  });
}

for (const type of ['ed25519', 'ecdsa']) {
  test(`a certificate goes with a security key behind the agent: ${type}`, async (t) => {
    const agent = await SecurityKeyAgent.start(type);
    t.after(() => agent.stop());
    const line = at(`lent-${type}.pub`);
    writeFileSync(line, agent.publicKey);
    keygen('-q', '-s', authority.file, '-I', `lent-sk-${type}`, '-n', userInfo().username, line);
    const certificate = readFileSync(line.replace('.pub', '-cert.pub'), 'utf8');
    await connectOnce({ agent: agent.path, agentKeys: certificate });
    await server.logged(new RegExp(`Accepted certificate ID "lent-sk-${type}"`));
  });
}

// Keys with destination constraints.

/** Adds a key that the agent uses for this server only, or for another. */
function addConstrained(agent, key, { host, hostKey }) {
  const known = at(`constraints${keys++}`);
  writeFileSync(known, `${host} ${hostKey}\n`);
  agent.add(key.file, '-H', known, '-h', host);
}

test('a key that is restricted to a destination authenticates there, and nowhere else', async (t) => {
  const [key, other] = [newKey({}), newKey({})];
  const agent = await agentWith(t);
  const hostKey = server.hostKeys[0].publicKey;
  addConstrained(agent, key, { host: 'server', hostKey });
  addConstrained(agent, other, { host: 'another', hostKey: makeKey(at(`host${keys++}`)).publicKey });
  await offered(t, { agent: agent.path }, [key.fingerprint]);
  assert.match(await refusal({ agent: agent.path, agentKeys: other.publicKey }), /agent \(it has no other key\)/);
  // Without knowing the host, the agent signs with neither.
  const proxy = await proxyOf(t, agent);
  proxy.onExtension = (socket) => socket.write(Buffer.from([0, 0, 0, 1, 5]));
  assert.match(await refusal({ agent: proxy.path }), /of the agent\): it refused/);
});

test('an agent that does not know session binding still signs', async (t) => {
  for (const onExtension of [(socket) => socket.destroy(), (socket) => socket.write(Buffer.from([0, 0, 0, 1, 5]))]) {
    const proxy = await proxyOf(t, await agentWith(t, newKey({})));
    proxy.onExtension = onExtension;
    await connectOnce({ agent: proxy.path });
    assert.equal(proxy.requests.filter((number) => number === 27).length, 1);
  }
});
