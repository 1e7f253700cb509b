//! Reading and writing without a buffer per connection and without work per byte.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::error::Error;
use crate::port::Port;

/// Bytes of one read or write at most: what keeps the calls few and the data in the cache.
pub(crate) const BLOCK: usize = 256 * 1024;

/// Bytes of a request, and of its answer.
pub(crate) const REQUEST: usize = 1024;

/// What is sent, whoever sends. Not to be compressed, and the same in every run.
static BYTES: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..BLOCK / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
});

thread_local! {
    /// Where every connection of the thread reads to: ten thousand of them cost no buffers.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BLOCK].into_boxed_slice());
}

/// Makes the bytes, before any time is taken.
pub(crate) fn prepare() {
    LazyLock::force(&BYTES);
}

/// The first `length` bytes, a block at most, of what is sent.
pub(crate) fn bytes(length: usize) -> &'static [u8] {
    &BYTES[..length.min(BLOCK)]
}

/// Connects to a port of this machine, with TCP_NODELAY.
pub(crate) async fn connect(port: Port) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if let Some(kind) = port.kind {
        stream.write_u8(kind as u8).await?;
    }
    Ok(stream)
}

/// Reads once, a block at most, and hands over what came: nothing at the end of the stream.
pub(crate) async fn read_with<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    take: impl Fn(&[u8]) -> T,
) -> io::Result<T> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            Poll::Ready(Ok(take(buffer.filled())))
        })
    })
    .await
}

/// As [`read_with`], for those who only count.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<u64> {
    read_with(stream, |bytes| bytes.len() as u64).await
}

/// Reads exactly so many bytes, which have to be the last ones that the peer has sent so far.
pub(crate) async fn read_answer<S: AsyncRead + Unpin>(
    stream: &mut S,
    expected: u64,
) -> Result<(), Error> {
    let mut got = 0;
    while got < expected {
        match read(stream).await? {
            0 => return Err(Error::Early { got, expected }),
            more => got += more,
        }
    }
    if got > expected { Err(Error::Excess { got, expected }) } else { Ok(()) }
}

/// Reads to the end of the stream, which has to come right after so many bytes.
pub(crate) async fn read_to_end<S: AsyncRead + Unpin>(
    stream: &mut S,
    expected: u64,
) -> Result<(), Error> {
    let mut got = 0;
    loop {
        match read(stream).await? {
            0 if got < expected => return Err(Error::Early { got, expected }),
            0 => return Ok(()),
            more => got += more,
        }
        if got > expected {
            return Err(Error::Excess { got, expected });
        }
    }
}

/// Writes so many bytes.
pub(crate) async fn write(stream: &mut TcpStream, length: u64) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(BLOCK);
        left -= stream.write(bytes(length)).await? as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::run;

    #[test]
    fn an_answer_is_neither_short_nor_long() {
        let answer = |length, expected| run(read_answer(&mut bytes(length), expected));
        answer(100, 100).unwrap();
        let short = answer(99, 100);
        assert!(matches!(short, Err(Error::Early { got: 99, expected: 100 })));
        let long = answer(101, 100);
        assert!(matches!(long, Err(Error::Excess { got: 101, expected: 100 })));
    }

    #[test]
    fn an_end_comes_after_the_last_byte() {
        let end = |expected| run(read_to_end(&mut bytes(BLOCK), expected));
        end(BLOCK as u64).unwrap();
        let short = end(BLOCK as u64 + 1);
        assert!(matches!(short, Err(Error::Early { .. })));
        let long = end(BLOCK as u64 - 1);
        assert!(matches!(long, Err(Error::Excess { .. })));
    }
}
