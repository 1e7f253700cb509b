// Never run: `tsc` reads it. What must not compile stands behind @ts-expect-error.
import { once } from 'node:events';
import { get } from 'node:http';
import type { Server } from 'node:http';
import { type TLSSocket, connect } from 'node:tls';

import {
  SSHTunnel,
  SOL_SOCKET,
  SO_DONTLINGER,
  SO_LINGER,
  closesocket,
  getsockopt,
  promises,
  setsockopt,
  sshtunnel,
  type AgentKey,
  type Callback,
  type ClosedSocket,
  type Connection,
  type ConnectionEnd,
  type ConnectionInfo,
  type ConnectionStats,
  type CredentialAgent,
  type CredentialRequest,
  type Forward,
  type HostKeyInfo,
  type Linger,
  type Reconnecting,
  type SSHTunnelChannels,
  type SSHTunnelError,
  type SSHTunnelOptions,
  type SignatureRequest,
  type TunnelSocket,
  type TunnelStats,
} from 'sshtunnel-native';
import { contentType, metrics } from 'sshtunnel-native/prometheus';

const options: SSHTunnelOptions = {
  host: 'ssh.example.org',
  port: 22,
  username: 'user',
  password: 'secret',
  privateKey: ['text', Buffer.from('key'), { key: 'text', passphrase: 'secret', certificate: Buffer.from('line') }],
  passphrase: 'secret',
  certificate: undefined,
  algorithms: {
    kex: ['curve25519-sha256'],
    cipher: { prepend: 'aes256-ctr', remove: ['aes128-ctr'], append: undefined },
    compress: undefined,
    caSignature: ['ssh-ed25519'],
    publicKey: { remove: 'rsa-sha2-256' },
  },
  agent: process.env.SSH_AUTH_SOCK,
  agentKeys: ['ssh-ed25519 AAAA...'],
  tryKeyboard: true,
  authHandler: ['none', 'publickey', 'agent', 'keyboard-interactive', 'password'],
  hostKey: ['SHA256:...'],
  knownHosts: '/etc/ssh/ssh_known_hosts',
  hostVerifier: async (key: HostKeyInfo) => key.fingerprint.startsWith('SHA256:') && key.key.length > 0,
  strictHostKeyChecking: 'accept-new',
  hostKeyAlias: 'gateway',
  updateHostKeys: true,
  localHost: '127.0.0.1',
  localPort: 0,
  maxConnections: 10,
  reusePort: true,
  forwardHost: 'db.example.org',
  forwardPort: 5432,
  linger: { l_onoff: 1, l_linger: 0 },
  keepAlive: true,
  idleTimeout: 60_000,
  maxRate: { down: 1_000_000 },
  keepaliveInterval: 0,
  keepaliveCountMax: 3,
  readyTimeout: 20_000,
  reconnect: { initialDelay: 1000, maxDelay: 30_000, maxAttempts: undefined },
  windowLimit: 2 ** 24,
  memoryLimit: 2 ** 30,
  sessions: 4,
  debug: (line) => console.error(line.toUpperCase()),
};
const ways: SSHTunnelOptions['sessions'][] = ['auto', {}, { max: 8, connectionsEach: 32 }, undefined];
// @ts-expect-error: no other word
ways.push('many');
// @ts-expect-error: a number
ways.push({ max: '8' });

const agent: CredentialAgent = {
  list: async ({ username, signal }: CredentialRequest) => (signal.aborted ? [] : [username, Buffer.alloc(1)]),
  sign(key: AgentKey, data: Buffer, { algorithm, hash, attempt }: SignatureRequest) {
    const named: string | null = hash;
    void [key, algorithm, named, attempt.toFixed()];
    return data;
  },
};
const given: SSHTunnelOptions = {
  ...options,
  password: () => 'secret',
  privateKey: async ({ host, port }) => ({ key: `${host}:${port}`, certificate: Buffer.alloc(1) }),
  passphrase: async () => undefined,
  certificate: () => Buffer.alloc(1),
  agent,
  agentKeys: async () => ['ssh-ed25519 AAAA...'],
  jump: { host: 'gateway', privateKey: () => ['one', { key: 'two' }], agent },
};
// @ts-expect-error: a number
given.password = () => 5;
// @ts-expect-error: without sign
given.agent = { list: () => [] };

const tunnel = new SSHTunnel(options);
const asked: Promise<void> = tunnel.promises.trustHost({ host: 'h', port: 22, publicKey: 'ssh-ed25519 AAAA...' });
tunnel.connect((error) => {
  if (error?.hostKey) tunnel.trustHost(error.hostKey, (failed) => void [failed?.code, asked]);
  const texts: (string | undefined)[] = [error?.hostKey?.name, error?.hostKey?.type, error?.hostKey?.publicKey];
  void texts;
});
const configured: SSHTunnel = SSHTunnel.fromConfig('host', { configFile: 'none', username: 'user', forwardPort: 1 });
for (const { host, option, value, reason, file, line } of configured.configNotices) {
  const texts: (string | undefined)[] = [host, option, value, reason, file, line?.toFixed()];
  void texts;
}
// @ts-expect-error no such option
SSHTunnel.fromConfig('host', { config: 'none' });
tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => {
  finish(prompts.map(({ prompt, echo }) => (echo ? prompt : `${name}${instructions}${lang}`)));
  // @ts-expect-error answers are strings
  finish([5]);
});
const proxies: SSHTunnelOptions['proxy'][] = [
  'env',
  'socks5://proxy:1080',
  { protocol: 'http', host: 'proxy', port: 3128, username: 'user', password: Buffer.from('secret') },
  undefined,
];
const socks: SSHTunnelOptions['sock'][] = [() => connect(22), async () => connect(22), connect(22), undefined];
// @ts-expect-error: a string is no stream
socks.push(() => 'stream');
// @ts-expect-error: no such protocol
proxies.push({ protocol: 'socks4', host: 'proxy' });
const refusedBy = ({ proxy }: SSHTunnelError): string | undefined =>
  proxy?.reason === 'refused' ? (proxy.statusMessage ?? proxy.replyCode?.toFixed()) : proxy?.host;
void refusedBy;
// @ts-expect-error no such method
const misspelt: SSHTunnelOptions = { ...options, authHandler: ['keyboard'] };
const other: sshtunnel = new sshtunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 });

const graceful: boolean = tunnel.getLinger();
tunnel.setLinger(!graceful);
const option: Linger = tunnel.getLingerOption();
tunnel.setLingerOption({ ...option, l_onoff: 0 });
const milliseconds: number = tunnel.getIdleTimeout();
tunnel.setMaxRate(undefined);
tunnel.getMaxRate((_error, limits) => limits.up + limits.down);
tunnel.setIdleTimeout(milliseconds, (error) => {
  const none: null | SSHTunnelError = error;
  void none;
});
tunnel.setKeepAlive(!tunnel.getKeepAlive());

tunnel.getLinger((error, linger) => {
  if (error) {
    const code: string = error.code;
    const errno: number | undefined = error.errno;
    void [code, errno];
  } else {
    const value: boolean = linger;
    void value;
  }
});
const callback: Callback<Connection[]> = (error, connections) => {
  if (error === null)
    for (const { connectionId, state } of connections) if (state === 'open') tunnel.disconnect(connectionId);
};
tunnel.connections(callback);

tunnel.on('connectionRequest', (request) =>
  (request.remotePort ?? 0) > 1024 && request.forwardId === 0 ? request.accept() : request.reject(),
);
tunnel.on('connection', (connection) => console.log(connection.bytesUp, connection.linger.l_onoff));
tunnel.once('disconnected', (end: ConnectionEnd) => console.log(end.closedBy === 'reset', end.droppedDown));
tunnel.on('reconnecting', ({ attempt, delay, error }: Reconnecting) => console.log(attempt + delay, error.code));
tunnel.on('sessionError', ({ code, message }) => console.log(code, message));
// @ts-expect-error boolean or object
const slow: SSHTunnelOptions = { ...options, reconnect: 1000 };
tunnel
  .on('error', (error) => console.log(error.syscall))
  .on('close', () => undefined)
  .ref()
  .unref();

export async function main(): Promise<void> {
  await once(tunnel, 'ready');
  await tunnel.promises.startListening();
  const port: number = tunnel.localPort;
  const listening: boolean = tunnel.listening;
  const connections: ConnectionInfo[] = await tunnel.promises.connections();
  for (const connection of await tunnel.promises.connections()) {
    connection.setLingerOption({ l_onoff: 1, l_linger: 5 });
    connection.setIdleTimeout(1000);
    connection.setKeepAlive(true, (error) => void error);
    connection.setKeepAlive(false, 1000, () => {});
    connection.setMaxRate({ up: connection.getMaxRate().down });
    // @ts-expect-error: a number
    connection.setMaxRate({ up: '1' });
    connection.setLinger(!connection.getLinger(), (error) => void error);
    const { l_linger }: Linger = await connection.promises.getLingerOption();
    void l_linger;
    connection.close((error) => void error);
    await connection.promises.reset();
  }
  tunnel.shutdown({ force: true }, (error) => void error);
  await tunnel.promises.shutdown({ force: false });
  const { sessions, connections: counts }: TunnelStats = await tunnel.promises.stats();
  const roundTrip: number | undefined = sessions.roundTrip;
  const reset: number = tunnel.stats().connections.ended.ECONNRESET ?? counts.closedBy.reset;
  tunnel.stats((error, stats) => void (error ?? stats.connections.refused.ERR_SSH_OPEN_FAILED));
  const lost: SSHTunnelChannels['sshtunnel.session.lost'] = {
    tunnel,
    sessionId: 1,
    host: 'ssh.example.org',
    port: 22,
    error: new Error() as SSHTunnelError,
  };
  // @ts-expect-error messages are frozen
  lost.sessionId = 2;
  void [roundTrip, reset, lost];
  const forward: Forward = await tunnel.promises.forwardLocal({
    localPath: '/run/a.sock',
    forwardHost: 'db',
    forwardPort: 5432,
  });
  forward.stop((error) => void error);
  await forward.promises.stop();
  const { accepted }: ConnectionStats = forward.stats();
  const later: ConnectionStats = await forward.promises.stats();
  forward.stats((error, { pending }) => void [error, pending, accepted, later]);
  await tunnel.promises.forwardLocal({ localFd: 3, forwardPath: '/run/b.sock' });
  await tunnel.promises.forwardDynamic({ localFd: undefined });
  // @ts-expect-error a descriptor is a number
  await tunnel.promises.forwardDynamic({ localFd: '3' });
  tunnel.forwardLocal({ forwardPath: '/run/b.sock' }, (error, { localPort }) => void [error, localPort]);
  const { localPort: socksPort, forwardHost: none }: Forward = await tunnel.promises.forwardDynamic({
    username: 'u',
    password: 'p',
  });
  tunnel.forwardDynamic({}, (error, { kind }) => void [error, socksPort, none, kind === 'dynamic']);
  const { remoteHost, remotePort = 0 }: Forward = await tunnel.promises.forwardRemote({
    remotePort: 0,
    forwardHost: 'localhost',
    forwardPort: 80,
  });
  await tunnel.promises.forwardRemote({ remotePort: 1080, socks: true, username: 'u', password: 'p' });
  tunnel.forwardRemote(
    { remotePath: '/run/c.sock', forwardPath: '/run/d.sock' },
    (error, { remotePath }) => void [error, remoteHost, remotePort, remotePath],
  );
  tunnel.on('forwardError', ({ code }, forwardId) => console.log(code, forwardId.toFixed()));
  for (const { forwardId, kind, listening } of tunnel.forwards())
    void [forwardId.toFixed(), kind === 'local', listening];
  const socket: TunnelSocket = tunnel.dial('db', 5432);
  socket.setLinger(false, () => socket.destroy());
  socket.setLingerOption(socket.getLingerOption());
  const dialed: TunnelSocket = await tunnel.promises.dial({ path: '/run/b.sock', allowHalfOpen: true });
  dialed.resetAndDestroy().connectionId.toFixed();
  get('http://a/', { agent: tunnel.httpAgent({ keepAlive: true }) });
  await tunnel.promises.setLingerOption({ l_onoff: 0, l_linger: 0 });
  const ends: ConnectionEnd[] = await tunnel.close({ timeout: 1000 });
  tunnel.close((error, ends) => void [error, ends.map(({ clean }) => clean)]);
  const disposable: AsyncDisposable = other;
  void [port, listening, connections, ends, disposable];
}

async function sockets(socket: TLSSocket, server: Server): Promise<void> {
  const { l_onoff, l_linger }: Linger = getsockopt(socket, SO_LINGER);
  const lingers: boolean = getsockopt(server, SO_DONTLINGER);
  const either: Linger | boolean = getsockopt(3, SOL_SOCKET);
  getsockopt(socket, SO_DONTLINGER, (error, on) => void (error ?? on.valueOf()));
  setsockopt(socket, SO_LINGER, { l_onoff, l_linger });
  setsockopt(server, SO_DONTLINGER, 0, (error) => void error);
  setsockopt(server, SO_DONTLINGER, lingers);
  const { graceful, unsent }: ClosedSocket = closesocket(socket);
  closesocket(3, (error, closed) => void (error ?? closed.unsent.toFixed()));
  await promises.setsockopt(socket, SO_LINGER, await promises.getsockopt(socket, SO_LINGER));
  const closed: ClosedSocket = await promises.closesocket(server);
  // @ts-expect-error the structure belongs to the other option
  setsockopt(socket, SO_DONTLINGER, { l_onoff, l_linger });
  // @ts-expect-error as does the switch
  setsockopt(socket, SO_LINGER, true);
  // @ts-expect-error no socket
  closesocket('3');
  void [either, graceful, unsent, closed];
}

new SSHTunnel({ host: 'h' });
// @ts-expect-error host is missing
new SSHTunnel({});
new SSHTunnel({ ...options, strictHostKeyChecking: 'no', revokedHostKeys: '/etc/ssh/revoked', requiredRSASize: 3072 });
// @ts-expect-error a word of ssh_config that stands for 'no'
new SSHTunnel({ ...options, strictHostKeyChecking: 'off' });
// @ts-expect-error no kind of algorithms
new SSHTunnel({ ...options, algorithms: { ciphers: ['aes256-ctr'] } });
// @ts-expect-error neither a list nor a change of one
new SSHTunnel({ ...options, algorithms: { cipher: 'aes256-ctr' } });
// @ts-expect-error not a boolean
tunnel.setLinger('yes');
// @ts-expect-error nothing to set
tunnel.setLinger();
// @ts-expect-error not a callback
tunnel.setLinger(true, 5);
// @ts-expect-error not a boolean
tunnel.shutdown({ force: 1 });
// @ts-expect-error a member is missing
tunnel.setLingerOption({ l_onoff: 1 });
// @ts-expect-error read only
tunnel.localPort = 1;
// @ts-expect-error no such member
tunnel.on('connection', (connection) => connection.nothing);
// @ts-expect-error not what the event brings
tunnel.on('connection', (connection: number) => connection);
// @ts-expect-error no such event
tunnel.on('disconect', () => undefined);

async function exposed(tunnel: SSHTunnel): Promise<string> {
  const { SSHTunnel: PromisesTunnel } = await import('sshtunnel-native/promises');
  const text: string = await metrics([{ tunnel, labels: { tunnel: 'db' } }, { tunnel: new PromisesTunnel(options) }]);
  // @ts-expect-error a label is a text
  await metrics([{ tunnel, labels: { tunnel: 5 } }]);
  // @ts-expect-error tunnels are in a list
  await metrics(tunnel);
  return contentType + text;
}
void exposed;
