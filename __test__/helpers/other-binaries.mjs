// Files that look like binaries of other platforms as far as their first bytes tell.

const HEADERS = {
  linux(arch) {
    const header = Buffer.alloc(64);
    header.write('\x7fELF', 'latin1');
    header.writeUInt16LE({ x64: 62, arm64: 183 }[arch], 18);
    return header;
  },
  darwin(arch) {
    const header = Buffer.alloc(64);
    header.writeUInt32LE(0xfeedfacf);
    header.writeUInt32LE({ x64: 0x01000007, arm64: 0x0100000c }[arch], 4);
    return header;
  },
  win32(arch) {
    const header = Buffer.alloc(192);
    header.write('MZ');
    header.writeUInt32LE(128, 60);
    header.writeUInt16LE({ x64: 0x8664, arm64: 0xaa64 }[arch], 132);
    return header;
  },
};

/** A file that is taken for the binary of a platform. */
export function otherBinary({ platform, arch, abi }) {
  const header = HEADERS[platform](arch);
  return abi === 'gnu' ? Buffer.concat([header, Buffer.from('GLIBC_2.17')]) : header;
}
