// SSH messages, byte by byte, for scripted servers.

export const IGNORE = 2;
export const KEXINIT = 20;
export const NEWKEYS = 21;
export const KEX_ECDH_INIT = 30;
export const KEX_ECDH_REPLY = 31;
export const USERAUTH_BANNER = 53;
export const USERAUTH_INFO_REQUEST = 60;

function number(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A message: its number, then strings with their lengths, numbers, and raw buffers. */
export function message(type, ...parts) {
  const encode = (part) => {
    if (typeof part === 'number') return number(part);
    return typeof part === 'string' ? Buffer.concat([number(Buffer.byteLength(part)), Buffer.from(part)]) : part;
  };
  return Buffer.concat([Buffer.from([type]), ...parts.map(encode)]);
}

/** An unencrypted packet. */
export function clearPacket(payload) {
  const padding = 4 + ((8 - ((4 + 1 + payload.length + 4) % 8)) % 8);
  const length = 1 + payload.length + padding;
  return Buffer.concat([number(length), Buffer.from([padding]), payload, Buffer.alloc(padding)]);
}
