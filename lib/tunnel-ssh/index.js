'use strict';

// `require('sshtunnel-native/tunnel-ssh')`: what the package tunnel-ssh offers, made of a tunnel of
// ours. docs/migrating.md says where the two differ.

const dns = require('node:dns');
const net = require('node:net');

const { SSHTunnel } = require('../tunnel.js');
const { TunnelClient } = require('./client.js');
const { readOptions } = require('./options.js');
const { TunnelServer } = require('./server.js');
const { fromNative } = require('../errors.js');

async function createTunnel(tunnelOptions, serverOptions, sshOptions, forwardOptions) {
  const { options, host, autoClose, signal } = readOptions(tunnelOptions, serverOptions, sshOptions, forwardOptions);
  // Looked up here, so that server.address() can tell what the name came to.
  const address = net.isIP(host) === 0 ? (await dns.promises.lookup(host)).address : host;
  const tunnel = new SSHTunnel({ ...options, localHost: address });
  // Their order is that of the last events: the port is given up before the session.
  const server = new TunnelServer(tunnel, address, { autoClose, signal });
  const client = new TunnelClient(tunnel);
  try {
    await tunnel.promises.startListening();
  } catch (error) {
    throw explain(error, options);
  }
  server.heed();
  return [server, client];
}

/** Whoever comes from tunnel-ssh has never been asked whom to trust. */
function explain(error, { hostVerifier }) {
  if (error.code !== 'ERR_SSH_HOST_KEY' || hostVerifier !== undefined) return error;
  const message =
    `${error.message}. (tunnel-ssh would have accepted any key. Here sshOptions says whom to trust: ` +
    "hostKey: 'SHA256:...' names a key, knownHosts files, hostVerifier decides, and " +
    "strictHostKeyChecking: 'accept-new' trusts a new server and writes its key down)";
  // With the facts that the error carries.
  return Object.assign(fromNative({ code: error.code, message }), error);
}

module.exports = { createTunnel };
