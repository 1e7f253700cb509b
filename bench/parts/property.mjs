// What a call of the Linger property costs.

import { Child } from '../../__test__/helpers/process.mjs';

const PROGRAM = new URL('../peers/property-process.mjs', import.meta.url).href;

/** A function in the place of a peer; the first of a case is ours. */
const call = (name, label, key = name) => ({ name, label, key });

const BLOCKING = [
  call('ours', '`getLinger()`', 'getLinger'),
  call('setLinger', '`setLinger(true)`'),
  call('listening', '`listening`, the shortest function of the addon'),
  call('getsockopt', '`getsockopt(socket, SO_LINGER)`'),
  call('sockopt', '`getsockopt(socket, ..)` of sockopt, an integer'),
];
const CALLBACKS = [
  call('ours', '`getLinger(callback)`', 'getLinger'),
  call('setLinger', '`setLinger(true, callback)`'),
  call('fstat', '`fs.fstat(fd, callback)`'),
];

const CASES = [
  { name: 'blocking', form: 'blocking', count: 500_000, peers: BLOCKING },
  { name: 'callbacks one after the other', form: 'series', count: 30_000, peers: CALLBACKS },
  { name: 'callbacks, 5,000 at once', form: 'atOnce', count: 5000, peers: CALLBACKS },
];

export const property = {
  name: 'property',
  title: 'Getters',
  about:
    'Nanoseconds per call, as the mean of many calls in a program that does nothing else; with a callback, from the call to the callback.',
  metrics: { time: { label: 'ns each', compared: true } },
  needs: ['sockopt'],

  cases: () => CASES,

  async open({ key }) {
    const child = await Child.start(PROGRAM);
    return { key, ask: (...question) => child.ask(...question), stop: () => child.stop() };
  },

  measure: async ({ key, ask }, { form, count }, { quick }) => ({
    time: await ask(form, key, quick ? count / 10 : count),
  }),
};
