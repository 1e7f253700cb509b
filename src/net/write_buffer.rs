//! Bytes that wait for a socket to take them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// Memory is taken and given back in pieces of this size: growing copies nothing, and what was
/// delivered is freed.
const PIECE: usize = 64 * 1024;
/// Pieces that one write inbound_channels.
const OFFERED: usize = 16;

/// A queue of bytes. Takes memory only while it holds something.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    pieces: VecDeque<Vec<u8>>,
    /// How much of the first piece is gone.
    start: usize,
    length: usize,
}

impl WriteBuffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            match self.pieces.back_mut() {
                Some(piece) if piece.len() < PIECE => {
                    let (now, later) = bytes.split_at(bytes.len().min(PIECE - piece.len()));
                    piece.extend_from_slice(now);
                    bytes = later;
                }
                _ => self.pieces.push_back(Vec::with_capacity(PIECE)),
            }
        }
    }

    /// InboundChannels what is there to `write` once, and forgets what it took.
    pub(crate) fn write(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); OFFERED];
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let start = if used == 0 { self.start } else { 0 };
            *slice = IoSlice::new(&piece[start..]);
            used += 1;
        }
        let count = write(&slices[..used])?;
        self.remove(count);
        Ok(count)
    }

    fn remove(&mut self, count: usize) {
        self.length -= count;
        self.start += count;
        while let Some(first) = self.pieces.front().map(Vec::len) {
            if self.start < first {
                break;
            }
            self.start -= first;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes everything, `most` bytes at a time.
    fn drain(backlog: &mut WriteBuffer, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !backlog.is_empty() {
            let count = backlog.write(|slices| {
                let before = out.len();
                for slice in slices {
                    let room = most - (out.len() - before);
                    out.extend(&slice[..slice.len().min(room)]);
                }
                Ok(out.len() - before)
            });
            assert!(count.expect("writes") > 0);
        }
        out
    }

    #[test]
    fn bytes_come_out_in_order_whatever_the_portions() {
        for (portion, most) in [(50, 7), (50, 1 << 20), (100_000, 65_536), (65_536, 65_535)] {
            let source: Vec<u8> = (0..400_000_u32).map(|n| (n * 7) as u8).collect();
            let mut backlog = WriteBuffer::default();
            for part in source.chunks(portion) {
                backlog.push(part);
            }
            assert_eq!(backlog.len(), source.len());
            assert!(drain(&mut backlog, most) == source, "{portion} in, {most} out");
            assert!(backlog.pieces.is_empty(), "memory is given back");
        }
    }

    #[test]
    fn small_writes_share_a_piece() {
        let mut backlog = WriteBuffer::default();
        for _ in 0..1000 {
            backlog.push(&[1; 50]);
        }
        assert_eq!(backlog.pieces.len(), 1);
    }
}
