//! The use of one set of keys.

/// Traffic of one direction since the last key exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Bytes on the wire.
    pub(crate) bytes: u64,
    pub(crate) packets: u32,
}

impl Volume {
    /// Counts a packet of this size.
    pub(crate) fn add(&mut self, size: usize) {
        self.bytes = self.bytes.saturating_add(size as u64);
        self.packets = self.packets.saturating_add(1);
    }
}
