'use strict';

const { traceTunnels } = require('./lib/opentelemetry.js');

module.exports = { traceTunnels };
