'use strict';

// `authHandler` of ssh2 as options of a tunnel: names of methods, objects with a credential of their own, or a function
// that gives one after the other.

const { isDeepStrictEqual } = require('node:util');

const { invalidArgType, invalidArgValue } = require('../errors.js');
const { checkFunction, checkObject } = require('../validate/primitives.js');

const NAME = 'sshOptions.authHandler';

/** What the server is said to accept when a function is asked. */
const METHODS = ['publickey', 'password', 'keyboard-interactive'];

/** More than any server allows. */
const MAX_ATTEMPTS = 64;

const refuse = (name, reason, value) => {
  throw invalidArgValue(name, reason, value, { secret: true });
};

/** The path of an agent of ssh2, which may be an object. */
function agentPath(agent, name) {
  if (typeof agent === 'string') return agent;
  if (typeof checkObject(agent, name).socketPath === 'string') return agent.socketPath;
  return refuse(
    name,
    'must be the path of a socket, or an OpenSSHAgent of ssh2: keys are signed with outside of JavaScript',
    agent,
  );
}

/**
 * What a function answers for a server that refuses everything. The addon authenticates without JavaScript, so it is
 * asked before.
 */
async function enumerate(handler) {
  const attempts = [];
  while (attempts.length < MAX_ATTEMPTS) {
    const isFirst = attempts.length === 0;
    const attempt = await new Promise((resolve, reject) => {
      const answer = (given) => given !== undefined && resolve(given);
      Promise.resolve(handler(isFirst ? null : [...METHODS], isFirst ? null : false, answer)).then(answer, reject);
    });
    // A second attempt with the same credential would be refused, too.
    if (attempt === false || attempts.some((earlier) => isDeepStrictEqual(earlier, attempt))) break;
    attempts.push(attempt);
  }
  return attempts;
}

/** What each kind of object adds to the options. */
const KINDS = {
  none: () => ({}),
  password: ({ password }, name) => {
    if (typeof password !== 'string' && !(password instanceof Uint8Array))
      throw invalidArgType(`${name}.password`, 'of type string or an instance of Uint8Array', password, {
        secret: true,
      });
    return { password };
  },
  publickey: ({ key, passphrase }) => ({
    // A key that ssh2's parseKey() has read is not encrypted any more.
    key: typeof key?.getPrivatePEM === 'function' ? { key: key.getPrivatePEM() } : { key, passphrase },
  }),
  agent: ({ agent }, name) => ({ agent: agentPath(agent, `${name}.agent`) }),
  'keyboard-interactive': ({ prompt }, name) => ({ prompt: checkFunction(prompt, `${name}.prompt`) }),
};

/** Whether a method that is only named has a credential; ssh2 leaves out the others, too. */
const HAS = {
  none: () => true,
  password: ({ password }) => password !== undefined,
  publickey: ({ privateKey }) => privateKey !== undefined,
  agent: ({ agent }) => agent !== undefined,
  'keyboard-interactive': ({ password }) => password !== undefined,
};

/**
 * @param authHandler as given
 * @param options those of the tunnel so far
 * @returns {Promise<object>} options that replace them; `prompt` answers the server's questions
 */
async function readAuthHandler(authHandler, options) {
  if (typeof authHandler !== 'function' && !Array.isArray(authHandler))
    refuse(NAME, 'must be a list of methods, or a function that gives them', authHandler);
  const attempts = typeof authHandler === 'function' ? await enumerate(authHandler) : authHandler;
  const methods = new Set();
  const users = new Set();
  const keys = [];
  const own = {};
  const add = (option, value, name) => {
    if (Object.hasOwn(own, option) && !isDeepStrictEqual(own[option], value))
      refuse(name, `must not have another ${option} than an object before it`, value);
    own[option] = value;
  };
  for (const [at, attempt] of attempts.entries()) {
    const name = `${NAME}[${at}]`;
    if (typeof attempt === 'string') {
      if (HAS[attempt]?.(options) === false) continue;
      if (attempt === 'publickey') keys.push(...[options.privateKey].flat());
      methods.add(attempt);
      users.add(options.username);
      continue;
    }
    const { type, username = options.username } = checkObject(attempt, name);
    if (!Object.hasOwn(KINDS, type)) refuse(`${name}.type`, `must be one of: ${Object.keys(KINDS).join(', ')}`, type);
    const { key, ...others } = KINDS[type](attempt, name);
    if (key !== undefined) keys.push(key);
    for (const [option, value] of Object.entries(others)) add(option, value, `${name}.${option}`);
    methods.add(type);
    users.add(username);
  }
  if (methods.size === 0) refuse(NAME, 'must contain a method that has a credential', authHandler);
  if (users.size > 1)
    refuse(NAME, 'must not have several user names: servers refuse a change of the user', authHandler);
  const { prompt, ...credentials } = own;
  const [username] = users;
  const isUsual = keys.length === 1 && keys[0] === options.privateKey;
  return {
    ...credentials,
    ...(keys.length > 0 && !isUsual && { privateKey: keys }),
    ...(prompt !== undefined && { tryKeyboard: true, prompt }),
    username,
    authHandler: [...methods],
  };
}

module.exports = { agentPath, readAuthHandler };
