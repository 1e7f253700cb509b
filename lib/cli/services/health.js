'use strict';

// --health: /livez and /readyz, for probes of Kubernetes and others.

const { json, serve } = require('./http.js');

/**
 * What keeps the command from being ready; undefined if nothing does.
 * @param {import('../monitor.js').Monitor} monitor
 * @param {boolean} isStarted whether everything listened once
 */
function obstacle({ closing, session, forwardings }, isStarted) {
  if (closing) return { reason: 'closing' };
  const { state, attempt, nextAttempt } = session;
  if (state !== 'connected') {
    const next = nextAttempt === undefined ? undefined : new Date(nextAttempt).toISOString();
    return { reason: state, attempt, nextAttempt: next };
  }
  if (!isStarted) return { reason: 'starting' };
  const silent = forwardings.filter(({ forwards }) => forwards.length === 0 || !forwards.every((it) => it.listening));
  if (silent.length > 0) return { reason: 'forwards', forwards: silent.map(({ kind, from }) => ({ kind, from })) };
  return undefined;
}

/**
 * @param {{ host: string, port: number }} address
 * @param {import('./index.js').Context} context
 * @returns {Promise<import('./index.js').Service>}
 */
async function start(address, context) {
  let isStarted = false;
  const service = await serve('--health', address, context, {
    // The answer itself shows that the event loop turns.
    '/livez': () => json({ status: 'alive' }),
    '/readyz': () => {
      const found = obstacle(context.monitor, isStarted);
      return found === undefined ? json({ status: 'ready' }) : json({ status: 'unavailable', ...found }, 503);
    },
  });
  return { ...service, ready: () => (isStarted = true) };
}

module.exports = { start };
