//! Message numbers and reason codes (RFC 4250 section 4).

pub(crate) const DISCONNECT: u8 = 1;
pub(crate) const IGNORE: u8 = 2;
pub(crate) const UNIMPLEMENTED: u8 = 3;
pub(crate) const DEBUG: u8 = 4;
pub(crate) const SERVICE_REQUEST: u8 = 5;
pub(crate) const SERVICE_ACCEPT: u8 = 6;
/// RFC 8308.
pub(crate) const EXT_INFO: u8 = 7;
pub(crate) const KEXINIT: u8 = 20;
pub(crate) const NEWKEYS: u8 = 21;
/// The meaning of 30 to 49 depends on the key exchange method. These two are of RFC 5656; every method
/// except group exchange uses them.
pub(crate) const KEX_ECDH_INIT: u8 = 30;
pub(crate) const KEX_ECDH_REPLY: u8 = 31;
/// RFC 4419.
pub(crate) const KEX_DH_GEX_GROUP: u8 = 31;
pub(crate) const KEX_DH_GEX_INIT: u8 = 32;
pub(crate) const KEX_DH_GEX_REPLY: u8 = 33;
pub(crate) const KEX_DH_GEX_REQUEST: u8 = 34;
pub(crate) const USERAUTH_REQUEST: u8 = 50;
pub(crate) const USERAUTH_FAILURE: u8 = 51;
pub(crate) const USERAUTH_SUCCESS: u8 = 52;
pub(crate) const USERAUTH_BANNER: u8 = 53;
/// The meaning of 60 depends on the method: USERAUTH_PK_OK (RFC 4252 section 7),
/// USERAUTH_PASSWD_CHANGEREQ (section 8) or USERAUTH_INFO_REQUEST (RFC 4256 section 3.2).
pub(crate) const USERAUTH_METHOD_SPECIFIC: u8 = 60;
pub(crate) const USERAUTH_INFO_RESPONSE: u8 = 61;
pub(crate) const GLOBAL_REQUEST: u8 = 80;
pub(crate) const REQUEST_SUCCESS: u8 = 81;
pub(crate) const REQUEST_FAILURE: u8 = 82;
pub(crate) const CHANNEL_OPEN: u8 = 90;
pub(crate) const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
pub(crate) const CHANNEL_OPEN_FAILURE: u8 = 92;
pub(crate) const CHANNEL_WINDOW_ADJUST: u8 = 93;
pub(crate) const CHANNEL_DATA: u8 = 94;
pub(crate) const CHANNEL_EXTENDED_DATA: u8 = 95;
pub(crate) const CHANNEL_EOF: u8 = 96;
pub(crate) const CHANNEL_CLOSE: u8 = 97;
pub(crate) const CHANNEL_REQUEST: u8 = 98;
pub(crate) const CHANNEL_SUCCESS: u8 = 99;
pub(crate) const CHANNEL_FAILURE: u8 = 100;

/// Reason codes of DISCONNECT that this client sends (RFC 4253 section 11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The server violated the protocol.
    ProtocolError = 2,
    /// No algorithm in common, or a bad signature in the key exchange.
    KeyExchangeFailed = 3,
    /// The host key is not trusted.
    HostKeyNotVerifiable = 9,
    /// The application has ended the session.
    ByApplication = 11,
    /// No authentication method is left.
    NoMoreAuthMethods = 14,
}

impl DisconnectReason {
    /// Returns the description for the server. It tells nothing about the user, files or attempts:
    /// that is in the error on this side only.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::ProtocolError => "protocol error",
            Self::KeyExchangeFailed => "key exchange failed",
            Self::HostKeyNotVerifiable => "host key not accepted",
            Self::ByApplication => "closed by the user",
            Self::NoMoreAuthMethods => "no more authentication methods",
        }
    }
}

/// Reason codes of CHANNEL_OPEN_FAILURE (RFC 4254 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFailure {
    /// The configuration does not allow it.
    AdministrativelyProhibited,
    /// The target could not be connected to.
    ConnectFailed,
    /// The channel type is unknown.
    UnknownChannelType,
    /// There are no resources for another channel.
    ResourceShortage,
    /// Another code.
    Other(u32),
}

impl OpenFailure {
    /// Returns the description for the server when we reject a channel. It tells nothing about the
    /// target.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::AdministrativelyProhibited => "not allowed",
            Self::ConnectFailed => "connect failed",
            Self::UnknownChannelType => "unknown channel type",
            Self::ResourceShortage => "resource shortage",
            Self::Other(_) => "open failed",
        }
    }
}

impl From<u32> for OpenFailure {
    fn from(code: u32) -> Self {
        match code {
            1 => Self::AdministrativelyProhibited,
            2 => Self::ConnectFailed,
            3 => Self::UnknownChannelType,
            4 => Self::ResourceShortage,
            other => Self::Other(other),
        }
    }
}

impl From<OpenFailure> for u32 {
    fn from(reason: OpenFailure) -> Self {
        match reason {
            OpenFailure::AdministrativelyProhibited => 1,
            OpenFailure::ConnectFailed => 2,
            OpenFailure::UnknownChannelType => 3,
            OpenFailure::ResourceShortage => 4,
            OpenFailure::Other(other) => other,
        }
    }
}
