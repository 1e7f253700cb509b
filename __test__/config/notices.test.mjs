// Directives that fromConfig ignores, reports or rejects, with their place in the file.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { configureIn } from '../helpers/ssh-config.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const folder = temporaryFolder('config');
after(folder.remove);
const { write } = folder;
const configure = configureIn(folder);

test('unsupported directives are in configNotices with file and line, irrelevant ones are not', () => {
  const text = `
    IdentityFile none
    GSSAPIAuthentication yes
    HostbasedAuthentication no
    Tunnel yes
    ForwardAgent yes
    RequestTTY force
    SendEnv LANG
    RemoteForward 1 a:1
    RemoteForward 2 a:2
    HashKnownHosts yes
    StrictHostKeyChecking accept-new
    StreamLocalBindMask 0117
    LocalCommand x
    PermitLocalCommand yes
  `;
  const file = write(text);
  const tunnel = SSHTunnel.fromConfig('h', { configFile: file, forwardHost: 'f', forwardPort: 1 });
  const named = tunnel.configNotices.map(({ option, value, line }) => [line, option, value]);
  assert.deepEqual(named.sort(([a], [b]) => a - b), [
    [3, 'GSSAPIAuthentication', 'yes'], [5, 'Tunnel', 'yes'],
    [9, 'RemoteForward', '1 a:1'], [10, 'RemoteForward', '2 a:2'], [15, 'PermitLocalCommand', 'yes'],
  ]);
  for (const notice of tunnel.configNotices) {
    assertIncludes(notice, { host: 'h', file });
    assert.ok(notice.reason.length > 10 && Object.isFrozen(notice));
  }
  assert.ok(Object.isFrozen(tunnel.configNotices));
  assert.deepEqual(new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 }).configNotices, []);
});

test('unsupported directives that restrict access are errors with file and line', () => {
  const refuses = (text, host) => configure(`${text}\nIdentityFile none\n`, {}, host);
  for (const [text, name] of [
    ['CheckHostIP yes', 'CheckHostIP'],
    ['BindInterface eth0', 'BindInterface'],
    ['CanonicalizeHostname yes\nCanonicalDomains example.org', 'CanonicalizeHostname'],
    ['CanonicalizeHostname yes\nCanonicalizeFallbackLocal no', 'CanonicalizeHostname'],
    ['CanonicalizeHostname always\nCanonicalDomains example.org\nHost h\n ProxyJump 127.0.0.1', 'CanonicalizeHostname'],
    ['Match version OpenSSH_*\nPort 5', 'Match version'],
    ['Match host * version OpenSSH_* exec "touch /never"', 'Match version'],
  ]) {
    assert.throws(() => refuses(text), (error) => {
      assertIncludes(error, { code: 'ERR_SSH_CONFIG', line: 1 });
      assert.ok(error.message.includes(`${name} is not supported`), error.message);
      return true;
    });
  }
  // For jump hosts too.
  assert.throws(() => refuses('Host j\n BindInterface eth0\nHost h\n ProxyJump j'), { code: 'ERR_SSH_CONFIG', line: 2 });
  for (const text of [
    'CheckHostIP no', 'CheckHostIP yes\nHostName 127.0.0.1', 'CheckHostIP yes\nProxyCommand x', 'BindInterface eth0\nBindAddress 127.0.0.1',
    'CanonicalizeHostname no\nCanonicalDomains example.org', 'CanonicalizeHostname yes', 'CanonicalizeHostname yes\nCanonicalDomains example.org\nHost h\n ProxyJump 127.0.0.1',
    'CanonicalizeHostname yes\nCanonicalDomains example.org\nHostName a.b.c', 'CanonicalizeHostname yes\nCanonicalDomains none', 'CanonicalizeHostname yes\nCanonicalizeMaxDots 0\nCanonicalDomains a\nHostName b.c',
    'Match host other version OpenSSH_*', 'Match version OpenSSH_* host other', 'Host other\n BindInterface y',
    'CheckHostIP yes\nHostName LocalHost', 'BindInterface eth0\nProxyCommand x', 'Host h\n BindInterface eth0\n ProxyJump 127.0.0.1',
    // Only the first hop is dialed.
    'Host j\n BindInterface eth0\n CheckHostIP yes\n CanonicalizeHostname yes\n CanonicalDomains example.org\nHost h\n ProxyJump 127.0.0.1,j',
  ]) refuses(text);
  // A host may be the second hop of one chain and the first of another.
  assert.throws(() => refuses('Host j\n BindInterface eth0\nHost k\n ProxyJump j\nHost h\n ProxyJump k,j'), { code: 'ERR_SSH_CONFIG', line: 2 });
});

test('unsupported restrictions are accepted where overrides replace them', () => {
  const sock = new PassThrough();
  const proxied = [{ jump: { host: 'j', username: 'u' } }, { jump: [{ host: 'j', username: 'u' }] }, { proxyCommand: 'x' }, { sock }];
  for (const [text, welcome, others] of [
    ['BindInterface eth0', [...proxied, { localAddress: '127.0.0.1' }], [{ jump: [] }, { hostKey: `SHA256:${'A'.repeat(43)}` }]],
    ['CheckHostIP yes', [...proxied, { hostKey: `SHA256:${'A'.repeat(43)}` }, { knownHosts: '/dev/null' }], [{ jump: [] }, { hostVerifier: () => true }]],
    ['CanonicalizeHostname yes\nCanonicalDomains example.org', proxied, [{ jump: [] }]],
  ]) {
    for (const overrides of welcome) configure(text, overrides);
    for (const overrides of others) assert.throws(() => configure(text, overrides), { code: 'ERR_SSH_CONFIG', line: 1 });
  }
});
