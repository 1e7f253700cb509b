'use strict';

// What a tunnel asks the application, and how the answers reach the addon.

const { binding } = require('./native/index.js');
const { checkResponses } = require('./validate/index.js');

/**
 * Asks a hostVerifier about a host key.
 * @returns {Promise<{ reason: unknown } | undefined>} what it threw, if it did
 */
async function askHostVerifier(handle, question, verify, key) {
  let trusted = false;
  let thrown;
  try {
    trusted = (await verify(key)) === true;
  } catch (reason) {
    thrown = { reason };
  }
  binding.answerHostKey(handle, question, trusted);
  return thrown;
}

/** Emits 'keyboard-interactive'. */
function askPrompts(tunnel, handle, question, { name, instructions, lang, prompts }) {
  const count = prompts.length;
  const finish = (responses = []) => {
    // Fewer answers than prompts are how a user gives up.
    const { responses: given, wipe } = checkResponses(responses, count);
    try {
      binding.answerInquiry(handle, question, given.length === count ? given : undefined);
    } finally {
      wipe();
    }
  };
  let heard = false;
  try {
    heard = tunnel.emit('keyboard-interactive', name, instructions, lang, prompts, finish);
  } finally {
    if (!heard) binding.answerInquiry(handle, question, undefined);
  }
}

/**
 * Asks the command. Its answer is wiped.
 * @param {(() => Promise<Uint8Array | undefined>) | undefined} ask
 */
async function askCommand(handle, question, ask) {
  let answer;
  try {
    answer = await ask?.();
  } finally {
    binding.answerInquiry(handle, question, answer && [answer]);
    answer?.fill(0);
  }
}

/**
 * Asks for what only the user knows.
 * @param {{ prompts?: any, key?: number }} inquiry about a key of the private keys; without that and prompts, for the password
 * @param {import('./validate/server.js').Asks} asks
 */
function askInquiry(tunnel, handle, question, inquiry, asks) {
  const { prompts, key } = inquiry;
  if (prompts) askPrompts(tunnel, handle, question, prompts);
  else if (typeof key === 'number') askCommand(handle, question, () => asks.keys.comment(key));
  else askCommand(handle, question, asks.password);
}

/** Emits 'connectionRequest'. */
function askConnectionRequest(
  tunnel,
  handle,
  { connectionId, forwardId, remoteAddress, remotePort, forwardHost, forwardPort, forwardPath },
) {
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
  let returned = false;
  try {
    heard = tunnel.emit('connectionRequest', request);
    returned = true;
  } finally {
    if (!returned) request.reject();
    // The last listener was removed while the request was on its way here.
    else if (!heard) request.accept();
  }
}

module.exports = { askConnectionRequest, askHostVerifier, askInquiry };
