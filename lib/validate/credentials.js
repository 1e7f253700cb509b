'use strict';

// The options that prove who the user is. Some may be functions, which give the value for each authentication.

const { invalidArgType, invalidArgValue } = require('../errors.js');
const { AUTH_METHODS } = require('./limits.js');
const { checkBoolean, checkName, checkNames } = require('./primitives.js');
const { checkLocalPath } = require('./names.js');
const { warnUnknown } = require('./option-names.js');
const { checkSecret } = require('./secret.js');

/**
 * What the application is asked for each authentication.
 * @typedef {{ password?: Function, privateKey?: Function, passphrase?: Function, certificate?: Function,
 *   agentKeys?: Function }} CredentialFunctions
 * @typedef {{ list: Function, sign: Function }} CredentialAgent
 */

const isFunction = (value) => typeof value === 'function';
const unlessFunction = (value) => (isFunction(value) ? undefined : value);

/**
 * The methods of authentication: each at most once, and at least one of them usable.
 * @param {Record<string, boolean>} usable
 */
function checkAuthHandler(value, name, usable) {
  if (!Array.isArray(value)) throw invalidArgType(name, 'an instance of Array', value);
  const methods = Array.from(value, (element, index) => {
    const place = `${name}[${index}]`;
    if (!AUTH_METHODS.includes(checkName(element, place))) {
      throw invalidArgValue(
        place,
        `must be one of: ${AUTH_METHODS.map((method) => `'${method}'`).join(', ')}`,
        element,
      );
    }
    if (value.indexOf(element) !== index) throw invalidArgValue(place, 'must not repeat a method', element);
    return element;
  });
  if (!methods.some((method) => usable[method])) {
    throw invalidArgValue(name, 'must contain a method for which other options have credentials', value);
  }
  return methods;
}

/** Checks that a certificate has one key to belong to. */
function checkCertified(certificate, privateKey, name) {
  if (certificate !== undefined && (privateKey === undefined || Array.isArray(privateKey)))
    throw invalidArgValue(`${name}.certificate`, 'needs one privateKey to belong to', certificate, { secret: true });
}

/**
 * Private keys as the addon takes them; the copies are added to `copies`, to be wiped.
 * @param {{ privateKey?: unknown, passphrase?: unknown, certificate?: unknown }} options the last two: of keys without
 *   their own
 * @param {Uint8Array[]} copies
 */
function checkPrivateKeys({ privateKey, passphrase, certificate }, name, copies) {
  const take = (value, place) => (value === undefined ? undefined : checkSecret(value, place, copies));
  const common = {
    passphrase: take(passphrase, `${name}.passphrase`),
    certificate: take(certificate, `${name}.certificate`),
  };
  const check = (value, place) => {
    const { key } = value ?? {};
    if (key === undefined) return { ...common, key: checkSecret(value, place, copies) };
    warnUnknown(value, 'privateKey');
    const own = { key: take(key, `${place}.key`) };
    for (const part of ['passphrase', 'certificate']) own[part] = take(value[part], `${place}.${part}`) ?? common[part];
    return own;
  };
  if (privateKey === undefined) return [];
  if (!Array.isArray(privateKey)) return [check(privateKey, `${name}.privateKey`)];
  return Array.from(privateKey, (value, index) => check(value, `${name}.privateKey[${index}]`));
}

/** The path of an agent's socket, or an agent in this process. */
function checkAgent(agent, name) {
  if (typeof agent === 'string') return { agent: checkLocalPath(agent, name) };
  if (typeof agent?.list !== 'function' || typeof agent.sign !== 'function')
    throw invalidArgType(name, "of type string, or an object with the functions 'list' and 'sign'", agent);
  return { hasAgent: true };
}

/**
 * The credentials for one server.
 * @param {any} options
 * @param {string} name of `options` in messages
 * @param {Uint8Array[]} copies gets copies of secrets, to be wiped
 * @param {import('./server.js').Asks} asks what the command asks its user
 * @returns {{ native: Record<string, any>, functions: CredentialFunctions, agent?: CredentialAgent }} native: as the
 *   addon takes them; agent: one in this process
 */
function checkCredentials(options, name, copies, asks) {
  const {
    password,
    privateKey,
    passphrase,
    certificate,
    agent,
    agentKeys,
    agentKeysFirst = [],
    tryKeyboard = false,
    authHandler,
  } = options;
  const take = (value, option) =>
    value === undefined || isFunction(value) ? undefined : checkSecret(value, `${name}.${option}`, copies);
  const functions = {};
  for (const option of ['password', 'privateKey', 'certificate'])
    if (isFunction(options[option])) functions[option] = options[option];
  if (isFunction(passphrase) && privateKey !== undefined) functions.passphrase = passphrase;
  if (isFunction(agentKeys) && agent !== undefined) functions.agentKeys = agentKeys;
  const { password: givesPassword, ...givesKeys } = functions;

  /** @type {Record<string, any>} */
  const native = {
    password: take(password, 'password'),
    givesPassword: givesPassword !== undefined,
    givesKeys: Object.keys(givesKeys).length > 0,
    givesPassphrase: functions.passphrase !== undefined,
    hasAgent: false,
    ...(agent === undefined ? {} : checkAgent(agent, `${name}.agent`)),
    agentKeys:
      agentKeys === undefined || isFunction(agentKeys) ? undefined : checkNames(agentKeys, `${name}.agentKeys`),
    agentKeysFirst: checkNames(agentKeysFirst, `${name}.agentKeysFirst`),
    tryKeyboard: checkBoolean(tryKeyboard, `${name}.tryKeyboard`),
    asksPassword: asks.password !== undefined,
    repetitions: asks.times - 1,
    addedKeys: asks.keys && { lifetime: asks.keys.lifetime, confirm: asks.keys.confirm },
  };
  checkCertified(certificate, privateKey, name);
  if (isFunction(privateKey)) {
    // The addon adds these to the keys that the function gives.
    native.privateKeys = [];
    native.passphrase = take(passphrase, 'passphrase');
    native.certificate = take(certificate, 'certificate');
  } else {
    const parts = { privateKey, passphrase: unlessFunction(passphrase), certificate: unlessFunction(certificate) };
    native.privateKeys = checkPrivateKeys(parts, name, copies);
  }
  if (authHandler !== undefined) {
    native.authHandler = checkAuthHandler(authHandler, `${name}.authHandler`, {
      none: true,
      publickey: isFunction(privateKey) || native.privateKeys.length > 0,
      agent: agent !== undefined,
      // Without tryKeyboard, the password answers the question.
      'keyboard-interactive': tryKeyboard || password !== undefined,
      password: password !== undefined || native.asksPassword,
    });
  }
  return { native, functions, agent: native.hasAgent ? agent : undefined };
}

/**
 * Checks what functions gave, as the options that they stand for. A value of `undefined` is none.
 * @param {Record<string, unknown>} given by the names of the options
 * @param {{ certificate?: unknown }} options with what they have in place of functions
 * @param {string} name of the options in messages
 * @param {Uint8Array[]} copies gets copies of secrets, to be wiped
 */
function checkGiven(given, options, name, copies) {
  const { password, privateKey, passphrase, certificate, agentKeys } = given;
  const take = (value, option) => (value === undefined ? undefined : checkSecret(value, `${name}.${option}`, copies));
  if (privateKey !== undefined) checkCertified(certificate ?? unlessFunction(options.certificate), privateKey, name);
  return {
    password: take(password, 'password'),
    privateKeys: privateKey === undefined ? undefined : checkPrivateKeys({ privateKey }, name, copies),
    passphrase: take(passphrase, 'passphrase'),
    certificate: take(certificate, 'certificate'),
    agentKeys: agentKeys === undefined ? undefined : checkNames(agentKeys, `${name}.agentKeys`),
  };
}

module.exports = { checkCredentials, checkGiven };
