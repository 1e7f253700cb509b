'use strict';

// Socket activation: sockets of the service manager that listen already take the place of binding by -L and -D.

const { SocketAddress, isIPv6 } = require('node:net');

const { fromNative } = require('../errors.js');
const { binding } = require('../native/index.js');
const { UsageError } = require('./arguments.js');
const { Forwarding } = require('./forwardings.js');
const { place } = require('./output/text.js');

/** An address as text, in the spelling of the addon. @param {{ host?: string, port?: number, path?: string }} address */
function addressText({ host, port, path }) {
  if (path !== undefined) return path;
  return place(isIPv6(host) ? new SocketAddress({ address: host, family: 'ipv6' }).address : host, port);
}

/** Where a socket listens. @param {{ descriptor: number, name: string }} socket */
function addressOf({ descriptor, name }) {
  const address = binding.listenerAddress(descriptor);
  if (!('code' in address)) return addressText(address);
  const { message } = fromNative(address);
  throw new UsageError(
    `socket activation: descriptor ${descriptor} (name '${name}') is no listening stream socket: ${message}`,
  );
}

/**
 * Finds the sockets of each forwarding: the ones at its local addresses, and then the ones that have its port or path as
 * their name.
 * @param {{ descriptor: number, name: string }[]} sockets
 * @param {import('./settings.js').Settings} settings
 * @returns {Map<object, number[]>} descriptors by the forwardings of the settings
 */
function assignSockets(sockets, settings) {
  const found = new Map();
  let rest = sockets.map((socket) => ({ ...socket, address: addressOf(socket) }));
  const forwardings = settings.forwardings.filter(({ kind }) => kind !== 'remote');
  /** Gives the sockets that fit to a forwarding. */
  const take = (value, fits) => {
    const taken = rest.filter(fits).map(({ descriptor }) => descriptor);
    rest = rest.filter((socket) => !fits(socket));
    found.set(value, [...(found.get(value) ?? []), ...taken]);
  };
  for (const value of forwardings) {
    const addresses = new Forwarding(value)
      .listenAddresses(settings)
      .map(({ localHost: host, localPort: port, localPath: path }) => addressText({ host, port, path }));
    take(value, ({ address }) => addresses.includes(address));
  }
  for (const value of forwardings) {
    const { port, path } = value.listen;
    take(value, ({ name }) => name === (path ?? String(port)));
  }
  if (rest.length > 0) {
    const [{ name, address }] = rest;
    throw new UsageError(
      `socket activation: no -L and no -D is for the socket at ${address} (name '${name}'): ` +
        'the address has to be the same, or the name the port or path',
    );
  }
  return found;
}

module.exports = { assignSockets };
