// Both packages with a createTunnel(): tunnel-ssh and this one.

import original from 'tunnel-ssh';

import { createTunnel } from '../../tunnel-ssh.js';
import { connect } from './peers.mjs';

export const packages = { 'tunnel-ssh': original.createTunnel, 'sshtunnel-native/tunnel-ssh': createTunnel };

/** The outcomes with both packages. */
export async function both(ask) {
  return { theirs: await ask(original.createTunnel), ours: await ask(createTunnel) };
}

/** The arguments of the next event of that name; other than once() of node:events, an error is one as well. */
export const happened = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

/** The reason of a rejected promise. */
export async function rejection(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`not rejected: ${value}`);
}

/** Closes a server of either package. */
export const close = (server) => new Promise((done) => server.close(done));

/** A tunnel of this package until the end of the test. */
export async function open(t, { tunnel = {}, server = {}, ssh, forward }) {
  const pair = await createTunnel(tunnel, server, ssh, forward);
  t.after(async () => {
    pair[1].destroy();
    await close(pair[0]);
  });
  return pair;
}

/** Sends data through a port to an echo, and closes after the reply. */
export async function ask(port, host) {
  const client = await connect(port, { host });
  await client.send(1000);
  await client.received(1000);
  client.socket.destroy();
}
