//! The data types of RFC 4251 section 5: read without copying, written by appending.

/// Maximum bytes of a name or path in a message: more than any server accepts, and below the packet
/// limit of every server, which would end the session.
pub(crate) const MAX_NAME: usize = 4096;
/// Maximum bytes of the secrets in one message: OpenSSH accepts packets of 256 KiB.
pub(crate) const MAX_SECRET: usize = 128 * 1024;

/// Reader of values from the front of a message. It copies nothing, and reads nothing beyond the end
/// whatever a length claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// The error for a message that ends within a value, or a value that is invalid for its type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Malformed> {
        Ok(self.byte()? != 0)
    }

    pub(crate) fn uint32(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    pub(crate) fn uint64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*bytes))
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.uint32()?;
        self.bytes(length as usize)
    }

    /// Reads a string of UTF-8, or of US-ASCII, as names are.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.string()?).map_err(|_| Malformed)
    }

    /// Reads an mpint above zero; returns it without leading zero bytes.
    pub(crate) fn positive(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = self.string()?;
        // The first bit is the sign.
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return Err(Malformed);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros == bytes.len() { Err(Malformed) } else { Ok(&bytes[zeros..]) }
    }

    /// Returns the bytes that were not read.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Fails if bytes are left.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// Returns the number of bytes that are left.
    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }
}

/// Writer of values to the end of a message.
pub(crate) trait Writer {
    fn put_boolean(&mut self, value: bool);
    fn put_uint32(&mut self, value: u32);
    fn put_string(&mut self, value: &[u8]);
    /// Appends a non-negative mpint, given as big-endian bytes.
    fn put_mpint(&mut self, value: &[u8]);
}

impl Writer for Vec<u8> {
    fn put_boolean(&mut self, value: bool) {
        self.push(value.into());
    }

    fn put_uint32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_string(&mut self, value: &[u8]) {
        let length = u32::try_from(value.len()).expect("messages are smaller than 4 GiB");
        self.put_uint32(length);
        self.extend_from_slice(value);
    }

    fn put_mpint(&mut self, value: &[u8]) {
        let start = value.iter().position(|byte| *byte != 0).unwrap_or(value.len());
        let digits = &value[start..];
        // The top bit is the sign; a zero byte before it keeps the number positive.
        let sign = usize::from(digits.first().is_some_and(|byte| byte & 0x80 != 0));
        self.put_uint32((digits.len() + sign) as u32);
        self.extend_from_slice(&[0][..sign]);
        self.extend_from_slice(digits);
    }
}

/// Returns the bits of a number without leading zero bytes.
pub(crate) fn bits(number: &[u8]) -> usize {
    8 * number.len() - number.first().map_or(0, |first| first.leading_zeros() as usize)
}

/// Returns the beginning of a message: its number.
pub(crate) fn message(number: u8) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.push(number);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mpint(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_mpint(value);
        out
    }

    /// The examples of RFC 4251 section 5.
    #[test]
    fn mpints_match_the_rfc() {
        assert_eq!(mpint(&[0, 0]), [0, 0, 0, 0]);
        assert_eq!(mpint(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(
            mpint(&[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]),
            [0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]
        );
    }

    #[test]
    fn a_length_beyond_the_message_is_malformed() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 1, 2]).string(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0, 0]).uint32(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0, 0, 2, 0xff, 0xfe]).text(), Err(Malformed));
    }

    #[test]
    fn bits_count_from_the_first_one() {
        assert_eq!((bits(&[1]), bits(&[0xff]), bits(&[1, 0]), bits(&[])), (1, 8, 9, 0));
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let mut out = message(7);
        out.put_boolean(true);
        out.put_string(b"abc");
        out.put_uint32(9);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.byte(), Ok(7));
        assert_eq!(reader.boolean(), Ok(true));
        assert_eq!(reader.text(), Ok("abc"));
        assert_eq!(reader.uint32(), Ok(9));
        assert_eq!(reader.remaining(), 0);
    }
}
