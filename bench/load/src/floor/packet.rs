//! Packets of channel data, laid out as in SSH (RFC 4253 section 6, RFC 4254 section 5.2).
//!
//! ```text
//! u32 length of what follows without the tag
//! u8  padding length        u8  SSH_MSG_CHANNEL_DATA
//! u32 recipient channel     u32 payload length
//! payload, padding, tag
//! ```

/// The length field.
pub(super) const LENGTH: usize = 4;
/// What comes before the payload.
pub(super) const HEAD: usize = LENGTH + 10;
/// What comes after the padding.
pub(super) const TAG: usize = 16;
/// The payload of a full packet: the most that OpenSSH takes.
pub(super) const PAYLOAD: usize = 32 * 1024;
/// A full packet.
pub(super) const SLOT: usize = size(PAYLOAD);
/// Full packets of one turn.
pub(super) const SLOTS: usize = 8;

/// The length that the length field counts is a multiple of this (RFC 5647 section 7.2).
const BLOCK: usize = 16;
/// RFC 4253 section 6.
const LEAST_PADDING: usize = 4;
/// SSH_MSG_CHANNEL_DATA.
const CHANNEL_DATA: u8 = 94;

/// A whole packet with so much payload.
pub(super) const fn size(payload: usize) -> usize {
    LENGTH + (HEAD - LENGTH + payload + LEAST_PADDING).next_multiple_of(BLOCK) + TAG
}

/// Puts the header before the payload at `HEAD`; returns the size of the packet, to be sealed.
pub(super) fn frame(packet: &mut [u8], payload: usize) -> usize {
    let size = size(payload);
    let padding = size - HEAD - payload - TAG;
    packet[..4].copy_from_slice(&((size - LENGTH - TAG) as u32).to_be_bytes());
    packet[4] = padding as u8;
    packet[5] = CHANNEL_DATA;
    packet[6..10].fill(0);
    packet[10..14].copy_from_slice(&(payload as u32).to_be_bytes());
    packet[HEAD + payload..][..padding].fill(0);
    size
}

/// The length of the payload in an opened packet; `None` when it is not one of ours.
pub(super) fn payload(packet: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*packet.get(10..)?.first_chunk()?) as usize;
    (packet[5] == CHANNEL_DATA && size(length) == packet.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::super::cipher::{Cipher, Crypt, PERIOD};
    use super::*;

    #[test]
    fn full_packets_follow_each_other_without_a_gap() {
        assert_eq!(SLOT, 32_804);
        assert_eq!(frame(&mut vec![0; SLOT], PAYLOAD), SLOT);
    }

    #[test]
    fn what_was_sealed_opens_again() {
        for cipher in [Cipher::Aes256Gcm, Cipher::Aes128Gcm, Cipher::ChaCha20] {
            let (mut sealing, mut opening) =
                (Crypt::new(cipher).unwrap(), Crypt::new(cipher).unwrap());
            for length in 1..=2 * PERIOD as usize {
                let mut packet = vec![length as u8; SLOT];
                let size = frame(&mut packet, length);
                sealing.seal(&mut packet[..size]).unwrap();
                let field = *packet.first_chunk().unwrap();
                assert_eq!(opening.length(field) as usize, size - LENGTH - TAG);
                opening.open(&mut packet[..size]).unwrap();
                assert_eq!(payload(&packet[..size]), Some(length));
                assert!(packet[HEAD..][..length].iter().all(|&byte| byte == length as u8));
            }
        }
    }

    #[test]
    fn a_changed_or_misplaced_packet_does_not_open() {
        for cipher in [Cipher::Aes256Gcm, Cipher::Aes128Gcm, Cipher::ChaCha20] {
            let mut packet = vec![0; SLOT];
            let size = frame(&mut packet, 100);
            Crypt::new(cipher).unwrap().seal(&mut packet[..size]).unwrap();
            let mut changed = packet.clone();
            changed[HEAD] ^= 1;
            assert!(Crypt::new(cipher).unwrap().open(&mut changed[..size]).is_err());
            let mut late = Crypt::new(cipher).unwrap();
            late.skip_to(u64::from(PERIOD) + 1);
            assert!(late.open(&mut packet.clone()[..size]).is_err());
            late.skip_to(u64::from(PERIOD));
            late.open(&mut packet[..size]).unwrap();
        }
    }
}
