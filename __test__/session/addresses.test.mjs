// The local address that a server is dialed from, and the addresses of the server.

import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { MIB, behaviors } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const addresses = Object.values(networkInterfaces()).flat();
const noIPv6 = addresses.some(({ address }) => address === '::1') ? false : 'this machine has no IPv6';

const failure = (tunnel) =>
  tunnel.promises.connect().then(
    () => undefined,
    (error) => error,
  );

test('the server is dialed over IPv6', { skip: noIPv6 }, async (t) => {
  const dual = await Sshd.start({ config: ['ListenAddress ::1'] });
  t.after(() => dual.stop());
  for (const how of [{}, { forceIPv6: true, localAddress: '::1' }]) {
    const login = { ...dual.login, host: '::1', ...how };
    await roundTrip(await openTunnel(t, { login }, behaviors.echo()), MIB);
  }
  assert.equal(dual.log().match(/Connection from ::1 /g).length, 2);
});

test('a host name is dialed at any of its addresses', async (t) => {
  await makeTunnel(t, { ...server.login, host: 'localhost' }, 1).promises.connect();
  await makeTunnel(t, { ...server.login, host: 'localhost', forceIPv4: true }, 1).promises.connect();
});

test('localAddress is the address dialed from', async (t) => {
  await makeTunnel(t, { ...server.login, localAddress: '127.0.0.2' }, 1).promises.connect();
  await server.logged(/Connection from 127\.0\.0\.2 /);
});

test('localAddress of another machine fails', async (t) => {
  const error = await failure(makeTunnel(t, { ...server.login, localAddress: '192.0.2.1' }, 1));
  assert.deepEqual([error.code, error.syscall, error.address], ['EADDRNOTAVAIL', 'bind', '192.0.2.1']);
});

for (const how of [{ forceIPv6: true }, { localAddress: '::1' }]) {
  test(`a host without addresses of the requested family fails: ${Object.keys(how)}`, async (t) => {
    const error = await failure(makeTunnel(t, { ...server.login, ...how }, 1));
    assert.deepEqual([error.code, error.syscall, error.address], ['ENOTFOUND', 'getaddrinfo', '127.0.0.1']);
  });
}
