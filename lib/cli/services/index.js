'use strict';

// What runs beside the tunnel: each service is a module that gets the run's context, and is loaded only if it is wanted.

/**
 * @typedef {object} Context
 * @property {import('../monitor.js').Monitor} monitor
 * @property {import('../output/messages.js').Messages} messages
 * @property {() => import('../../../index.js').SSHTunnel | undefined} tunnel the tunnel, once there is one
 * @property {import('../output/json-lines.js').JsonLines} [json] with --json
 */

/**
 * A service that runs.
 * @typedef {object} Service
 * @property {() => void} [ready] everything listens
 * @property {() => void} [closing] the command begins to end
 * @property {() => void} [stop] ends the service, at once; it may be called more than once
 */

/**
 * By the member of the command line that asks for it; `systemd` if there is a service manager. The first argument is
 * the address, or what is known of the manager.
 * @type {Record<string, () => { start(address: any, context: Context): Promise<Service> }>}
 */
const SERVICES = {
  health: () => require('./health.js'),
  metrics: () => require('./metrics.js'),
  supervisor: () => require('../manager/supervised.js'),
  systemd: () => require('./systemd.js'),
  web: () => require('./web.js'),
};

class Services {
  /** @type {Service[]} */
  #running = [];

  /**
   * Starts all that are wanted.
   * @param {Record<string, object>} wanted by their names, with their addresses
   * @param {Context} context
   */
  async start(wanted, context) {
    for (const [name, address] of Object.entries(wanted)) {
      this.#running.push(await SERVICES[name]().start(address, context));
    }
  }

  ready() {
    for (const service of this.#running) service.ready?.();
  }

  closing() {
    for (const service of this.#running) service.closing?.();
  }

  stop() {
    for (const service of this.#running) service.stop?.();
  }
}

module.exports = { Services };
