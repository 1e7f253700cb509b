'use strict';

// `require('sshtunnel-native/tunnel-ssh')`: createTunnel() of the package tunnel-ssh. docs/migrating.md lists the
// differences.
//
//   options.js       the four arguments, as options of a tunnel; algorithms.js, auth-handler.js: lists as in ssh2
//   server.js        the net.Server of the result; connection.js: its connections
//   client.js        the ssh2 Client of the result

const dns = require('node:dns');
const net = require('node:net');

const { SSHTunnel } = require('../tunnel.js');
const { TunnelClient } = require('./client.js');
const { readOptions } = require('./options.js');
const { TunnelServer } = require('./server.js');
const { fromNative } = require('../errors.js');

async function createTunnel(tunnelOptions, serverOptions, sshOptions, forwardOptions) {
  const read = await readOptions(tunnelOptions, serverOptions, sshOptions, forwardOptions);
  const { options, prompt, host, autoClose, signal } = read;
  // Resolved here, so that server.address() has the address.
  const address = net.isIP(host) === 0 ? (await dns.promises.lookup(host)).address : host;
  const tunnel = new SSHTunnel({ ...options, localHost: address });
  if (prompt !== undefined) tunnel.on('keyboard-interactive', prompt);
  // In the order of their last events: the port is closed before the session.
  const server = new TunnelServer(tunnel, address, { autoClose, signal });
  const client = new TunnelClient(tunnel);
  try {
    await tunnel.promises.startListening();
  } catch (error) {
    throw explain(error, options);
  }
  server.followSignal();
  return [server, client];
}

/** Adds to the error of a host key, which tunnel-ssh does not check. */
function explain(error, { hostVerifier }) {
  if (error.code !== 'ERR_SSH_HOST_KEY' || hostVerifier !== undefined) return error;
  const message =
    `${error.message}. (tunnel-ssh accepts any key. Here sshOptions has to contain what to trust: ` +
    "hostKey: 'SHA256:...' a key, knownHosts files, hostVerifier a function; " +
    "strictHostKeyChecking: 'accept-new' trusts a new server and writes its key)";
  // With the facts that the error carries.
  return Object.assign(fromNative({ code: error.code, message }), error);
}

module.exports = { createTunnel };
