// Every server with every algorithm and key type in common with a tunnel, and its
// behaviors.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { MIB, behaviors } from '../__test__/helpers/peers.mjs';
import { certifier, makeKey, temporaryFolder } from '../__test__/helpers/keys.mjs';
import { assertIncludes, openTunnel } from '../__test__/helpers/tunnels.mjs';
import { BEHAVIORS, exchange } from './behaviors.mjs';
import { clientOffer, common, serverOffer } from './kexinit.mjs';
import { SERVERS } from './servers.mjs';

/** Sent to an echo in each case, with rekeying after every quarter. */
const SIZE = 16 * MIB;
const REKEY = { bytes: SIZE / 4 };

const KEYS = [['ed25519'], ['ecdsa', 256], ['ecdsa', 384], ['ecdsa', 521], ['rsa', 3072]];

/** The kinds of rows, in the order of the table. */
export const KINDS = {
  kex: 'key exchange',
  cipher: 'cipher',
  hmac: 'MAC',
  serverHostKey: 'host key',
  compress: 'compression',
  userKey: 'user key',
  userCertificate: 'user certificate',
  user: 'user',
  behavior: 'behavior',
};
/** Kinds whose cases all run in `npm test` for optional servers too; of other kinds, the first case runs. */
const THOROUGH = ['user', 'behavior'];
/** The kind that `npm test` skips for them: servers in Python take 15 seconds for it. */
const SLOW = 'compress';
/** Kinds whose cases have credentials of their own. */
const PROVING = ['userKey', 'userCertificate', 'user'];

/** Keys of every type, and a certificate of each. */
function makeKeys(folder, name, certify) {
  return KEYS.map(([type, bits]) => {
    const key = makeKey(join(folder.path, `${name}_${type}_${bits ?? ''}`), { type, bits });
    return { name: [type, bits].filter(Boolean).join('-'), type, certificate: certify(key), ...key };
  });
}

/** The keys of both sides, and the certificate authority. */
function makeIdentities(folder) {
  const authority = makeKey(join(folder.path, 'authority'));
  const knownHosts = join(folder.path, 'known_hosts');
  writeFileSync(knownHosts, `@cert-authority * ${authority.publicKey}\n`);
  const user = { kind: 'user', principals: `user,${userInfo().username}` };
  return {
    authority,
    knownHosts,
    hostKeys: makeKeys(folder, 'host', certifier(authority, { principals: '127.0.0.1' })),
    userKeys: makeKeys(folder, 'user', certifier(authority, user)),
  };
}

/**
 * The cases of one server: { kind, name, port, options }, where `options` are those of the tunnel.
 * @param offers the server's offer on each of its ports
 */
function cases(client, offers, server, { knownHosts, userKeys }) {
  const of = (kind, more) => {
    const found = new Map();
    for (const [port, offer] of offers) {
      for (const name of common(kind, client, offer)) if (!found.has(name)) found.set(name, port);
    }
    const list = client[kind].filter((name) => found.has(name));
    const options = (name) => ({
      algorithms: { [kind]: [name], ...more },
      ...(name.includes('-cert-') ? { hostKey: undefined, knownHosts } : {}),
    });
    return list.map((name) => ({ kind, name, port: found.get(name), options: options(name) }));
  };
  const [[port, offer]] = offers;
  // The ciphers that need a MAC, and MACs that every server supports.
  const counter = common('cipher', client, offer).filter((name) => name.endsWith('-ctr'));
  const hmac = { remove: client.hmac.filter((name) => name.includes('-etm@')) };
  const { username, password } = server;
  const users = {
    ...(password ? { password: { username, password } } : {}),
    ...(server.questions
      ? { 'keyboard-interactive': { username, password, authHandler: ['keyboard-interactive'] } }
      : {}),
    // It accepts this user without credentials, and refuses the key.
    ...(server.open ? { none: { username: server.open, privateKey: userKeys[0].privateKey } } : {}),
  };
  return [
    ...of('kex'),
    ...of('cipher', { hmac }),
    ...(counter.length > 0 ? of('hmac', { cipher: counter }) : []),
    ...of('serverHostKey'),
    ...of('compress'),
    ...userKeys
      .filter(({ type }) => server.userKeyTypes?.includes(type) ?? true)
      .map(({ name, privateKey }) => ({ kind: 'userKey', name, port, options: { privateKey } })),
    ...(server.certificates ? userKeys : []).map(({ name, privateKey, certificate }) => ({
      kind: 'userCertificate',
      name,
      port,
      options: { privateKey, certificate: readFileSync(certificate, 'utf8') },
    })),
    ...Object.entries(users).map(([name, options]) => ({ kind: 'user', name, port, options })),
    ...Object.keys(BEHAVIORS).map((name) => ({ kind: 'behavior', name, port, options: {} })),
  ];
}

/** Connects, receives everything that it sends to an echo, and rekeys meanwhile. */
async function forward(t, login, server) {
  const before = server.rekeys?.();
  const open = await openTunnel(t, { login: { ...login, rekey: REKEY } }, behaviors.echo());
  const { client, remote } = await exchange(open, SIZE);
  remote.end(); // behaviors.mjs tests how that arrives
  await client.ended;
  client.end();
  assertIncludes(await open.eventLog.next('disconnected'), {
    bytesUp: SIZE,
    bytesDown: SIZE,
    droppedUp: 0,
    droppedDown: 0,
  });
  // If the server does not report it: no data may move during a key exchange, so
  // everything would stop at the first exchange that fails.
  if (server.rekeys && server.rekeys() - before < 3) throw new Error('keys were not changed');
}

/** Connects to a server that refuses to forward: the session stays. */
async function connectOnly(t, login) {
  const open = await openTunnel(t, { login }, behaviors.echo());
  for (let turn = 0; turn < 2; turn++) {
    const client = await open.connect();
    assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
    assert.match((await open.eventLog.next('disconnected')).code, /^ERR_SSH_OPEN_/);
  }
  // It also refuses requests for ports.
  const remote = { forwardHost: '127.0.0.1', forwardPort: open.target.port };
  await assert.rejects(open.tunnel.promises.forwardRemote(remote), { code: 'ERR_SSH_FORWARD_REFUSED' });
  assert.deepEqual(open.eventLog.all('close'), []);
}

/**
 * Starts a server and returns its name, version and cases. The `run(t)` of a case throws unless
 * the connect, 16 MiB both ways and rekeying in between succeed; cases of the kind
 * 'behavior' run behaviors.mjs. A case may have a `flaw`: why the server fails at what it offers;
 * or a `lack`: why it does not support what others do.
 */
async function prepare({ name, version, optional = false, flaws = {}, lacks = {}, start }, identities) {
  const { hostKeys, userKeys } = identities;
  const server = await start(identities);
  const client = await clientOffer({ algorithms: { compress: ['zlib@openssh.com', 'none'] } });
  const offers = [];
  for (const port of server.ports) offers.push([port, await serverOffer(port)]);
  const login = {
    host: '127.0.0.1',
    username: server.username,
    hostKey: hostKeys.map(({ publicKey }) => publicKey),
  };
  const run = async (t, { kind, name, port, options }) => {
    const proof = PROVING.includes(kind) ? {} : { privateKey: userKeys[0].privateKey };
    const all = { ...login, port, ...proof, ...options };
    if (kind !== 'behavior') return server.forwards === false ? connectOnly(t, all) : forward(t, all, server);
    const { run, fatal } = BEHAVIORS[name];
    if (!fatal) return run(t, all, server);
    const victim = await start(identities);
    t.after(() => victim.stop());
    return run(t, { ...all, port: victim.ports[0] }, victim);
  };
  const all = cases(client, offers, server, identities);
  const first = ({ kind }, index) => all.findIndex((other) => other.kind === kind) === index;
  return {
    name,
    optional,
    version: version(),
    cases: all.map((one, index) => ({
      ...one,
      flaw: flaws[one.name],
      lack: lacks[one.name],
      partly: server.forwards === false ? 'logon' : undefined,
      quick: !optional || THOROUGH.includes(one.kind) || (one.kind !== SLOW && first(one, index)),
      run: (t) => run(t, one),
    })),
    stop: server.stop,
  };
}

/**
 * The available servers with their cases, and the names of the others.
 * @param wanted names of the only servers to start
 */
export async function matrix(wanted = SERVERS.map(({ name }) => name)) {
  const folder = temporaryFolder('interop');
  const identities = makeIdentities(folder);
  const [servers, missing] = [[], []];
  for (const server of SERVERS.filter(({ name }) => wanted.includes(name))) {
    if (server.available()) servers.push(await prepare(server, identities));
    else missing.push({ name: server.name, optional: server.optional ?? false });
  }
  const stop = async () => {
    for (const server of servers) await server.stop();
    folder.remove();
  };
  return { servers, missing, stop };
}
