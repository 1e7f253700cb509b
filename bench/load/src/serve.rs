//! Targets: what the tunnel leads to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::console;
use crate::error::Error;
use crate::options::Options;
use crate::runtime;
use crate::stream::{self, REQUEST};

/// Connections that may wait to be accepted: more than any burst of the benchmark.
const BACKLOG: u32 = 16_384;

/// How long to leave a listener alone that cannot accept, for want of descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(10);

/// What a target does; as a byte, what the target of all kinds is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Reads and counts.
    Sink,
    /// Sends as much as it is asked for.
    Source,
    /// Sends back what comes.
    Echo,
    /// Answers request after request.
    Answer,
    /// Answers one, and closes.
    Close,
    /// A sink that is told how much comes, and needs no end of the stream.
    Take,
    /// A source that leaves the end of the stream to its client.
    Give,
}

impl Kind {
    /// In the order of their bytes.
    const ALL: [(&str, Self); 7] = [
        ("sink", Self::Sink),
        ("source", Self::Source),
        ("echo", Self::Echo),
        ("answer", Self::Answer),
        ("close", Self::Close),
        ("take", Self::Take),
        ("give", Self::Give),
    ];

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, kind)| (known == name).then_some(kind))
    }

    fn by_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).map(|&(_, kind)| kind)
    }
}

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let address = options.optional("bind")?.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::new(address, 0);
    options.finish()?;
    runtime::run(async {
        let sink = serve(address, sink)?;
        let source = serve(address, source)?;
        let echo = serve(address, echo)?;
        let answer = serve(address, answer)?;
        let close = serve(address, close)?;
        let greet = serve(address, greet)?;
        let any = serve(address, any)?;
        console::say(format_args!(
            r#"{{"sink":{sink},"source":{source},"echo":{echo},"answer":{answer},"close":{close},"greet":{greet},"any":{any}}}"#
        ))?;
        console::closed().await;
        Ok(())
    })
}

/// Listens, and returns the port. How a connection ends is its client's to judge.
pub(crate) fn serve<F>(
    address: SocketAddr,
    target: impl Fn(TcpStream) -> F + Send + 'static,
) -> io::Result<u16>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = listen(address)?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if stream.set_nodelay(true).is_ok() {
                tokio::spawn(target(stream));
            }
        }
    });
    Ok(port)
}

/// A listener that many may wait at.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sends one byte before its client has said anything, as servers of many protocols do.
async fn greet(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(stream::bytes(1)).await?;
    ended(stream).await
}

/// A target of all kinds, for a tunnel that leads to one port: the first byte says which.
async fn any(mut stream: TcpStream) -> io::Result<()> {
    match Kind::by_byte(stream.read_u8().await?) {
        Some(Kind::Sink) => sink(stream).await,
        Some(Kind::Source) => source(stream).await,
        Some(Kind::Echo) => echo(stream).await,
        Some(Kind::Answer) => answer(stream).await,
        Some(Kind::Close) => close(stream).await,
        Some(Kind::Take) => take(stream).await,
        Some(Kind::Give) => give(stream).await,
        None => Ok(()),
    }
}

/// Reads all that comes, then tells how much it was in eight big-endian bytes.
pub(crate) async fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut count = 0_u64;
    loop {
        match stream::read(&mut stream).await? {
            0 => return stream.write_all(&count.to_be_bytes()).await,
            more => count += more,
        }
    }
}

/// Reads a number of eight big-endian bytes, and sends as many.
async fn source(mut stream: TcpStream) -> io::Result<()> {
    let count = stream.read_u64().await?;
    stream::write(&mut stream, count).await
}

/// Reads a number of eight big-endian bytes and as many bytes, then tells how much it was.
async fn take(mut stream: TcpStream) -> io::Result<()> {
    let expected = stream.read_u64().await?;
    let mut count = 0;
    while count < expected {
        match stream::read(&mut stream).await? {
            0 => return Ok(()),
            more => count += more,
        }
    }
    stream.write_all(&count.to_be_bytes()).await?;
    ended(stream).await
}

/// As a source, and then waits until its client ends the connection.
async fn give(mut stream: TcpStream) -> io::Result<()> {
    let count = stream.read_u64().await?;
    stream::write(&mut stream, count).await?;
    ended(stream).await
}

/// Reads until the end of the stream.
async fn ended(mut stream: TcpStream) -> io::Result<()> {
    while stream::read(&mut stream).await? > 0 {}
    Ok(())
}

/// Sends back all that comes. Holds no memory while nothing does.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let bytes = stream::read_with(&mut stream, <[u8]>::to_vec).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        stream.write_all(&bytes).await?;
    }
}

/// Gives one answer per request, as long as requests come.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut unanswered = 0;
    loop {
        match stream::read(&mut stream).await? {
            0 => return Ok(()),
            more => unanswered += more,
        }
        let answers = unanswered - unanswered % REQUEST as u64;
        unanswered -= answers;
        stream::write(&mut stream, answers).await?;
    }
}

/// Gives one answer, and closes.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    let mut got = 0;
    while got < REQUEST as u64 {
        match stream::read(&mut stream).await? {
            0 => return Ok(()),
            more => got += more,
        }
    }
    stream::write(&mut stream, REQUEST as u64).await
}
