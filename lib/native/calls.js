'use strict';

// Methods in three forms, each from one function. That function takes the target, a settler, and the method's
// arguments. The settler says where the outcome goes:
//
//   undefined     nowhere: the method blocks, and returns or throws
//   a function    to this callback, which is called once, later, and in the order of the calls
//   a Deferred    to a promise, which settles as soon as its own call is done

const { checkFunction } = require('../validate/primitives.js');

/** The names of the methods of each class. @type {Map<Function, string[]>} */
const defined = new Map();

/** Settles a promise. */
class Deferred {
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/**
 * Defines the methods of a class; each takes a callback behind its arguments.
 * @param {Function} Class
 * @param {Record<string, (target: any, settler: Function | Deferred | undefined, ...args: any[]) => any>} calls
 * @param {string[]} [optional] names of methods whose last argument may be left out
 * @returns {(target: object, more?: Record<string, Function>) => any} makes `promises`: the same methods, and more, as promises
 */
function defineCalls(Class, calls, optional = []) {
  defined.set(Class, Object.keys(calls));
  const entries = Object.entries(calls).map(([name, call]) => ({ name, call, arity: call.length - 2 }));
  for (const { name, call, arity } of entries) {
    const isOptional = optional.includes(name);
    const value = function (...args) {
      if (isOptional && typeof args[arity - 1] === 'function' && args[arity] === undefined)
        args.splice(arity - 1, 0, undefined);
      const callback = args[arity];
      if (callback !== undefined) checkFunction(callback, 'callback');
      args.length = arity;
      return call(this, callback, ...args);
    };
    Object.defineProperty(value, 'name', { value: name });
    Object.defineProperty(Class.prototype, name, { value, configurable: true, writable: true });
  }
  return (target, more = {}) => {
    const promises = entries.map(({ name, call, arity }) => {
      const promised = async (...args) => {
        const deferred = new Deferred();
        args.length = arity;
        call(target, deferred, ...args);
        try {
          return await deferred.promise;
        } catch (error) {
          throw located(error, promised);
        }
      };
      return [name, promised];
    });
    return Object.freeze({ ...Object.fromEntries(promises), ...more });
  };
}

/**
 * Returns the error of a promise with the stack of its caller: it was made in a callback of the addon, which has none.
 * @param {Error} error
 * @param {Function} promised the async function that throws it
 */
function located(error, promised) {
  Error.captureStackTrace(error, promised);
  return error;
}

/**
 * Gives the methods that a class inherits from `defineCalls` the form of promises.
 * @param {Function} Class its instances have `promises`
 * @param {string[]} [more] names of further members of `promises`
 */
function definePromised(Class, more = []) {
  for (const name of [...(defined.get(Object.getPrototypeOf(Class)) ?? []), ...more]) {
    const value = function (...args) {
      return this.promises[name](...args);
    };
    Object.defineProperty(value, 'name', { value: name });
    Object.defineProperty(Class.prototype, name, { value, configurable: true, writable: true });
  }
}

/**
 * Gives a class Symbol.asyncDispose, for `await using`, where the runtime has the symbol.
 * @param {Function} Class
 * @param {(target: any) => Promise<unknown>} dispose
 */
function defineDispose(Class, dispose) {
  if (Symbol.asyncDispose === undefined) return;
  const value = async function asyncDispose() {
    await dispose(this);
  };
  Object.defineProperty(Class.prototype, Symbol.asyncDispose, { value, configurable: true, writable: true });
}

module.exports = { Deferred, defineCalls, defineDispose, definePromised, located };
