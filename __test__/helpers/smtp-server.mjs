// A mail server that requires TLS and a password, and keeps what it is sent.

import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

export class SmtpServer {
  #server;
  #password;
  #certificate;
  /** The texts that were accepted. */
  mails = [];

  static async start(certificate, password) {
    const smtp = new SmtpServer();
    smtp.#certificate = certificate;
    smtp.#password = password;
    smtp.#server = net.createServer((socket) =>
      smtp.#talk(
        socket.on('error', () => {}),
        false,
      ),
    );
    smtp.#server.listen(0, '127.0.0.1');
    await once(smtp.#server, 'listening');
    return smtp;
  }

  get port() {
    return this.#server.address().port;
  }

  #talk(socket, isSecure) {
    if (!isSecure) socket.write('220 mail.internal ESMTP\r\n');
    let [input, isData, isKnown] = ['', false, false];
    const reply = (text) => socket.write(`${text}\r\n`);
    const commands = {
      EHLO: () => reply(isSecure ? '250-mail.internal\r\n250 AUTH PLAIN' : '250-mail.internal\r\n250 STARTTLS'),
      STARTTLS: () => {
        socket.removeListener('data', read);
        reply('220 go on');
        const secure = new tls.TLSSocket(socket, { isServer: true, ...this.#certificate });
        this.#talk(
          secure.on('error', () => {}),
          true,
        );
      },
      AUTH: (line) => {
        const [, user, password] = Buffer.from(line.split(' ')[2], 'base64').toString().split('\0');
        isKnown = isSecure && user === 'app' && password === this.#password;
        reply(isKnown ? '235 known' : '535 unknown');
      },
      MAIL: () => reply(isKnown ? '250 ok' : '530 who are you'),
      RCPT: () => reply('250 ok'),
      DATA: () => {
        isData = true;
        reply('354 go on');
      },
      QUIT: () => socket.end('221 bye\r\n'),
    };
    const read = (chunk) => {
      input += chunk;
      for (;;) {
        const end = isData ? input.indexOf('\r\n.\r\n') : input.indexOf('\r\n');
        if (end < 0) return;
        const line = input.slice(0, end);
        input = input.slice(end + (isData ? 5 : 2));
        if (isData) {
          isData = false;
          this.mails.push(line);
          reply('250 kept');
        } else {
          const command = commands[line.split(' ')[0].toUpperCase()];
          if (command) command(line);
          else reply('502 unknown');
        }
      }
    };
    socket.on('data', read);
  }

  async stop() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
