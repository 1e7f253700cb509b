// Words and numbers that parts have in common.

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

export const AES256 = 'aes256-gcm@openssh.com';
export const AES128 = 'aes128-gcm@openssh.com';
export const CHACHA20 = 'chacha20-poly1305@openssh.com';

/** Ciphers by the names that cases have. */
export const CIPHERS = { 'AES-256-GCM': AES256, 'AES-128-GCM': AES128, ChaCha20: CHACHA20 };

/** Opens a peer's tunnel as the case says. */
export const open = (peer, { tunnel }, context) => peer.open(context, { cipher: AES256, ...tunnel });
