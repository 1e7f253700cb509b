//! Compression of payloads (RFC 4253 section 6.2) with `zlib@openssh.com`: a zlib stream each way. It
//! begins when the user is authenticated, so that bytes of strangers never reach it, and starts over
//! with new keys. Each packet ends in a flush.

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use crate::Error;

/// A compression method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Zlib,
}

impl Compression {
    /// Every method and its name. Only the first is offered by default.
    pub(crate) const ALL: [(&'static str, Compression); 2] =
        [("none", Compression::None), ("zlib@openssh.com", Compression::Zlib)];
}

/// The compression of one direction: the method that was agreed on, and its stream once it begins.
pub(super) struct Delayed<T> {
    agreed: Compression,
    is_active: bool,
    pub(super) stream: Option<Box<T>>,
}

impl<T> Default for Delayed<T> {
    fn default() -> Self {
        Self { agreed: Compression::None, is_active: false, stream: None }
    }
}

impl<T: Default> Delayed<T> {
    /// Begins what was agreed on: the user is authenticated.
    pub(super) fn begin(&mut self) {
        self.is_active = true;
        self.renew(self.agreed);
    }

    /// Returns whether a method was agreed on.
    pub(super) fn is_agreed(&self) -> bool {
        self.agreed != Compression::None
    }

    /// Starts over with new keys, with another stream or none.
    pub(super) fn renew(&mut self, agreed: Compression) {
        self.agreed = agreed;
        let compresses = self.is_active && agreed == Compression::Zlib;
        self.stream = compresses.then(Box::default);
    }
}

/// Compresses the payloads that we send.
pub(super) struct Deflater {
    zlib: Compress,
    packed: Vec<u8>,
    /// Buffer for data that is to be compressed; kept for reuse.
    pub(super) plain: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        let zlib = Compress::new(Level::default(), true);
        Self { zlib, packed: Vec::new(), plain: Vec::new() }
    }
}

impl Deflater {
    /// Returns the compressed payload of these parts.
    pub(super) fn deflate(&mut self, parts: [&[u8]; 2]) -> &[u8] {
        /// Room for a flush, and for the headers of incompressible blocks.
        const MORE: usize = 256;
        self.packed.clear();
        self.packed.reserve(parts[0].len() + parts[1].len() + MORE);
        for (part, flush) in parts.into_iter().zip([FlushCompress::None, FlushCompress::Partial]) {
            let mut rest = part;
            loop {
                let before = self.zlib.total_in();
                let outcome = self.zlib.compress_vec(rest, &mut self.packed, flush);
                outcome.expect("only a finished stream fails");
                rest = &rest[(self.zlib.total_in() - before) as usize..];
                if rest.is_empty() && self.packed.len() < self.packed.capacity() {
                    break;
                }
                self.packed.reserve(MORE);
            }
        }
        &self.packed
    }
}

/// Decompresses the payloads that we receive.
pub(super) struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Inflater {
    /// Decompresses a payload to the front of `room`; returns its length, which is less than that of
    /// the room. A payload that fills the room is refused as too long.
    pub(super) fn inflate(&mut self, payload: &[u8], room: &mut [u8]) -> Result<usize, Error> {
        let start = (self.0.total_in(), self.0.total_out());
        let (mut used, mut made) = (0, 0);
        loop {
            let (input, output) = (&payload[used..], &mut room[made..]);
            let status = self.0.decompress(input, output, FlushDecompress::Sync);
            let status = status.map_err(|_| Error::Protocol("a packet cannot be decompressed"))?;
            used = (self.0.total_in() - start.0) as usize;
            made = (self.0.total_out() - start.1) as usize;
            if made == room.len() {
                return Err(Error::Protocol("a packet is too long when it is decompressed"));
            }
            match status {
                // More output may follow, also when all of the payload is used up.
                Status::Ok => {}
                Status::BufError if made > 0 => return Ok(made),
                Status::BufError => return Err(Error::Protocol("a compressed packet is empty")),
                Status::StreamEnd => {
                    return Err(Error::Protocol("the compressed stream ended"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 65_532;

    fn deflated(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
        deflater.deflate([&payload[..payload.len() / 3], &payload[payload.len() / 3..]]).to_vec()
    }

    fn inflated(inflater: &mut Inflater, packed: &[u8]) -> Result<Vec<u8>, Error> {
        let mut room = vec![0; ROOM];
        let length = inflater.inflate(packed, &mut room)?;
        room.truncate(length);
        Ok(room)
    }

    /// Incompressible bytes.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn payloads_of_every_size_are_restored() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        let noise = noise(ROOM);
        let sizes = (1..300).chain((300..ROOM).step_by(997)).chain([32_767, 32_768, ROOM - 1]);
        for size in sizes {
            for payload in [&noise[..size], &vec![7; size]] {
                let packed = deflated(&mut deflater, payload);
                assert!(packed.len() < size + 128, "{size} became {}", packed.len());
                assert!(inflated(&mut inflater, &packed).as_deref() == Ok(payload), "{size}");
            }
        }
    }

    /// The dictionary spans packets.
    #[test]
    fn the_stream_lasts_over_packets() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        let payload = noise(1000);
        let first = deflated(&mut deflater, &payload);
        let second = deflated(&mut deflater, &payload);
        assert!(first.len() > 1000 && second.len() < 100, "{} {}", first.len(), second.len());
        assert_eq!(inflated(&mut inflater, &first).as_ref(), Ok(&payload));
        assert_eq!(inflated(&mut inflater, &second), Ok(payload));
        assert!(inflated(&mut Inflater::default(), &second).is_err(), "not by itself");
    }

    #[test]
    fn payloads_beyond_the_room_are_refused() {
        for length in [ROOM, ROOM + 1, 100 * ROOM] {
            let packed = deflated(&mut Deflater::default(), &vec![0; length]);
            let error = inflated(&mut Inflater::default(), &packed);
            assert!(matches!(error, Err(Error::Protocol(text)) if text.contains("too long")));
        }
    }

    #[test]
    fn invalid_streams_are_refused() {
        let mut finished = vec![0; 100];
        let mut zlib = Compress::new(Level::default(), true);
        zlib.compress(b"the end", &mut finished, FlushCompress::Finish).expect("it fits");
        finished.truncate(zlib.total_out() as usize);
        // A header alone, and a flush without data before it, yield nothing.
        let empty = [&[0x78, 0x9c][..], &[0x78, 0x9c, 0, 0, 0, 0xff, 0xff]];
        for bad in [&finished[..], empty[0], empty[1], b"noise", &[0xff; 50], &[0x78, 0x9c, 7]] {
            let error = inflated(&mut Inflater::default(), bad);
            assert!(matches!(error, Err(Error::Protocol(_))), "{bad:?}: {error:?}");
        }
    }

    #[test]
    fn a_stream_begins_after_authentication_and_with_new_keys() {
        let mut delayed = Delayed::<Inflater>::default();
        delayed.renew(Compression::Zlib);
        assert!(delayed.stream.is_none(), "nobody is logged on");
        delayed.begin();
        let packed = deflated(&mut Deflater::default(), b"first");
        let take = |delayed: &mut Delayed<Inflater>| {
            delayed.stream.as_mut().map(|stream| inflated(stream, &packed))
        };
        assert_eq!(take(&mut delayed), Some(Ok(b"first".to_vec())));
        assert_ne!(take(&mut delayed), Some(Ok(b"first".to_vec())), "the stream has begun");
        delayed.renew(Compression::Zlib);
        assert_eq!(take(&mut delayed), Some(Ok(b"first".to_vec())));
        delayed.renew(Compression::None);
        assert_eq!(take(&mut delayed), None);
    }
}
