// The facts that errors carry: which server they are about, what was wrong with its key, which methods it accepts, and
// how a session ended; of the tunnel's own server and of a jump host alike.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { makeKey } from '../helpers/keys.mjs';
import { refusingPort } from '../helpers/peers.mjs';
import { ROOT } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel } from '../helpers/tunnels.mjs';
import { KnownHosts } from '../helpers/trust.mjs';

const server = await Sshd.start();
const hop = await Sshd.start();
const ssh2 = await Ssh2Server.start();
const nobody = await refusingPort();
const files = new KnownHosts();
const other = makeKey(join(files.path, 'other'));
after(() => Promise.all([server.stop(), hop.stop(), ssh2.stop(), nobody.stop(), files.remove()]));

const { detailOf } = createRequire(import.meta.url)('../../lib/errors.js');

const name = ({ port }) => `[127.0.0.1]:${port}`;
/** The members of an error that say which key a server has. */
const keyOf = async (of) => {
  let found;
  await connectError({ ...of.login, hostKey: undefined, hostVerifier: (key) => void (found = key) });
  const { host, port, type, fingerprint, key } = found;
  return { fingerprint, host, port, name: name(of), type, publicKey: `${type} ${key.toString('base64')}` };
};

async function connectError(login) {
  const tunnel = makeTunnel({ after() {} }, login, 1);
  try {
    await assert.rejects(tunnel.promises.connect(), (error) => {
      tunnel.error = error;
      return true;
    });
    return tunnel.error;
  } finally {
    await tunnel.promises.shutdown();
  }
}

/** Runs a check against the error of the tunnel's own server, and against that of a jump host. */
function atServerAndHop(title, options, check) {
  test(`${title}: at the server`, async () => {
    const error = await connectError({ ...server.login, ...options(server) });
    assert.equal(error.hop, undefined);
    assert.equal(detailOf(error), error.message);
    await check(error, server);
  });

  test(`${title}: at a jump host`, async () => {
    const error = await connectError({ ...server.login, jump: { ...hop.login, ...options(hop) } });
    assert.deepEqual(error.hop, { host: '127.0.0.1', port: hop.port });
    assert.equal(error.message, `jump host 127.0.0.1:${hop.port}: ${detailOf(error)}`);
    await check(error, hop);
  });
}

const hostKeyOf = ({ code, hostKey }) => {
  assert.equal(code, 'ERR_SSH_HOST_KEY');
  return hostKey;
};

atServerAndHop(
  'an unknown host key',
  () => ({ hostKey: undefined, knownHosts: [] }),
  async (error, of) => assert.deepEqual(hostKeyOf(error), { reason: 'unknown', ...(await keyOf(of)) }),
);

atServerAndHop(
  'a host key that hostVerifier rejects',
  () => ({ hostKey: undefined, hostVerifier: () => false }),
  async (error, of) => assert.deepEqual(hostKeyOf(error), { reason: 'rejected', ...(await keyOf(of)) }),
);

for (const [reason, lines] of [
  ['changed', (of) => ['# a comment', `${name(of)} ${other.publicKey}`]],
  ['revoked', (of) => ['', `@revoked ${name(of)} ${of.hostKeys[0].publicKey}`]],
]) {
  let file;
  atServerAndHop(
    `a ${reason} host key`,
    (of) => ({ hostKey: undefined, knownHosts: (file = files.file(...lines(of))) }),
    async (error, of) => {
      const { known, ...facts } = hostKeyOf(error);
      assert.deepEqual(facts, { reason, ...(await keyOf(of)), file, line: 2 });
      if (reason === 'changed') assert.match(known, /^SHA256:/);
      assert.equal(known === undefined, reason === 'revoked');
      assert.notEqual(known, facts.fingerprint);
    },
  );
}

let damaged;
atServerAndHop(
  'an unreadable line of known_hosts',
  (of) => ({ hostKey: undefined, knownHosts: (damaged = files.file('# a comment', '', `${name(of)} damaged`)) }),
  (error) => {
    assert.equal(hostKeyOf(error), undefined);
    assertIncludes(error, { file: damaged, line: 3 });
  },
);

atServerAndHop(
  'an authentication that failed',
  () => ({ privateKey: readFileSync(other.file), authHandler: ['none', 'publickey'] }),
  (error) =>
    assertIncludes(error, {
      code: 'ERR_SSH_AUTH',
      acceptedMethods: ['publickey'],
      triedMethods: ['none', 'publickey'],
    }),
);

test('the reason of a loss: the server closed the connection', async (t) => {
  const tunnel = makeTunnel(t, ssh2.login, 1);
  const events = new EventLog(tunnel);
  await tunnel.promises.connect();
  ssh2.dropSessions();
  const error = await events.next('error');
  assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
  assert.match(error.lossReason, /^(closed|network)$/);
});

test('the reason of a loss: the server does not answer keepalive requests', async (t) => {
  const frozen = await Sshd.start();
  t.after(() => frozen.stop());
  const tunnel = makeTunnel(t, { ...frozen.login, keepaliveInterval: 200, keepaliveCountMax: 1 }, 1);
  const events = new EventLog(tunnel);
  await tunnel.promises.connect();
  frozen.freezeSessions();
  assertIncludes(await events.next('error'), { code: 'ERR_SSH_DISCONNECTED', lossReason: 'silent' });
  frozen.thawSessions();
});

test('the reason of a loss: the session of a jump host', async (t) => {
  const lost = await Sshd.start();
  t.after(() => lost.stop());
  const tunnel = makeTunnel(t, { ...server.login, jump: lost.login }, 1);
  const events = new EventLog(tunnel);
  await tunnel.promises.connect();
  lost.killSessions();
  const error = await events.next('error');
  assertIncludes(error, { code: 'ERR_SSH_DISCONNECTED', hop: { host: '127.0.0.1', port: lost.port } });
  assert.match(error.lossReason, /^(closed|network)$/);
});

test('a refused connection carries the description of the server', async (t) => {
  const tunnel = makeTunnel(t, server.login, 1);
  const events = new EventLog(tunnel);
  await assert.rejects(tunnel.promises.dial('127.0.0.1', nobody.port), {
    code: 'ERR_SSH_OPEN_CONNECT_FAILED',
    description: 'Connection refused',
  });
  assertIncludes(await events.next('disconnected'), { description: 'Connection refused' });
});

/** What looks into a message: a regular expression, or a part of it. */
const LOOKS =
  /\.(?:test|exec)\(\s*[\w.?]*\b(?:message|reason|detail)\b|\b(?:message|reason|detail)\)?\??\.(?:match|matchAll|search|includes|startsWith|endsWith|indexOf)\(|\b(?:message|reason|detail)\)?\??\.(?:replace|replaceAll|split)\(\//;

test('no file of lib/ looks into messages', () => {
  for (const line of [
    'if (/changed/.test(error.message)) return;',
    'const [, list] = /accepts (.*)/.exec(message) ?? [];',
    "error.message.replace(/^jump host: /, '')",
    "detailOf(error.detail).startsWith('x') || reason.includes('passphrase')",
  ])
    assert.match(line, LOOKS);
  const found = readdirSync(join(ROOT, 'lib'), { recursive: true })
    .filter((path) => path.endsWith('.js'))
    .flatMap((path) => {
      const lines = readFileSync(join(ROOT, 'lib', path), 'utf8').split('\n');
      return lines.filter((line) => LOOKS.test(line)).map((line) => `${path}: ${line.trim()}`);
    });
  assert.deepEqual(found, []);
});
