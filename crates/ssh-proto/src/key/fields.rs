//! The fields that keys and signatures are made of (RFC 4251 section 5), read without a copy.

/// What is left to read of a key or a signature.
///
/// Nothing is ever allocated here: a field is a slice of the input, so a length that the input
/// only claims to have costs nothing.
pub(super) struct Fields<'a>(&'a [u8]);

/// A field is missing, cut short, or not what its type allows.
#[derive(Debug)]
pub(super) struct Malformed;

impl<'a> Fields<'a> {
    /// Starts at the first byte of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Fields(bytes)
    }

    /// `uint32`
    pub(super) fn number(&mut self) -> Result<u32, Malformed> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    /// `string`
    pub(super) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(string)
    }

    /// `string` that is a name.
    pub(super) fn name(&mut self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.string()?).map_err(|_| Malformed)
    }

    /// `mpint` above zero, without its leading zero bytes.
    pub(super) fn positive(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = self.string()?;
        // The first bit is the sign.
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return Err(Malformed);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros == bytes.len() { Err(Malformed) } else { Ok(&bytes[zeros..]) }
    }

    /// Everything that was not read.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Appends a `string`.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys and signatures are far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends the number that `bytes` are, most significant first, as an `mpint`.
pub(super) fn put_positive(out: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    // A set first bit would make it negative.
    let sign = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let length = u32::try_from(bytes.len() + usize::from(sign)).expect("far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(if sign { &[0] } else { &[] });
    out.extend_from_slice(bytes);
}

/// Writes a number to the end of `place` and zeros in front of it; `None` when it does not fit.
pub(super) fn pad_into(place: &mut [u8], number: &[u8]) -> Option<()> {
    let zeros = place.len().checked_sub(number.len())?;
    place[..zeros].fill(0);
    place[zeros..].copy_from_slice(number);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_is_not_believed() {
        assert!(Fields::new(&[0xff, 0xff, 0xff, 0xff, 1]).string().is_err());
        assert!(Fields::new(&[0, 0, 0]).number().is_err());
    }

    #[test]
    fn numbers_keep_their_value_through_an_mpint() {
        for (number, encoded) in [
            (&[1_u8][..], &[0, 0, 0, 1, 1][..]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0, 0, 0x7f, 0], &[0, 0, 0, 2, 0x7f, 0]),
        ] {
            let mut out = Vec::new();
            put_positive(&mut out, number);
            assert_eq!(out, encoded);
            let mut place = vec![0xaa; number.len()];
            let read = Fields::new(&out).positive().expect("just written");
            pad_into(&mut place, read).expect("as wide as it was");
            assert_eq!(place, number);
        }
        assert!(Fields::new(&[0, 0, 0, 0]).positive().is_err(), "zero");
        assert!(Fields::new(&[0, 0, 0, 1, 0x80]).positive().is_err(), "negative");
        assert!(pad_into(&mut [0; 2], &[1, 2, 3]).is_none(), "too large");
    }
}
