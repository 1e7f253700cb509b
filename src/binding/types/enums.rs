//! Enums that cross between Rust and JavaScript as strings. JavaScript has their values in objects of
//! the same name.

use napi_derive::napi;
use ssh_proto::AlgorithmKind as Kind;

use crate::session::{
    AuthMethod, HostKeyReason as KeyReason, LossReason as SessionLoss, Strictness as TrustPolicy,
};
use crate::tunnel::{ClosedBy as EndedBy, ConnectionState as State, ForwardSpec};

/// Converts one enum to another, variant by variant.
macro_rules! convert {
    ($from:ident => $to:ident { $($variant:ident => $other:ident,)* }) => {
        impl From<$from> for $to {
            fn from(value: $from) -> Self {
                match value {
                    $($from::$variant => $to::$other,)*
                }
            }
        }
    };
}

/// The state of a connection.
#[napi(string_enum = "lowercase")]
#[derive(Clone, Copy, Debug)]
pub enum ConnectionState {
    /// The client of a dynamic forward is in its SOCKS handshake.
    Negotiating,
    /// It waits for the answer to its 'connectionRequest'.
    Requested,
    /// The SSH server connects to the target.
    Opening,
    /// It is open.
    Open,
    /// It is closing.
    Closing,
}

convert!(State => ConnectionState {
    Negotiating => Negotiating,
    Requested => Requested,
    Opening => Opening,
    Open => Open,
    Closing => Closing,
});

/// How the local client saw a connection end.
#[napi(string_enum = "lowercase")]
#[derive(Clone, Copy, Debug)]
pub enum ClosedBy {
    /// By FIN.
    Graceful,
    /// By RST.
    Reset,
}

convert!(EndedBy => ClosedBy { Graceful => Graceful, Reset => Reset, });

/// The kind of a forward.
#[napi(string_enum = "lowercase")]
#[derive(Clone, Copy, Debug)]
pub enum ForwardKind {
    /// Listens here, for one target.
    Local,
    /// Listens here, as a SOCKS server.
    Dynamic,
    /// Listens at the server.
    Remote,
}

impl From<&ForwardSpec> for ForwardKind {
    fn from(spec: &ForwardSpec) -> Self {
        match spec {
            ForwardSpec::Local { .. } => Self::Local,
            ForwardSpec::Dynamic { .. } => Self::Dynamic,
            ForwardSpec::Remote { .. } => Self::Remote,
        }
    }
}

/// The kind of reason for which a host key was refused.
#[napi(string_enum = "lowercase")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyReason {
    /// Nothing vouches for it.
    Unknown,
    /// A file has another one.
    Changed,
    /// A file revokes it.
    Revoked,
    /// hostVerifier rejected it.
    Rejected,
    /// It is not acceptable.
    Invalid,
}

convert!(KeyReason => HostKeyReason {
    Unknown => Unknown,
    Changed => Changed,
    Revoked => Revoked,
    Rejected => Rejected,
    Invalid => Invalid,
});

/// How a session ended.
#[napi(string_enum = "lowercase")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The server closed the connection.
    Closed,
    /// The network broke it.
    Network,
    /// The server sent DISCONNECT.
    Disconnect,
    /// The server did not answer.
    Silent,
    /// The server did not finish a key exchange.
    Rekey,
    /// Another error of SSH.
    Protocol,
}

convert!(SessionLoss => LossReason {
    Closed => Closed,
    Network => Network,
    Disconnect => Disconnect,
    Silent => Silent,
    Rekey => Rekey,
    Protocol => Protocol,
});

/// What becomes of a host key that nothing vouches for.
#[napi(string_enum = "kebab-case")]
#[derive(Clone, Copy, Debug)]
pub enum Strictness {
    /// It is refused.
    Yes,
    /// It is accepted and written.
    AcceptNew,
    /// It is accepted, and written if that can be done.
    No,
    /// It is accepted, also if it has changed.
    Off,
}

convert!(Strictness => TrustPolicy { Yes => Yes, AcceptNew => AcceptNew, No => No, Off => Off, });

/// A method of authentication, in the order of the documentation.
#[napi(string_enum = "kebab-case")]
#[derive(Clone, Copy, Debug)]
pub enum AuthMethodName {
    /// Asks to be let in without credentials.
    None,
    /// The user's private keys.
    Publickey,
    /// The keys of an agent.
    Agent,
    /// The server's questions.
    KeyboardInteractive,
    /// The password.
    Password,
}

convert!(AuthMethodName => AuthMethod {
    None => None,
    Publickey => PublicKey,
    Agent => Agent,
    KeyboardInteractive => KeyboardInteractive,
    Password => Password,
});

/// A kind of algorithms, by its name in ssh2, which lacks the last two.
#[napi(string_enum = "camelCase")]
#[derive(Clone, Copy, Debug)]
pub enum AlgorithmKind {
    /// Key exchange.
    Kex,
    /// Ciphers.
    Cipher,
    /// Signatures of host keys.
    ServerHostKey,
    /// MACs.
    Hmac,
    /// Compression.
    Compress,
    /// Signatures of authorities.
    CaSignature,
    /// Signatures of the user's keys.
    PublicKey,
}

convert!(AlgorithmKind => Kind {
    Kex => Kex,
    Cipher => Cipher,
    ServerHostKey => HostKey,
    Hmac => Mac,
    Compress => Compression,
    CaSignature => CaSignature,
    PublicKey => PublicKey,
});
