'use strict';

const { CONTENT_TYPE, metrics } = require('./lib/prometheus.js');

module.exports = { contentType: CONTENT_TYPE, metrics };
