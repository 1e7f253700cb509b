'use strict';

// What a service manager says in the environment, as systemd does: where to report the state (sd_notify(3)), how often
// (sd_watchdog_enabled(3)), and which sockets listen already (sd_listen_fds(3)).

/** Descriptors of sockets begin here. */
const FIRST_DESCRIPTOR = 3;

/** The variables, which no other process may take for its own. */
const VARIABLES = `
  LISTEN_FDNAMES LISTEN_FDS LISTEN_PID LISTEN_PIDFDID NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC
`.match(/\S+/g);

/**
 * @typedef {object} ServiceManager
 * @property {string} [notifySocket] the path of a Unix socket, or the name of an abstract one behind `@`
 * @property {number} [watchdog] milliseconds after which it takes a silent process for a dead one
 * @property {{ descriptor: number, name: string }[]} sockets that listen
 */

/** A number of the environment. */
function number(text) {
  return /^\d{1,15}$/.test(text ?? '') ? Number(text) : undefined;
}

/**
 * Takes what is for this process out of the environment.
 * @param {NodeJS.ProcessEnv} env
 * @returns {ServiceManager}
 */
function takeServiceManager(env = process.env) {
  const { LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID, NOTIFY_SOCKET = '', WATCHDOG_PID, WATCHDOG_USEC } = env;
  for (const name of VARIABLES) delete env[name];
  const isSupported = process.platform !== 'win32';
  const isMine = (pid) => isSupported && number(pid) === process.pid;
  const watchdog = WATCHDOG_PID === undefined || isMine(WATCHDOG_PID) ? number(WATCHDOG_USEC) : undefined;
  const names = LISTEN_FDNAMES === undefined ? [] : LISTEN_FDNAMES.split(':');
  const count = isMine(LISTEN_PID) ? (number(LISTEN_FDS) ?? 0) : 0;
  return {
    notifySocket: isSupported && /^[/@]./.test(NOTIFY_SOCKET) ? NOTIFY_SOCKET : undefined,
    watchdog: watchdog ? watchdog / 1000 : undefined,
    sockets: Array.from({ length: count }, (_, index) => ({
      descriptor: FIRST_DESCRIPTOR + index,
      name: names[index] ?? 'unknown',
    })),
  };
}

/** Whether a service manager says anything. Most processes have none. */
function hasServiceManager(env = process.env) {
  return VARIABLES.some((name) => env[name] !== undefined);
}

module.exports = { hasServiceManager, takeServiceManager };
