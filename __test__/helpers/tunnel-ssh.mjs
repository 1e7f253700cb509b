// Both packages with a createTunnel(): tunnel-ssh and this one.

import original from 'tunnel-ssh';

import { createTunnel } from '../../tunnel-ssh.js';
import { connect } from './peers.mjs';

export const packages = { 'tunnel-ssh': original.createTunnel, 'sshtunnel-native/tunnel-ssh': createTunnel };

/** What the one and the other come to. */
export async function both(ask) {
  return { theirs: await ask(original.createTunnel), ours: await ask(createTunnel) };
}

/** The arguments of the next event of that name; other than once() of node:events, an error is one as well. */
export const happened = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

/** What a promise is rejected with. */
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

/** A tunnel of ours, gone after the test. */
export async function open(t, { tunnel = {}, server = {}, ssh, forward }) {
  const pair = await createTunnel(tunnel, server, ssh, forward);
  t.after(async () => {
    pair[1].destroy();
    await close(pair[0]);
  });
  return pair;
}

/** Sends something through a port to an echo, and leaves when it has the answer. */
export async function ask(port, host) {
  const client = await connect(port, { host });
  await client.send(1000);
  await client.received(1000);
  client.socket.destroy();
}
