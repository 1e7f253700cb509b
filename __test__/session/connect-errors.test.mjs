// Errors before a tunnel is ready: each has its code, and is thrown, called back and rejected alike.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { MIB, Target, refuses, refusingPort } from '../helpers/peers.mjs';
import { Child, memory } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const server = await Sshd.start();
const others = await Child.start('peer-process.mjs'); // a blocking call blocks this process
const folder = temporaryFolder('errors');
after(async () => {
  folder.remove();
  await Promise.all([server.stop(), others.stop()]);
});

const otherKey = makeKey(`${folder.path}/otherKey`);
const ssh2 = await others.ask('ssh2', {});
const READY_TIMEOUT = 1000;

const BAD_SERVERS = {
  noise: 'ERR_SSH_PROTOCOL',
  noisePackets: 'ERR_SSH_PROTOCOL',
  chatterbox: 'ERR_SSH_PROTOCOL',
  endlessLine: 'ERR_SSH_PROTOCOL',
  giant: 'ERR_SSH_PROTOCOL',
  ancient: 'ERR_SSH_PROTOCOL',
  leaver: 'ERR_SSH_DISCONNECTED',
  lateLeaver: 'ERR_SSH_DISCONNECTED',
  mute: 'ETIMEDOUT',
  introducedMute: 'ETIMEDOUT',
  flooder: 'ETIMEDOUT',
};

// Everything awaited here and nothing further down: tests begin to run at the next await.
const taken = await Target.start();
const nobody = await refusingPort();
const fakeServers = {};
for (const kind of Object.keys(BAD_SERVERS)) fakeServers[kind] = await others.ask('impostor', kind);
after(() => Promise.all([taken.stop(), nobody.stop()]));

/** The three ways to call, each giving the error. */
const FORMS = {
  thrown: async (tunnel, method) => {
    try {
      tunnel[method]();
    } catch (error) {
      return error;
    }
  },
  'given to the callback': (tunnel, method) =>
    new Promise((resolve) => {
      let returned = false;
      const result = tunnel[method]((error, data) => {
        assert.equal(returned, true, 'the callback was called synchronously');
        assert.equal(data, undefined);
        resolve(error);
      });
      assert.equal(result, undefined);
      returned = true;
    }),
  rejected: (tunnel, method) =>
    tunnel.promises[method]().then(
      () => undefined,
      (error) => error,
    ),
};

function make(t, options) {
  const tunnel = new SSHTunnel({ forwardHost: '127.0.0.1', forwardPort: 1, ...options });
  // If only the listening failed, the session stays.
  t.after(() => tunnel.promises.shutdown(), { timeout: 10_000 });
  tunnel.on('error', (error) => assert.fail(`also emitted: ${error}`));
  return tunnel;
}

/** Tries all forms; `check` makes further assertions. */
function failure(name, { options, methods = ['connect', 'startListening'], code, check }) {
  for (const [form, call] of Object.entries(FORMS)) {
    for (const method of methods) {
      test(`${name}: ${code}, ${form} by ${method}`, async (t) => {
        const tunnel = make(t, await options());
        const since = performance.now();
        const error = await call(tunnel, method);
        const elapsed = performance.now() - since;
        assert.ok(error instanceof Error, 'no error came');
        assert.equal(error.code, code, error.message);
        assert.ok(error.message.length > 0);
        assert.equal(tunnel.listening, false);
        await check?.(error, elapsed, tunnel);
      });
    }
  }
}

failure('the local port is in use', {
  options: () => ({ ...server.login, localPort: taken.port }),
  methods: ['startListening'],
  code: 'EADDRINUSE',
  check: (error) => {
    assert.equal(error.syscall, 'listen');
    assert.equal(typeof error.errno, 'number');
    assert.match(error.message, new RegExp(`EADDRINUSE.*${taken.port}`));
  },
});

failure('there is no SSH server', {
  options: () => ({ ...server.login, port: nobody.port }),
  code: 'ECONNREFUSED',
  check: (error) => {
    assert.equal(error.syscall, 'connect');
    assert.match(error.message, new RegExp(`ECONNREFUSED.*${nobody.port}`));
  },
});

failure('a wrong password', {
  options: () => ({ ...ssh2, password: 'wrong' }),
  code: 'ERR_SSH_AUTH',
  check: (error) => assert.ok(!error.message.includes('wrong'), 'the password is in the message'),
});

failure('a key that nobody knows', {
  options: () => ({ ...server.login, privateKey: otherKey.privateKey }),
  code: 'ERR_SSH_AUTH',
});

failure('no credentials', {
  options: () => ({ ...server.login, privateKey: undefined }),
  code: 'ERR_SSH_AUTH',
});

failure('a private key that is none', {
  options: () => ({ ...server.login, privateKey: 'not a key' }),
  code: 'ERR_SSH_PRIVATE_KEY',
});

failure('a host key other than the pinned one', {
  options: () => ({ ...ssh2, hostKey: otherKey.fingerprint }),
  code: 'ERR_SSH_HOST_KEY',
});

test('a wrong host key ends the session before any user data is sent: sshd', async (t) => {
  const own = await Sshd.start({ logLevel: 'DEBUG3' });
  t.after(() => own.stop());
  const tunnel = make(t, { ...own.login, hostKey: otherKey.fingerprint });
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_HOST_KEY' });
  await own.logged(/Connection (closed|reset) by|Received disconnect/);
  const log = own.log();
  assert.match(log, /Connection from 127\.0\.0\.1/);
  // 5 is SERVICE_REQUEST, 50 and above are about the user.
  assert.doesNotMatch(log, /receive packet: type (5|5\d|6\d)\b/);

  // With the right key, the same log has the user.
  const trusted = make(t, own.login);
  await trusted.promises.connect();
  await own.logged(/receive packet: type 5 /);
  await own.logged(/receive packet: type 50 /);
  await trusted.promises.shutdown();
});

test('a wrong host key ends the session before any user data is sent: ssh2', async (t) => {
  const own = await others.ask('ssh2', {});
  const tunnel = make(t, { ...own, hostKey: otherKey.fingerprint });
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_HOST_KEY' });
  await others.ask('logged', own.port, 'Socket closed|Received DISCONNECT|Socket ended');
  assert.equal(await others.ask('sawAuthentication', own.port), false);
  assert.equal(await others.ask('attempts', own.port), 0);

  const trusted = make(t, own);
  await trusted.promises.connect();
  assert.equal(await others.ask('sawAuthentication', own.port), true);
  await trusted.promises.shutdown();
});

test('an unknown host key is rejected by default', async (t) => {
  const { hostKey, ...unpinned } = server.login;
  const tunnel = make(t, { ...unpinned, knownHosts: [] });
  await assert.rejects(tunnel.promises.connect(), (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY');
    assert.ok(error.message.includes(server.hostKeys[0].fingerprint), error.message);
    return true;
  });
});

for (const [kind, code] of Object.entries(BAD_SERVERS)) {
  const before = memory();
  failure(`a bad server, ${kind}`, {
    options: () => ({ ...server.login, port: fakeServers[kind], readyTimeout: READY_TIMEOUT }),
    methods: ['connect'],
    code,
    check: (_, elapsed) => {
      assert.ok(elapsed < READY_TIMEOUT + 500, `${elapsed} ms`);
      if (code === 'ETIMEDOUT') assert.ok(elapsed > READY_TIMEOUT - 50, `${elapsed} ms`);
      assert.ok(memory() - before < 64 * MIB);
    },
  });
}

test('a tunnel can be started again after a failure', async (t) => {
  const tunnel = make(t, { ...server.login, localPort: taken.port });
  await assert.rejects(tunnel.promises.startListening(), { code: 'EADDRINUSE' });
  await taken.stop();
  await tunnel.promises.startListening();
  assert.equal(tunnel.localPort, taken.port);
  await tunnel.promises.shutdown();
  assert.ok(await refuses(taken.port));
});

test('invalid arguments of the constructor throw', () => {
  const right = { host: '127.0.0.1', forwardHost: '127.0.0.1', forwardPort: 1 };
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const range = { name: 'RangeError' };
  assert.throws(() => new SSHTunnel(), type);
  assert.throws(() => new SSHTunnel('host'), type);
  for (const missing of Object.keys(right)) {
    assert.throws(() => new SSHTunnel({ ...right, [missing]: undefined }), type, missing);
  }
  const wrongTypes = {
    host: 5,
    port: '22',
    username: 5,
    password: 5,
    privateKey: 5,
    passphrase: 5,
    hostKey: 5,
    knownHosts: 5,
    hostVerifier: true,
    localHost: 5,
    localPort: '0',
    forwardHost: 5,
    forwardPort: '1',
    linger: 1,
    keepAlive: 1,
    idleTimeout: '1',
    keepaliveInterval: '1',
    keepaliveCountMax: '3',
    readyTimeout: '1',
  };
  for (const [name, value] of Object.entries(wrongTypes)) {
    assert.throws(
      () => new SSHTunnel({ ...right, [name]: value }),
      (error) => {
        assert.equal(error.code, 'ERR_INVALID_ARG_TYPE', name);
        assert.ok(error instanceof TypeError, name);
        assert.ok(error.message.includes(name), error.message);
        return true;
      },
    );
  }
  for (const name of ['port', 'localPort', 'forwardPort']) {
    for (const value of [-1, 65536, 1.5, NaN]) {
      assert.throws(() => new SSHTunnel({ ...right, [name]: value }), range, `${name} ${value}`);
    }
  }
  for (const name of ['idleTimeout', 'keepaliveInterval', 'keepaliveCountMax', 'readyTimeout']) {
    for (const value of [-1, NaN, Infinity]) {
      assert.throws(() => new SSHTunnel({ ...right, [name]: value }), range, `${name} ${value}`);
    }
  }
});
