// Never run, like program.mts: a program for tunnel-ssh with our package in its place.
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';

import {
  createTunnel,
  type ForwardOptions,
  type ServerOptions,
  type SshOptions,
  type TunnelClient,
  type TunnelConnection,
  type TunnelOptions,
  type TunnelServer,
} from 'sshtunnel-native/tunnel-ssh';

const tunnelOptions: TunnelOptions = { autoClose: true, reconnectOnError: false };
const serverOptions: ServerOptions = { host: '127.0.0.1', port: 27017 };
const sshOptions: SshOptions = {
  host: '192.168.100.100',
  port: 22,
  username: 'frylock',
  password: 'nodejsrules',
  privateKey: readFileSync('/key'),
  passphrase: 'secret',
  agent: process.env.SSH_AUTH_SOCK,
  tryKeyboard: true,
  authHandler: ['publickey', 'password'],
  algorithms: { cipher: ['aes128-ctr', 'aes128-cbc'], kex: { remove: 'diffie-hellman-group14-sha1' } },
  keepaliveInterval: 1000,
  hostHash: 'sha256',
  hostVerifier: (hash: string) => hash === 'digits',
  debug: console.log,
};
const forwardOptions: ForwardOptions = { srcAddr: '0.0.0.0', srcPort: 27017, dstAddr: '127.0.0.1', dstPort: 27017 };

const [server, client] = await createTunnel(tunnelOptions, serverOptions, sshOptions, forwardOptions);
const both: [TunnelServer, TunnelClient] = [server, client];
const address: AddressInfo | null = server.address();
server.on('connection', (connection: TunnelConnection) => {
  connection
    .on('error', ({ code }) => console.log(code))
    .on('close', (hadError, { clean }) => console.log(hadError, clean));
  if (connection.remoteAddress === '::1') connection.destroy();
});
server.on('error', (error) => console.log(error.code)).once('close', () => undefined);
server.getConnections((error, count) => console.log(error ?? count.toFixed()));
server
  .unref()
  .ref()
  .close((error) => console.log(error?.message));
client
  .on('error', (error: Error) => console.log(error.message))
  .on('ready', () => undefined)
  .end();

// What sshtunnel-native adds.
await createTunnel(
  { reconnectOnError: { maxAttempts: 3 }, linger: { l_onoff: 1, l_linger: 5 }, idleTimeout: 1000 },
  null,
  { hostKey: 'SHA256:...', jump: { host: 'gateway' }, hostVerifier: async (key: Buffer) => key.length > 0 },
  { dstPort: 5432 },
);

// @ts-expect-error the port is needed
await createTunnel({}, {}, sshOptions, { dstAddr: '127.0.0.1' });
// @ts-expect-error a tunnel runs no commands
client.exec('ls');
const handlers: SshOptions[] = [
  { authHandler: () => false },
  {
    authHandler: (left, partial, next) =>
      next(left === null ? { type: 'password', username: 'u', password: 'p' } : false),
  },
  { authHandler: ['none', { type: 'publickey', username: 'u', key: readFileSync('/key') }] },
  {
    authHandler: [
      { type: 'keyboard-interactive', username: 'u', prompt: (name, text, lang, prompts, done) => done([]) },
    ],
  },
  { algorithms: { cipher: { remove: [/cbc/, 'aes128-ctr'] } } },
  { port: '22', readyTimeout: '20000', agent: { socketPath: '/socket' } },
];
server.maxConnections = 10;
server.on('drop', ({ remotePort }) => console.log(remotePort));
console.log(server.connections.toFixed(), server.listen(0) === server);
// @ts-expect-error no such method
const unknown: SshOptions = { authHandler: ['magic'] };
// @ts-expect-error no such option
const misspelt: SshOptions = { readyTimeOut: 1 };
void [both, address, handlers, unknown, misspelt];
