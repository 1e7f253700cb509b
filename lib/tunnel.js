'use strict';

const { AsyncResource } = require('node:async_hooks');
const { EventEmitter, once } = require('node:events');

const { TunnelAgent } = require('./http-agent.js');
const check = require('./validate/options.js');
const channels = require('./diagnostics.js');
const { readConfig } = require('./ssh-config/index.js');
const { Connection } = require('./connection.js');
const { checkDial, dial, ended, opened, relingered } = require('./tunnel-socket.js');
const { Deferred, adopt, binding, create, enqueue, hold, mirror, unhold } = require('./native/bridge.js');
const { fromNative, invalidArgValue, wouldDeadlock } = require('./errors.js');
const { Forward, checkDynamicForward, checkLocalForward, checkRemoteForward } = require('./forward.js');
const { carry } = require('./native/join-stream.js');

const { Kind, Method } = binding;

/** Streams that were given to tunnels: each carries one session, of one tunnel. */
const given = new WeakSet();

/** Tunnels that are up: nobody else may hold one, and still its events are due. */
const up = new Set();

/** Events that the addon tells of only where somebody listens. */
const FOLLOWED = {
  banner: Kind.Banner,
  connectionRequest: Kind.ConnectionRequest,
  connection: Kind.Connection,
  disconnected: Kind.Disconnected,
};

/** What a blocked thread cannot do. */
const SOCK = 'options.sock, which carries the session';
const DIALLED = 'a socket of dial(), which has to read what comes';
/** So many forwards that have ended cost nothing to speak of. */
const FEW_FORWARDS = 32;

const nothing = () => undefined;
const itself = (value) => value;

/** The methods that `promises` mirrors, with the number of their arguments. */
const MIRRORED = {
  getLinger: 0,
  setLinger: 1,
  getLingerOption: 0,
  setLingerOption: 1,
  getKeepAlive: 0,
  setKeepAlive: 1,
  getIdleTimeout: 0,
  setIdleTimeout: 1,
  connect: 0,
  startListening: 0,
  stopListening: 0,
  forwardLocal: 1,
  forwardDynamic: 1,
  forwardRemote: 1,
  disconnect: 1,
  shutdown: 1,
  close: 1,
  connections: 0,
  stats: 0,
};

class SSHTunnel extends EventEmitter {
  #handle;
  /** How connections reach their tunnel. */
  #ask = (method, number, callback, convert, linger) => {
    const outcome = this.#operation(method, number, callback, convert, linger);
    // The addon does not know yet of a socket of dial() that is destroyed and still writes.
    const socket = method === Method.SetConnectionLinger ? this.#dialled.get(number) : undefined;
    if (socket !== undefined) relingered(socket, linger);
    return outcome;
  };
  #disconnect = (connectionId, callback) => this.disconnect(connectionId, callback);
  /** Who subscribed to the channels when that was looked at last. */
  #subscribed = 0;
  /** By their numbers, those that were stopped or lost included until somebody asks. @type {Map<number, Forward>} */
  #forwards = new Map();
  /** How many of them there may be before those that have ended are looked for. */
  #mostForwards = FEW_FORWARDS;
  /** The sockets of dial() whose connections have not ended, by the connections' numbers. */
  #dialled = new Map();
  /** Lists of ends, each of a close() under way. @type {Set<object[]>} */
  #ends = new Set();
  /** Who decides about the host key of each jump host, in order, and last about the server's. */
  #verifiers;
  /** The stream that leads to the server, if one does, and what became of it once it is in use. */
  #sock;
  #carried;
  /** Whether the server's questions go to 'keyboard-interactive'. */
  #interactive;
  /** Events run in the context in which the tunnel was made. */
  #resource = new AsyncResource('SSHTUNNEL');
  #promises;
  /** What ssh_config files say that is not honoured. */
  #configNotices = Object.freeze([]);
  /** Why the last host key was refused, if hostVerifier failed over it. */
  #refusal;
  /** Up, or with a 'close' still to be delivered. */
  #up = false;
  /** The number of the last 'close' that was delivered. */
  #closed = 0;
  /** What ref() and unref() say. */
  #referenced = true;
  /** Whether the event loop is held because of this tunnel. */
  #held = false;

  static {
    adopt({
      deliver: (tunnel, ...event) => tunnel.#resource.runInAsyncScope(tunnel.#deliver, tunnel, ...event),
      replied: (tunnel) => tunnel.#refresh(),
      error: (tunnel, failure) => tunnel.#error(failure),
    });
  }

  constructor(options) {
    super();
    const { native, verifiers, interactive, sock, wipe } = check.checkOptions(options);
    if (given.has(sock)) throw invalidArgValue('options.sock', 'was given to another tunnel', sock, { secret: true });
    let handle;
    try {
      handle = create(this, native);
    } finally {
      wipe();
    }
    if (typeof handle !== 'number') throw fromNative(handle);
    this.#handle = handle;
    this.#verifiers = verifiers;
    this.#interactive = interactive;
    this.#sock = sock;
    if (sock !== undefined) given.add(sock);
  }

  static fromConfig(host, overrides) {
    const { options, notices, wipe } = readConfig(host, overrides);
    try {
      const tunnel = new this(options);
      tunnel.#configNotices = Object.freeze(notices);
      return tunnel;
    } finally {
      wipe();
    }
  }

  get configNotices() {
    return this.#configNotices;
  }

  getLinger(callback) {
    return this.#setting(Method.GetLinger, 0, callback, Boolean);
  }

  setLinger(linger, callback) {
    const value = Number(check.checkBoolean(linger, 'linger'));
    return this.#setting(Method.SetLinger, value, callback, nothing);
  }

  getLingerOption(callback) {
    return this.#setting(Method.GetLingerOption, 0, callback, check.unpackLinger);
  }

  setLingerOption(value, callback) {
    const packed = check.checkLingerOption(value, 'value');
    return this.#setting(Method.SetLingerOption, packed, callback, nothing);
  }

  getKeepAlive(callback) {
    return this.#setting(Method.GetKeepAlive, 0, callback, Boolean);
  }

  setKeepAlive(keepAlive, callback) {
    const value = Number(check.checkBoolean(keepAlive, 'keepAlive'));
    return this.#setting(Method.SetKeepAlive, value, callback, nothing);
  }

  getIdleTimeout(callback) {
    return this.#setting(Method.GetIdleTimeout, 0, callback, itself);
  }

  setIdleTimeout(idleTimeout, callback) {
    check.checkMilliseconds(idleTimeout, 'idleTimeout');
    return this.#setting(Method.SetIdleTimeout, idleTimeout, callback, nothing);
  }

  connect(callback) {
    this.#prepareLogon('connect', callback);
    return this.#operation(Method.Connect, 0, callback);
  }

  startListening(callback) {
    this.#prepareLogon('startListening', callback);
    return this.#operation(Method.StartListening, 0, callback);
  }

  stopListening(callback) {
    return this.#operation(Method.StopListening, 0, callback);
  }

  forwardLocal(options, callback) {
    const { listen, target, maxConnections } = checkLocalForward(options);
    return this.#forward('forwardLocal', callback, () =>
      binding.prepareForward(this.#handle, listen, target, maxConnections),
    );
  }

  forwardDynamic(options, callback) {
    const { listen, maxConnections, login } = checkDynamicForward(options);
    return this.#forward('forwardDynamic', callback, () =>
      binding.prepareDynamic(this.#handle, listen, maxConnections, ...login),
    );
  }

  forwardRemote(options, callback) {
    const { listen, target, maxConnections } = checkRemoteForward(options);
    return this.#forward('forwardRemote', callback, () =>
      binding.prepareRemote(this.#handle, listen, target, maxConnections),
    );
  }

  forwards() {
    for (const id of this.#forwards.keys()) {
      if (binding.forward(this.#handle, id) === null) this.#forwards.delete(id);
    }
    return [...this.#forwards.values()];
  }

  dial(host, port) {
    const wanted = checkDial(host, port);
    this.#look();
    this.#prepareLogon('dial', nothing);
    const socket = dial(this.#handle, wanted, this.#ask);
    this.#dialled.set(socket.connectionId, socket);
    return socket;
  }

  agent(options) {
    return new TunnelAgent(this, options);
  }

  disconnect(connectionId, callback) {
    this.#refuseWithSock('disconnect', callback);
    if (callback === undefined && this.#dialled.has(connectionId)) throw wouldDeadlock('disconnect', DIALLED);
    return this.#operation(Method.Disconnect, check.checkConnectionId(connectionId), callback);
  }

  shutdown(options, callback) {
    if (typeof options === 'function' && callback === undefined) [options, callback] = [undefined, options];
    const force = check.checkShutdownOptions(options);
    // By force it waits for nothing that this thread would have to do.
    if (force) return this.#operation(Method.Shutdown, 1, callback, () => this.#carried?.end());
    this.#refuseWithSock('shutdown', callback);
    if (callback === undefined && this.#dialled.size > 0) throw wouldDeadlock('shutdown', DIALLED);
    return this.#operation(Method.Shutdown, 0, callback);
  }

  close(options, callback) {
    if (typeof options === 'function' && callback === undefined) [options, callback] = [undefined, options];
    if (callback === undefined) return this.promises.close(options);
    const limit = check.checkCloseOptions(options);
    // Every end is told on its way here: kept for whoever waits for them, and for nobody else.
    const ends = [];
    const since = performance.now();
    const forget = () => {
      if (limit >= 0 && performance.now() - since >= limit) this.#carried?.end();
      this.#ends.delete(ends);
      this.#follow('disconnected');
      return ends;
    };
    this.#ends.add(ends);
    this.#follow('disconnected');
    try {
      this.#operation(Method.Close, limit, callback, forget);
    } catch (error) {
      forget();
      throw error;
    }
  }

  connections(callback) {
    return this.#operation(Method.Connections, 0, callback, (infos) =>
      infos.map((info) => new Connection(info, this.#ask, this.#disconnect)),
    );
  }

  stats(callback) {
    return this.#operation(Method.Stats, 0, callback);
  }

  get listening() {
    return binding.listening(this.#handle);
  }

  get localPort() {
    return binding.localPort(this.#handle);
  }

  get promises() {
    this.#promises ??= Object.freeze({
      ...mirror(this, SSHTunnel.prototype, MIRRORED),
      dial: async (host, port) => {
        const socket = this.dial(host, port);
        await once(socket, 'connect');
        return socket;
      },
    });
    return this.#promises;
  }

  ref() {
    this.#referenced = true;
    this.#refresh();
    return this;
  }

  unref() {
    this.#referenced = false;
    this.#refresh();
    return this;
  }

  // Whether anybody listens for what comes with each connection is for the addon to know before it
  // tells: it asks nobody about a new one otherwise, and leaves the event loop alone. The events
  // 'newListener' and 'removeListener' would tell, but users can take their listeners away.
  on(event, listener) {
    super.on(event, listener);
    return this.#follow(event);
  }

  addListener(event, listener) {
    super.addListener(event, listener);
    return this.#follow(event);
  }

  prependListener(event, listener) {
    super.prependListener(event, listener);
    return this.#follow(event);
  }

  off(event, listener) {
    super.off(event, listener);
    return this.#follow(event);
  }

  removeListener(event, listener) {
    super.removeListener(event, listener);
    return this.#follow(event);
  }

  removeAllListeners(...events) {
    super.removeAllListeners(...events);
    for (const event in FOLLOWED) this.#follow(event);
    return this;
  }

  #follow(event) {
    const kind = Object.hasOwn(FOLLOWED, event) ? FOLLOWED[event] : undefined;
    if (kind === undefined) return this;
    const awaited = kind === Kind.Disconnected && this.#ends.size > 0;
    const subscribed = channels.isSubscribed(this.#subscribed, kind);
    binding.follow(this.#handle, kind, awaited || subscribed || this.listenerCount(event) > 0);
    return this;
  }

  /** Looks who subscribes to the channels: nobody tells when that changes. */
  #look() {
    const subscribed = channels.subscribed();
    if (subscribed === this.#subscribed) return;
    this.#subscribed = subscribed;
    for (const event in FOLLOWED) this.#follow(event);
    for (const kind of channels.SESSIONS) binding.follow(this.#handle, kind, channels.isSubscribed(subscribed, kind));
  }

  #setting(method, argument, callback, convert) {
    this.#look();
    if (callback === undefined) return convert(binding.call(this.#handle, method, argument, 0));
    return enqueue(this, this.#handle, method, argument, 0, callback, convert);
  }

  #operation(method, argument, callback, convert = itself, linger = 0) {
    this.#look();
    if (callback !== undefined) return enqueue(this, this.#handle, method, argument, linger, callback, convert);
    const outcome = binding.call(this.#handle, method, argument, linger);
    this.#refresh();
    if (outcome?.code !== undefined) throw this.#error(outcome);
    return convert(outcome);
  }

  /** Opens the forward that `prepare` gives a number to. */
  #forward(method, callback, prepare) {
    if (callback !== undefined && !(callback instanceof Deferred)) check.checkFunction(callback, 'callback');
    this.#prepareLogon(method, callback);
    return this.#operation(Method.StartForward, prepare(), callback, ([info]) => {
      const forward = new Forward(info, { ask: this.#ask, find: (id) => binding.forward(this.#handle, id) });
      this.#forwards.set(forward.forwardId, forward);
      if (this.#forwards.size > this.#mostForwards)
        this.#mostForwards = 2 * Math.max(FEW_FORWARDS, this.forwards().length);
      return forward;
    });
  }

  /** Before what may log on: refuses to block what the logon needs, and has its stream carried. */
  #prepareLogon(method, callback) {
    if (callback === undefined) {
      if (!binding.ready(this.#handle)) this.#refuseDeadlock(method);
      return;
    }
    if (this.#sock === undefined) return;
    if (!(callback instanceof Deferred)) check.checkFunction(callback, 'callback');
    const descriptor = binding.attachSock(this.#handle);
    if (typeof descriptor === 'number') this.#carried = carry(this.#sock, descriptor);
    else if (descriptor !== undefined) throw fromNative(descriptor);
  }

  #refuseDeadlock(method) {
    const asked = 'which the logon has to ask';
    if (this.#verifiers.some((verifier) => verifier !== undefined))
      throw wouldDeadlock(method, `options.hostVerifier, ${asked}`);
    if (this.#interactive) throw wouldDeadlock(method, `a listener of 'keyboard-interactive', ${asked}`);
    if (this.#sock !== undefined) throw wouldDeadlock(method, SOCK);
  }

  /** What closes waits for what is under way, which a stream of this thread would have to carry. */
  #refuseWithSock(method, callback) {
    const blocks = callback === undefined && this.#sock !== undefined;
    if (blocks && binding.ready(this.#handle)) throw wouldDeadlock(method, SOCK);
  }

  /** Keeps this tunnel, and the event loop, while it is up. */
  #refresh() {
    const isUp = binding.alive(this.#handle, this.#closed);
    if (isUp !== this.#up) {
      this.#up = isUp;
      if (isUp) up.add(this);
      else up.delete(this);
    }
    const held = isUp && this.#referenced;
    if (held !== this.#held) {
      this.#held = held;
      if (held) hold();
      else unhold();
    }
  }

  #error(failure) {
    const error = fromNative(failure);
    if (error.code === 'ERR_SSH_HOST_KEY' && this.#refusal !== undefined) {
      error.cause = this.#refusal.reason;
      this.#refusal = undefined;
    }
    const failed = this.#carried?.error;
    if (error.code === 'ERR_SSH_DISCONNECTED' && failed !== undefined) error.cause = failed;
    return error;
  }

  #deliver(kind, number, failure, payload) {
    this.#look();
    switch (kind) {
      case Kind.HostKey:
        this.#verifyHostKey(number, payload);
        break;
      case Kind.Prompts:
        this.#askUser(number, payload);
        break;
      case Kind.Banner: {
        const { message, language, host, port } = payload;
        this.emit('banner', message, language, { host, port });
        break;
      }
      case Kind.Ready:
        this.#refresh();
        this.emit('ready');
        break;
      case Kind.Listening:
        this.#refresh();
        this.emit('listening');
        break;
      case Kind.ConnectionRequest:
        this.#requestConnection(payload);
        break;
      case Kind.Connection:
        channels.publishConnection(this, payload);
        this.#toDialled(payload, opened);
        this.emit('connection', new Connection(payload, this.#ask, this.#disconnect));
        break;
      case Kind.Disconnected:
        channels.publishEnd(this, payload);
        for (const ends of this.#ends) ends.push(payload);
        this.#toDialled(payload, ended);
        this.#dialled.delete(payload.connectionId);
        this.emit('disconnected', payload);
        break;
      case Kind.SessionStarted:
      case Kind.SessionReady:
      case Kind.SessionLost:
      case Kind.SessionEnded:
        channels.publishSession(this, kind, number, failure, payload);
        break;
      case Kind.Reconnecting:
        this.emit('reconnecting', { attempt: number, delay: payload, error: this.#error(failure) });
        break;
      case Kind.SessionError:
        this.emit('sessionError', this.#error(failure));
        break;
      case Kind.ForwardError:
        this.emit('forwardError', this.#error(failure), number);
        break;
      case Kind.Error:
        this.emit('error', this.#error(failure));
        break;
      case Kind.Close:
        this.#closed = number;
        try {
          this.emit('close');
        } finally {
          this.#refresh();
        }
        break;
    }
  }

  /** Tells a socket of dial() what has become of its connection. */
  #toDialled(payload, tell) {
    const socket = this.#dialled.get(payload.connectionId);
    if (socket !== undefined) tell(socket, payload);
  }

  async #verifyHostKey(question, { hop, ...key }) {
    this.#refusal = undefined;
    let trusted = false;
    try {
      const verify = this.#verifiers.at(hop ?? -1);
      trusted = (await verify(key)) === true;
    } catch (reason) {
      this.#refusal = { reason };
    }
    binding.answerHostKey(this.#handle, question, trusted);
  }

  #askUser(question, { name, instructions, lang, prompts }) {
    const handle = this.#handle;
    const count = prompts.length;
    const finish = (responses = []) => {
      // Fewer cannot be what the server wants: that is how a user gives up.
      const { responses: given, wipe } = check.checkResponses(responses, count);
      try {
        binding.answerPrompts(handle, question, given.length === count ? given : undefined);
      } finally {
        wipe();
      }
    };
    let heard = false;
    try {
      heard = this.emit('keyboard-interactive', name, instructions, lang, prompts, finish);
    } finally {
      if (!heard) binding.answerPrompts(handle, question, undefined);
    }
  }

  #requestConnection({ connectionId, forwardId, remoteAddress, remotePort, forwardHost, forwardPort, forwardPath }) {
    const handle = this.#handle;
    const request = {
      connectionId,
      forwardId,
      remoteAddress,
      remotePort,
      forwardHost,
      forwardPort,
      forwardPath,
      accept: () => binding.answerRequest(handle, connectionId, true),
      reject: () => binding.answerRequest(handle, connectionId, false),
    };
    let heard = false;
    let answered = false;
    try {
      heard = this.emit('connectionRequest', request);
      answered = true;
    } finally {
      if (!answered) request.reject();
      // The last listener left while the request was on its way here.
      else if (!heard) request.accept();
    }
  }
}

if (Symbol.asyncDispose !== undefined) {
  Object.defineProperty(SSHTunnel.prototype, Symbol.asyncDispose, {
    value: async function asyncDispose() {
      await this.close();
    },
    configurable: true,
    writable: true,
  });
}

module.exports = { SSHTunnel };
