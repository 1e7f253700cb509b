'use strict';

// The HTTP server of the web page: its files, the state as a stream of events, and the requests that close connections.
//
// The token that these need is in the fragment of the page's URL, which a browser sends to no server: it is in no log of
// requests, and in no Referer. The page sends it in the header Authorization. A cookie would not do, because a browser
// sends it to every port of the host. EventSource cannot set a header, so the page reads the stream by fetch().

const { randomBytes, timingSafeEqual } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { text } = require('node:stream/consumers');

const { place } = require('../output/text.js');
const { ROOT } = require('../root.js');
const { StateStream } = require('./state-stream.js');

/** Limits of a request, in bytes and milliseconds, and how long the kernel waits for a client that has disappeared. */
const LIMITS = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
};
/** Connections at a time: each open page has one, and some more while it loads. */
const MAX_SOCKETS = 64;
const MAX_BODY = 1024;
const TOKEN_BYTES = 32;

/** Headers of every response. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "form-action 'none'",
    "base-uri 'none'",
    // No text ever becomes markup.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The file of the page itself; the others have their names. */
const INDEX = 'page.html';
const STATE = '/events';
/** What is done to a connection: its methods. */
const ACTION = /^\/connections\/([1-9]\d{0,14})\/(close|reset)$/;

/** A request that is not served. */
class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {Record<string, string>} [headers]
   */
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The files of the page by the path of their URL: nothing else is ever read. */
function readFiles() {
  const folder = path.join(ROOT, 'lib', 'cli', 'web', 'page');
  const names = fs.readdirSync(folder).filter((name) => Object.hasOwn(TYPES, path.extname(name)));
  return new Map(
    names.map((name) => [
      name === INDEX ? '/' : `/${name}`,
      { type: TYPES[path.extname(name)], content: fs.readFileSync(path.join(folder, name)) },
    ]),
  );
}

class WebServer {
  #monitor;
  #messages;
  #server = http.createServer(LIMITS, (request, response) => this.#serve(request, response));
  #files = readFiles();
  #states;
  #token = randomBytes(TOKEN_BYTES).toString('base64url');
  #authorization = Buffer.from(`Bearer ${this.#token}`);
  /** What the header Host may be. */
  #hosts = new Set();
  #origin = '';

  /**
   * @param {import('../monitor.js').Monitor} monitor
   * @param {import('../output/messages.js').Messages} messages
   */
  constructor(monitor, messages) {
    this.#monitor = monitor;
    this.#messages = messages;
    this.#states = new StateStream(monitor);
    this.#server.maxConnections = MAX_SOCKETS;
    // The tunnel keeps the process running, and the page does not.
    this.#server.on('connection', (socket) => socket.unref());
  }

  /** The page's URL, with the token. */
  get url() {
    return `${this.#origin}/#token=${this.#token}`;
  }

  /** @param {string} host @param {number} port */
  async listen(host, port) {
    this.#server.listen({ host, port });
    await once(this.#server, 'listening');
    this.#server.unref();
    // Accepting fails where no descriptor is free; the next client may succeed.
    this.#server.on('error', () => {});
    const bound = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    const names = [place(bound.address, bound.port), `localhost:${bound.port}`];
    this.#origin = `http://${names[0]}`;
    // Browsers leave out the usual port.
    if (bound.port === 80) names.push(...names.map((name) => name.replace(/:80$/, '')));
    this.#hosts = new Set(names);
  }

  /** Tells the pages that the command ends, and stops listening. */
  close() {
    this.#states.end();
    this.#server.close();
  }

  async #serve(request, response) {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    try {
      this.#checkSource(request.headers);
      await this.#route(request, response);
    } catch (error) {
      if (!(error instanceof Refusal)) this.#messages.debug(1, `web page: ${error.message}`);
      if (response.headersSent) {
        response.destroy();
        return;
      }
      const { status, message, headers } = error instanceof Refusal ? error : new Refusal(500, 'The request failed.');
      // What is left of the request is not read.
      response.writeHead(status, { ...headers, 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
      response.end(`${message}\n`);
    }
  }

  /**
   * Refuses requests that a page of another origin makes: by a name that leads to this machine (DNS rebinding), or across
   * origins. Another port of this machine is the same site, and still another origin.
   */
  #checkSource({ host = '', origin, 'sec-fetch-site': site }) {
    if (!this.#hosts.has(host.toLowerCase())) throw new Refusal(421, 'The header Host has the name of another server.');
    if (origin !== undefined && origin !== `http://${host.toLowerCase()}`)
      throw new Refusal(403, 'The request is that of a page of another origin.');
    if (site !== undefined && site !== 'same-origin' && site !== 'none')
      throw new Refusal(403, 'The request comes from another site: type or paste the address of this page.');
  }

  async #route(request, response) {
    const [pathname] = request.url.split('?', 1);
    const file = this.#files.get(pathname);
    const action = ACTION.exec(pathname);
    if (file === undefined && action === null && pathname !== STATE)
      throw new Refusal(404, 'There is nothing of this name.');
    const method = action === null ? 'GET' : 'POST';
    if (request.method !== method) throw new Refusal(405, `The method has to be ${method}.`, { allow: method });
    if (file !== undefined) {
      response.writeHead(200, { 'content-type': file.type, 'content-length': file.content.length }).end(file.content);
      return;
    }
    this.#checkToken(request.headers.authorization);
    if (action !== null) await this.#act(request, response, Number(action[1]), action[2]);
    else if (!this.#states.add(response)) throw new Refusal(503, 'Too many pages are open.', { 'retry-after': '10' });
  }

  #checkToken(authorization = '') {
    const given = Buffer.from(authorization);
    // The length is no secret.
    if (given.length !== this.#authorization.length || !timingSafeEqual(given, this.#authorization))
      throw new Refusal(401, 'The token is missing or not that of this run.', { 'www-authenticate': 'Bearer' });
  }

  /** @param {string} action close or reset */
  async #act(request, response, connectionId, action) {
    await checkBody(request);
    const connection = await this.#monitor.find(connectionId);
    if (connection === undefined) throw new Refusal(404, `Connection ${connectionId} does not exist, or has ended.`);
    // It ends by its Linger, which may take long: the stream of states shows it.
    connection.promises[action]().catch(({ message }) => this.#messages.debug(1, `web page: ${message}`));
    response.writeHead(202).end();
  }
}

/** Reads the body of a request, an object of JSON without any member that is needed. */
async function checkBody(request) {
  const { 'content-length': length, 'content-type': type = '' } = request.headers;
  if (!/^application\/json *(?:;|$)/i.test(type)) throw new Refusal(415, 'The body has to be application/json.');
  if (length === undefined) throw new Refusal(411, 'The header Content-Length is missing.');
  if (Number(length) > MAX_BODY) throw new Refusal(413, `The body is longer than ${MAX_BODY} bytes.`);
  let value;
  try {
    value = JSON.parse(await text(request));
  } catch {
    // Neither is a request that ended too early.
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Refusal(400, 'The body is not a JSON object.');
}

module.exports = { WebServer };
