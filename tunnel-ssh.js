'use strict';

const { createTunnel } = require('./lib/tunnel-ssh/index.js');

module.exports = { createTunnel };
