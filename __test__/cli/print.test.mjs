// `sshtunnel -G` and `-Q`, compared with those of ssh.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli } from '../helpers/cli.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { run } from '../helpers/process.mjs';

const ssh = findProgram('ssh');
const folder = temporaryFolder('print');
after(folder.remove);

const lines = ({ stdout }) => stdout.split('\n').filter(Boolean);

/** What only the command has, and lists that depend on what is supported. */
const OWN =
  /^(?:linger|closetimeout|reconnect|ciphers|macs|kexalgorithms|hostkeyalgorithms|casignaturealgorithms|pubkeyacceptedalgorithms|updatehostkeys|identityfile) /;

test('-G prints what ssh -G prints of the supported directives', async (t) => {
  const file = folder.write(`
    Host work
      HostName Real.Example
      User me
      Port http
      ProxyJump u@a:2,b
      LocalForward 8080 db:80
      LocalForward [::1]:81 [::2]:82
      RemoteForward 9000 localhost:9000
      RemoteForward 1080
      PermitRemoteOpen a:1 [::1]:* *:80
      DynamicForward 1080
      ServerAliveInterval 1m
      StrictHostKeyChecking accept-new
      RekeyLimit 1G 1h
      HashKnownHosts yes
      ConnectionAttempts 4
      StreamLocalBindMask 0117
      LocalCommand echo "a b"
      PermitLocalCommand yes
      UserKnownHostsFile /a /b
      KnownHostsCommand /bin/true %H
  `);
  for (const args of [
    ['-F', file, 'work'],
    ['-F', 'none', 'h'],
    ['-F', 'none', '-f', '-N', '-C', '-4', '-g', '-l', 'x', '-p', '77', '-o', 'LogLevel=VERBOSE', 'h'],
  ]) {
    const [ours, theirs] = [await Cli.start(t, ['-G', ...args]).end(), await run(ssh, ['-G', ...args])];
    assert.deepEqual([ours.status, ours.stderr], [0, '']);
    const all = lines(theirs);
    const different = lines(ours).filter((line) => !OWN.test(line) && !all.includes(line));
    assert.deepEqual(different, []);
    assert.ok(lines(ours).length > 30);
  }
  const { stdout } = await Cli.start(t, [
    '-G',
    '-F',
    'none',
    '-o',
    'Ciphers=aes128-ctr',
    '-o',
    'MACs=^hmac-sha2-512',
    '-o',
    'Linger=5',
    'h',
  ]).end();
  assert.match(stdout, /^ciphers aes128-ctr$/m);
  assert.match(stdout, /^macs hmac-sha2-512,hmac-sha2-256-etm/m);
  assert.match(stdout, /^linger 5$/m);
});

test('-G expands IdentityAgent as ssh -G does', async (t) => {
  const env = { ...process.env, SSHTUNNEL_TEST: '/b/%h' };
  const texts = ['none', 'SSH_AUTH_SOCK', '$SSHTUNNEL_TEST', '~', '~/%h-%r-%p-%n-%%', '~root/%u', '%d/%i-%l-%L-%C'];
  for (const name of [...texts, '${SSHTUNNEL_TEST}/x', '${SSHTUNNEL_UNSET}', '$A-B', '%x', '~nobody-has-this-name/x']) {
    const args = ['-G', '-F', 'none', '-o', `IdentityAgent=${name}`, 'me@host'];
    const [ours, theirs] = [await Cli.start(t, args, { env }).end(), await run(ssh, args, { env })];
    const agent = ({ stdout }) => lines({ stdout }).filter((line) => line.startsWith('identityagent '));
    assert.deepEqual(
      [ours.status, agent(ours)],
      [theirs.code, agent(theirs)],
      `${name}: ${ours.stderr}${theirs.stderr}`,
    );
    assert.equal(ours.status === 0, agent(ours).length === 1, name);
  }
});

test('-G prints AddKeysToAgent, and refuses values, as ssh -G does', async (t) => {
  for (const value of ['Yes', 'no', 'ask', '1h', '0', 'confirm 1h', 'ask 5m', 'never', 'confirm never', '1h 5m']) {
    const args = ['-G', '-F', 'none', '-o', `AddKeysToAgent=${value}`, 'me@host'];
    const [ours, theirs] = [await Cli.start(t, args).end(), await run(ssh, args)];
    const added = ({ stdout }) => lines({ stdout }).filter((line) => line.startsWith('addkeystoagent '));
    assert.deepEqual(
      [ours.status, added(ours)],
      [theirs.code, added(theirs)],
      `${value}: ${ours.stderr}${theirs.stderr}`,
    );
  }
});

test('-Q lists algorithms that ssh has, too, except the newest', async (t) => {
  for (const name of [
    'cipher',
    'cipher-auth',
    'mac',
    'key',
    'key-plain',
    'key-cert',
    'sig',
    'protocol-version',
    'MACs',
    'Ciphers',
    'HostKeyAlgorithms',
  ]) {
    const [ours, theirs] = [await Cli.start(t, ['-Q', name]).end(), await run(ssh, ['-Q', name])];
    assert.deepEqual([ours.status, ours.stderr], [0, ''], name);
    assert.ok(lines(ours).length > 0);
    assert.deepEqual(
      lines(ours).filter((line) => !lines(theirs).includes(line)),
      [],
      name,
    );
  }
  assert.ok(lines(await Cli.start(t, ['-Q', 'kex']).end()).includes('curve25519-sha256'));
  const unknown = await Cli.start(t, ['-Q', 'nonsense']).end();
  assert.deepEqual(
    [unknown.status, unknown.stdout, unknown.stderr],
    [255, '', 'sshtunnel: Unsupported query "nonsense"\n'],
  );
});
