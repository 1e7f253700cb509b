// The names that a library exports, as its format lists them: ELF, Mach-O, PE.

/** Where a string that ends with a zero byte is, as text. */
const string = (bytes, at) => bytes.toString('latin1', at, bytes.indexOf(0, at));

const DYNAMIC_SYMBOLS = 11;

function* elf(bytes) {
  const table = Number(bytes.readBigUInt64LE(40));
  const [size, count] = [bytes.readUInt16LE(58), bytes.readUInt16LE(60)];
  const section = (index) => bytes.subarray(table + index * size, table + (index + 1) * size);
  const offset = (header) => Number(header.readBigUInt64LE(24));
  for (let index = 0; index < count; index++) {
    const header = section(index);
    if (header.readUInt32LE(4) !== DYNAMIC_SYMBOLS) continue;
    const names = offset(section(header.readUInt32LE(40)));
    const end = offset(header) + Number(header.readBigUInt64LE(32));
    for (let at = offset(header); at < end; at += 24) {
      const isDefined = bytes.readUInt16LE(at + 6) !== 0;
      const isLocal = bytes[at + 4] >> 4 === 0;
      if (isDefined && !isLocal) yield string(bytes, names + bytes.readUInt32LE(at));
    }
  }
}

/** The load commands of an executable of macOS: what each number stands for last. */
export function loadCommands(bytes) {
  const commands = new Map();
  let at = 32;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const size = bytes.readUInt32LE(at + 4);
    commands.set(bytes.readUInt32LE(at), bytes.subarray(at, at + size));
    at += size;
  }
  return commands;
}

const SYMBOL_TABLE = 0x02;

function* machO(bytes) {
  const command = loadCommands(bytes).get(SYMBOL_TABLE);
  if (command === undefined) return;
  const [symbols, count, names] = [8, 12, 16].map((at) => command.readUInt32LE(at));
  for (let at = symbols; at < symbols + 16 * count; at += 16) {
    // External, not private, and defined in a section.
    const isExported = (bytes[at + 4] & 0x1f) === 0x0f;
    // C's names have an underscore before them.
    if (isExported) yield string(bytes, names + bytes.readUInt32LE(at)).replace(/^_/, '');
  }
}

function* pe(bytes) {
  const header = bytes.readUInt32LE(60) + 4;
  const optional = header + 20;
  const sections = optional + bytes.readUInt16LE(header + 16);
  const count = bytes.readUInt16LE(header + 2);
  /** Where in the file an address of the loaded library is. */
  const position = (address) => {
    for (let at = sections; at < sections + 40 * count; at += 40) {
      const [start, size, from] = [12, 16, 20].map((field) => bytes.readUInt32LE(at + field));
      if (address >= start && address < start + size) return address - start + from;
    }
    throw new Error('an address is in no section');
  };
  const exported = bytes.readUInt32LE(optional + 112);
  if (exported === 0) return;
  const directory = position(exported);
  const names = position(bytes.readUInt32LE(directory + 32));
  for (let index = 0; index < bytes.readUInt32LE(directory + 24); index++)
    yield string(bytes, position(bytes.readUInt32LE(names + 4 * index)));
}

const FORMATS = { linux: elf, darwin: machO, win32: pe };

/**
 * The names that a library exports.
 * @param {Buffer} bytes
 * @param {string} platform as `process.platform` has it
 */
export const exportedNames = (bytes, platform) => [...FORMATS[platform](bytes)];
