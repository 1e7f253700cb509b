//! An SSH server that forwards connections to TCP targets, with every algorithm that russh has.
//!
//! Usage: `russh-server AUTHORIZED_KEYS HOST_KEY...`. It listens on a free port of 127.0.0.1,
//! prints that port, and ends when its standard input does. Host keys may have certificates beside
//! them, as `ssh-keygen -s` names them. Every user may log on with an authorized key, with a
//! certificate by one, and with the password `right`.

use std::borrow::Cow;
use std::error::Error;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Certificate, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelOpenFailure, Preferred, cipher, kex};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;

struct Handler {
    authorized: Arc<[PublicKey]>,
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(if password == "right" { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        _: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = self.authorized.iter().any(|own| own.key_data() == key.public_key.key_data());
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        let known = self.authorized.iter().any(|own| own.key_data() == certificate.signature_key());
        let named = certificate.valid_principals().iter().any(|name| name == user);
        Ok(if known && named { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let target = (host.to_owned(), port as u16);
        // Apart: the session goes on while the target takes its time.
        tokio::spawn(async move {
            match TcpStream::connect(target).await {
                Ok(mut socket) => {
                    reply.accept().await;
                    let mut stream = channel.into_stream();
                    let _ = copy_bidirectional(&mut stream, &mut socket).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }
}

/// What russh leaves out of its defaults and this project knows.
fn preferred() -> Preferred {
    let mut preferred = Preferred::DEFAULT;
    let curves = [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521];
    preferred.kex = preferred.kex.iter().copied().chain(curves).collect::<Vec<_>>().into();
    preferred.cipher =
        Cow::Owned(preferred.cipher.iter().copied().chain([cipher::AES_128_GCM]).collect());
    preferred
}

async fn serve(config: server::Config, authorized: Vec<PublicKey>) -> Result<(), Failure> {
    let (config, authorized) = (Arc::new(config), Arc::from(authorized));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (socket, _) = listener.accept().await?;
        let (config, handler) = (config.clone(), Handler { authorized: Arc::clone(&authorized) });
        tokio::spawn(async move {
            match server::run_stream(config, socket, handler).await {
                Ok(session) => {
                    if let Err(error) = session.await {
                        eprintln!("{error}");
                    }
                }
                Err(error) => eprintln!("{error}"),
            }
        });
    }
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let authorized = arguments.next().ok_or("usage: russh-server AUTHORIZED_KEYS HOST_KEY...")?;
    let authorized = std::fs::read_to_string(authorized)?;
    let authorized = authorized.lines().map(PublicKey::from_openssh).collect::<Result<_, _>>()?;
    let mut config = server::Config {
        auth_rejection_time: Duration::from_millis(1),
        preferred: preferred(),
        nodelay: true,
        // A session stands still while a channel's queue is full: with a target that sends back what
        // it gets, for ever. So everything that a test sends has room in it.
        channel_buffer_size: 1 << 16,
        ..server::Config::default()
    };
    for file in arguments {
        config.keys.push(PrivateKey::read_openssh_file(Path::new(&file))?);
        let certificate = format!("{file}-cert.pub");
        if Path::new(&certificate).exists() {
            config.certificates.push(russh::keys::load_openssh_certificate(certificate)?);
        }
    }
    // Ends with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    tokio::runtime::Runtime::new()?.block_on(serve(config, authorized))
}
