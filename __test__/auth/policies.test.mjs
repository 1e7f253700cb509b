// Options of ssh_config and the constructor that restrict keys and algorithms: enforced as by ssh.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join, relative } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { certifier, keygen, makeKey } from '../helpers/keys.mjs';
import { run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts, connectOnce } from '../helpers/trust.mjs';

const files = new KnownHosts();
const servers = [];
after(async () => {
  files.remove();
  await Promise.all(servers.map((server) => server.stop()));
});

async function start(options) {
  const server = await Sshd.start(options);
  servers.push(server);
  return server;
}

const words = ({ publicKey }) => publicKey.split(' ').slice(0, 2).join(' ');
const key = (name, options) => makeKey(join(files.path, name), options);
const authority = key('authority', { type: 'rsa' });
const server = await start({ hostKeyTypes: ['ed25519', 'rsa'] });
const certified = await start({ certify: certifier(authority, { principals: '127.0.0.1' }) });
const [own, rsa] = server.hostKeys.map(words);
const known = files.file(
  `${server.address} ${own}`,
  `${server.address} ${rsa}`,
  `@cert-authority ${certified.address} ${words(authority)}`,
);
const otherKey = key('otherKey');

/** The lines of a configuration that leads to a server; those given come first. */
function configuration(of, ...lines) {
  return files.file(
    ...lines,
    'HostName 127.0.0.1',
    `Port ${of.port}`,
    `User ${userInfo().username}`,
    `IdentityFile ${of.key.file}`,
    'IdentityAgent none',
    `UserKnownHostsFile ${known}`,
    'GlobalKnownHostsFile none',
    'UpdateHostKeys no',
    'BatchMode yes',
    'StrictHostKeyChecking yes',
  );
}

/** true if a tunnel with this configuration connects, else the error. */
async function ours(configFile, overrides) {
  let tunnel;
  try {
    tunnel = SSHTunnel.fromConfig('h', { configFile, forwardHost: 'x', forwardPort: 1, ...overrides });
    await tunnel.promises.connect();
    return true;
  } catch (error) {
    return error;
  } finally {
    await tunnel?.promises.shutdown();
  }
}

/** Whether ssh connects with it. */
async function ssh(configFile) {
  const { code } = await run(findProgram('ssh'), ['-F', configFile, 'h', 'true']);
  return code === 0;
}

/** With these lines, both connect or both fail, the tunnel with this error. */
async function agree(of, lines, refusal, { unlikeSsh = false } = {}) {
  const file = configuration(of, ...lines);
  assert.equal(await ssh(file), unlikeSsh !== (refusal === undefined), `ssh: ${lines}`);
  const found = await ours(file);
  if (refusal === undefined) assert.equal(found, true, `${lines}: ${found}`);
  else assert.match(`${found.code} ${found.message}`, refusal, `${lines}`);
}

const HOST_KEY = (text) => new RegExp(`^ERR_SSH_HOST_KEY .*${text}`);
const CONFIG = (text) => new RegExp(`^ERR_SSH_CONFIG .* line 1: .*${text}`);

test('RevokedHostKeys rejects the listed keys', async () => {
  const list = (...lines) => `RevokedHostKeys ${files.file(...lines)}`;
  await agree(server, [list('# none')]);
  await agree(server, [list('', `  ${words(otherKey)} caf\u00e9`)]);
  await agree(server, ['RevokedHostKeys none']);
  await agree(server, [list('#', words(otherKey), own)], HOST_KEY('is revoked by .*:3$'));
  await agree(server, [list(own), 'StrictHostKeyChecking no'], HOST_KEY('is revoked by .*:1$'));
  await agree(server, [list(own), 'HostKeyAlgorithms rsa-sha2-512']);
  await agree(certified, [list(words(certified.hostKeys[0]))], HOST_KEY('is revoked by'));
  await agree(certified, [list(words(authority))], HOST_KEY('the authority .* is revoked by'));
  await agree(server, [`RevokedHostKeys ${files.missing()}`], HOST_KEY('cannot read the revoked host keys file'));
  for (const bad of [
    'damaged',
    own.slice(0, 60),
    `* ${own}`,
    `@revoked * ${own}`,
    'ssh-mldsa44 AAAAC3NzaC1tbGRzYTQ0',
  ]) {
    await agree(server, [list(words(otherKey), bad)], HOST_KEY('line 2: '));
  }
  const krl = files.missing();
  keygen('-q', '-k', '-f', krl, `${otherKey.file}.pub`);
  // It does not revoke the server's key, which cannot be shown here.
  await agree(
    server,
    [`RevokedHostKeys ${krl}`],
    HOST_KEY('is a key revocation list \\(KRL\\), which is not supported'),
    { unlikeSsh: true },
  );
});

test('RevokedHostKeys expands tildes and tokens, as newer versions of ssh do', async () => {
  const file = files.file(own);
  for (const path of [
    `~/${relative(homedir(), file)}`,
    file.replace('known-hosts', '%%').replace('%%', 'known-hosts'),
    `\${REVOKED}/known_hosts`,
  ]) {
    process.env.REVOKED = join(file, '..');
    const found = await ours(configuration(server, `RevokedHostKeys ${path}`));
    assert.match(found.message, /is revoked by/, path);
  }
  delete process.env.REVOKED;
});

test('overrides of trust options do not disable revokedHostKeys', async () => {
  await assert.rejects(connectOnce(server, { hostKey: own, revokedHostKeys: files.file(own) }), /is revoked by/);
  const several = [files.file(''), files.file(words(otherKey)), files.file(own)];
  await assert.rejects(connectOnce(server, { hostVerifier: () => true, revokedHostKeys: several }), /is revoked by/);
  await assert.rejects(connectOnce(server, { strictHostKeyChecking: false, revokedHostKeys: [files.missing()] }), {
    code: 'ERR_SSH_HOST_KEY',
  });
  await connectOnce(server, { hostKey: own, revokedHostKeys: several.slice(0, 2) });
  const file = configuration(server, `RevokedHostKeys ${files.file(own)}`);
  assert.match((await ours(file, { hostKey: own })).message, /is revoked by/);
});

test('RequiredRSASize rejects shorter host keys', async () => {
  const only = 'HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256';
  for (const size of [0, 512, 2048]) await agree(server, [`RequiredRSASize ${size}`, only]);
  for (const size of [2049, 4096, 100_000])
    await agree(server, [`RequiredRSASize ${size}`, only], HOST_KEY('has 2048 bits, and requiredRSASize is'));
  await agree(server, ['RequiredRSASize 4096', 'HostKeyAlgorithms ssh-ed25519']);
  for (const bad of ['-1', 'many', '4096 1'])
    await agree(server, [`RequiredRSASize ${bad}`], CONFIG('RequiredRSASize'));
  // ssh 9.2 does not look at the authority.
  await agree(certified, ['RequiredRSASize 4096'], HOST_KEY('its authority has an RSA key of 2048 bits'), {
    unlikeSsh: true,
  });
  await assert.rejects(
    connectOnce(server, { hostKey: rsa, requiredRSASize: 3072, algorithms: { serverHostKey: ['rsa-sha2-256'] } }),
    HOST_KEY_OBJECT,
  );
  for (const requiredRSASize of [0, 1023, 16_385, 2048.5]) {
    assert.throws(() => new SSHTunnel({ ...server.login, requiredRSASize }), { code: 'ERR_OUT_OF_RANGE' });
  }
});

const HOST_KEY_OBJECT = { code: 'ERR_SSH_HOST_KEY' };

test("RequiredRSASize and PubkeyAcceptedAlgorithms restrict the user's keys", async (t) => {
  const user = key('user', { type: 'rsa' });
  server.authorize(user.publicKey);
  const using = (...lines) => [...lines, 'IdentitiesOnly yes', `IdentityFile ${user.file}`];
  const without = (lines) => agree({ ...server, port: server.port, key: user }, using(...lines));
  const refused = (lines) =>
    agree(
      { ...server, port: server.port, key: user },
      using(...lines),
      /^ERR_SSH_AUTH .*rsa-sha2-512: not used, for its size or algorithm/,
    );
  await without(['RequiredRSASize 2048']);
  await refused(['RequiredRSASize 2049']);
  for (const list of ['rsa-sha2-256', 'rsa-*', '+ssh-rsa', '-ssh-ed25519', '^ssh-ed25519', 'ssh-ed25519,,rsa-sha2-512'])
    await without([`PubkeyAcceptedAlgorithms ${list}`]);
  for (const list of ['ssh-ed25519', '-rsa*', 'ssh-ed25519*,ecdsa-*', 'rsa-sha2-512-cert-v01@openssh.com'])
    await refused([`PubkeyAcceptedAlgorithms ${list}`]);
  // The order decides on the kind of signature.
  const log = server.log().length;
  await without(['PubkeyAcceptedKeyTypes rsa-sha2-256,rsa-sha2-512']);
  assert.doesNotMatch(server.log().slice(log), /Failed publickey/);

  const agent = await Agent.start();
  t.after(() => agent.stop());
  agent.add(user.file);
  const login = { ...server.login, privateKey: undefined, agent: agent.path };
  const knownHosts = known;
  await connectOnce({ login }, { knownHosts });
  for (const option of [{ requiredRSASize: 3072 }, { algorithms: { publicKey: ['ssh-ed25519'] } }]) {
    await assert.rejects(connectOnce({ login }, { knownHosts, ...option }), { code: 'ERR_SSH_AUTH' });
  }
  await connectOnce({ login }, { knownHosts, algorithms: { publicKey: ['rsa-sha2-256'] } });
});

test('CASignatureAlgorithms restricts signatures of certificates', async () => {
  await agree(certified, []);
  for (const list of ['rsa-sha2-512', 'rsa-*', '-ssh-ed25519', '^ssh-ed25519', '+ssh-rsa'])
    await agree(certified, [`CASignatureAlgorithms ${list}`]);
  for (const list of ['ssh-ed25519', '-rsa*', 'ecdsa-*,ssh-ed25519']) {
    await agree(
      certified,
      [`CASignatureAlgorithms ${list}`],
      HOST_KEY('signed by rsa-sha2-512, which .*CASignatureAlgorithms'),
    );
  }
  const knownHosts = known;
  await assert.rejects(
    connectOnce(certified, { knownHosts, algorithms: { caSignature: { remove: 'rsa-sha2-512' } } }),
    HOST_KEY_OBJECT,
  );
  await connectOnce(certified, { knownHosts, algorithms: { caSignature: ['rsa-sha2-512'] } });
});

test('unknown and invalid names in algorithm lists are treated as in ssh', async () => {
  for (const name of ['PubkeyAcceptedAlgorithms', 'CASignatureAlgorithms', 'HostKeyAlgorithms']) {
    for (const list of ['nonsense', 'ssh-ed25519,nonsense', '+nonsense', 'SSH-ED25519', 'foo*', 'aes256-ctr', '+']) {
      await agree(server, [`${name} ${list}`], CONFIG(name));
    }
    // ssh reports it too, and continues with some of them.
    assert.match((await ours(configuration(server, `${name} !ssh-ed25519`))).message, /line 1: .*!ssh-ed25519/);
  }
});

test('StrictHostKeyChecking no rejects a changed key, as ssh disables forwarding, and accepts a new one', async () => {
  const changed = files.file(`${server.address} ${words(otherKey)}`);
  const bad = await start({ certify: certifier(authority, { principals: 'elsewhere' }) });
  const untrusted = files.file(`@cert-authority * ${words(authority)}`);
  for (const word of ['no', 'off']) {
    const lines = (file) => [`StrictHostKeyChecking ${word}`, `UserKnownHostsFile ${file}`];
    for (const [of, file] of [
      [server, changed],
      [bad, untrusted],
    ]) {
      const found = await ours(configuration(of, ...lines(file)));
      assert.match(
        `${found.code} ${found.message}`,
        HOST_KEY('Port forwarding is disabled to avoid man-in-the-middle attacks'),
      );
      // Also for a jump host, and with a hostVerifier that accepts.
      const through = files.file('Host h', ' ProxyJump j', ' HostName 127.0.0.1', ` Port ${server.port}`, 'Host *');
      writeFileSync(through, `Include ${configuration(of, ...lines(file))}\n`, { flag: 'a' });
      const hop = await ours(through, { hostVerifier: () => true, hostKey: own });
      assert.match(hop.message, /^jump host .*Port forwarding is disabled/);
    }
    assert.equal(await ours(configuration(server, ...lines(files.missing()))), true);
    // There is no file to write it to.
    const unwritten = await ours(configuration(server, ...lines('none')));
    assert.match(`${unwritten.code} ${unwritten.message}`, HOST_KEY('is not known'));
    assert.equal(await ours(configuration(server, ...lines('/dev/null'))), true);
  }
  // The constructor's own false is weaker.
  await connectOnce(server, { knownHosts: changed, strictHostKeyChecking: false });
  await assert.rejects(connectOnce(server, { knownHosts: changed, strictHostKeyChecking: 'no' }), HOST_KEY_OBJECT);
});

test('each jump host has its own policies', async () => {
  const hop = { ...server.login, hostKey: [own], revokedHostKeys: files.file(own) };
  const tunnel = new SSHTunnel({ ...certified.login, jump: hop });
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_HOST_KEY', message: /^jump host .* is revoked by/ });
  await tunnel.promises.shutdown();
});
