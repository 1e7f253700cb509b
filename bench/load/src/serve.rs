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

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let address = options.optional("bind")?.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    options.finish()?;
    runtime::run(async {
        let sink = serve(address, sink)?;
        let source = serve(address, source)?;
        let echo = serve(address, echo)?;
        let answer = serve(address, answer)?;
        let close = serve(address, close)?;
        console::say(format_args!(
            r#"{{"sink":{sink},"source":{source},"echo":{echo},"answer":{answer},"close":{close}}}"#
        ))?;
        console::closed().await;
        Ok(())
    })
}

/// Listens on a port of its own, which it returns. How a connection ends is its client's to judge.
fn serve<F>(address: IpAddr, target: fn(TcpStream) -> F) -> io::Result<u16>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = listen(SocketAddr::new(address, 0))?;
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
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Reads all that comes, then tells how much it was in eight big-endian bytes.
async fn sink(mut stream: TcpStream) -> io::Result<()> {
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
