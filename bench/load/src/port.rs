//! Where a client connects to, and what it wants there.

use std::str::FromStr;

use crate::serve::Kind;

/// A port of this machine: `8080`, or `8080/sink` where it leads to the target of all kinds, which
/// is told the kind in the first byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) kind: Option<Kind>,
}

impl FromStr for Port {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, kind) = match text.split_once('/') {
            Some((number, name)) => (number, Some(Kind::by_name(name).ok_or(())?)),
            None => (text, None),
        };
        Ok(Self { number: number.parse().map_err(|_| ())?, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_number_and_perhaps_a_kind() {
        assert_eq!("80".parse(), Ok(Port { number: 80, kind: None }));
        assert_eq!("80/sink".parse(), Ok(Port { number: 80, kind: Some(Kind::Sink) }));
        for wrong in ["", "80/", "80/drain", "/sink", "65536"] {
            assert_eq!(wrong.parse::<Port>(), Err(()), "{wrong}");
        }
    }
}
