'use strict';

const https = require('node:https');

const { checkObject } = require('./validate/index.js');

/**
 * An agent for http and https whose connections are sockets of dial(). https.Agent does all that http.Agent does, and
 * resumes TLS sessions.
 */
class TunnelAgent extends https.Agent {
  /** Opens a connection through the tunnel. */
  #dial;
  /** The sockets of dial() below those of TLS, whose ref() and unref() do not reach them. */
  #below = new WeakMap();

  /** @param {(target: { host: string, port: number } | { path: string }) => any} dial */
  constructor(dial, options = {}) {
    super({ ...checkObject(options, 'options') });
    this.#dial = dial;
  }

  // A request reads these two before the agent gets the request, and their values differ for http and https: only the
  // stack tells which one reads. https.Agent sets them.
  get protocol() {
    return isSecure() ? 'https:' : 'http:';
  }

  set protocol(_) {}

  get defaultPort() {
    return isSecure() ? 443 : 80;
  }

  set defaultPort(_) {}

  addRequest(request, options, ...rest) {
    // @ts-expect-error: every agent has it, and @types/node does not
    return super.addRequest(request, { ...options, secureEndpoint: request.protocol === 'https:' }, ...rest);
  }

  /** Keeps connections of http and https to the same port apart. */
  getName(options) {
    return `${options?.secureEndpoint === true ? 'https' : 'http'}:${super.getName(options)}`;
  }

  createConnection(options, callback) {
    const { host, port, secureEndpoint, socketPath } = options;
    let socket;
    try {
      socket = this.#dial(socketPath ? { path: socketPath } : { host, port: Number(port) });
    } catch (error) {
      // Passed to the request, as later errors are: one that has waited has no caller to throw to.
      process.nextTick(callback, error);
      return undefined;
    }
    if (!secureEndpoint) return socket;
    const secure = super.createConnection({ ...options, socket, path: null }, callback);
    if (secure !== undefined) this.#below.set(secure, socket);
    return secure;
  }

  keepSocketAlive(socket) {
    const isKept = /** @type {any} */ (super.keepSocketAlive(socket));
    if (isKept) this.#below.get(socket)?.unref();
    return isKept;
  }

  reuseSocket(socket, request) {
    super.reuseSocket(socket, request);
    this.#below.get(socket)?.ref();
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
