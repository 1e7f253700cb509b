'use strict';

// The option `proxy`: a URL, an object, or 'env'.

const { invalidArgType, invalidArgValue } = require('../errors.js');
const { checkHost, checkPort, ipVersion } = require('./names.js');
const { warnUnknown } = require('./option-names.js');
const { checkName, checkObject } = require('./primitives.js');
const { checkSecret } = require('./secret.js');

/** The default port of each protocol. */
const PORTS = { http: 80, socks5: 1080, socks5h: 1080 };
/** Bytes of a user name or password of SOCKS 5 (RFC 1929). */
const MAX_LOGIN = 255;
/** Variables of the environment, the first that is set counts. */
const VARIABLES = ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'];
const EXCEPTIONS = ['no_proxy', 'NO_PROXY'];

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

/**
 * The proxy as the addon takes it.
 * @param {unknown} value
 * @param {string} name
 * @param {Record<string, any>} server the first server
 * @param {Uint8Array[]} copies of secrets, to be wiped
 * @returns {object | undefined} undefined: no proxy
 */
function checkProxy(value, name, server, copies) {
  if (value === undefined) return undefined;
  if (value === 'env') return fromEnvironment(name, server, copies);
  if (typeof value === 'string') return fromUrl(value, name, copies);
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw invalidArgType(name, 'one of type string or object', value, { secret: true });
  return fromObject(value, name, copies);
}

/** A variable of the environment that is set and not empty. */
function firstSet(variables) {
  return variables.find((variable) => process.env[variable]);
}

function fromEnvironment(name, server, copies) {
  const variable = firstSet(VARIABLES);
  const exceptions = firstSet(EXCEPTIONS);
  if (variable === undefined || (exceptions && isExcepted(server, process.env[exceptions]))) return undefined;
  const text = process.env[variable];
  return fromUrl(SCHEME.test(text) ? text : `http://${text}`, name, copies, `takes the URL of ${variable}, which `);
}

/** @param {string} prefix of the message if the URL is invalid */
function fromUrl(text, name, copies, prefix = '') {
  const refuse = (reason) => invalidArgValue(name, prefix + reason, text, { secret: true });
  const url = SCHEME.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '' || !/^\/?$/.test(url.pathname) || url.search || url.hash)
    throw refuse("must be 'env', or a URL such as http://host:3128 or socks5://host:1080");
  const decode = (part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw refuse('must have only valid escapes (%..)');
    }
  };
  const { username, password } = url;
  const protocol = url.protocol.slice(0, -1);
  return fromObject(
    {
      protocol,
      host: decode(url.hostname.replace(/^\[(.*)\]$/, '$1')),
      // A URL does not tell its default port from none.
      port: url.port === '' ? undefined : Number(url.port),
      ...(username || password ? { username: decode(username), password: decode(password) } : {}),
    },
    name,
    copies,
    prefix,
  );
}

function fromObject(value, name, copies, prefix = '') {
  warnUnknown(checkObject(value, name), 'proxy');
  const { protocol, host, username, password } = value;
  checkName(protocol, `${name}.protocol`);
  if (!Object.hasOwn(PORTS, protocol)) {
    const secure = protocol === 'https' ? ': for a proxy behind TLS, give a function as sock' : '';
    throw invalidArgValue(`${name}.protocol`, `${prefix}must be 'http', 'socks5' or 'socks5h'${secure}`, protocol);
  }
  const { port = PORTS[protocol] } = value;
  const isHttp = protocol === 'http';
  const proxy = {
    protocol: isHttp ? 'http' : 'socks5',
    host: checkHost(host, `${name}.host`),
    port: checkPort(port, `${name}.port`),
  };
  if (username === undefined && password === undefined) return proxy;
  const login = { username: checkName(username, `${name}.username`), password: '' };
  if (password !== undefined) login.password = password;
  const bytes = checkSecret(login.password, `${name}.password`, copies);
  if (isHttp && username.includes(':'))
    throw invalidArgValue(`${name}.username`, 'must not contain a colon for an HTTP proxy', username);
  const fits = (length) => length >= 1 && length <= MAX_LOGIN;
  if (!isHttp && !fits(Buffer.byteLength(username)))
    throw invalidArgValue(`${name}.username`, `must have 1 to ${MAX_LOGIN} bytes for a SOCKS 5 proxy`, username);
  if (!isHttp && !fits(bytes.length))
    throw invalidArgValue(`${name}.password`, `must have 1 to ${MAX_LOGIN} bytes for a SOCKS 5 proxy`, password, {
      secret: true,
    });
  return { ...proxy, username, password: bytes };
}

/**
 * Whether NO_PROXY excepts a server: `*`, or a list of names with their subdomains, addresses and networks, each
 * perhaps with a port.
 * @param {{ host: string, port: number }} server
 * @param {string} list
 */
function isExcepted({ host, port }, list) {
  const name = host.toLowerCase().replace(/\.$/, '');
  const family = ipVersion(name);
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '' || entry === '*') return entry === '*';
      // Without brackets, several colons are part of an address.
      const split = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry) ?? /^([^:]*)(?::(\d+))?$/.exec(entry) ?? [];
      const [, pattern = entry, number] = split;
      if (number !== undefined && Number(number) !== port) return false;
      return family === 0 ? isBelow(name, pattern.replace(/^\*?\./, '')) : isAmong(name, family, pattern);
    });
}

function isBelow(name, domain) {
  return domain !== '' && (name === domain || name.endsWith(`.${domain}`));
}

/** Whether an address is this one, or in this network. */
function isAmong(address, family, pattern) {
  const [network, bits] = pattern.split('/');
  const type = family === 6 ? 'ipv6' : 'ipv4';
  if (ipVersion(network) !== family) return false;
  const max = family === 6 ? 128 : 32;
  const prefix = bits === undefined ? max : Number(bits);
  if (!(Number.isInteger(prefix) && prefix >= 0 && prefix <= max)) return false;
  const { BlockList } = require('node:net');
  const block = new BlockList();
  block.addSubnet(network, prefix, type);
  return block.check(address, type);
}

module.exports = { checkProxy, isExcepted };
