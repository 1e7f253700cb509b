// A proxyCommand: joins its standard input and output to a host and port.

import net from 'node:net';

const [host, port] = process.argv.slice(2);
const socket = net.connect(Number(port), host);
process.stdin.pipe(socket).pipe(process.stdout);
