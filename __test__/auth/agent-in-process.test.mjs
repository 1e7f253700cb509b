// Agents in the process: JavaScript lists keys and signs, with a real server.

import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { SecurityKeyAgent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { certifier, keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { behaviors, exchange } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openTunnel, withoutForward } from '../helpers/tunnels.mjs';

const folder = temporaryFolder('own-agent');
const authority = makeKey(folder.at('authority'));
const server = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`, 'MaxAuthTries 20'] });
after(async () => {
  await server.stop();
  folder.remove();
});

const { username } = userInfo();

/** A tunnel whose only credentials are those of the agent. */
function make(t, agent, options) {
  return withoutForward(t, server.login, { privateKey: undefined, agent, ...options }).tunnel;
}

async function connectOnce(t, agent, options) {
  const tunnel = make(t, agent, options);
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
}

/** A key pair of node:crypto, and its line, which ssh-keygen writes if it can. */
function pair(type, options) {
  const { publicKey, privateKey } = generateKeyPairSync(type, options);
  const line = type === 'ed25519' ? ed25519Line(publicKey) : convert(publicKey);
  return { publicKey, privateKey, line, blob: Buffer.from(line.split(' ')[1], 'base64') };
}

function convert(publicKey) {
  const file = folder.write(publicKey.export({ type: 'spki', format: 'pem' }));
  return keygen('-i', '-m', 'PKCS8', '-f', file).trim();
}

function ed25519Line(publicKey) {
  const start = Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0\x20', 'latin1');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url');
  return `ssh-ed25519 ${Buffer.concat([start, point]).toString('base64')}`;
}

/** Waits until sshd has accepted the key; each key is used by one test. */
function accepted(line, kind = '') {
  const file = folder.write(`${line}\n`);
  const fingerprint = keygen('-l', '-f', file).split(' ')[1];
  return server.logged(new RegExp(`Accepted publickey .*${kind} ${fingerprint.replace(/[+/.]/g, '\\$&')}`));
}

const KINDS = [
  { type: 'ed25519', algorithm: 'ssh-ed25519', hash: null },
  ...['256', '384', '521'].map((bits) => ({
    type: 'ec',
    options: { namedCurve: `P-${bits}` },
    algorithm: `ecdsa-sha2-nistp${bits}`,
    hash: bits === '521' ? 'sha512' : `sha${bits}`,
  })),
  { type: 'rsa', options: { modulusLength: 2048 }, algorithm: 'rsa-sha2-512', hash: 'sha512' },
  {
    type: 'rsa',
    options: { modulusLength: 2048 },
    algorithm: 'rsa-sha2-256',
    hash: 'sha256',
    algorithms: { publicKey: ['rsa-sha2-256'] },
  },
];

for (const { type, options, algorithm, hash, algorithms } of KINDS) {
  test(`an agent signs by node:crypto: ${algorithm}`, async (t) => {
    const { publicKey, privateKey, line, blob } = pair(type, options);
    server.authorize(line);
    const seen = [];
    const agentOf = (key, dsaEncoding) => ({
      list: () => [key],
      sign: async (chosen, data, request) => {
        seen.push({ ...request, chosen });
        return sign(request.hash, data, { key: privateKey, dsaEncoding });
      },
    });
    for (const key of [publicKey, line, blob]) {
      for (const encoding of ['der', 'ieee-p1363']) await connectOnce(t, agentOf(key, encoding), { algorithms });
      const { chosen, signal, ...request } = seen.pop();
      assert.equal(chosen, key, 'it gets the key as it has listed it');
      assert.ok(signal instanceof AbortSignal);
      const place = { username, host: '127.0.0.1', port: server.port };
      assert.deepEqual(request, { ...place, attempt: 1, algorithm, hash });
    }
    await accepted(line);
  });
}

test('an agent gives signatures in the encoding of SSH, for a security key', async (t) => {
  const hardware = await SecurityKeyAgent.start('ed25519');
  t.after(() => hardware.stop());
  server.authorize(hardware.publicKey);
  await connectOnce(t, {
    list: async () => [hardware.blob],
    sign: (_, data, { algorithm, hash }) => {
      assert.deepEqual([algorithm, hash], ['sk-ssh-ed25519@openssh.com', null]);
      return hardware.signed(data);
    },
  });
});

test('an agent lists certificates, and signs for their keys', async (t) => {
  for (const [type, options] of [['ed25519'], ['rsa', { modulusLength: 2048 }]]) {
    const { line, privateKey } = pair(type, options);
    const file = folder.at(`certified-${type}`);
    writeFileSync(`${file}.pub`, `${line}\n`);
    const certificate = readFileSync(certifier(authority, { kind: 'user', principals: username })({ file }), 'utf8');
    const algorithms = [];
    const agent = {
      list: () => [certificate],
      sign: (listed, data, { algorithm, hash }) => {
        assert.equal(listed, certificate);
        algorithms.push(algorithm);
        return sign(hash, data, privateKey);
      },
    };
    await connectOnce(t, agent);
    assert.deepEqual(algorithms, [type === 'rsa' ? 'rsa-sha2-512' : 'ssh-ed25519']);
    await accepted(line, `${type.toUpperCase()}-CERT`);
    // The certificate comes from elsewhere, and the agent has the key only.
    const bare = { list: () => [line], sign: (_, data, { hash }) => sign(hash, data, privateKey) };
    await connectOnce(t, bare, { agentKeys: () => certificate });
  }
});

test('an agent is asked for each authentication', async (t) => {
  const { publicKey, privateKey, line } = pair('ed25519');
  server.authorize(line);
  const calls = [];
  const agent = {
    list: ({ attempt }) => (calls.push(['list', attempt]), [publicKey]),
    sign: (_, data, { attempt }) => (calls.push(['sign', attempt]), sign(null, data, privateKey)),
  };
  const it = await openTunnel(t, server, behaviors.echo(), {
    privateKey: undefined,
    agent,
    reconnect: { initialDelay: 20 },
  });
  await it.eventLog.next('ready');
  server.killSessions();
  await it.eventLog.next('ready');
  await exchange(await it.connect());
  assert.deepEqual(calls, [
    ['list', 1],
    ['sign', 1],
    ['list', 2],
    ['sign', 2],
  ]);
});

test('a key that the server refuses is not signed with, and agentKeys chooses', async (t) => {
  const [stranger, known] = [pair('ed25519'), pair('ed25519')];
  server.authorize(known.line);
  const signed = [];
  const agent = {
    list: () => [stranger.line, known.line],
    sign: (key, data) => (signed.push(key), sign(null, data, known.privateKey)),
  };
  await connectOnce(t, agent);
  await connectOnce(t, agent, { agentKeys: known.line });
  assert.deepEqual(signed, [known.line, known.line]);
  await assert.rejects(make(t, agent, { agentKeys: stranger.line }).promises.connect(), { code: 'ERR_SSH_AUTH' });
});

test('a wrong signature is refused by the server, and one of another kind is not sent', async (t) => {
  const { publicKey, line, privateKey } = pair('ed25519');
  const other = pair('ed25519');
  server.authorize(line);
  const refusal = async (signature) => {
    let error;
    const tunnel = make(t, { list: () => [publicKey], sign: signature });
    await assert.rejects(tunnel.promises.connect(), (it) => {
      error = it;
      return true;
    });
    assertIncludes(error, { code: 'ERR_SSH_AUTH', triedMethods: ['agent', 'none'], acceptedMethods: ['publickey'] });
    return error;
  };
  const wrong = await refusal((_, data) => sign(null, data, other.privateKey));
  assert.match(wrong.message, /tried publickey \(ssh-ed25519 of the agent\), none;/);
  for (const signature of [Buffer.alloc(0), Buffer.alloc(63), sign(null, Buffer.from('x'), privateKey).subarray(1)]) {
    assert.match((await refusal(() => signature)).message, /its signature is of another kind/);
  }
  assert.match((await refusal(() => 5)).message, /options\.agent\.sign\(\).* must be of type string or an instance/);
});

test('an agent that fails leads to the next method, and to an error with its cause', async (t) => {
  const { publicKey, line } = pair('ed25519');
  server.authorize(line);
  const cause = new Error('the module is locked');
  const reject = () => Promise.reject(cause);
  const agents = [
    [{ list: reject, sign: reject }, 'list', cause],
    [{ list: () => [publicKey], sign: reject }, 'sign', cause],
    [{ list: () => 5, sign: reject }, 'list'],
    [{ list: () => [line, 'no key'], sign: reject }, 'list'],
    [{ list: () => [createPublicKeyOf('x25519')], sign: reject }, 'list'],
    [{ list: () => new Array(2049).fill(line), sign: reject }, 'list'],
  ];
  for (const [agent, method, expected] of agents) {
    await assert.rejects(make(t, agent).promises.connect(), (error) => {
      assertIncludes(error, { code: 'ERR_SSH_AUTH', cause: expected });
      assert.match(error.message, new RegExp(`options\\.agent\\.${method}\\(\\)`));
      return true;
    });
    await connectOnce(t, agent, { privateKey: server.key.privateKey, authHandler: ['agent', 'publickey'] });
  }
});

test('an agent that is no agent is refused by the constructor', () => {
  for (const agent of [null, 5, {}, { list: () => [] }, { list: [], sign: () => {} }, () => []]) {
    assert.throws(() => new SSHTunnel({ host: 'h', agent }), {
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
      message: /"options\.agent" property must be of type string, or an object with the functions 'list' and 'sign'/,
    });
  }
});

function createPublicKeyOf(type) {
  return createPublicKey(generateKeyPairSync(type).privateKey);
}
