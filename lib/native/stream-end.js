'use strict';

// JavaScript's end of a stream whose other end is in the addon. Reads and writes are calls of the addon that never wait.
// A read that finds nothing, and a write that does not fit, are continued when the addon wakes the stream.

const { clearImmediate, setImmediate } = require('node:timers');

const binding = require('./load.js');
const { hold, streams, unhold, unuse, use } = require('./bridge.js');

const { StreamState } = binding;

/** Bytes of one chunk. */
const MAX_CHUNK = 64 * 1024;
/** Bytes of one turn: a fast sender does not keep the event loop from other work. */
const MAX_TURN = 1024 * 1024;

const isDiscarded = () => true;

class StreamEnd {
  #stream;
  #resource;
  #receive;
  #fail;
  /** Whether it is reading: until `receive` returns false, or the end. */
  #reading = false;
  /** The read that follows when the event loop has been around. */
  #immediate;
  /** The write under way: its buffers, the first one that is not written, and the offset in it. @type {Buffer[]} */
  #buffers = [];
  #next = 0;
  #offset = 0;
  /** @type {((error?: Error) => void) | undefined} */
  #written;
  #closed = false;
  #referenced = true;
  /** Whether the event loop is held: as by a socket of Node.js, while it reads or writes. */
  #held = false;
  bytesRead = 0;
  /** Bytes that the stream has taken, and those of the writes that are done. */
  bytesTaken = 0;
  bytesWritten = 0;

  /**
   * @param {number} stream
   * @param {import('node:async_hooks').AsyncResource} resource its context is that of the functions
   * @param {{ receive: (chunk: Buffer | null) => boolean, fail: () => void }} handlers receive: gets what was read, and
   *   null at the end; returns whether to go on. fail: the other end has reset or closed the stream; a write under way
   *   is not continued.
   */
  constructor(stream, resource, { receive, fail }) {
    this.#stream = stream;
    this.#resource = resource;
    this.#receive = receive;
    this.#fail = fail;
    use();
    streams.set(stream, this);
  }

  /** Begins to read. Calls `receive` later. */
  read() {
    if (this.#reading || this.#closed) return;
    this.#reading = true;
    if (this.#immediate === undefined && binding.readable(this.#stream) !== 0) this.#readLater();
    this.#refresh();
  }

  /** Reads and discards everything from now on. */
  discard() {
    this.#receive = isDiscarded;
    this.read();
  }

  /**
   * Writes buffers, after the last write is done.
   * @param {Buffer[]} buffers
   * @param {(error?: Error) => void} written called when the stream has taken all, perhaps at once
   */
  write(buffers, written) {
    this.#buffers = buffers;
    this.#next = 0;
    this.#offset = 0;
    this.#written = written;
    this.#write();
  }

  /** Ends this direction. */
  end() {
    if (!this.#closed) binding.endStream(this.#stream);
  }

  /** Closes the stream. @returns the callback of a write that was under way */
  close() {
    if (this.#closed) return undefined;
    this.#closed = true;
    this.#reading = false;
    clearImmediate(this.#immediate);
    streams.delete(this.#stream);
    binding.closeStream(this.#stream);
    const written = this.#written;
    this.#written = undefined;
    this.#buffers = [];
    this.#refresh();
    unuse();
    return written;
  }

  ref() {
    this.#referenced = true;
    this.#immediate?.ref();
    this.#refresh();
  }

  unref() {
    this.#referenced = false;
    this.#immediate?.unref();
    this.#refresh();
  }

  /** Called when there may be something to read, or room to write. */
  woken() {
    this.#resource.runInAsyncScope(this.#turn, this);
  }

  #turn() {
    try {
      if (this.#written !== undefined) this.#write();
    } finally {
      if (this.#immediate === undefined) this.#read();
    }
  }

  #read() {
    const last = this.bytesRead + MAX_TURN;
    let isComplete = false;
    try {
      while (this.#reading) {
        const count = binding.readable(this.#stream);
        if (count === 0) break;
        if (count < 0) {
          this.#reading = false;
          if (count === StreamState.Ended) this.#receive(null);
          else this.#fail();
          break;
        }
        if (this.bytesRead >= last) {
          this.#readLater();
          break;
        }
        const chunk = allocate(Math.min(count, MAX_CHUNK));
        // The other end may have dropped the bytes meanwhile, and the buffer is not initialized.
        if (binding.readStream(this.#stream, chunk) < chunk.length) continue;
        this.bytesRead += chunk.length;
        if (!this.#receive(chunk)) this.#reading = false;
      }
      isComplete = true;
    } finally {
      // A listener has thrown, and the process may go on.
      if (!isComplete && this.#reading) this.#readLater();
      this.#refresh();
    }
  }

  #readLater() {
    this.#resource.runInAsyncScope(() => {
      this.#immediate = setImmediate(() => {
        this.#immediate = undefined;
        this.#read();
      });
    });
    if (!this.#referenced) this.#immediate.unref();
  }

  #write() {
    const buffers = this.#buffers;
    while (this.#next < buffers.length) {
      const buffer = buffers[this.#next];
      const count = binding.writeStream(this.#stream, buffer, this.#offset);
      if (count < 0) {
        this.#fail();
        return;
      }
      this.bytesTaken += count;
      this.#offset += count;
      if (this.#offset < buffer.length) {
        this.#refresh();
        return;
      }
      this.#next += 1;
      this.#offset = 0;
    }
    const written = this.#written;
    this.#written = undefined;
    this.#buffers = [];
    this.bytesWritten = this.bytesTaken;
    this.#refresh();
    written();
  }

  #refresh() {
    const held = this.#referenced && (this.#reading || this.#written !== undefined);
    if (held === this.#held) return;
    this.#held = held;
    if (held) hold();
    else unhold();
  }
}

/** A small buffer is a part of Node's pool, a large one has memory of its own. */
function allocate(length) {
  return length > Buffer.poolSize >>> 1 ? Buffer.allocUnsafeSlow(length) : Buffer.allocUnsafe(length);
}

module.exports = { StreamEnd };
