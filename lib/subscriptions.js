'use strict';

const { EventEmitter } = require('node:events');

const diagnostics = require('./diagnostics.js');
const { binding } = require('./native/index.js');

const { Kind } = binding;

/** Events that the addon reports only where somebody listens: each costs the event loop something. */
const FOLLOWED = {
  banner: Kind.Banner,
  connectionRequest: Kind.ConnectionRequest,
  connection: Kind.Connection,
  disconnected: Kind.Disconnected,
};

/** Tells the addon which events a tunnel has listeners and subscribers for. */
class Subscriptions {
  #tunnel;
  #handle;
  /** The diagnostics channels that had subscribers at the last look. */
  #subscribed = 0;
  /** Lists of ends, one for each close() under way. @type {Set<object[]>} */
  #ends = new Set();

  constructor(tunnel, handle) {
    this.#tunnel = tunnel;
    this.#handle = handle;
  }

  /** Listeners of this event were added or removed. */
  update(event) {
    if (!Object.hasOwn(FOLLOWED, event)) return;
    const kind = FOLLOWED[event];
    const collected = kind === Kind.Disconnected && this.#ends.size > 0;
    const subscribed = diagnostics.isSubscribed(this.#subscribed, kind);
    binding.follow(this.#handle, kind, collected || subscribed || this.#tunnel.listenerCount(event) > 0);
  }

  updateAll() {
    for (const event in FOLLOWED) this.update(event);
  }

  /** Looks for subscribers of the diagnostics channels, which Node.js does not announce. */
  look() {
    const subscribed = diagnostics.subscribed();
    if (subscribed === this.#subscribed) return;
    this.#subscribed = subscribed;
    this.updateAll();
    for (const kind of diagnostics.SESSIONS)
      binding.follow(this.#handle, kind, diagnostics.isSubscribed(subscribed, kind));
  }

  /** Collects the ends of connections from now on. @returns {() => object[]} ends that, and returns the list */
  collectEnds() {
    const ends = [];
    this.#ends.add(ends);
    this.update('disconnected');
    return () => {
      this.#ends.delete(ends);
      this.update('disconnected');
      return ends;
    };
  }

  /** A connection has ended. */
  ended(end) {
    for (const ends of this.#ends) ends.push(end);
  }
}

/**
 * Has the subscriptions of a class of emitters follow its listeners: the addon has to know who listens before it reports
 * something. The events 'newListener' and 'removeListener' would tell, but applications can remove their listeners.
 * @param {Function} Class
 * @param {(emitter: any) => Subscriptions} subscriptionsOf
 */
function followListeners(Class, subscriptionsOf) {
  const follow = (name, changed) => {
    const inherited = EventEmitter.prototype[name];
    const value = function (...args) {
      inherited.apply(this, args);
      changed(subscriptionsOf(this), ...args);
      return this;
    };
    Object.defineProperty(Class.prototype, name, { value, configurable: true, writable: true });
  };
  for (const name of ['on', 'addListener', 'prependListener', 'off', 'removeListener'])
    follow(name, (subscriptions, event) => subscriptions.update(event));
  follow('removeAllListeners', (subscriptions) => subscriptions.updateAll());
}

module.exports = { Subscriptions, followListeners };
