'use strict';

// The classes whose methods return promises; all else they inherit.

const { Connection } = require('./connection.js');
const { Forward } = require('./forward.js');
const { definePromised } = require('./native/index.js');
const { PARTS, SSHTunnel } = require('./tunnel.js');

class PromisesConnection extends Connection {}
definePromised(PromisesConnection);

class PromisesForward extends Forward {}
definePromised(PromisesForward);

class PromisesTunnel extends SSHTunnel {
  static [PARTS] = { Connection: PromisesConnection, Forward: PromisesForward };
}
definePromised(PromisesTunnel, ['dial']);

// Users know the classes by the names of their base classes.
for (const Class of [PromisesConnection, PromisesForward, PromisesTunnel])
  Object.defineProperty(Class, 'name', { value: Object.getPrototypeOf(Class).name });

module.exports = { SSHTunnel: PromisesTunnel };
