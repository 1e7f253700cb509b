'use strict';

// The supervisor of a user: answers the requests of the subcommands, and ends when nothing is to be up any more.
// docs/control.md describes the requests.

const { once } = require('node:events');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');

const { ControlServer } = require('../control/server.js');
const { socketPath } = require('./places.js');
const { Tunnel } = require('./tunnel.js');
const { readWanted, writeWanted } = require('./wanted.js');

const MAX_TUNNELS = 1000;
const MAX_CLIENTS = 64;
/** Bytes of a request: it has an environment in it. */
const MAX_REQUEST = 4 * 1024 * 1024;
/** Milliseconds for the first client to come. */
const GRACE = 10_000;
/** Milliseconds between the starts of two processes: many at once keep the processors, and are refused by servers. */
const INTERVAL = 50;

/** States that another one follows soon. */
const PASSING = ['connecting', 'closing'];

const isText = (value) => typeof value === 'string';
const isTexts = (value) => Array.isArray(value) && value.every(isText);
const isCount = (value) => value === undefined || (Number.isInteger(value) && value >= 0 && value < 2 ** 31);

/** Members of requests, and whether a value is one. @type {Record<string, (value: any) => boolean>} */
const MEMBERS = {
  name: isText,
  names: (value) => isTexts(value) && value.length <= MAX_TUNNELS,
  args: isTexts,
  cwd: (value) => isText(value) && path.isAbsolute(value),
  env: (value) => value !== null && typeof value === 'object' && Object.values(value).every(isText),
  timeout: isCount,
};

/** Refuses a request that lacks one of these members. */
function check(request, ...names) {
  for (const name of names) if (!MEMBERS[name](request[name])) throw new Error(`'${name}' of the request is not valid`);
}

/** A tunnel that is to be started, or why it is not. @typedef {{ wanted: import('./wanted.js').Wanted, refused?: string }} Plan */

class Supervisor {
  /** By their names, in the order in which they came. @type {Map<string, Tunnel>} */
  #tunnels = new Map();
  #server;
  /** When the next process may be started, on the clock of performance.now(). */
  #nextStart = 0;
  #isIdle;
  #grace;

  /** @param {() => void} isIdle called when it may end */
  constructor(isIdle) {
    this.#isIdle = isIdle;
    this.#server = new ControlServer(
      {
        up: (request) => this.#up(request),
        down: (request) => this.#down(request),
        restart: (request) => this.#restart(request),
        wait: (request, gone) => this.#wait(request, gone),
        list: () => ({ reply: { tunnels: this.#infos() } }),
        status: (request) => this.#status(request),
      },
      { maxClients: MAX_CLIENTS, maxLine: MAX_REQUEST, idle: () => this.#look() },
    );
  }

  /** Listens. @throws {import('../control/server.js').InUse} another supervisor does */
  async listen() {
    await this.#server.listen(socketPath());
    try {
      for (const wanted of readWanted()) this.#add(wanted);
    } catch (error) {
      this.#server.close();
      throw error;
    }
    this.#grace = setTimeout(() => {
      this.#grace = undefined;
      this.#look();
    }, GRACE);
  }

  /** Stops listening, and waits for the logs. */
  async close() {
    this.#server.close();
    await Promise.all([...this.#tunnels.values()].map((tunnel) => tunnel.flush()));
  }

  /** @param {import('./wanted.js').Wanted} wanted */
  #add(wanted) {
    const tunnel = new Tunnel(wanted, () => this.#turn());
    tunnel.on('change', () => tunnel.state === 'down' && this.#look());
    this.#tunnels.set(wanted.name, tunnel);
    return tunnel;
  }

  /** Ends when no client may ask for anything more. */
  #look() {
    if (this.#grace !== undefined || this.#server.clients > 0) return;
    let isIdle = true;
    for (const [name, { isWanted, state }] of this.#tunnels) {
      if (state !== 'down') isIdle = false;
      else if (!isWanted) this.#tunnels.delete(name);
    }
    if (isIdle) this.#isIdle();
  }

  /** Waits until a process may be started. */
  #turn() {
    const now = performance.now();
    const start = Math.max(now, this.#nextStart);
    this.#nextStart = start + INTERVAL;
    return new Promise((resolve) => setTimeout(resolve, start - now));
  }

  /** The tunnels that `list` has. */
  #infos() {
    const all = [...this.#tunnels.values()];
    return all.filter(({ isWanted, state }) => isWanted || state !== 'down').map(({ info }) => info);
  }

  /** Writes which tunnels are to be up, with these. @param {Plan[]} [plans] */
  #save(plans = []) {
    const wanted = new Map(this.#wanted().map((each) => [each.name, each]));
    for (const plan of plans) if (plan.refused === undefined) wanted.set(plan.wanted.name, plan.wanted);
    writeWanted([...wanted.values()]);
  }

  #wanted() {
    return [...this.#tunnels.values()].filter(({ isWanted }) => isWanted).map(({ wanted }) => wanted);
  }

  #present() {
    clearTimeout(this.#grace);
    this.#grace = undefined;
  }

  #up(request) {
    check(request, 'names', 'args', 'cwd', 'env');
    this.#present();
    const { names, args, cwd, env } = request;
    const wanted = names.length === 0 ? this.#wanted() : names.map((name) => ({ name, args, cwd }));
    const plans = wanted.map((each) => this.#plan(each));
    this.#save(plans);
    return { reply: { tunnels: plans.map((plan) => this.#start(plan, env)) } };
  }

  /** @param {import('./wanted.js').Wanted} wanted @returns {Plan} */
  #plan(wanted) {
    const found = this.#tunnels.get(wanted.name);
    if (found === undefined && this.#tunnels.size >= MAX_TUNNELS)
      return { wanted, refused: `there are ${MAX_TUNNELS} tunnels already` };
    const isSame = found !== undefined && isDeepStrictEqual(found.wanted.args, wanted.args);
    if (found !== undefined && found.state !== 'down' && !isSame)
      return { wanted, refused: `it has other options: take it down first, by sshtunnel down ${wanted.name}` };
    return { wanted };
  }

  /** @param {Plan} plan */
  #start({ wanted, refused }, env) {
    if (refused !== undefined) return { name: wanted.name, refused };
    const tunnel = this.#tunnels.get(wanted.name) ?? this.#add(wanted);
    tunnel.start(env, wanted);
    return tunnel.info;
  }

  #down(request) {
    check(request, 'names', 'timeout');
    this.#present();
    const names = request.all === true ? this.#infos().map(({ name }) => name) : request.names;
    const how = { force: request.force === true, timeout: request.timeout };
    for (const name of names) this.#tunnels.get(name)?.stop(how);
    this.#save();
    return { reply: { tunnels: names.map((name) => this.#info(name)) } };
  }

  #restart(request) {
    check(request, 'names', 'args', 'cwd', 'env', 'timeout');
    this.#present();
    const { names, args, cwd, env, timeout } = request;
    const how = { force: request.force === true, timeout };
    const plans = names.map((name) => {
      const found = this.#tunnels.get(name);
      return { wanted: found?.isWanted ? found.wanted : { name, args, cwd } };
    });
    this.#save(plans);
    return { reply: { tunnels: plans.map(({ wanted }) => this.#again(wanted, env, how)) } };
  }

  /** @param {import('./wanted.js').Wanted} wanted */
  #again(wanted, env, how) {
    const found = this.#tunnels.get(wanted.name);
    if (!found?.isWanted) return this.#start({ wanted }, env);
    found.restart(env, how);
    return found.info;
  }

  /** Replies when a tunnel is up or not, or with `down`, when it has ended. */
  async #wait(request, gone) {
    check(request, 'name');
    const tunnel = this.#tunnels.get(request.name);
    const isPassing = () =>
      request.down === true ? !tunnel.isWanted && tunnel.state !== 'down' : PASSING.includes(tunnel.state);
    while (tunnel !== undefined && isPassing()) await once(tunnel, 'change', { signal: gone });
    return { reply: { tunnel: this.#info(request.name) } };
  }

  async #status(request) {
    check(request, 'name');
    const { name } = request;
    const snapshot = await this.#tunnels.get(name)?.snapshot();
    return { reply: { tunnel: this.#info(name), snapshot } };
  }

  #info(name) {
    return this.#tunnels.get(name)?.info ?? { name, state: 'down', wanted: false };
  }
}

module.exports = { Supervisor };
