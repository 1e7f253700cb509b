//! Numbers of a fixed width, for aws-lc-rs.

/// Writes a number to the end of `room` and zeros in front of it; `None` if it does not fit.
pub(super) fn pad_into(room: &mut [u8], number: &[u8]) -> Option<()> {
    let zeros = room.len().checked_sub(number.len())?;
    room[..zeros].fill(0);
    room[zeros..].copy_from_slice(number);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Reader, Writer};

    #[test]
    fn numbers_keep_their_value_through_an_mpint() {
        for (number, encoded) in [
            (&[1_u8][..], &[0, 0, 0, 1, 1][..]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0, 0, 0x7f, 0], &[0, 0, 0, 2, 0x7f, 0]),
        ] {
            let mut out = Vec::new();
            out.put_mpint(number);
            assert_eq!(out, encoded);
            let mut room = vec![0xaa; number.len()];
            let read = Reader::new(&out).positive().expect("just written");
            pad_into(&mut room, read).expect("as wide as it was");
            assert_eq!(room, number);
        }
        assert!(Reader::new(&[0, 0, 0, 0]).positive().is_err(), "zero");
        assert!(Reader::new(&[0, 0, 0, 1, 0x80]).positive().is_err(), "negative");
        assert!(pad_into(&mut [0; 2], &[1, 2, 3]).is_none(), "too large");
    }
}
