//! An SSH server that forwards connections to TCP targets and from ports of its own, with every
//! algorithm that russh has.
//!
//! Usage: `russh-server AUTHORIZED_KEYS HOST_KEY...`. It listens on two free ports of 127.0.0.1,
//! prints them, prints `newkeys` whenever keys were agreed on, and ends when its standard input
//! does. At the second port it changes keys by itself, every MiB. Host keys may have certificates
//! beside them, as `ssh-keygen -s` names them. The user `user` may log on with an authorized key,
//! with a certificate by an authorized authority, and with the password `right`, which a question
//! may ask for; the user `open` without any proof.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Certificate, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelOpenFailure, Limits, Preferred, cipher, kex};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Failure = Box<dyn Error + Send + Sync>;

const MIB: usize = 1 << 20;
const USER: &str = "user";
const PASSWORD: &str = "right";
/// What starts a line of authorized keys that is about an authority.
const AUTHORITY: &str = "cert-authority ";

/// Who may log on.
#[derive(Default)]
struct Authorized {
    keys: Vec<PublicKey>,
    authorities: Vec<PublicKey>,
}

struct Handler {
    authorized: Arc<Authorized>,
    /// What accepts connections for the client, by port.
    listeners: HashMap<u32, JoinHandle<()>>,
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.listeners.values().for_each(JoinHandle::abort);
    }
}

fn verdict(good: bool) -> Auth {
    if good { Auth::Accept } else { Auth::reject() }
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        Ok(verdict(user == "open"))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(verdict(user == USER && password == PASSWORD))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<server::Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        Ok(match response {
            Some(mut given) => {
                verdict(user == USER && given.next().as_deref() == Some(PASSWORD.as_bytes()))
            }
            None => Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            },
        })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let data = key.public_key.key_data();
        let known = self.authorized.keys.iter().any(|own| own.key_data() == data);
        Ok(verdict(user == USER && known))
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        let signer = certificate.signature_key();
        let known = self.authorized.authorities.iter().any(|own| own.key_data() == signer);
        let named = certificate.valid_principals().iter().any(|name| name == user);
        Ok(verdict(known && named))
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let Ok(listener) = TcpListener::bind((address, *port as u16)).await else {
            return Ok(false);
        };
        *port = listener.local_addr()?.port().into();
        let (handle, address, port) = (session.handle(), address.to_owned(), *port);
        let accepting = tokio::spawn(async move {
            while let Ok((mut socket, origin)) = listener.accept().await {
                let (handle, address) = (handle.clone(), address.clone());
                tokio::spawn(async move {
                    let (host, from) = (origin.ip().to_string(), origin.port().into());
                    let opened = handle.channel_open_forwarded_tcpip(address, port, host, from);
                    let Ok(channel) = opened.await else { return };
                    let _ = copy_bidirectional(&mut channel.into_stream(), &mut socket).await;
                });
            }
        });
        self.listeners.insert(port, accepting);
        Ok(true)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        _: &str,
        port: u32,
        _: &mut Session,
    ) -> Result<bool, Self::Error> {
        let Some(accepting) = self.listeners.remove(&port) else { return Ok(false) };
        accepting.abort();
        let _ = accepting.await; // now nobody listens
        Ok(true)
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

/// Prints what is awaited of all that russh logs.
struct KeyExchanges;

impl log::Log for KeyExchanges {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.args().as_str() == Some("new keys received") {
            println!("newkeys");
        }
    }

    fn flush(&self) {}
}

async fn serve(
    listener: TcpListener,
    config: server::Config,
    authorized: Arc<Authorized>,
) -> Result<(), Failure> {
    let config = Arc::new(config);
    loop {
        let (socket, _) = listener.accept().await?;
        let authorized = Arc::clone(&authorized);
        let (config, handler) = (config.clone(), Handler { authorized, listeners: HashMap::new() });
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
    log::set_logger(&KeyExchanges).expect("there is no other");
    log::set_max_level(log::LevelFilter::Debug);
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: russh-server AUTHORIZED_KEYS HOST_KEY...")?;
    let mut authorized = Authorized::default();
    for line in std::fs::read_to_string(file)?.lines() {
        match line.strip_prefix(AUTHORITY) {
            Some(key) => authorized.authorities.push(PublicKey::from_openssh(key)?),
            None => authorized.keys.push(PublicKey::from_openssh(line)?),
        }
    }
    let authorized = Arc::new(authorized);
    let (mut keys, mut certificates) = (Vec::new(), Vec::new());
    for file in arguments {
        keys.push(PrivateKey::read_openssh_file(Path::new(&file))?);
        let certificate = format!("{file}-cert.pub");
        if Path::new(&certificate).exists() {
            certificates.push(russh::keys::load_openssh_certificate(certificate)?);
        }
    }
    let config = |limits| server::Config {
        auth_rejection_time: Duration::from_millis(1),
        preferred: preferred(),
        nodelay: true,
        // A session stands still while a channel's queue is full: with a target that sends back what
        // it gets, for ever. So everything that a test sends has room in it.
        channel_buffer_size: 1 << 16,
        keys: keys.clone(),
        certificates: certificates.clone(),
        limits,
        ..server::Config::default()
    };
    let usual = config(Limits::default());
    let often = config(Limits::new(MIB, MIB, Duration::from_secs(3600)));
    // Ends with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    tokio::runtime::Runtime::new()?.block_on(async {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (first, second) = (listen().await?, listen().await?);
        println!("{} {}", first.local_addr()?.port(), second.local_addr()?.port());
        let serving = serve(first, usual, Arc::clone(&authorized));
        tokio::try_join!(serving, serve(second, often, authorized))?;
        Ok(())
    })
}
