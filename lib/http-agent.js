'use strict';

const https = require('node:https');

const { checkObject } = require('./validate/index.js');

/**
 * An agent for http and https whose connections are dialled through a tunnel. https.Agent is all that
 * http.Agent is, and keeps the TLS sessions of servers to be resumed.
 */
class TunnelAgent extends https.Agent {
  #tunnel;

  constructor(tunnel, options = {}) {
    super({ ...checkObject(options, 'options') });
    this.#tunnel = tunnel;
  }

  // A request asks its agent for these two before it tells anything about itself: what they are for
  // one of https is wrong for one of http, and who asks, only the stack knows. https.Agent sets them.
  get protocol() {
    return isSecure() ? 'https:' : 'http:';
  }

  set protocol(_) {}

  get defaultPort() {
    return isSecure() ? 443 : 80;
  }

  set defaultPort(_) {}

  addRequest(request, options, ...rest) {
    // @ts-expect-error: what every agent has, and @types/node does not
    return super.addRequest(request, { ...options, secureEndpoint: request.protocol === 'https:' }, ...rest);
  }

  /** Connections of both kinds to one port are not to be mixed up. */
  getName(options) {
    return `${options?.secureEndpoint === true ? 'https' : 'http'}:${super.getName(options)}`;
  }

  createConnection(options, callback) {
    const { host, port, secureEndpoint, socketPath } = options;
    let socket;
    try {
      socket = this.#tunnel.dial(socketPath ? { path: socketPath } : { host, port: Number(port) });
    } catch (error) {
      // To the request, as what goes wrong later: one that had to wait has no caller to throw to.
      process.nextTick(callback, error);
      return undefined;
    }
    return secureEndpoint ? super.createConnection({ ...options, socket, path: null }, callback) : socket;
  }
}

function isSecure() {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 10;
  const { stack } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  return /\bnode:https:/.test(stack);
}

module.exports = { TunnelAgent };
