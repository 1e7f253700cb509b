'use strict';

// Messages on standard error: which of them are shown, and errors in the words of ssh.

const { getSystemErrorMap } = require('node:util');

const { detailOf } = require('../../errors.js');
const { LOG_FORMATS } = require('./log-format.js');
const { plain } = require('./text.js');

/** From nothing to everything, as LogLevel has them. */
const LEVELS = ['QUIET', 'FATAL', 'ERROR', 'INFO', 'VERBOSE', 'DEBUG1', 'DEBUG2', 'DEBUG3'];

/** The system's words for errors for which Node.js has others. */
const WORDS = {
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAI_AGAIN: 'Temporary failure in name resolution',
  EHOSTUNREACH: 'No route to host',
  ENOTFOUND: 'Name or service not known',
};

class Messages {
  #level;
  #show;
  #log;
  #format;
  /** @type {import('./hints.js').Hints | undefined} */
  #hints;

  /**
   * @param {string} level of LEVELS
   * @param {(line: string) => void} show shows a line to the user
   * @param {(line: string) => void} [log] gets messages in place of the user
   * @param {import('./log-format.js').LogFormat} [format] makes lines of messages
   */
  constructor(level, show, log, format = LOG_FORMATS.text) {
    this.#level = LEVELS.indexOf(level === 'DEBUG' ? 'DEBUG1' : level);
    this.#show = show;
    this.#log = log;
    this.#format = format;
  }

  /** Called with each message that the level lets through. @type {((level: string, text: string) => void) | undefined} */
  observer;

  /** Whether failures are followed by hints: a user at a terminal reads them, and no program does. */
  givesHints = () => false;

  /** How lines are shown to the user from now on. */
  set show(show) {
    this.#show = show;
  }

  shows(level) {
    return LEVELS.indexOf(level) <= this.#level;
  }

  fatal(text) {
    this.#print('FATAL', text);
  }

  error(text) {
    this.#print('ERROR', text);
  }

  info(text) {
    this.#print('INFO', text);
  }

  verbose(text) {
    this.#print('VERBOSE', text);
  }

  /** @param {1 | 2 | 3} depth */
  debug(depth, text) {
    this.#print(`DEBUG${depth}`, text);
  }

  /** Says what may help, if anything is known. @param {import('./hints.js').Problem} problem */
  hint(problem) {
    if (!this.givesHints() || !this.shows('INFO')) return;
    const { Hints } = require('./hints.js');
    this.#hints ??= new Hints();
    const text = this.#hints.about(problem);
    if (text !== undefined) this.info(`hint: ${text}`);
  }

  /** A server's text for the user, which is no message of the command. */
  banner(text) {
    this.#print('INFO', text, this.#show);
  }

  /** A message with a secret in it: the observer does not get it. */
  secret(text) {
    this.#print('INFO', text, undefined, null);
  }

  #print(level, text, write = this.#log ?? this.#show, observer = this.observer) {
    if (!this.shows(level)) return;
    const lines = text.split('\n').map(plain);
    for (const line of this.#format(level, lines)) write(line);
    for (const line of LOG_FORMATS.text(level, lines)) observer?.(level, line);
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

/**
 * Why there is no session, in the words of ssh.
 * @param {import('../../../index.js').SSHTunnelError} error
 * @param {{ host: string, port: number, username: string }} server that it is about
 */
function connectFailure(error, { host, port, username }) {
  const detail = detailOf(error);
  if (error.syscall === 'getaddrinfo')
    return `sshtunnel: Could not resolve hostname ${error.address ?? host}: ${systemWords(error)}`;
  if (error.syscall === 'connect')
    return `sshtunnel: connect to host ${error.address ?? host} port ${error.port ?? port}: ${systemWords(error)}`;
  switch (error.code) {
    case 'ETIMEDOUT':
      return `sshtunnel: connect to host ${host} port ${port}: Connection timed out (${detail})`;
    case 'ERR_SSH_AUTH': {
      const { acceptedMethods: methods = [] } = error;
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
      return `sshtunnel: ${error.message}`;
  }
}

/** Why there is no session any more. @param {import('../../../index.js').SSHTunnelError} error */
function lossMessage(error, { host }) {
  switch (error.lossReason) {
    case 'closed':
      return `Connection to ${host} closed by remote host.`;
    case 'silent':
      return `Timeout, server ${host} not responding.`;
    default:
      return `Connection to ${host} lost: ${error.message}`;
  }
}

/** The reasons of RFC 4254, section 5.1, in the words of ssh. */
const OPEN_FAILURES = {
  ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED: 'administratively prohibited',
  ERR_SSH_OPEN_CONNECT_FAILED: 'connect failed',
  ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE: 'unknown channel type',
  ERR_SSH_OPEN_RESOURCE_SHORTAGE: 'resource shortage',
  ERR_SSH_OPEN_FAILED: 'open failed',
};

/**
 * Why the server did not open a connection; undefined if that is not why it ended.
 * @param {{ code?: string, description?: string }} end an error, or the end of a connection
 */
function openFailure({ code, description = '' }) {
  return Object.hasOwn(OPEN_FAILURES, code) ? `open failed: ${OPEN_FAILURES[code]}: ${description}` : undefined;
}

/**
 * The words of ssh for a key file that others can read.
 * @param {{ file: string, mode: number }} exposed
 */
function exposedKey({ file, mode }) {
  return [
    'WARNING: UNPROTECTED PRIVATE KEY FILE!',
    `Permissions 0${mode.toString(8)} for '${file}' are too open.`,
    'It is required that your private key files are NOT accessible by others.',
    'This private key will be ignored.',
    `Load key "${file}": bad permissions`,
  ].join('\n');
}

/**
 * The words of ssh for a host key that a file contradicts; undefined if none does.
 * @param {import('../../../index.js').RefusedHostKey} hostKey
 */
function contradictedHostKey({ reason, name, type, fingerprint, file, line }) {
  if (file === undefined) return undefined;
  const words = keyType(type ?? '');
  if (reason === 'changed')
    return [
      'WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!',
      'IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!',
      'Someone could be eavesdropping on you right now (man-in-the-middle attack)!',
      'It is also possible that a host key has just been changed.',
      `The fingerprint for the ${words} key sent by the remote host is`,
      `${fingerprint}.`,
      'Please contact your system administrator.',
      `Add correct host key in ${file} to get rid of this message.`,
      `Offending key in ${file}:${line}`,
      `Host key for ${name} has changed and you have requested strict checking.`,
    ].join('\n');
  if (reason === 'revoked')
    return [
      'WARNING: REVOKED HOST KEY DETECTED!',
      `The ${words} host key for ${name} is marked as revoked.`,
      'This could mean that a stolen key is being used to',
      'impersonate this host.',
      `${words} host key for ${name} was revoked and you have requested strict checking.`,
    ].join('\n');
  return undefined;
}

/** The name of a host key's type as ssh shows it. */
function keyType(type) {
  return { 'ssh-ed25519': 'ED25519', 'ssh-rsa': 'RSA' }[type] ?? (type.startsWith('ecdsa-') ? 'ECDSA' : type);
}

module.exports = {
  Messages,
  connectFailure,
  contradictedHostKey,
  exposedKey,
  keyType,
  lossMessage,
  openFailure,
  systemWords,
};
