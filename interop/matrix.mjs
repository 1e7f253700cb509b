// Every server, with every algorithm and every kind of key that it and a tunnel both have, and what it does
// besides.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { MIB, behaviours } from '../__test__/helpers/peers.mjs';
import { certifier, makeKey, temporaryFolder } from '../__test__/helpers/keys.mjs';
import { assertIncludes, openTunnel } from '../__test__/helpers/tunnels.mjs';
import { BEHAVIOURS, exchange } from './behaviours.mjs';
import { clientOffer, common, serverOffer } from './kexinit.mjs';
import { SERVERS } from './servers.mjs';

/** Sent there and back in each case; new keys are agreed on every quarter of it. */
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
  behaviour: 'behaviour',
};
/** Kinds all of whose cases are run by `npm test` for servers that are optional, too; of others the first. */
const THOROUGH = ['user', 'behaviour'];
/** The kind of which `npm test` runs none there: servers in Python take 15 seconds for it. */
const SLOW = 'compress';
/** Kinds whose cases bring their own proof of who the user is. */
const PROVING = ['userKey', 'userCertificate', 'user'];

/** Keys of every kind, and a certificate of each. */
function makeKeys(folder, name, certify) {
  return KEYS.map(([type, bits]) => {
    const key = makeKey(join(folder.path, `${name}_${type}_${bits ?? ''}`), { type, bits });
    return { name: [type, bits].filter(Boolean).join('-'), type, certificate: certify(key), ...key };
  });
}

/** Everything that is secret on either side, and what vouches for it. */
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
 * @param offers what the server offers at each of its ports
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
  // The ciphers that need a MAC, and the MACs that every server can do.
  const counter = common('cipher', client, offer).filter((name) => name.endsWith('-ctr'));
  const hmac = { remove: client.hmac.filter((name) => name.includes('-etm@')) };
  const { username, password } = server;
  const users = {
    ...(password ? { password: { username, password } } : {}),
    ...(server.questions
      ? { 'keyboard-interactive': { username, password, authHandler: ['keyboard-interactive'] } }
      : {}),
    // It lets this user in without proof, and refuses the key.
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
    ...Object.keys(BEHAVIOURS).map((name) => ({ kind: 'behaviour', name, port, options: {} })),
  ];
}

/** Logs on, gets everything back that it sends to a target, and agrees on new keys meanwhile. */
async function forward(t, login, server) {
  const before = server.rekeys?.();
  const open = await openTunnel(t, { login: { ...login, rekey: REKEY } }, behaviours.echo());
  const { client, remote } = await exchange(open, SIZE);
  remote.end(); // how that arrives is for behaviours.mjs
  await client.ended;
  client.end();
  assertIncludes(await open.eventLog.next('disconnected'), {
    bytesUp: SIZE,
    bytesDown: SIZE,
    droppedUp: 0,
    droppedDown: 0,
  });
  // Where the server does not tell: while new keys are agreed on no data may move, so that
  // everything would stand still from the first exchange that fails.
  if (server.rekeys && server.rekeys() - before < 3) throw new Error('keys were not changed');
}

/** Logs on to a server that forwards nothing, and says so: the session outlives that. */
async function connectOnly(t, login) {
  const open = await openTunnel(t, { login }, behaviours.echo());
  for (let turn = 0; turn < 2; turn++) {
    const client = await open.connect();
    assertIncludes(await client.ended, { bytes: 0, end: 'ECONNRESET' });
    assert.match((await open.eventLog.next('disconnected')).code, /^ERR_SSH_OPEN_/);
  }
  // It implements no requests for ports either, and says so.
  const remote = { forwardHost: '127.0.0.1', forwardPort: open.target.port };
  await assert.rejects(open.tunnel.promises.forwardRemote(remote), { code: 'ERR_SSH_FORWARD_REFUSED' });
  assert.deepEqual(open.eventLog.all('close'), []);
}

/**
 * Starts a server and gives its name, its version, and its cases; each case's `run(t)` throws unless
 * the logon, 16 MiB there and back, and changes of keys in between went as they should; those of the kind
 * 'behaviour' do what behaviours.mjs says. A case may have a `flaw`: why the server cannot do what it offers;
 * or a `lack`: why it cannot do what others do.
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
    if (kind !== 'behaviour') return server.forwards === false ? connectOnly(t, all) : forward(t, all, server);
    const { run, fatal } = BEHAVIOURS[name];
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
 * The servers that can be had here, each with its cases; the names of the others.
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
