'use strict';

// The only place where JavaScript and the addon meet. The addon gets numbers: a handle for a tunnel, a number for a
// call. Callbacks and objects stay here, so that nothing native keeps them alive.

const { AsyncResource } = require('node:async_hooks');
const { setImmediate } = require('node:timers');

const { Deferred } = require('./calls.js');
const binding = require('./load.js');

const { Kind, Method, Reporting } = binding;

/** Calls under way, by their number. @type {Map<number, Call>} */
const calls = new Map();
let lastCall = 0;

/** Tunnels by their handle, for events; does not keep them alive. @type {Map<number, WeakRef<object>>} */
const tunnels = new Map();

/** Streams whose other end is in the addon, by their number. @type {Map<number, { woken(): void }>} */
const streams = new Map();

/** What messages may come for: calls under way, tunnels that are up, open streams. */
let uses = 0;

/** Reasons to keep the event loop alive: calls under way, tunnels that are up, streams that read or write. */
let holds = 0;

/** Whether the addon can call `dispatch`. */
let isOpen = false;

/** The look whether the link is still unused. */
let closing;

/**
 * What the class SSHTunnel does with events and replies; only it reaches its private members.
 * @type {{ deliver(tunnel, kind: number, number: number, failure, payload): void,
 *   replied(tunnel): void, error(tunnel, failure): Error }}
 */
let handlers;

const link = binding.attach();

const released = new FinalizationRegistry((handle) => {
  tunnels.delete(handle);
  binding.release(handle);
});

/** @param {typeof handlers} methods */
function setHandlers(methods) {
  handlers = methods;
}

/** Registers a tunnel; the handle lives as long as its object. @returns {number | object} handle or failure */
function create(tunnel, native) {
  const handle = binding.create(link, native);
  if (typeof handle === 'number') {
    tunnels.set(handle, new WeakRef(tunnel));
    released.register(tunnel, handle);
  }
  return handle;
}

/** Opens the link to the addon with the first use. */
function use() {
  uses += 1;
  if (isOpen) return;
  isOpen = true;
  binding.openLink(link, dispatch);
}

/** Closes the link soon after the last use: it is a handle, which tools that look for open handles would report. */
function unuse() {
  uses -= 1;
  if (uses === 0 && closing === undefined) closing = setImmediate(closeIfUnused).unref();
}

function closeIfUnused() {
  closing = undefined;
  if (uses > 0) return;
  isOpen = false;
  binding.closeLink(link);
}

function hold() {
  use();
  holds += 1;
  if (holds === 1) binding.hold(link, true);
}

function unhold() {
  holds -= 1;
  if (holds === 0) binding.hold(link, false);
  unuse();
}

class Call {
  constructor(tunnel, convert, settler, abortion) {
    // Keeps the tunnel alive during the call; closesocket() has none.
    this.tunnel = tunnel;
    this.convert = convert;
    this.settler = settler;
    this.abortion = abortion;
    // A promise carries its context by itself. Bound by hand, for AsyncResource.bind() costs much more.
    this.resource =
      settler instanceof Deferred ? undefined : new AsyncResource('SSHTUNNELCALL', { requireManualDestroy: true });
  }

  settle(failure, payload) {
    const { tunnel, settler } = this;
    this.abortion?.stop();
    if (tunnel !== undefined) handlers.replied(tunnel);
    let error = failure === null ? null : this.#error(failure);
    let value;
    if (error === null) {
      try {
        value = this.convert(payload);
      } catch (failed) {
        error = failed;
      }
    }
    if (this.resource === undefined) {
      if (error) settler.reject(error);
      else settler.resolve(value);
    } else if (error) {
      this.resource.runInAsyncScope(settler, undefined, error);
    } else {
      this.resource.runInAsyncScope(settler, undefined, null, value);
    }
  }

  #error(failure) {
    if (failure.code === 'ABORT_ERR' && this.abortion !== undefined) return this.abortion.error;
    return handlers.error(this.tunnel, failure);
  }
}

/**
 * Begins a call whose outcome comes later.
 * @param {object} tunnel
 * @param {number} handle
 * @param {{ method: number, number: number, value: number, subject?: object,
 *   abortion?: import('../abort.js').Abortion }} call
 * @param {Function | Deferred} settler callbacks are called in the order of the calls, promises settle by themselves
 * @param {(payload: any) => unknown} convert
 */
function enqueue(tunnel, handle, { method, number, value, subject, abortion }, settler, convert) {
  const reply = register(new Call(tunnel, convert, settler, abortion));
  const inTurn = !(settler instanceof Deferred);
  const reporting = inTurn ? Reporting.InTurn : Reporting.AtOnce;
  if (abortion === undefined) {
    binding.enqueue(handle, method, number, value, subject, reply, reporting);
  } else if (abortion.isAborted) {
    binding.enqueue(handle, Method.Aborted, 0, 0, undefined, reply, reporting);
  } else {
    const abortable = inTurn ? Reporting.InTurnAbortable : Reporting.AtOnceAbortable;
    binding.enqueue(handle, method, number, value, subject, reply, abortable);
    abortion.follow(() => binding.abort(handle, reply));
  }
}

/**
 * Closes a socket that the addon has taken.
 * @returns {Promise<number>} the outcome, packed
 */
function closeTaken(handle, written, left) {
  const deferred = new Deferred();
  const number = register(new Call(undefined, (payload) => payload, deferred, undefined));
  binding.enqueueClose(link, handle, written, left, number);
  return deferred.promise;
}

/** Calls the addon when nothing else may use the link yet. @template T @param {() => T} work @returns {T} */
function using(work) {
  use();
  try {
    return work();
  } finally {
    unuse();
  }
}

function register(call) {
  const number = ++lastCall;
  calls.set(number, call);
  hold();
  return number;
}

/** Called by the addon, once for each reply and event, never while JavaScript runs. */
function dispatch(handle, kind, number, failure, payload) {
  if (kind === Kind.Woken) {
    streams.get(number)?.woken();
    return;
  }
  if (kind === Kind.Reply) {
    const call = calls.get(number);
    calls.delete(number);
    try {
      call.settle(failure, payload);
    } finally {
      // After the callback, which may have begun the next call: the loop is held in between.
      call.resource?.emitDestroy();
      unhold();
    }
    return;
  }
  const tunnel = tunnels.get(handle)?.deref();
  if (tunnel !== undefined) handlers.deliver(tunnel, kind, number, failure, payload);
}

module.exports = { closeTaken, create, enqueue, hold, setHandlers, streams, unhold, unuse, use, using };
