'use strict';

// --web: a page that shows the run in a browser of this machine, and closes connections. docs/command.md describes it.

const { BlockList, isIPv4, isIPv6 } = require('node:net');

const { UsageError } = require('../arguments.js');
const { place } = require('../output/text.js');
const { WebServer } = require('../web/server.js');
const { cannotListen } = require('./http.js');

/** The loopback address of IPv6, however it is written. */
const LOOPBACK_6 = new BlockList();
LOOPBACK_6.addAddress('::1', 'ipv6');

const isLoopback = (address) =>
  isIPv4(address) ? address.startsWith('127.') : isIPv6(address) && LOOPBACK_6.check(address, 'ipv6');

/**
 * @param {{ host: string, port: number }} address
 * @param {import('./index.js').Context} context
 * @returns {Promise<import('./index.js').Service>}
 */
async function start({ host, port }, { monitor, messages, json }) {
  const address = host.toLowerCase() === 'localhost' ? '127.0.0.1' : host;
  if (!isLoopback(address)) {
    throw new UsageError(
      `--web: '${host}' is not a loopback address such as 127.0.0.1: the page is not encrypted, and can close connections`,
    );
  }
  const server = new WebServer(monitor, messages);
  try {
    await server.listen(address, port);
  } catch (error) {
    throw cannotListen('--web', place(address, port), error);
  }
  const { url } = server;
  monitor.page = url;
  messages.secret(`Web page: ${url}`);
  json?.write('web', { url });
  return { stop: () => server.close() };
}

module.exports = { start };
