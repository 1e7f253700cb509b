// A server that stops or sends damaged packets at every step before authentication: an error with a code, in time, and
// nothing is sent too early. Servers of other protocols are in connect-errors.test.mjs, endless ones in
// floods.timing.test.mjs, bad agents in auth/ssh-agent.test.mjs.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { IGNORE, KEXINIT, KEX_ECDH_INIT, KEX_ECDH_REPLY, NEWKEYS, clearPacket, message } from '../helpers/messages.mjs';
import { KIB, MIB, Target, behaviors } from '../helpers/peers.mjs';
import { memory } from '../helpers/process.mjs';
import { READABLE, Relay, changeKexInit } from '../helpers/relay.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, makeTunnel, openTunnel } from '../helpers/tunnels.mjs';

/** The messages of the client before it has verified the host key. */
const BEFORE = ['identification', KEXINIT, KEX_ECDH_INIT];
const READY_TIMEOUT = 700;
const SLACK = 3000; // ms, for two busy cores

const folder = temporaryFolder('refusals');
const server = await Sshd.start({ hostKeyTypes: ['ed25519'] });
after(async () => {
  await server.stop();
  folder.remove();
});

/** Connects through a relay that changes the server's messages; the connect must fail in time. */
async function refusal(t, change, options) {
  const relay = await Relay.start(server.port, change);
  t.after(() => relay.stop());
  const login = { ...server.login, port: relay.port, readyTimeout: READY_TIMEOUT, algorithms: READABLE };
  const since = performance.now();
  const error = await makeTunnel(t, login, 9, options)
    .promises.connect()
    .then(
      () => assert.fail('it connected'),
      (error) => error,
    );
  assert.ok(performance.now() - since < READY_TIMEOUT + SLACK);
  return { error, relay };
}

for (const [name, options] of [
  ['a wrong passphrase', { passphrase: 'wrong' }],
  ['an encrypted key without a passphrase', {}],
]) {
  test(`${name}: the connect fails before the server is contacted`, async (t) => {
    const { privateKey } = makeKey(`${folder.path}/${name.length}`, { passphrase: 'right' });
    const target = await Target.start();
    t.after(() => target.stop());
    const tunnel = makeTunnel(t, { ...server.login, port: target.port, privateKey }, 9, options);
    await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_PRIVATE_KEY' });
    assert.equal(target.peers.length, 0);
  });
}

// The items from sshd, and what the tunnel waits for after each.
const STEPS = [
  ['accept', 'the server to identify itself'],
  ['its identification', 'the key exchange'],
  ['KEXINIT', 'the key exchange'],
  ['its half of the key exchange', 'the key exchange'],
  ['NEWKEYS', 'the answer to the authentication request'],
  ['EXT_INFO', 'the answer to the authentication request'],
  ['SERVICE_ACCEPT', 'the answer to the authentication request'],
];
for (const [count, [last, step]] of STEPS.entries()) {
  test(`a server that stalls after ${last} times out`, async (t) => {
    const { error, relay } = await refusal(t, ({ bytes }, place) => (place < count ? bytes : null));
    assert.equal(error.code, 'ETIMEDOUT');
    assert.ok(error.message.endsWith(`waiting for ${step}`), error.message);
    // The host key comes with the server's half.
    assert.equal(relay.sawTheUser, count >= 3);
    if (count < 3) assert.deepEqual(relay.toServer, BEFORE.slice(0, count < 2 ? 2 : 3));
  });
}

const edited =
  (edit) =>
  ({ bytes }) => {
    edit(bytes);
    return bytes;
  };
const DAMAGES = {
  'a bad MAC': ['sealed', edited((bytes) => (bytes[bytes.length - 1] ^= 1))],
  'a sealed packet that was changed': ['sealed', edited((bytes) => (bytes[8] ^= 1))],
  'a packet of 4 GB': [KEXINIT, edited((bytes) => bytes.fill(0xff, 0, 4))],
  'a packet of no length': [KEXINIT, edited((bytes) => bytes.fill(0, 0, 4))],
  'a packet off the block size': [KEXINIT, edited((bytes) => (bytes[3] += 1))],
  'a sealed packet of 4 GB': ['sealed', edited((bytes) => bytes.fill(0xff, 0, 4))],
  'a sealed packet of no length': ['sealed', edited((bytes) => bytes.fill(0, 0, 4))],
  'no padding': [KEXINIT, edited((bytes) => (bytes[4] = 0))],
  'less padding than there must be': [KEXINIT, edited((bytes) => (bytes[4] = 3))],
  'more padding than there is packet': [KEX_ECDH_REPLY, edited((bytes) => (bytes[4] = 255))],
  'a sealed packet twice': ['sealed', ({ bytes }) => Buffer.concat([bytes, bytes])],
  'a sealed packet left out': ['sealed', () => Buffer.alloc(0)],
};
for (const [name, [at, damage]] of Object.entries(DAMAGES)) {
  test(`${name} is refused`, async (t) => {
    let done = false;
    const change = (item) => {
      if (done || item.name !== at) return item.bytes;
      done = true;
      return damage(item);
    };
    const before = memory();
    const { error, relay } = await refusal(t, change);
    assert.equal(error.code, 'ERR_SSH_PROTOCOL', error.message);
    assert.ok(memory() - before < 16 * MIB);
    if (at !== 'sealed') assert.equal(relay.sawTheUser, false, `${relay.toServer}`);
  });
}

// The server's offers in these lists of KEXINIT, and the kind that is missing then.
const LISTS = [
  ['key exchange', [0], 'sntrup761x25519-sha512@openssh.com,diffie-hellman-group1-sha1', /^mlkem.*-sha256$/],
  ['host key algorithm', [1], 'ssh-dss', /^ssh-ed25519,.*,rsa-sha2-256,/],
  ['cipher', [2], '3des-cbc,aes128-cbc', /^aes256-gcm@openssh.com$/],
  ['cipher', [3], 'aes128-cbc', /^aes256-gcm@openssh.com$/],
  ['MAC', [4, 5], 'hmac-md5,umac-64@openssh.com', /^hmac-sha2-256-etm.*hmac-sha2-512$/, ['aes128-ctr']],
  ['compression', [6], 'zlib', /^none$/],
  ['compression', [7], 'zlib', /^none$/],
];
for (const [kind, places, theirs, ours, cipher = READABLE.cipher] of LISTS) {
  test(`no common ${kind} (${places}): the error has both lists, and the user name is not sent`, async (t) => {
    const change = (item) => {
      if (item.name !== KEXINIT) return item.bytes;
      return changeKexInit(item, (lists) => lists.map((list, at) => (places.includes(at) ? theirs : list)));
    };
    const { error, relay } = await refusal(t, change, { algorithms: { cipher } });
    assert.equal(error.code, 'ERR_SSH_ALGORITHM', error.message);
    const [said, offered] = error.message.split('; this client offers ');
    assert.equal(said, `no ${kind} in common: the server offers ${theirs}`);
    assert.match(offered, ours);
    assert.equal(relay.sawTheUser, false);
  });
}

// In a strict key exchange no message may be injected: otherwise packets of the session could be
// removed from its start unnoticed (the Terrapin attack).
for (const before of [KEXINIT, KEX_ECDH_REPLY, NEWKEYS]) {
  test(`a message injected before ${before} is refused`, async (t) => {
    const slipped = clearPacket(message(IGNORE, ''));
    const change = ({ name, bytes }) => (name === before ? Buffer.concat([slipped, bytes]) : bytes);
    const { error, relay } = await refusal(t, change);
    assert.equal(error.code, 'ERR_SSH_PROTOCOL');
    assert.match(error.message, /during the strict key exchange/);
    if (before !== NEWKEYS) assert.equal(relay.sawTheUser, false);
  });
}

test('a corrupted packet ends the session and resets its connections', async (t) => {
  let damage = false;
  const relay = await Relay.start(server.port, ({ bytes }) => {
    if (damage) bytes[bytes.length - 1] ^= 1;
    return bytes;
  });
  t.after(() => relay.stop());
  const login = { ...server.login, port: relay.port };
  const { eventLog, connect, target } = await openTunnel(t, { login }, behaviors.echo(), { algorithms: READABLE });
  const client = await connect();
  await client.send(KIB);
  await client.received(KIB);
  damage = true;
  await client.send(KIB);
  assertIncludes(await client.ended, { bytes: KIB, end: 'ECONNRESET' });
  assertIncludes(await eventLog.next('disconnected'), {
    code: 'ERR_SSH_DISCONNECTED',
    closedBy: 'reset',
    clean: false,
  });
  assertIncludes(await eventLog.next('error'), {
    code: 'ERR_SSH_PROTOCOL',
    message: 'message authentication code incorrect: a packet was damaged or forged',
  });
  assertIncludes(await (await target.next()).ended, { bytes: 2 * KIB });
});
