'use strict';

// What is said on standard error: how much of it, and errors in the words of ssh.

const { getSystemErrorMap } = require('node:util');

const { plain } = require('./text.js');

/** From silence to everything, as LogLevel has them. */
const LEVELS = ['QUIET', 'FATAL', 'ERROR', 'INFO', 'VERBOSE', 'DEBUG1', 'DEBUG2', 'DEBUG3'];

/** What the system says of errors, where Node says it in other words. */
const WORDS = {
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAI_AGAIN: 'Temporary failure in name resolution',
  EHOSTUNREACH: 'No route to host',
  ENOTFOUND: 'Name or service not known',
};

class Messages {
  #level;
  #write;

  /**
   * @param {string} level of LEVELS
   * @param {(line: string) => void} write
   */
  constructor(level, write) {
    this.#level = LEVELS.indexOf(level === 'DEBUG' ? 'DEBUG1' : level);
    this.#write = write;
  }

  /** Where lines go from now on. */
  set write(write) {
    this.#write = write;
  }

  shows(level) {
    return LEVELS.indexOf(level) <= this.#level;
  }

  fatal(text) {
    this.#say('FATAL', text);
  }

  error(text) {
    this.#say('ERROR', text);
  }

  info(text) {
    this.#say('INFO', text);
  }

  verbose(text) {
    this.#say('VERBOSE', text);
  }

  /** @param {1 | 2 | 3} depth */
  debug(depth, text) {
    this.#say(`DEBUG${depth}`, `debug${depth}: ${text}`);
  }

  #say(level, text) {
    if (!this.shows(level)) return;
    for (const line of text.split('\n')) this.#write(plain(line));
  }
}

/**
 * An error for people: one of the system's as strerror(3) has it.
 * @param {NodeJS.ErrnoException} error
 */
function systemWords({ code, errno, message }) {
  if (Object.hasOwn(WORDS, code)) return WORDS[code];
  const [, words] = getSystemErrorMap().get(errno) ?? [];
  return words === undefined ? message : words[0].toUpperCase() + words.slice(1);
}

/** Which methods the server would take, as the error of a refused logon names them. */
function acceptedMethods(error) {
  const [, list] = /; the server accepts (\S+?)(?:;|$)/.exec(error.message) ?? [];
  return list === undefined ? [] : list.split(',');
}

/** The jump host that an error is about, as it stands in the message. */
function hopOf(error) {
  return /^jump host (\S+): /.exec(error.message)?.[1];
}

/**
 * Why there is no session, as ssh puts it.
 * @param {NodeJS.ErrnoException & { address?: string, port?: number }} error
 * @param {{ host: string, port: number, username: string }} server that it is about
 */
function refusal(error, { host, port, username }) {
  const detail = error.message.replace(/^jump host \S+: /, '');
  if (error.syscall === 'getaddrinfo')
    return `sshtunnel: Could not resolve hostname ${error.address ?? host}: ${systemWords(error)}`;
  if (error.syscall === 'connect')
    return `sshtunnel: connect to host ${error.address ?? host} port ${error.port ?? port}: ${systemWords(error)}`;
  switch (error.code) {
    case 'ETIMEDOUT':
      return `sshtunnel: connect to host ${host} port ${port}: Connection timed out (${detail})`;
    case 'ERR_SSH_AUTH': {
      const methods = acceptedMethods(error);
      return `${username}@${host}: Permission denied (${methods.length > 0 ? methods.join(',') : detail}).`;
    }
    case 'ERR_SSH_HOST_KEY':
      return 'Host key verification failed.';
    case 'ERR_SSH_ALGORITHM':
      return `Unable to negotiate with ${host} port ${port}: ${detail}`;
    case 'ERR_SSH_DISCONNECTED':
    case 'ERR_SSH_PROTOCOL':
      return `Connection closed by ${host} port ${port}: ${detail}`;
    default:
      return `sshtunnel: ${configPlace(error.message)}`;
  }
}

/** Why there is no session any more. */
function loss(error, { host }) {
  if (/the server closed the connection/.test(error.message)) return `Connection to ${host} closed by remote host.`;
  if (/has been silent/.test(error.message)) return `Timeout, server ${host} not responding.`;
  return `Connection to ${host} lost: ${error.message}`;
}

/** The reasons of RFC 4254, section 5.1, as ssh words them. */
const REFUSALS = {
  ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED: 'administratively prohibited',
  ERR_SSH_OPEN_CONNECT_FAILED: 'connect failed',
  ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE: 'unknown channel type',
  ERR_SSH_OPEN_RESOURCE_SHORTAGE: 'resource shortage',
  ERR_SSH_OPEN_FAILED: 'open failed',
};

/** Why the far side of a connection was not opened; undefined where it was not refused. */
function openRefusal({ code, message }) {
  if (!Object.hasOwn(REFUSALS, code)) return undefined;
  return `open failed: ${REFUSALS[code]}: ${message.replace(/^the server refused to open the channel(?: \(reason \d+\))?: /, '')}`;
}

/** The lines of a command line have no numbers that anybody would know. */
function configPlace(message) {
  return message.replace(/^command line line \d+: /, 'command line: ');
}

/** The name of a host key's type as ssh shows it. */
function keyType(type) {
  return { 'ssh-ed25519': 'ED25519', 'ssh-rsa': 'RSA' }[type] ?? (type.startsWith('ecdsa-') ? 'ECDSA' : type);
}

module.exports = { Messages, acceptedMethods, configPlace, hopOf, keyType, loss, openRefusal, refusal, systemWords };
