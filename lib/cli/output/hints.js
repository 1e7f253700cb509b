'use strict';

// What may help after the commonest failures: a line each, by the facts of the error.

/**
 * A failure, or something that surprises later.
 * @typedef {object} Problem
 * @property {'connect' | 'open' | 'local' | 'remote' | 'bound' | 'key'} step what was tried: a session, a connection to a
 *   target, to listen here, to listen at the server; `bound`: the server listens; `key`: to read a key file
 * @property {any} error its facts; undefined if there is none; for `open`, also the end of a connection
 * @property {import('../../ssh-config/forwardings.js').ListenAddr} [listen] where to listen
 * @property {boolean} [batch] whether the user is not to be asked
 * @property {any} [server] the options for the server
 * @property {string} [file] of a key
 */

/** sshd's words for a client that it does not serve at the moment; it says them before its version. */
const STARTUPS = /\bMaxStartups\b/i;
const PENALTY = /\bNot allowed at this time\b/i;
/** The words of C libraries for a name that cannot be resolved, which sshd passes on. */
const UNRESOLVED =
  /name or service not known|name resolution|no address associated|nodename nor servname|name does not resolve/i;

/** The ports of services, on which only root listens unless the system says otherwise. */
const isReserved = ({ port = 0 }) => port > 0 && port < 1024;

const isUnidentified = ({ step, error }) => step === 'connect' && error.lossReason === 'unidentified';

/** Whether the server wanted a key, and was offered none. */
const lacksKeys = ({ error }) => !['publickey', 'agent'].some((method) => error.triedMethods?.includes(method));

/** Whether keys were wanted, and no answer of the user was refused, which needs no hint. */
const isAuth = ({ step, error: { code, acceptedMethods = [], triedMethods = [] } = /** @type {any} */ ({}) }) =>
  step === 'connect' &&
  code === 'ERR_SSH_AUTH' &&
  acceptedMethods.includes('publickey') &&
  !['password', 'keyboard-interactive'].some((method) => triedMethods.includes(method));

const isHostKey = ({ step, error }, ...reasons) => step === 'connect' && reasons.includes(error.hostKey?.reason);

/** An argument for a shell. */
const quoted = (text) => (/^[\w./:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The command that shows which process listens on a port. */
const listener = (port) =>
  ({
    darwin: `lsof -nP -iTCP:${port} -sTCP:LISTEN`,
    win32: `netstat -ano -p tcp | findstr :${port}`,
  })[process.platform] ?? `ss -ltnp sport = :${port}`;

/**
 * The first one that fits counts.
 * @type {{ fits: (problem: Problem) => boolean, text: (problem: Problem) => string }[]}
 */
const HINTS = [
  {
    fits: (problem) => isUnidentified(problem) && STARTUPS.test(problem.error.banner),
    text: () => 'too many clients are authenticating at the server (MaxStartups of sshd_config): try again soon',
  },
  {
    fits: (problem) => isUnidentified(problem) && PENALTY.test(problem.error.banner),
    text: () => 'the server ignores this address for a while after failures (PerSourcePenalties): wait, then try once',
  },
  {
    fits: isUnidentified,
    text: () => 'sshd does so at its limit MaxStartups, or to an address with PerSourcePenalties: wait, then try once',
  },
  {
    fits: (problem) => isAuth(problem) && lacksKeys(problem),
    text: () => 'no key was offered: no key file can be used, and there is no agent (SSH_AUTH_SOCK, IdentityAgent)',
  },
  {
    // The keys of an agent are not known here, nor how many of them the server has refused.
    fits: (problem) =>
      isAuth(problem) && problem.error.triedMethods.includes('agent') && problem.server.agentKeys === undefined,
    text: () =>
      'ssh-add -l shows the keys of the agent; of many, name one (MaxAuthTries): -i FILE -o IdentitiesOnly=yes',
  },
  {
    fits: (problem) => isHostKey(problem, 'changed') && problem.error.hostKey.file !== undefined,
    text: ({ error: { hostKey } }) =>
      `if the new key is right, remove the old one: ssh-keygen -f ${quoted(hostKey.file)} -R ${quoted(hostKey.name)}`,
  },
  {
    fits: (problem) => isHostKey(problem, 'unknown', 'rejected') && problem.batch === true,
    text: () => 'with BatchMode nobody is asked: connect once without it, or write the key to known_hosts before',
  },
  {
    fits: ({ step }) => step === 'key',
    text: ({ file }) => `chmod 600 ${quoted(file)}`,
  },
  {
    fits: ({ step, error }) => step === 'open' && error.code === 'ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED',
    text: () => 'the server does not allow this target: see AllowTcpForwarding and PermitOpen of its sshd_config',
  },
  {
    fits: ({ step, error }) => step === 'open' && UNRESOLVED.test(error.description),
    text: () => 'the name of a target is resolved by the server, not here: it may have another name or address there',
  },
  {
    fits: ({ step, error, listen }) => step === 'local' && error.code === 'EADDRINUSE' && listen.path !== undefined,
    text: () => 'if no process listens on it any more, -o StreamLocalBindUnlink=yes removes the socket first',
  },
  {
    fits: ({ step, error }) => step === 'local' && error.code === 'EADDRINUSE',
    text: ({ listen: { port } }) => `this shows which process has the port: ${listener(port)}`,
  },
  {
    fits: ({ step, error, listen }) => step === 'local' && error.code === 'EACCES' && isReserved(listen),
    text: () => 'a port below 1024 needs root or CAP_NET_BIND_SERVICE: take a higher one',
  },
  {
    fits: ({ step, listen }) => step === 'remote' && listen.path !== undefined,
    text: () => 'an old socket may be in the way: StreamLocalBindUnlink yes of sshd_config removes it, or rm there',
  },
  {
    fits: ({ step }) => step === 'remote',
    text: () =>
      'the port is in use there, below 1024, or not allowed by AllowTcpForwarding or PermitListen of sshd_config',
  },
  {
    fits: ({ step, listen }) => step === 'bound' && ['', '*', '0.0.0.0', '::'].includes(listen.host),
    text: () => 'sshd listens on its loopback address all the same, unless its GatewayPorts is yes or clientspecified',
  },
];

/** The hints of one run: each is given once. */
class Hints {
  #given = new Set();

  /** @param {Problem} problem @returns {string | undefined} */
  about(problem) {
    const hint = HINTS.find(({ fits }) => fits(problem));
    if (hint === undefined || this.#given.has(hint)) return undefined;
    this.#given.add(hint);
    return hint.text(problem);
  }
}

module.exports = { Hints };
