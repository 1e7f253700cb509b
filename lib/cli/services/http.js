'use strict';

// A small HTTP server for services that answer questions: GET and HEAD, one request for each connection.

const http = require('node:http');

const { systemWords } = require('../output/messages.js');
const { place } = require('../output/text.js');

/** Connections at a time; further ones are closed. */
const MAX_CONNECTIONS = 32;
/** Bytes of the headers of a request. */
const MAX_HEADER = 8192;
/** Milliseconds for a request to arrive, and for a reader that does not take its response. */
const TIMEOUT = 5000;
const CHECK_INTERVAL = 1000;

/**
 * @typedef {{ status?: number, type: string, body: string }} Response
 * @typedef {() => Response | Promise<Response>} Handler
 */

/** @param {object} members @param {number} [status] @returns {Response} */
function json(members, status = 200) {
  return { status, type: 'application/json', body: `${JSON.stringify(members)}\n` };
}

/** Why a service does not listen. @param {string} flag that asks for it @param {string} where @param {NodeJS.ErrnoException} error */
function cannotListen(flag, where, error) {
  return Object.assign(new Error(`${flag}: cannot listen on ${where}: ${systemWords(error)}`), { code: error.code });
}

class HttpServer {
  #server;
  /** By path. @type {Map<string, Handler>} */
  #handlers = new Map();

  constructor() {
    const options = {
      maxHeaderSize: MAX_HEADER,
      headersTimeout: TIMEOUT,
      requestTimeout: TIMEOUT,
      connectionsCheckingInterval: CHECK_INTERVAL,
    };
    this.#server = http.createServer(options, (request, response) => this.#answer(request, response));
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.timeout = TIMEOUT;
    // Clients do not keep the process running.
    this.#server.unref();
    this.#server.on('connection', (socket) => socket.unref());
  }

  /** @param {string} path @param {Handler} handler */
  handle(path, handler) {
    this.#handlers.set(path, handler);
  }

  /** The port, once it listens. */
  get port() {
    const address = this.#server.address();
    return typeof address === 'object' ? address?.port : undefined;
  }

  /** @returns {Promise<void>} */
  listen({ host, port }) {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: host === '*' ? undefined : host, port }, () => {
        this.#server.off('error', reject);
        // Accepting fails where no descriptor is free; the next request may succeed.
        this.#server.on('error', () => {});
        resolve();
      });
    });
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  async #answer({ method, url = '' }, response) {
    const handler = this.#handlers.get(url.split('?', 1)[0]);
    /** @type {Response} */
    let reply = { status: 404, type: 'text/plain', body: 'not found\n' };
    if (method !== 'GET' && method !== 'HEAD') {
      reply = { status: 405, type: 'text/plain', body: 'GET or HEAD\n' };
      response.setHeader('Allow', 'GET, HEAD');
    } else if (handler !== undefined) {
      try {
        reply = await handler();
      } catch (error) {
        reply = json({ code: error.code, message: error.message }, 500);
      }
    }
    const { status = 200, type, body } = reply;
    response.writeHead(status, {
      'Content-Type': type,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      Connection: 'close',
    });
    response.end(body);
  }
}

/** The servers of a run, by what the command line says of their addresses. @type {WeakMap<object, Map<string, HttpServer>>} */
const servers = new WeakMap();

/**
 * Serves paths at an address, with the server that another service of the run has there.
 * @param {string} flag for the error
 * @param {{ host: string, port: number }} address
 * @param {import('./index.js').Context} context
 * @param {Record<string, Handler>} handlers by path
 * @returns {Promise<import('./index.js').Service>}
 */
async function serve(flag, address, context, handlers) {
  const all = servers.get(context) ?? new Map();
  servers.set(context, all);
  const key = place(address.host, address.port);
  let server = all.get(key);
  if (server === undefined) {
    server = new HttpServer();
    try {
      await server.listen(address);
    } catch (error) {
      throw cannotListen(flag, key, error);
    }
    all.set(key, server);
  }
  for (const [path, handler] of Object.entries(handlers)) server.handle(path, handler);
  const urls = Object.keys(handlers).map((path) => `http://${place(address.host, server.port)}${path}`);
  const text = `Serving ${urls.join(' and ')}`;
  // A port that the system has chosen is known by this message only.
  if (address.port === 0) context.messages.info(text);
  else context.messages.verbose(text);
  return { stop: () => server.close() };
}

module.exports = { cannotListen, json, serve };
