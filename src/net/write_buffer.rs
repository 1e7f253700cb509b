//! Write buffer of a socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// Unit of allocation: growing copies nothing, and delivered bytes are freed.
const PIECE: usize = 64 * 1024;
/// Pieces of one vectored write.
const MAX_SLICES: usize = 16;

/// Queue of bytes that a socket has not taken yet. An empty one uses no memory.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that were written.
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

    /// Calls `write` once with the front of the queue, at most `most` bytes, and removes what it has
    /// written.
    pub(crate) fn write(
        &mut self,
        most: usize,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (mut used, mut left) = (0, most);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let start = if used == 0 { self.start } else { 0 };
            let part = &piece[start..];
            let part = &part[..part.len().min(left)];
            if part.is_empty() {
                break;
            }
            *slice = IoSlice::new(part);
            left -= part.len();
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

    /// Takes everything out, `most` bytes at a time.
    fn drain(buffer: &mut WriteBuffer, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !buffer.is_empty() {
            let count = buffer.write(most, |slices| {
                let before = out.len();
                for slice in slices {
                    out.extend_from_slice(slice);
                }
                assert!(out.len() - before <= most, "no more than may leave");
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
            let mut buffer = WriteBuffer::default();
            for part in source.chunks(portion) {
                buffer.push(part);
            }
            assert_eq!(buffer.len(), source.len());
            assert!(drain(&mut buffer, most) == source, "{portion} in, {most} out");
            assert!(buffer.pieces.is_empty(), "memory is given back");
        }
    }

    #[test]
    fn small_writes_share_a_piece() {
        let mut buffer = WriteBuffer::default();
        for _ in 0..1000 {
            buffer.push(&[1; 50]);
        }
        assert_eq!(buffer.pieces.len(), 1);
    }
}
