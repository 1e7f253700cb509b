//! What a session asks the application, and tells it, while it connects.

use std::pin::Pin;

use ssh_proto::Prompts;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::session::auth::key_file::KeyFile;
use crate::session::{CredentialsFailure, Error, HostKeyInfo, SockStream, Thrown};

/// The application, from which a session gets answers while it connects. Its methods are called on the
/// runtime's threads and must return at once.
pub trait Application: Send + Sync {
    /// Asks whether to trust a host key. Dropping `answer` rejects the key.
    fn verify_host_key(&self, key: HostKeyInfo, answer: oneshot::Sender<Verdict>);

    /// Asks for what only the user knows. Dropping `answer` gives no response.
    fn answer(&self, inquiry: Inquiry, answer: oneshot::Sender<Responses>);

    /// Asks for credentials. Dropping the future withdraws the question.
    fn credentials(&self, request: CredentialsRequest) -> PendingCredentials;

    /// Asks for a stream that leads to the server. Dropping `answer` gives none.
    fn stream(&self, answer: oneshot::Sender<Result<SockStream, Error>>);

    /// Passes on a banner.
    fn banner(&self, banner: Banner);
}

/// The answer about a host key: whether it is trusted, or what the application threw.
pub type Verdict = Result<bool, Thrown>;

/// A question about the credentials of one server.
#[derive(Debug)]
pub struct CredentialsRequest {
    /// Index among the jump hosts; see [`Target::hop`](crate::session::Target::hop).
    pub hop: Option<u32>,
    /// What is asked for.
    pub question: CredentialsQuestion,
}

/// What an application is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum CredentialsQuestion {
    /// The keys that functions among the options give.
    Keys,
    /// The password that a function among the options gives.
    Password,
    /// The public keys and certificates of the application's agent.
    Identities,
    /// A signature of the application's agent.
    Signature {
        /// The public key or certificate, as the agent listed it.
        key: Vec<u8>,
        /// The algorithm of the signature, such as `rsa-sha2-512`.
        algorithm: &'static str,
        /// The data to sign.
        data: Vec<u8>,
    },
}

/// The answer to a [`CredentialsQuestion`], of the same kind.
pub enum CredentialsAnswer {
    /// The keys of this authentication.
    Keys(GivenKeys),
    /// The password, if there is one.
    Password(Option<Zeroizing<Vec<u8>>>),
    /// Blobs of public keys and certificates.
    Identities(Vec<Vec<u8>>),
    /// A signature, in the encoding of RFC 4253 section 6.6 or as libraries return it.
    Signature(Vec<u8>),
}

/// The keys of one authentication. A part is absent if its option is not a function, or the function gave
/// nothing.
#[derive(Default)]
pub struct GivenKeys {
    /// Private keys, in place of those of the options.
    pub private_keys: Option<Vec<KeyFile>>,
    /// Passphrase of the private keys without one of their own.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
    /// Line of the certificate of the private keys without one of their own.
    pub certificate: Option<Vec<u8>>,
    /// Blobs of the agent's keys to use, in place of those of the options.
    pub agent_keys: Option<Vec<Vec<u8>>>,
    /// Blobs of certificates to offer with them.
    pub agent_certificates: Vec<Vec<u8>>,
}

/// The answer of the application, or why there is none.
pub type PendingCredentials =
    Pin<Box<dyn Future<Output = Result<CredentialsAnswer, CredentialsFailure>> + Send>>;

/// A question to the application about one server.
#[derive(Debug)]
pub struct Inquiry {
    /// Index of the jump host that it is about; `None` for the tunnel's own server.
    pub hop: Option<u32>,
    /// What is asked for.
    pub subject: Subject,
}

/// What the application is asked for.
#[derive(Debug)]
pub enum Subject {
    /// Responses to the prompts of the server, one for each.
    Prompts(Prompts),
    /// The user's password, as the only response.
    Password,
    /// Permission to add the private key with this index to the agent: its comment, as the only
    /// response.
    Key(usize),
}

/// Responses to an [`Inquiry`].
pub type Responses = Vec<Zeroizing<Vec<u8>>>;

/// A message from the server to the user, sent before authentication ends.
#[derive(Clone, Debug)]
pub struct Banner {
    /// Host of the server as it was given.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// Text of the message. It contains no control characters except line feeds and tabs.
    pub message: String,
    /// Language of the text; usually empty.
    pub language: String,
}
