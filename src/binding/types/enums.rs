//! Enums that cross between Rust and JavaScript as strings. JavaScript has their values in objects of
//! the same name.

use napi_derive::napi;
use ssh_proto::AlgorithmKind as Kind;

use crate::session::{
    AuthMethod, HostKeyReason as KeyReason, LossReason as SessionLoss, ProxyFault,
    ProxyProtocol as Protocol, Strictness as TrustPolicy,
};
use crate::tunnel::{
    ClosedBy as EndedBy, ConnectionState as State, ForwardSpec, TunnelState as Doing,
};

/// Defines an enum of strings for an enum of this crate, with the conversion to it (`from`) or back
/// (`into`). A variant has the meaning of the variant that it is converted to or from.
macro_rules! string_enum {
    ($(#[$doc:meta])* $case:literal $name:ident from $other:ident { $($variant:ident,)* }) => {
        string_enum!($(#[$doc])* $case $name { $($variant,)* });

        impl From<$other> for $name {
            fn from(value: $other) -> Self {
                match value {
                    $($other::$variant => Self::$variant,)*
                }
            }
        }
    };
    ($(#[$doc:meta])* $case:literal $name:ident into $other:ident { $($variant:ident => $into:ident,)* }) => {
        string_enum!($(#[$doc])* $case $name { $($variant,)* });

        impl From<$name> for $other {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => Self::$into,)*
                }
            }
        }
    };
    ($(#[$doc:meta])* $case:literal $name:ident { $($variant:ident,)* }) => {
        $(#[$doc])*
        #[napi(string_enum = $case)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum $name {
            $($variant,)*
        }
    };
}

string_enum! {
    /// The state of a connection.
    "lowercase" ConnectionState from State { Negotiating, Requested, Opening, Open, Closing, }
}

string_enum! {
    /// What a tunnel is doing.
    "lowercase" TunnelState from Doing { Idle, Connecting, Ready, Reconnecting, Closing, Closed, }
}

string_enum! {
    /// How the local client saw a connection end.
    "lowercase" ClosedBy from EndedBy { Graceful, Reset, }
}

string_enum! {
    /// The kind of reason for which a host key was refused.
    "lowercase" HostKeyReason from KeyReason { Unknown, Changed, Revoked, Rejected, Invalid, }
}

string_enum! {
    /// How a session ended.
    "lowercase" LossReason { Closed, Unidentified, Network, Disconnect, Silent, Rekey, Protocol, }
}

impl From<SessionLoss> for LossReason {
    fn from(value: SessionLoss) -> Self {
        match value {
            SessionLoss::Closed => Self::Closed,
            SessionLoss::Unidentified => Self::Unidentified,
            SessionLoss::Network => Self::Network,
            SessionLoss::Disconnect | SessionLoss::TooMany => Self::Disconnect,
            SessionLoss::Silent => Self::Silent,
            SessionLoss::Rekey => Self::Rekey,
            SessionLoss::Protocol => Self::Protocol,
        }
    }
}

string_enum! {
    /// What becomes of a host key that nothing vouches for.
    "kebab-case" Strictness into TrustPolicy {
        Yes => Yes,
        AcceptNew => AcceptNew,
        No => No,
        Off => Off,
    }
}

string_enum! {
    /// The protocol of a proxy.
    "lowercase" ProxyProtocol into Protocol { Http => Http, Socks5 => Socks5, }
}

string_enum! {
    /// What went wrong at a proxy.
    "lowercase" ProxyReason { Auth, Refused, Invalid, Closed, }
}

impl From<&ProxyFault> for ProxyReason {
    fn from(fault: &ProxyFault) -> Self {
        match fault {
            _ if fault.is_about_the_login() => Self::Auth,
            ProxyFault::Status { .. } | ProxyFault::Reply(_) | ProxyFault::Login => Self::Refused,
            ProxyFault::Invalid => Self::Invalid,
            ProxyFault::Closed => Self::Closed,
        }
    }
}

string_enum! {
    /// A method of authentication, in the order of the documentation.
    "kebab-case" AuthMethodName into AuthMethod {
        None => None,
        Publickey => PublicKey,
        Agent => Agent,
        KeyboardInteractive => KeyboardInteractive,
        Password => Password,
    }
}

string_enum! {
    /// What a question for credentials asks for.
    "lowercase" CredentialsKind { Keys, Password, Identities, Signature, }
}

string_enum! {
    /// A kind of algorithms, by its name in ssh2, which lacks the last two.
    "camelCase" AlgorithmKind into Kind {
        Kex => Kex,
        Cipher => Cipher,
        ServerHostKey => HostKey,
        Hmac => Mac,
        Compress => Compression,
        CaSignature => CaSignature,
        PublicKey => PublicKey,
    }
}

string_enum! {
    /// The kind of a forward.
    "lowercase" ForwardKind { Local, Dynamic, Remote, }
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
