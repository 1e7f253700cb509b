// The state of the command as it changes: server-sent events. They are read by fetch(), because EventSource cannot send
// the token in a header, and a cookie would reach every other port of the host.

/** Milliseconds until the next attempt to reach the command: doubled with each one. */
const FIRST_WAIT = 1000;
const MAX_WAIT = 10_000;

/** The token is not that of the command. */
const UNAUTHORIZED = 401;

/** The headers of a request that needs the token. @param {string} token */
export const authorized = (token) => ({ authorization: `Bearer ${token}` });

/**
 * The events of a response: their names and data.
 * @param {Response} response
 */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
      if (name !== undefined) yield { name, data: JSON.parse(data) };
    }
  }
}

/**
 * @typedef {object} Listener
 * @property {(message: { now: number, state: any }) => void} state the state has changed
 * @property {() => void} end the command has ended
 * @property {(delay: number) => void} lost the command cannot be reached; the next attempt begins in `delay` milliseconds
 * @property {() => void} refused the token is not that of the command
 */

/**
 * Follows the command until it ends or `signal` is aborted.
 * @param {string} token
 * @param {Listener} listener
 * @param {AbortSignal} signal
 */
export async function follow(token, listener, signal) {
  let wait = FIRST_WAIT;
  while (!signal.aborted) {
    try {
      const response = await fetch('/events', { headers: authorized(token), cache: 'no-store', signal });
      if (response.status === UNAUTHORIZED) {
        listener.refused();
        return;
      }
      if (!response.ok) throw new Error(await response.text());
      for await (const { name, data } of eventsOf(response)) {
        wait = FIRST_WAIT;
        if (name === 'state') listener.state(data);
        if (name !== 'end') continue;
        listener.end();
        return;
      }
    } catch {
      // It has ended, the machine has slept, or there are too many pages.
    }
    if (signal.aborted) return;
    listener.lost(wait);
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, MAX_WAIT);
  }
}
