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

/** The forwards of a tunnel for the servers of URLs, one for each server. */
class LocalUrls {
  /** By host and port. @type {Map<string, any>} */
  #forwards = new Map();
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
   * Opens the forwards that are missing for a URL.
   * @param {Function | Deferred | undefined} settler takes the URL with their addresses
   * @param {string | URL} text
   */
  open(settler, text) {
    const url = new LocalUrl(text);
    const keys = url.targets.map(keyOf);
    const isMissing = (key, index) => keys.indexOf(key) === index && !this.#forwards.get(key)?.listening;
    const missing = url.targets.filter((_, index) => isMissing(keys[index], index));
    let failure;
    const opened = [];
    const took = (error, forward) => {
      failure ??= error;
      if (error) return;
      opened.push(forward);
      this.#forwards.set(keyOf({ host: forward.forwardHost, port: forward.forwardPort }), forward);
    };
    const result = () => {
      if (!failure) return url.withPorts(keys.map((key) => this.#forwards.get(key).localPort));
      for (const forward of opened) forward.promises.stop().catch(() => {});
      throw failure;
    };
    const start = (settler, { host, port }) => this.#start(settler, { forwardHost: host, forwardPort: port });
    if (settler === undefined) {
      for (const target of missing) took(null, start(undefined, target));
      return result();
    }
    if (settler instanceof Deferred) {
      const ready = missing.map((target) => {
        const deferred = new Deferred();
        start(deferred, target);
        return deferred.promise.then(
          (forward) => took(null, forward),
          (error) => took(error),
        );
      });
      return Promise.all(ready).then(result).then(settler.resolve, settler.reject);
    }
    for (const target of missing) start(took, target);
    return this.#after(settler, result);
  }
}

const keyOf = ({ host, port }) => `${host.toLowerCase()}:${port}`;

module.exports = { LocalUrl, LocalUrls };
