//! Streams of the application: it carries their bytes to the server.

use crate::net::memory::End;
use crate::session::connect::bridge;
use crate::session::connect::transport::Stream;

/// A stream whose other end the application has.
pub struct SockStream(Stream);

impl SockStream {
    /// Returns a stream for a session, and the application's end.
    pub(crate) fn pair() -> (Self, End) {
        let (ours, theirs, _) = bridge::pair();
        (Self(ours), theirs)
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.0
    }
}
