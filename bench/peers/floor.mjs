// The limit of what any SSH tunnel can do: a relay that receives, seals or opens in place and sends,
// without SSH. One direction each, for one connection; the other end of it seals and opens nothing.

import { serve } from '../harness/load.mjs';
import { AES128, AES256, CHACHA20 } from '../parts/common.mjs';

const CIPHERS = { [AES256]: 'aes256gcm', [AES128]: 'aes128gcm', [CHACHA20]: 'chacha20' };
const LOW_WATER = 192 * 1024; // what the tunnel waits for while much is received
const ROLES = { up: ['seal', 'sink'], down: ['open', 'source'] };

export const floor = {
  name: 'floor',
  label: 'floor: relay and cipher alone',
  weight: 1,

  async open(context, { cipher: name, direction }) {
    const cipher = CIPHERS[name];
    const [role, end] = ROLES[direction];
    const peer = await serve('floor-peer', { role: end, cipher });
    try {
      const mark = direction === 'down' ? { 'low-water': LOW_WATER } : {};
      const relay = await serve('floor', { listen: 0, to: `127.0.0.1:${peer.port}`, role, cipher, ...mark });
      const stop = async () => {
        await relay.program.stop();
        await peer.program.stop();
      };
      return { port: relay.port, pids: () => [relay.program.pid], serverPids: () => [peer.program.pid], stop };
    } catch (error) {
      await peer.program.stop();
      throw error;
    }
  },
};
