//! Events of a session.

use std::ops::Range;

use crate::connection::channel::ChannelId;
use crate::connection::host_key_update::HostKeys;
use crate::connection::remote_forward::{ForwardEvent, ForwardId};
use crate::key::HostKey;
use crate::message::OpenFailure;
use crate::userauth::{Banner, Question};

/// An event of a session.
#[derive(Debug)]
pub enum Event {
    /// The server has proved that it owns this host key. The session waits for [`Client::trust`].
    ///
    /// [`Client::trust`]: crate::Client::trust
    HostKey(HostKey),
    /// A message of the server to the user, before the user is authenticated.
    Banner(Banner),
    /// A question that the client cannot answer by itself. A later question replaces it.
    Question(Question),
    /// The user is authenticated; channels can be opened.
    Ready,
    /// The server has opened a channel that was requested.
    Opened(ChannelId),
    /// The server has not opened a channel that was requested; its number is free.
    OpenFailed {
        /// The channel.
        channel: ChannelId,
        /// The reason code.
        reason: OpenFailure,
        /// The server's description: bounded and printable.
        description: String,
    },
    /// Data of a channel, at `range` of the receive buffer: see [`Client::bytes`].
    ///
    /// [`Client::bytes`]: crate::Client::bytes
    Data {
        /// The channel.
        channel: ChannelId,
        /// The range of the receive buffer.
        range: Range<usize>,
    },
    /// A channel can send again whose window was used up, or that [`Client::paced_window`] held
    /// back.
    ///
    /// [`Client::paced_window`]: crate::Client::paced_window
    Window(ChannelId),
    /// The server sends no more data on this channel.
    Eof(ChannelId),
    /// The server has closed this channel: everything that was sent before has left the server. Its
    /// number is free once we have closed it too, before or now, with [`Client::close`].
    ///
    /// [`Client::close`]: crate::Client::close
    Close(ChannelId),
    /// A key exchange has ended; data can be sent again.
    Rekeyed,
    /// The host keys of the server have changed; it has proved the new ones: see [`Client::request_host_keys`].
    ///
    /// [`Client::request_host_keys`]: crate::Client::request_host_keys
    HostKeys(HostKeys),
    /// An event of a remote forward.
    Forward(ForwardId, ForwardEvent),
}
