// The options of createTunnel() of sshtunnel-native/tunnel-ssh, and its host key checks.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { createTunnel } from '../../tunnel-ssh.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { Target, behaviors, connect, refusingPort } from '../helpers/peers.mjs';
import { runModule } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts } from '../helpers/trust.mjs';
import { open, rejection } from '../helpers/tunnel-ssh.mjs';

const files = new KnownHosts();
after(files.remove.bind(files));
const sshd = await Sshd.start();
const target = await Target.start(behaviors.echo());
after(() => Promise.all([sshd.stop(), target.stop()]));

const forward = { dstAddr: '127.0.0.1', dstPort: target.port };

/** A tunnel of this package to the echo. */
const openUsual = (t, options) => open(t, { ssh: sshd.login, forward, ...options });

test("the SSH server gets the client's address instead of srcAddr and srcPort", async (t) => {
  const asked = [];
  const onOpen = (open) => asked.push([open.srcIP, open.srcPort, open.destIP, open.destPort]) && open.connect();
  const ssh = await Ssh2Server.start({ onOpen });
  t.after(() => ssh.stop());
  const [server] = await openUsual(t, { ssh: ssh.login, forward: { srcAddr: '192.0.2.1', srcPort: 9, ...forward } });
  const peer = await connect(server.address().port);
  await peer.send(1);
  await peer.received(1);
  assert.deepEqual(asked, [['127.0.0.1', peer.socket.localPort, '127.0.0.1', target.port]]);
  peer.socket.destroy();
});

test('dstAddr defaults to 0.0.0.0, username to root and host to localhost', async (t) => {
  const users = [];
  const asked = settledOpen();
  const ssh = await Ssh2Server.start({
    authenticate: (context) => users.push(context.username) && context.accept(),
    onOpen: asked.onOpen,
  });
  t.after(() => ssh.stop());
  const { port, hostKey } = ssh.login;
  const [server] = await openUsual(t, {
    ssh: { port: String(port), hostKey, forceIPv4: 1, password: null, agent: '' },
    forward: { dstPort: String(target.port) },
  });
  const peer = await connect(server.address().port);
  assert.deepEqual(await asked.first, ['0.0.0.0', target.port]);
  await peer.ended;
  assert.deepEqual(users, ['root']);
});

/** A server that refuses every target, and the requested targets. */
function settledOpen() {
  let tell;
  const first = new Promise((resolve) => (tell = resolve));
  const onOpen = (open) => {
    tell([open.destIP, open.destPort]);
    open.reject();
  };
  return { first, onOpen };
}

const untrusted = () => ({ ...sshd.login, hostKey: undefined });

test('an unknown host key is rejected with an error that says how to allow it', async () => {
  const error = await rejection(createTunnel({}, {}, { ...untrusted(), knownHosts: files.missing() }, forward));
  assert.equal(error.code, 'ERR_SSH_HOST_KEY');
  assert.ok(error.message.includes(sshd.hostKeys[0].fingerprint));
  // An uncaught error prints its stack.
  for (const text of [error.message, error.stack])
    assert.match(text, /sshOptions.*hostKey: 'SHA256:\.\.\.'.*strictHostKeyChecking: 'accept-new'/);
});

test("the user's known_hosts file is checked", async () => {
  const home = temporaryFolder('home');
  const source = `
    import { createTunnel } from './tunnel-ssh.js';
    const [login, forward] = JSON.parse(process.argv.at(-1));
    await createTunnel({}, {}, login, forward).then(([server]) => {
      console.log('trusted');
      server.close();
    }, ({ code }) => console.log(code));
  `;
  const options = { args: [JSON.stringify([untrusted(), forward])], env: { ...process.env, HOME: home.path } };
  assert.equal((await runModule(source, options)).stdout, 'ERR_SSH_HOST_KEY\n');
  mkdirSync(join(home.path, '.ssh'));
  writeFileSync(join(home.path, '.ssh', 'known_hosts'), `${sshd.address} ${sshd.hostKeys[0].publicKey}\n`);
  assert.equal((await runModule(source, options)).stdout, 'trusted\n');
  home.remove();
});

test('accept-new writes an unknown key', async (t) => {
  const knownHosts = files.missing();
  await openUsual(t, { ssh: { ...untrusted(), knownHosts, strictHostKeyChecking: 'accept-new' } });
  assert.match(readFileSync(knownHosts, 'utf8'), new RegExp(`^\\[127\\.0\\.0\\.1\\]:${sshd.port} ssh-ed25519 `));
});

test('disabled host key checking emits one warning', async () => {
  const { code, stdout, stderr } = await runModule(
    `
    import { createTunnel } from './tunnel-ssh.js';
    const [login, forward] = JSON.parse(process.argv.at(-1));
    for (let count = 0; count < 2; count++) {
      const [server] = await createTunnel({}, {}, { ...login, knownHosts: [], strictHostKeyChecking: false }, forward);
      server.close();
      console.log('accepted');
    }
  `,
    { args: [JSON.stringify([untrusted(), forward])] },
  );
  assert.equal(stdout, 'accepted\naccepted\n', stderr);
  assert.equal(stderr.match(/\[SSHTUNNEL_HOST_KEY_UNCHECKED\] Warning: .*sshOptions\.hostKey/g).length, 1);
  assert.equal(code, 0);
});

const blob = Buffer.from(sshd.hostKeys[0].publicKey.split(' ')[1], 'base64');
const verifiers = {
  'returns true': { trusted: true, hostVerifier: (key) => key.equals(blob) },
  'returns false': { trusted: false, hostVerifier: () => false },
  'calls back true': { trusted: true, hostVerifier: (_, verify) => void setImmediate(verify, true) },
  'calls back false': { trusted: false, hostVerifier: (_, verify) => void setImmediate(verify, false) },
  'resolves to true': { trusted: true, hostVerifier: async () => true },
  'resolves to false': { trusted: false, hostVerifier: async () => false },
  throws: {
    trusted: false,
    hostVerifier: () => {
      throw new Error('no');
    },
  },
  'gets a hash': {
    trusted: true,
    hostHash: 'sha256',
    hostVerifier: (hash) => hash === createHash('sha256').update(blob).digest('hex'),
  },
};
for (const [what, { trusted, ...options }] of Object.entries(verifiers)) {
  test(`a hostVerifier that ${what}`, async (t) => {
    const opening = openUsual(t, { ssh: { ...untrusted(), ...options } });
    if (trusted) await opening;
    else {
      const { code, message, cause } = await rejection(opening);
      assert.equal(code, 'ERR_SSH_HOST_KEY');
      assert.doesNotMatch(message, /sshOptions/);
      assert.equal(cause?.message, what === 'throws' ? 'no' : undefined);
    }
  });
}

test('unsupported algorithms are removed with a warning', async (t) => {
  const warnings = [];
  const listen = (warning) => warnings.push(warning);
  process.on('warning', listen);
  t.after(() => process.off('warning', listen));
  const algorithms = {
    kex: { append: ['diffie-hellman-group1-sha1'], remove: ['diffie-hellman-group14-sha1', /^ecdh-/] },
    cipher: ['aes128-cbc', 'aes128-ctr'],
    hmac: [],
    compress: { prepend: 'zlib@openssh.com' },
  };
  await openUsual(t, { ssh: { ...sshd.login, algorithms } });
  await openUsual(t, { ssh: { ...sshd.login, algorithms } });
  await new Promise(setImmediate);
  const told = warnings.filter(({ code }) => code === 'SSHTUNNEL_ALGORITHM').map(({ message }) => message);
  assert.equal(told.length, 2);
  assert.match(told[0], /kex: .*: diffie-hellman-group1-sha1$/);
  assert.match(told[1], /cipher: .*: aes128-cbc$/);
});

const bad = {
  'serverOptions.path': [{}, { path: '/tmp/socket' }],
  'serverOptions.fd': [{}, { fd: 3 }],
  'serverOptions.ipv6Only': [{}, { ipv6Only: true }],
  'serverOptions.reusePort': [{}, { reusePort: true }],
  'serverOptions.port': [{}, { port: 65536 }, {}, {}, 'ERR_OUT_OF_RANGE'],
  'serverOptions.host': [{}, { host: 5 }, {}, {}, 'ERR_INVALID_ARG_TYPE'],
  'serverOptions.signal': [{}, { signal: {} }, {}, {}, 'ERR_INVALID_ARG_TYPE'],
  tunnelOptions: ['yes', {}, {}, {}, 'ERR_INVALID_ARG_TYPE'],
  'tunnelOptions.autoClose': [{ autoClose: 'yes' }, {}, {}, {}, 'ERR_INVALID_ARG_TYPE'],
  'sshOptions.agent': [{}, {}, { agent: 'pageant' }],
  'sshOptions.localPort': [{}, {}, { localPort: 1000 }],
  'sshOptions.localHostname': [{}, {}, { localHostname: 'here', localUsername: 'me' }],
  'sshOptions.authHandler': [{}, {}, { authHandler: () => false }],
  'sshOptions.hostVerifier': [{}, {}, { hostVerifier: true }, {}, 'ERR_INVALID_ARG_TYPE'],
  'sshOptions.algorithms.cipher': [{}, {}, { algorithms: { cipher: ['aes128-cbc'] } }],
  'sshOptions.algorithms.kex[0]': [{}, {}, { algorithms: { kex: [5] } }, {}, 'ERR_INVALID_ARG_TYPE'],
  'sshOptions.algorithms.ciphers': [{}, {}, { algorithms: { ciphers: ['aes128-ctr'] } }],
  'sshOptions.algorithms.kex.only': [{}, {}, { algorithms: { kex: { only: [] } } }],
  'sshOptions.port': [{}, {}, { port: 'ssh' }, {}, 'ERR_INVALID_ARG_TYPE'],
  'forwardOptions.dstPort': [{}, {}, {}, { dstPort: undefined }, 'ERR_INVALID_ARG_TYPE'],
  'forwardOptions.dstAddr': [{}, {}, {}, { dstAddr: 5 }, 'ERR_INVALID_ARG_TYPE'],
};
test('invalid and unsupported options throw typed errors that name them', async () => {
  for (const [name, [tunnel, server, ssh = {}, to = {}, code = 'ERR_INVALID_ARG_VALUE']] of Object.entries(bad)) {
    const error = await rejection(createTunnel(tunnel, server, { ...sshd.login, ...ssh }, { ...forward, ...to }));
    assert.equal(error.code, code, name);
    assert.ok(error.message.includes(name), error.message);
  }
});

test('createTunnel() rejects with the code of a failed connect', async (t) => {
  const nobody = await refusingPort();
  t.after(() => nobody.stop());
  assert.equal(
    (await rejection(createTunnel({}, {}, { ...sshd.login, port: nobody.port }, forward))).code,
    'ECONNREFUSED',
  );
  assert.equal(
    (await rejection(createTunnel({}, {}, { ...sshd.login, privateKey: '', password: 'wrong' }, forward))).code,
    'ERR_SSH_AUTH',
  );
});
