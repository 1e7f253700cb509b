'use strict';

// URLs of servers behind the tunnel, and the same URLs with the addresses of forwards.

const { invalidArgType, invalidArgValue } = require('./errors.js');
const { Deferred } = require('./native/index.js');
const { checkHost, checkPort } = require('./validate/index.js');

/** The ports of URLs without one, by scheme. */
const PORTS = {
  'amqp:': 5672,
  'amqps:': 5671,
  'http:': 80,
  'https:': 443,
  'ldap:': 389,
  'ldaps:': 636,
  'mariadb:': 3306,
  'mongodb:': 27017,
  'mqtt:': 1883,
  'mqtts:': 8883,
  'mysql:': 3306,
  'nats:': 4222,
  'postgres:': 5432,
  'postgresql:': 5432,
  'redis:': 6379,
  'rediss:': 6379,
  'sqlserver:': 1433,
  'ws:': 80,
  'wss:': 443,
};

/** Scheme, user information, hosts, and the rest. A password with "@" is percent-encoded. */
const URL_PARTS = /^([a-z][a-z0-9+.-]*:)\/\/(?:([^/?#]*)@)?([^/?#]*)([/?#].*)?$/is;
/** A host and its port; an IPv6 address is in brackets. */
const HOST = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/;

class LocalUrl {
  #scheme;
  #user;
  #rest;
  /** The servers, in order. @type {{ host: string, port: number }[]} */
  targets;

  /** @param {string | URL} url with one host, or several separated by commas, as PostgreSQL and MongoDB have them */
  constructor(url) {
    const text = url instanceof URL ? url.href : url;
    if (typeof text !== 'string')
      throw invalidArgType('url', 'of type string or an instance of URL', url, { secret: true });
    const parts = URL_PARTS.exec(text);
    if (parts === null) refuse('has to begin with a scheme and a host, as in postgres://db.internal/app', text);
    const [, scheme, user, hosts, rest = ''] = parts;
    this.#scheme = scheme.toLowerCase();
    if (this.#scheme.endsWith('+srv:'))
      refuse('names its servers by a DNS record, and has to name the hosts themselves', text);
    this.#user = user === undefined ? '' : `${user}@`;
    this.#rest = rest;
    this.targets = hosts.split(',').map((host) => this.#target(host, text));
  }

  #target(text, url) {
    const [, address, name, digits] = HOST.exec(text) ?? [];
    const host = decode(address ?? name ?? '');
    if (host === '') refuse('has to name a host', url);
    if (host.includes('/')) refuse('must not name a Unix socket, for which forwardLocal() has forwardPath', url);
    const port = digits ? Number(digits) : PORTS[this.#scheme];
    if (port === undefined) refuse(`has to name the port: ${this.#scheme} has no usual one`, url);
    return { host: checkHost(host, 'url'), port: checkPort(port, 'url') };
  }

  /** @param {number[]} ports the local ports, in the order of the servers */
  withPorts(ports) {
    return `${this.#scheme}//${this.#user}${ports.map((port) => `127.0.0.1:${port}`).join(',')}${this.#rest}`;
  }
}

/** URLs have passwords, which belong into no message. */
function refuse(reason, url) {
  throw invalidArgValue('url', reason, url, { secret: true });
}

function decode(host) {
  try {
    return decodeURIComponent(host);
  } catch {
    return host;
  }
}

/** The start of a forward, which several calls may wait for. */
class Opening {
  /** Why there is no forward. @type {Error | undefined} */
  error;
  forward;
  /** Settles when there is either of them. @type {Promise<void>} */
  done;

  /**
   * @param {Function | Deferred | undefined} settler of the call, which says in which form the forward is started
   * @param {(settler: Function | Deferred | undefined) => any} start
   * @param {(forward: any) => void} ended called with the forward, if there is one
   */
  constructor(settler, start, ended) {
    const deferred = new Deferred();
    this.done = deferred.promise;
    const finish = (error, forward) => {
      this.error = error ?? undefined;
      this.forward = forward;
      ended(forward);
      deferred.resolve();
    };
    if (settler === undefined) {
      try {
        finish(null, start(undefined));
      } catch (error) {
        finish(error);
      }
    } else if (settler instanceof Deferred) {
      const started = new Deferred();
      start(started);
      started.promise.then((forward) => finish(null, forward), finish);
    } else {
      start(finish);
    }
  }
}

/** The forwards of a tunnel for the servers of URLs, one for each server. */
class LocalUrls {
  /** By host and port. @type {Map<string, any>} */
  #forwards = new Map();
  /** By host and port, and apart by form: a callback cannot wait for a promise. */
  #openings = {
    /** @type {Map<string, Opening>} */ callbacks: new Map(),
    /** @type {Map<string, Opening>} */ promises: new Map(),
  };
  #start;
  #after;

  /**
   * @param {(settler: Function | Deferred | undefined, target: { forwardHost: string, forwardPort: number }) => any} start
   *   starts a forward
   * @param {(callback: Function, result: () => string) => void} after calls back behind all earlier callbacks
   */
  constructor(start, after) {
    this.#start = start;
    this.#after = after;
  }

  /**
   * Opens the forwards that are missing for a URL, unless another call in the same form does.
   * @param {Function | Deferred | undefined} settler takes the URL with their addresses
   * @param {string | URL} text
   */
  open(settler, text) {
    const url = new LocalUrl(text);
    const pending = this.#pendingFor(settler);
    const openings = [];
    const own = [];
    for (const [key, target] of new Map(url.targets.map((target) => [keyOf(target), target]))) {
      if (this.#forwards.get(key)?.listening) continue;
      if (!pending.has(key)) own.push(this.#begin(pending, settler, key, target));
      openings.push(pending.get(key));
    }
    const result = () => {
      const failed = openings.find(({ error }) => error !== undefined);
      if (failed === undefined)
        return url.withPorts(url.targets.map((target) => this.#forwards.get(keyOf(target)).localPort));
      for (const { forward } of own) forward?.promises.stop().catch(() => {});
      throw failed.error;
    };
    if (settler === undefined) return result();
    if (!(settler instanceof Deferred)) return this.#after(settler, result);
    return Promise.all(openings.map(({ done }) => done))
      .then(result)
      .then(settler.resolve, settler.reject);
  }

  /** The openings that a call of this form may wait for: a blocking one waits for none. */
  #pendingFor(settler) {
    if (settler === undefined) return new Map();
    return settler instanceof Deferred ? this.#openings.promises : this.#openings.callbacks;
  }

  #begin(pending, settler, key, { host, port }) {
    const start = (settler) => this.#start(settler, { forwardHost: host, forwardPort: port });
    const opening = new Opening(settler, start, (forward) => {
      pending.delete(key);
      if (forward !== undefined) this.#forwards.set(key, forward);
    });
    pending.set(key, opening);
    return opening;
  }
}

const keyOf = ({ host, port }) => `${host.toLowerCase()}:${port}`;

module.exports = { LocalUrl, LocalUrls };
