// A program with a tunnel, whose life is the question.

import { answer } from './process.mjs';
import { SSHTunnel } from '../../index.js';

let tunnel;

answer({
  async listen(options) {
    tunnel = new SSHTunnel(options);
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },
  ref: () => void tunnel.ref(),
  unref: () => void tunnel.unref(),
  exit: (code) => process.exit(code),
  /** From now on the channel to the parent does not keep this process. */
  letGo: () => process.channel.unref(),
});
