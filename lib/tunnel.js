'use strict';

const { AsyncResource } = require('node:async_hooks');
const { EventEmitter, once } = require('node:events');

const { Abortion, checkSignal } = require('./abort.js');
const { Connection } = require('./connection.js');
const diagnostics = require('./diagnostics.js');
const { fromNative, wouldDeadlock } = require('./errors.js');
const { Forward } = require('./forward.js');
const { Lifetime } = require('./lifetime.js');
const { defineCalls, defineDispose, located } = require('./native/calls.js');
const { binding, create, enqueue, setHandlers, using } = require('./native/index.js');
const { askConnectionRequest, questionsOf } = require('./questions.js');
const { settingsCalls } = require('./settings.js');
const { Socks } = require('./sock.js');
const { Subscriptions, followListeners } = require('./subscriptions.js');
const { TunnelSockets } = require('./tunnel-sockets.js');
const check = require('./validate/index.js');

const { Kind, Method } = binding;

/** What a blocked thread cannot do, as the error says it. */
const SOCK = 'options.sock, which carries the session';
const DIALED = 'a socket of dial(), which has to read what comes';
/** The member of a class of tunnels that has the classes of its connections and forwards. */
const PARTS = Symbol('parts');

/** Forwards that have ended and are not looked for yet. */
const MIN_FORWARDS = 32;

const itself = (value) => value;
const nothing = () => undefined;

class SSHTunnel extends EventEmitter {
  #handle;
  #parts;
  #subscriptions;
  #lifetime;
  /** By number; ended forwards stay until forwards() looks for them. @type {Map<number, Forward>} */
  #forwards = new Map();
  /** How many there may be before ended forwards are looked for. */
  #maxForwards = MIN_FORWARDS;
  #sockets;
  #questions;
  /** The streams that lead to the server, if they are the application's. @type {Socks | undefined} */
  #socks;
  /** The `signal` of the tunnel's options, until a session was up. @type {AbortSignal | undefined} */
  #signal;
  /** @type {{ host: string, port: number }} */
  #server;
  /** The receiver of the log's lines. @type {((line: string) => void) | undefined} */
  #log;
  /** Whether a listener of 'keyboard-interactive' answers the server. */
  #interactive;
  #configNotices = Object.freeze([]);
  /** Events run in the context in which the tunnel was made. */
  #resource = new AsyncResource('SSHTUNNEL');
  /** Whether it has ended with a 'close'; a tunnel that is started again gets another one. */
  #isResourceOver = false;
  #promises;
  #localUrls;

  static #promisesOf;

  static [PARTS] = { Connection, Forward };

  static {
    setHandlers({
      deliver: (tunnel, ...event) => tunnel.#currentResource().runInAsyncScope(tunnel.#deliver, tunnel, ...event),
      replied: (tunnel) => tunnel.#lifetime.refresh(),
      error: (tunnel, failure) => tunnel.#error(failure),
    });

    SSHTunnel.#promisesOf = defineCalls(
      SSHTunnel,
      {
        ...settingsCalls((tunnel, settler, ...call) => tunnel.#call(settler, ...call)),
        connect: (tunnel, settler, options) => {
          const abortion = tunnel.#abortion(check.checkAbortOptions(options, 'connect'));
          tunnel.#connecting('connect', settler).#call(settler, Method.Connect, 0, { abortion });
        },
        startListening: (tunnel, settler, options) => {
          const abortion = tunnel.#abortion(check.checkAbortOptions(options, 'startListening'));
          tunnel.#connecting('startListening', settler).#call(settler, Method.StartListening, 0, { abortion });
        },
        stopListening: (tunnel, settler) => tunnel.#call(settler, Method.StopListening),
        forwardLocal: (tunnel, settler, options) =>
          tunnel.#startForward('forwardLocal', settler, check.checkLocalForward(options), options.signal),
        forwardDynamic: (tunnel, settler, options) =>
          tunnel.#startForward('forwardDynamic', settler, check.checkDynamicForward(options), options.signal),
        forwardRemote: (tunnel, settler, options) =>
          tunnel.#startForward('forwardRemote', settler, check.checkRemoteForward(options), options.signal),
        localUrl: (tunnel, settler, url) => tunnel.#urls.open(settler, url),
        disconnect: (tunnel, settler, connectionId) => tunnel.#disconnect(settler, connectionId),
        shutdown: (tunnel, settler, options) => tunnel.#shutdown(settler, check.checkShutdownOptions(options)),
        close: (tunnel, settler, options) =>
          settler === undefined
            ? tunnel.promises.close(options)
            : tunnel.#close(settler, check.checkCloseOptions(options)),
        connections: (tunnel, settler) =>
          tunnel.#call(settler, Method.Connections, 0, {
            result: (infos) => infos.map((info) => tunnel.#connection(info)),
          }),
        stats: (tunnel, settler) => tunnel.#call(settler, Method.Stats),
        trustHost: (tunnel, settler, hostKey) =>
          tunnel.#call(settler, Method.TrustHost, 0, { subject: { hostKey: check.checkHostKey(hostKey) } }),
      },
      ['connect', 'startListening', 'shutdown', 'close'],
    );

    followListeners(SSHTunnel, (tunnel) => tunnel.#subscriptions);
  }

  constructor(options) {
    super();
    const { native, server, servers, interactive, sock, signal, debug, wipe } = check.checkOptions(options);
    const socks = sock === undefined ? undefined : new Socks(sock);
    let handle;
    try {
      handle = create(this, native);
    } finally {
      wipe();
    }
    if (typeof handle !== 'number') throw fromNative(handle);
    this.#handle = handle;
    this.#server = server;
    this.#log = diagnostics.logReceiver(handle, debug);
    if (this.#log !== undefined) binding.follow(handle, Kind.Log, true);
    this.#subscriptions = new Subscriptions(this, handle);
    this.#lifetime = new Lifetime(this, handle);
    this.#sockets = new TunnelSockets(handle, this.#ask);
    this.#questions = questionsOf(handle, servers);
    this.#interactive = interactive;
    this.#parts = new.target[PARTS];
    this.#socks = socks;
    socks?.claim();
    this.#signal = signal;
  }

  static fromConfig(host, overrides) {
    const { readConfig } = require('./ssh-config/index.js');
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

  forwards() {
    for (const id of this.#forwards.keys()) {
      if (this.#findForward(id) === null) this.#forwards.delete(id);
    }
    return [...this.#forwards.values()];
  }

  dial(...args) {
    return this.#dial(...args);
  }

  connector(...target) {
    check.checkDial(...target);
    return () => this.#dial(...target);
  }

  #dial(host, port, options) {
    const { signal, ...wanted } = check.checkDial(host, port, options);
    const abortion = this.#abortion(signal);
    abortion?.throwIfAborted();
    this.#subscriptions.look();
    this.#connecting('dial', nothing);
    return this.#sockets.dial(wanted, abortion);
  }

  /** `dial` of promises. */
  #dialed = async (...target) => {
    const socket = this.#dial(...target);
    try {
      await once(socket, 'connect');
    } catch (error) {
      throw located(error, this.#dialed);
    }
    return socket;
  };

  httpAgent(options) {
    // Loaded here, because it needs https and thereby TLS, which take longer to load than all the rest.
    const { TunnelAgent } = require('./http-agent.js');
    return new TunnelAgent((target) => this.#dial(target), options);
  }

  get #urls() {
    const { LocalUrls } = require('./local-url.js');
    this.#localUrls ??= new LocalUrls(
      (settler, target) => this.#startForward('localUrl', settler, check.checkLocalForward(target)),
      (callback, result) => this.#call(callback, Method.GetLinger, 0, { result }),
    );
    return this.#localUrls;
  }

  get state() {
    return binding.state(this.#handle);
  }

  get listening() {
    return binding.listening(this.#handle);
  }

  get localPort() {
    return binding.localPort(this.#handle);
  }

  get promises() {
    return (this.#promises ??= SSHTunnel.#promisesOf(this, { dial: this.#dialed }));
  }

  ref() {
    this.#lifetime.referenced = true;
    return this;
  }

  unref() {
    this.#lifetime.referenced = false;
    return this;
  }

  /** Calls the addon, and settles as `settler` says. */
  #call(settler, method, number = 0, { result = itself, value = 0, subject = undefined, abortion = undefined } = {}) {
    this.#subscriptions.look();
    if (settler !== undefined)
      return enqueue(this, this.#handle, { method, number, value, subject, abortion }, settler, result);
    abortion?.throwIfAborted();
    const outcome = using(() => {
      const outcome = binding.call(this.#handle, method, number, value, subject);
      this.#lifetime.refresh();
      return outcome;
    });
    if (outcome?.code !== undefined) throw this.#error(outcome);
    return result(outcome);
  }

  /** How connections and forwards call their tunnel. @type {import('./connection.js').Ask} */
  #ask = (settler, method, id, options) => {
    const outcome = this.#call(settler, method, id, options);
    if (method === Method.SetConnectionLinger) this.#sockets.lingerChanged(id, options.value);
    return outcome;
  };

  #disconnect = (settler, connectionId) => {
    this.#refuseToBlockSock('disconnect', settler);
    if (settler === undefined && this.#sockets.has(connectionId)) throw wouldDeadlock('disconnect', DIALED);
    return this.#call(settler, Method.Disconnect, check.checkConnectionId(connectionId));
  };

  #connection(info) {
    return new this.#parts.Connection(info, this.#ask, this.#disconnect);
  }

  #startForward(name, settler, forward, signal) {
    const abortion = this.#abortion(checkSignal(signal, 'options.signal'));
    return this.#connecting(name, settler).#call(settler, Method.StartForward, 0, {
      subject: { forward },
      abortion,
      result: (info) => {
        const forward = new this.#parts.Forward(info, this.#ask, (id) => this.#findForward(id));
        this.#forwards.set(forward.forwardId, forward);
        if (this.#forwards.size > this.#maxForwards)
          this.#maxForwards = 2 * Math.max(MIN_FORWARDS, this.forwards().length);
        return forward;
      },
    });
  }

  #findForward(id) {
    return binding.forward(this.#handle, id);
  }

  #shutdown(settler, force) {
    // By force it waits for nothing that this thread would have to do.
    if (force) return this.#call(settler, Method.Shutdown, 1, { result: () => this.#socks?.end() });
    this.#refuseToBlockSock('shutdown', settler);
    if (settler === undefined && this.#sockets.size > 0) throw wouldDeadlock('shutdown', DIALED);
    return this.#call(settler, Method.Shutdown);
  }

  /** The limit is in milliseconds, -1 for none. */
  #close(settler, { limit, signal }) {
    const abortion = Abortion.of(signal);
    const collected = this.#subscriptions.collectEnds();
    const since = performance.now();
    const result = () => {
      if (limit >= 0 && performance.now() - since >= limit) this.#socks?.end();
      return collected();
    };
    try {
      this.#call(settler, Method.Close, limit, { result, abortion });
    } catch (error) {
      collected();
      throw error;
    }
  }

  /** A call that may connect is ended by its own signal and, until a session was up, by that of the tunnel. */
  #abortion(signal) {
    return Abortion.of(signal, this.#signal);
  }

  /** Before a call that may connect: refuses to block what that needs. */
  #connecting(method, settler) {
    if (settler === undefined) {
      if (!binding.ready(this.#handle)) this.#refuseToBlock(method);
    } else {
      this.#socks?.watch();
    }
    return this;
  }

  #refuseToBlock(method) {
    const asked = 'which has to be asked to connect';
    if (this.#questions.asked !== undefined) throw wouldDeadlock(method, `${this.#questions.asked}, ${asked}`);
    if (this.#interactive) throw wouldDeadlock(method, `a listener of 'keyboard-interactive', ${asked}`);
    if (this.#socks !== undefined) throw wouldDeadlock(method, SOCK);
  }

  /** Closing waits for data under way, which the `sock` would have to carry on this thread. */
  #refuseToBlockSock(method, settler) {
    const blocks = settler === undefined && this.#socks !== undefined;
    if (blocks && binding.ready(this.#handle)) throw wouldDeadlock(method, SOCK);
  }

  #error(failure) {
    const error = this.#questions.explain(fromNative(failure), failure.thrown);
    this.#socks?.explain(error);
    return error;
  }

  #deliver(kind, number, failure, payload) {
    this.#subscriptions.look();
    switch (kind) {
      case Kind.Log:
        this.#log(payload);
        break;
      case Kind.HostKey:
        this.#questions.verifyHostKey(number, payload);
        break;
      case Kind.Credentials:
        this.#questions.giveCredentials(number, payload);
        break;
      case Kind.Withdrawn:
        this.#questions.withdrawn(number);
        break;
      case Kind.Inquiry:
        this.#questions.inquire(this, number, payload);
        break;
      case Kind.Sock:
        this.#questions.giveStream(number, this.#socks);
        break;
      case Kind.Banner: {
        const { message, language, host, port } = payload;
        this.emit('banner', message, language, { host, port });
        break;
      }
      case Kind.Ready:
        this.#signal = undefined;
        this.#lifetime.refresh();
        this.emit('ready');
        break;
      case Kind.Listening:
        this.#lifetime.refresh();
        this.emit('listening');
        break;
      case Kind.ConnectionRequest:
        askConnectionRequest(this, this.#handle, payload);
        break;
      case Kind.Connection:
        diagnostics.publishConnection(this, payload);
        this.#sockets.opened(payload);
        this.emit('connection', this.#connection(payload));
        break;
      case Kind.Disconnected:
        diagnostics.publishEnd(this, payload);
        this.#subscriptions.ended(payload);
        this.#sockets.ended(payload);
        this.emit('disconnected', payload);
        break;
      case Kind.SessionStarted:
      case Kind.SessionReady:
      case Kind.SessionLost:
      case Kind.SessionEnded:
        diagnostics.publishSession(this, this.#server, kind, number, failure, payload);
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
        this.#lifetime.closed = number;
        try {
          this.emit('close');
        } finally {
          this.#lifetime.refresh();
          this.#isResourceOver = true;
          this.#resource.emitDestroy();
        }
        break;
    }
  }

  #currentResource() {
    if (this.#isResourceOver) {
      this.#isResourceOver = false;
      this.#resource = this.#resource.runInAsyncScope(() => new AsyncResource('SSHTUNNEL'));
    }
    return this.#resource;
  }
}

defineDispose(SSHTunnel, (tunnel) => tunnel.close());

module.exports = { PARTS, SSHTunnel };
