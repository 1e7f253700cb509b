'use strict';

// --metrics: /metrics, for Prometheus.

const { version } = require('../../../package.json');
const { CONTENT_TYPE, Exposition, addTunnel, gauge } = require('../../prometheus.js');
const { serve } = require('./http.js');

/** The metrics of the process. */
function processFamilies() {
  const start = Math.round(performance.timeOrigin) / 1000;
  return [
    gauge('sshtunnel_build_info', 'The version of the command; the value is always 1.', [
      [{ version, node: process.version }, 1],
    ]),
    gauge('process_start_time_seconds', 'Start of the process, in seconds since 1970.', [[{}, start]]),
  ];
}

/**
 * @param {{ host: string, port: number }} address
 * @param {import('./index.js').Context} context
 */
function start(address, context) {
  return serve('--metrics', address, context, {
    '/metrics': async () => {
      const exposition = new Exposition();
      exposition.add(processFamilies());
      const tunnel = context.tunnel();
      if (tunnel !== undefined) await addTunnel(exposition, { tunnel });
      return { type: CONTENT_TYPE, body: exposition.toString() };
    },
  });
}

module.exports = { start };
