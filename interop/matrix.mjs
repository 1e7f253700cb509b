// Every server, with every algorithm and every kind of key that it and a tunnel both have.

import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { MIB, behaviours } from '../__test__/helpers/peers.mjs';
import { certifier, makeKey, temporaryFolder } from '../__test__/helpers/keys.mjs';
import { openTunnel, thereAndBack } from '../__test__/helpers/tunnels.mjs';
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
  password: 'user',
};

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
  const password = server.password && { kind: 'password', name: 'password', port, options: { password: server.password } };
  return [
    ...of('kex'),
    ...of('cipher', { hmac }),
    ...of('hmac', { cipher: counter }),
    ...of('serverHostKey'),
    ...of('compress'),
    ...userKeys.map(({ name, privateKey }) => ({ kind: 'userKey', name, port, options: { privateKey } })),
    ...(server.certificates ? userKeys : []).map(({ name, privateKey, certificate }) => ({
      kind: 'userCertificate',
      name,
      port,
      options: { privateKey, certificate: readFileSync(certificate, 'utf8') },
    })),
    ...(password ? [password] : []),
  ];
}

/**
 * Starts a server and gives its name, its version, and its cases; each case's `run(t)` throws unless
 * the logon, 16 MiB there and back, and changes of keys in between went as they should.
 */
async function prepare({ name, version, flaws = {}, start }, identities) {
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
  const run = async (t, { kind, port, options }) => {
    const before = server.rekeys?.();
    const proof = ['userKey', 'userCertificate', 'password'].includes(kind) ? {} : { privateKey: userKeys[0].privateKey };
    const all = { ...login, port, ...proof, ...options, rekey: REKEY };
    const open = await openTunnel(t, { login: all }, behaviours.echo());
    await thereAndBack(open, SIZE);
    // Where the server does not tell: while new keys are agreed on no data may move, so that
    // everything would stand still from the first exchange that fails.
    if (server.rekeys && server.rekeys() - before < 3) throw new Error('keys were not changed');
  };
  const all = cases(client, offers, server, identities);
  return {
    name,
    version: version(),
    cases: all.map((one) => ({ ...one, flaw: flaws[one.name], run: (t) => run(t, one) })),
    stop: server.stop,
  };
}

/** The servers that can be had here, each with its cases; the names of the others. */
export async function matrix() {
  const folder = temporaryFolder('interop');
  const identities = makeIdentities(folder);
  const [servers, missing] = [[], []];
  for (const server of SERVERS) {
    if (server.available()) servers.push(await prepare(server, identities));
    else missing.push(server.name);
  }
  const stop = async () => {
    for (const server of servers) await server.stop();
    folder.remove();
  };
  return { servers, missing, stop };
}
