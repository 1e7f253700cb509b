// A tunnel in a process whose descriptors can be used up.

import { closeSync, openSync } from 'node:fs';

import { answer } from './process.mjs';
import { EventLog } from './tunnels.mjs';
import { SSHTunnel } from '../../index.js';

let tunnel;
let eventLog;
const filler = [];

function takeAllDescriptors() {
  for (;;) {
    try {
      filler.push(openSync('/dev/null'));
    } catch (error) {
      if (error.code === 'EMFILE') return;
      throw error;
    }
  }
}

function freeDescriptors() {
  for (const descriptor of filler.splice(0)) closeSync(descriptor);
}

answer({
  async open(options) {
    tunnel = new SSHTunnel({ ...options, forwardHost: '127.0.0.1' });
    eventLog = new EventLog(tunnel);
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },
  takeAllDescriptors,
  setLinger: (value) => tunnel.setLinger(value),
  freeDescriptors,
  /** How many files the program could open now. */
  openable() {
    takeAllDescriptors();
    const count = filler.length;
    freeDescriptors();
    return count;
  },
  /** Closes the next connection by its Linger, and gives its end. */
  async disconnect() {
    const { connectionId } = await eventLog.next('connection');
    await tunnel.promises.disconnect(connectionId);
    return eventLog.next('disconnected');
  },
});
