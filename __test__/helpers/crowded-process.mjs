// A tunnel in a process that can be left without a free descriptor.

import { closeSync, openSync } from 'node:fs';

import { answer } from './process.mjs';
import { Diary } from './tunnels.mjs';
import { SSHTunnel } from '../../index.js';

let tunnel;
let diary;
const filler = [];

function crowd() {
  for (;;) {
    try {
      filler.push(openSync('/dev/null'));
    } catch (error) {
      if (error.code === 'EMFILE') return;
      throw error;
    }
  }
}

function relieve() {
  for (const descriptor of filler.splice(0)) closeSync(descriptor);
}

answer({
  async open(options) {
    tunnel = new SSHTunnel({ ...options, forwardHost: '127.0.0.1' });
    diary = new Diary(tunnel);
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },
  crowd,
  setLinger: (value) => tunnel.setLinger(value),
  relieve,
  /** How many files the program could open now. */
  openable() {
    crowd();
    const count = filler.length;
    relieve();
    return count;
  },
  /** Closes the next connection by its Linger, and gives its end. */
  async disconnect() {
    const { connectionId } = await diary.next('connection');
    await tunnel.promises.disconnect(connectionId);
    return diary.next('disconnected');
  },
});
