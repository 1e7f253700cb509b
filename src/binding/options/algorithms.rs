//! The option `algorithms`: lists by the names that ssh2 gave them.

use napi_derive::napi;
use ssh_proto::{AlgorithmError, AlgorithmKind, Algorithms, Selection};

use crate::binding::errors::Failure;

/// The lists that the application changes.
#[napi(object, object_to_js = false)]
pub struct AlgorithmLists {
    /// Methods of key exchange.
    pub kex: Option<AlgorithmList>,
    /// Ciphers.
    pub cipher: Option<AlgorithmList>,
    /// Signature algorithms of host keys.
    pub server_host_key: Option<AlgorithmList>,
    /// MACs.
    pub hmac: Option<AlgorithmList>,
    /// Compression methods.
    pub compress: Option<AlgorithmList>,
    /// Signature algorithms of authorities.
    pub ca_signature: Option<AlgorithmList>,
    /// Algorithms of the user's keys.
    pub public_key: Option<AlgorithmList>,
}

/// How one list is made.
#[napi(object, object_to_js = false)]
pub struct AlgorithmList {
    /// These and no others; without it the default list is changed.
    pub only: Option<Vec<String>>,
    /// Taken out of the default list.
    pub remove: Vec<String>,
    /// Put first.
    pub prepend: Vec<String>,
    /// Put last.
    pub append: Vec<String>,
}

impl AlgorithmLists {
    /// The algorithms to offer.
    pub(crate) fn select(self) -> Result<Algorithms, Failure> {
        let mut algorithms = Algorithms::default();
        for (property, kind, list) in [
            ("kex", AlgorithmKind::Kex, self.kex),
            ("cipher", AlgorithmKind::Cipher, self.cipher),
            ("serverHostKey", AlgorithmKind::HostKey, self.server_host_key),
            ("hmac", AlgorithmKind::Mac, self.hmac),
            ("compress", AlgorithmKind::Compression, self.compress),
            ("caSignature", AlgorithmKind::CaSignature, self.ca_signature),
            ("publicKey", AlgorithmKind::PublicKey, self.public_key),
        ] {
            let Some(list) = list else { continue };
            let selection = list.into();
            let selected = algorithms.select(kind, &selection);
            selected.map_err(|error| refusal(property, &selection, error))?;
        }
        Ok(algorithms)
    }
}

impl From<AlgorithmList> for Selection {
    fn from(list: AlgorithmList) -> Self {
        let AlgorithmList { only, remove, prepend, append } = list;
        only.map_or(Selection::Change { remove, prepend, append }, Selection::Only)
    }
}

fn refusal(property: &str, selection: &Selection, error: AlgorithmError) -> Failure {
    let (reason, received) = match error {
        AlgorithmError::Unknown { kind, name, known } => (
            format!("names no known {kind}, which are {known}"),
            format!("'{}'", name.escape_debug()),
        ),
        AlgorithmError::NothingLeft(kind) => {
            let received = match selection {
                Selection::Only(names) => format!("{names:?}"),
                Selection::Change { remove, .. } => format!("{{ remove: {remove:?} }}"),
            };
            (format!("leaves no {kind}"), received)
        }
    };
    let message =
        format!("The property 'options.algorithms.{property}' {reason}. Received {received}");
    Failure::new("ERR_INVALID_ARG_VALUE", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(list: AlgorithmList) -> String {
        let none = AlgorithmLists {
            kex: None,
            cipher: None,
            server_host_key: None,
            hmac: None,
            compress: None,
            ca_signature: None,
            public_key: None,
        };
        let lists = AlgorithmLists { compress: Some(list), ..none };
        let failure = lists.select().expect_err("it is refused");
        assert_eq!(failure.code, "ERR_INVALID_ARG_VALUE");
        failure.message
    }

    fn list() -> AlgorithmList {
        AlgorithmList { only: None, remove: Vec::new(), prepend: Vec::new(), append: Vec::new() }
    }

    #[test]
    fn a_refusal_names_the_property_and_the_value() {
        let text = refused(AlgorithmList { only: Some(vec!["zip".into()]), ..list() });
        let expected = "The property 'options.algorithms.compress' names no known compression, \
                        which are none, zlib@openssh.com. Received 'zip'";
        assert_eq!(text, expected);
        let text = refused(AlgorithmList { remove: vec!["none".into()], ..list() });
        let expected = "The property 'options.algorithms.compress' leaves no compression. \
                        Received { remove: [\"none\"] }";
        assert_eq!(text, expected);
    }
}
