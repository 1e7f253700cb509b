// The remote end of the demonstration, in a process of its own: an SSH server, and a target behind it that
// sends data. A line from the client says how many bytes to send, and whether to end the stream then.

import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import ssh2 from 'ssh2';

const BLOCK = randomBytes(1_048_573);

const source = net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {}); // a hard close is part of the demonstration
  socket.once('data', async (line) => {
    const [bytes, ending] = String(line).trim().split(' ');
    const hash = createHash('sha256');
    for (let left = Number(bytes); left > 0; left -= BLOCK.length) {
      const part = BLOCK.subarray(0, Math.min(left, BLOCK.length));
      hash.update(part);
      await new Promise((written) => socket.write(part, written));
    }
    process.send({ sent: Number(bytes), sha256: hash.digest('hex') });
    if (ending === 'end') socket.end();
  });
  socket.on('end', () => socket.end());
});

// Not ed25519: ssh2 1.17 cannot read about one in some hundred of the keys that it generates.
const hostKey = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 });
const server = new ssh2.Server({ hostKeys: [hostKey.private] }, (client) => {
  client.on('error', () => {});
  client.on('authentication', (context) => {
    const right = context.method === 'password' && context.password === 'demo';
    if (right) context.accept();
    else context.reject(['password']);
  });
  client.on('tcpip', (accept, reject, { destIP, destPort }) => {
    const socket = net.connect({ host: destIP, port: destPort, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      const channel = accept();
      channel.on('error', () => {});
      socket.on('error', () => channel.close());
      channel.on('close', () => socket.destroy());
      socket.pipe(channel).pipe(socket);
    });
  });
});

source.listen(0, '127.0.0.1', () => {
  server.listen(0, '127.0.0.1', () => {
    process.send({
      sshPort: server.address().port,
      sourcePort: source.address().port,
      hostKey: hostKey.public,
    });
  });
});
process.on('disconnect', () => process.exit());
