// A server that speaks as much of MongoDB's wire protocol as a driver needs to insert and find: one alone, or a member of
// a replica set. Members share their documents.

import { once } from 'node:events';
import net from 'node:net';

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;

export class MongoServer {
  #server;
  #sockets = new Set();
  #bson;
  #describe;
  #documents;

  /**
   * @param bson the package
   * @param options.describe what a greeting says of the server, besides the limits
   * @param options.documents those of the set
   */
  static async start(bson, { describe = { isWritablePrimary: true }, documents = [] } = {}) {
    const mongo = new MongoServer();
    mongo.#bson = bson;
    mongo.#describe = describe;
    mongo.#documents = documents;
    mongo.#server = net.createServer((socket) => mongo.#serve(socket));
    mongo.#server.listen(0, '127.0.0.1');
    await once(mongo.#server, 'listening');
    return mongo;
  }

  get port() {
    return this.#server.address().port;
  }

  #serve(socket) {
    this.#sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
    let input = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      input = Buffer.concat([input, chunk]);
      while (input.length >= 16 && input.length >= input.readInt32LE(0)) {
        const message = input.subarray(0, input.readInt32LE(0));
        input = input.subarray(message.length);
        socket.write(this.#answer(message));
      }
    });
  }

  #answer(message) {
    const [request, operation] = [message.readInt32LE(4), message.readInt32LE(12)];
    if (operation === OP_QUERY) {
      // flags, name, two numbers, the document
      const start = message.indexOf(0, 20) + 1 + 8;
      const body = this.#bson.serialize(this.#reply(this.#bson.deserialize(message.subarray(start))));
      const head = Buffer.alloc(20);
      head.writeInt32LE(1, 16); // one document
      return this.#message(request, OP_REPLY, Buffer.concat([head, body]));
    }
    const command = this.#command(message.subarray(20));
    const body = Buffer.concat([Buffer.alloc(5), this.#bson.serialize(this.#reply(command))]);
    return this.#message(request, OP_MSG, body);
  }

  /** The sections of a message: the command, and lists of documents that belong to it. */
  #command(sections) {
    let [at, command] = [0, {}];
    while (at < sections.length) {
      const kind = sections[at++];
      const end = at + sections.readInt32LE(at);
      if (kind === 0) command = { ...command, ...this.#bson.deserialize(sections.subarray(at, end)) };
      else {
        const name = sections.indexOf(0, at + 4);
        const documents = [];
        for (let next = name + 1; next < end; next += sections.readInt32LE(next))
          documents.push(this.#bson.deserialize(sections.subarray(next, next + sections.readInt32LE(next))));
        command[sections.toString('utf8', at + 4, name)] = documents;
      }
      at = end;
    }
    return command;
  }

  #message(to, operation, body) {
    const head = Buffer.alloc(16);
    head.writeInt32LE(head.length + body.length, 0);
    head.writeInt32LE(to, 8);
    head.writeInt32LE(operation, 12);
    return Buffer.concat([head, body]);
  }

  #reply(command) {
    if ('hello' in command || 'ismaster' in command || 'isMaster' in command) {
      const limits = { maxBsonObjectSize: 2 ** 24, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000 };
      return { ok: 1, helloOk: true, minWireVersion: 0, maxWireVersion: 21, ...limits, ...this.#describe };
    }
    if ('insert' in command) {
      this.#documents.push(...command.documents);
      return { ok: 1, n: command.documents.length };
    }
    if ('find' in command) {
      const firstBatch = this.#documents.slice(0, command.limit || undefined);
      return { ok: 1, cursor: { id: this.#bson.Long.ZERO, ns: `${command.$db}.${command.find}`, firstBatch } };
    }
    return { ok: 1 };
  }

  async stop() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** A replica set whose members are known by these names and ports; the first is the primary. */
export async function startReplicaSet(bson, setName, hosts) {
  const documents = [];
  const members = await Promise.all(
    hosts.map((me, at) => {
      const describe = { setName, hosts, me, primary: hosts[0], isWritablePrimary: at === 0, secondary: at > 0 };
      return MongoServer.start(bson, { describe, documents });
    }),
  );
  return {
    ports: Object.fromEntries(hosts.map((host, at) => [host, members[at].port])),
    stop: () => Promise.all(members.map((member) => member.stop())),
  };
}

/** The routers of a sharded cluster. */
export function startRouters(bson, count) {
  const documents = [];
  const describe = { isWritablePrimary: true, msg: 'isdbgrid' };
  return Promise.all(Array.from({ length: count }, () => MongoServer.start(bson, { describe, documents })));
}
