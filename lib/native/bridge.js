'use strict';

// The one place where JavaScript and the addon meet. The addon gets numbers only: a handle for a
// tunnel, a number for a call. Callbacks and wrappers stay here, so that nothing native keeps them.

const { AsyncResource } = require('node:async_hooks');

const binding = require('./load.js');
const { checkFunction } = require('../validate/options.js');

const { Kind } = binding;

/** Calls under way, by their number. @type {Map<number, Call>} */
const calls = new Map();
let lastCall = 0;

/** Every tunnel by its handle, for what comes from the addon; does not keep them. */
const tunnels = new Map();

/** Reasons to keep the event loop alive: calls under way, tunnels that are up. */
let holds = 0;

/** What only the class can do, for it alone reaches its private members. */
let owner;

const link = binding.attach(dispatch);

const released = new FinalizationRegistry((handle) => {
  tunnels.delete(handle);
  binding.release(handle);
});

/**
 * @param {{ deliver(tunnel, kind: number, number: number, failure, payload): void,
 *   replied(tunnel): void, error(tunnel, failure): Error }} methods
 */
function adopt(methods) {
  owner = methods;
}

/** Enters a tunnel; the handle lives as long as its wrapper. @returns {number | object} handle or failure */
function create(tunnel, native) {
  const handle = binding.create(link, native);
  if (typeof handle === 'number') {
    tunnels.set(handle, new WeakRef(tunnel));
    released.register(tunnel, handle);
  }
  return handle;
}

function hold() {
  holds += 1;
  if (holds === 1) binding.hold(link, true);
}

function unhold() {
  holds -= 1;
  if (holds === 0) binding.hold(link, false);
}

/** Takes the place of a callback: settles a promise, out of turn. */
class Deferred {
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/**
 * The same methods as promises; their callback is the last of so many arguments and one more.
 * @param {Record<string, number>} arities by the methods' names
 */
function mirror(target, prototype, arities) {
  const promises = {};
  for (const [name, arity] of Object.entries(arities)) {
    promises[name] = async (...args) => {
      const deferred = new Deferred();
      args.length = arity;
      prototype[name].call(target, ...args, deferred);
      return deferred.promise;
    };
  }
  return Object.freeze(promises);
}

class Call {
  constructor(tunnel, convert, settler) {
    // Also what keeps the tunnel while something is asked of it; other sockets have none.
    this.tunnel = tunnel;
    this.convert = convert;
    this.settler = settler;
    // A promise carries its context by itself. Bound by hand, for AsyncResource.bind() costs much more.
    this.resource =
      settler instanceof Deferred ? undefined : new AsyncResource('SSHTUNNELCALL', { requireManualDestroy: true });
  }

  settle(failure, payload) {
    const { tunnel, settler } = this;
    if (tunnel !== undefined) owner.replied(tunnel);
    const error = failure === null ? null : owner.error(tunnel, failure);
    const value = error ? undefined : this.convert(payload);
    if (this.resource === undefined) {
      if (error) settler.reject(error);
      else settler.resolve(value);
    } else if (error) {
      this.resource.runInAsyncScope(settler, undefined, error);
    } else {
      this.resource.runInAsyncScope(settler, undefined, null, value);
    }
  }
}

/**
 * Begins a call whose outcome comes later.
 * @param {Function | Deferred} settler the user's callback, or one of ours
 * @param {(payload: unknown) => unknown} convert
 */
function enqueue(tunnel, handle, method, argument, linger, settler, convert) {
  const inTurn = !(settler instanceof Deferred);
  if (inTurn) checkFunction(settler, 'callback');
  const number = enter(new Call(tunnel, convert, settler));
  binding.enqueue(handle, method, argument, linger, number, inTurn);
}

/**
 * Ends a socket that the addon has taken.
 * @returns {Promise<number>} what it says of the end
 */
function closeTaken(handle, written, left) {
  const deferred = new Deferred();
  const number = enter(new Call(undefined, (payload) => payload, deferred));
  binding.enqueueClose(link, handle, written, left, number);
  return deferred.promise;
}

function enter(call) {
  const number = ++lastCall;
  calls.set(number, call);
  hold();
  return number;
}

/** Called by the addon, once for each reply and event, never while JavaScript runs. */
function dispatch(handle, kind, number, failure, payload) {
  if (kind === Kind.Reply) {
    const call = calls.get(number);
    calls.delete(number);
    try {
      call.settle(failure, payload);
    } finally {
      // After the callback, which may have begun the next call: the loop is never let go in between.
      call.resource?.emitDestroy();
      unhold();
    }
    return;
  }
  const tunnel = tunnels.get(handle)?.deref();
  if (tunnel !== undefined) owner.deliver(tunnel, kind, number, failure, payload);
}

module.exports = { Deferred, adopt, binding, closeTaken, create, enqueue, hold, mirror, unhold };
