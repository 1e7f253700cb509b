'use strict';

const {
  SOL_SOCKET,
  SO_DONTLINGER,
  SO_LINGER,
  closesocket,
  getsockopt,
  promises,
  setsockopt,
} = require('./lib/sockopt.js');
const { SSHTunnel } = require('./lib/tunnel.js');

// By name each: Node.js finds the names that an ES module may import by reading this.
module.exports = {
  SSHTunnel,
  sshtunnel: SSHTunnel,
  SOL_SOCKET,
  SO_LINGER,
  SO_DONTLINGER,
  getsockopt,
  setsockopt,
  closesocket,
  promises,
};
