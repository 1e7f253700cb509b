'use strict';

const { SSHTunnel } = require('./lib/promises.js');
const { SOL_SOCKET, SO_DONTLINGER, SO_LINGER, promises } = require('./lib/sockopt.js');

const { getsockopt, setsockopt, closesocket } = promises;

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
};
