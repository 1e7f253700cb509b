'use strict';

// Entries of the system's databases of users and services, which Node.js does not look up: in their files, then by
// getent(1), which also asks directories such as LDAP.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const ETC =
  process.platform === 'win32'
    ? path.join(process.env.SystemRoot ?? 'C:\\Windows', 'System32', 'drivers', 'etc')
    : '/etc';

/** Milliseconds for getent(1): a directory may not answer. */
const TIMEOUT = 5000;

function linesOf(name) {
  try {
    return fs.readFileSync(path.join(ETC, name), 'utf8').split('\n');
  } catch {
    return [];
  }
}

/** The line of one entry, from wherever the system has it; undefined if it has none. */
function getent(database, key) {
  if (process.platform === 'win32') return undefined;
  const { execFileSync } = require('node:child_process');
  try {
    const options = {
      encoding: /** @type {const} */ ('utf8'),
      timeout: TIMEOUT,
      stdio: /** @type {any} */ (['ignore', 'pipe', 'ignore']),
    };
    return execFileSync('getent', [database, key], options).split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

/** The port of a line of services(5), if the line is about this service over TCP. */
function portOf(line, name) {
  const [first, place = '', ...aliases] = line.split('#', 1)[0].trim().split(/\s+/);
  const [, port] = /^(\d{1,5})\/tcp$/.exec(place) ?? [];
  return port !== undefined && [first, ...aliases].includes(name) ? Number(port) : undefined;
}

/** Ports by the names of services, as far as they were looked up. @type {Map<string, number | undefined>} */
const ports = new Map();

/**
 * The TCP port of a service.
 * @param {string} name such as `https`
 * @returns {number | undefined} undefined if there is no such service
 */
function servicePort(name) {
  // No name of a service looks otherwise, and nothing else is passed to a program.
  if (!/^[a-z0-9][\w.+*/-]{0,63}$/i.test(name)) return undefined;
  if (!ports.has(name)) ports.set(name, lookUpService(name));
  return ports.get(name);
}

function lookUpService(name) {
  for (const line of linesOf('services')) {
    const port = portOf(line, name);
    if (port !== undefined) return port;
  }
  const found = getent('services', `${name}/tcp`);
  return found === undefined ? undefined : portOf(found, name);
}

/** The user's home folder; undefined if neither HOME nor the system has one. */
function homeFolder() {
  try {
    return os.homedir() || undefined;
  } catch {
    return undefined;
  }
}

/** The home folder of a line of passwd(5), if the line is about this user. */
function homeOf(line, user) {
  const fields = line.split(':');
  return fields[0] === user && fields.length >= 7 ? fields[5] : undefined;
}

/**
 * The home folder of a user.
 * @param {string} user
 * @returns {string | undefined} undefined if there is no such user
 */
function homeOfUser(user) {
  for (const line of linesOf('passwd')) {
    const home = homeOf(line, user);
    if (home !== undefined) return home;
  }
  if (!/^[a-z0-9_][\w.@\\-]*$/i.test(user)) return undefined;
  const found = getent('passwd', user);
  return found === undefined ? undefined : homeOf(found, user);
}

module.exports = { homeFolder, homeOfUser, servicePort };
