//! Checks of a host certificate that a known authority has signed.

use ssh_proto::key::{Certificate, CertificateKind};

use crate::session::Trust;
use crate::session::host_key::known_hosts::matches;

/// Host names that an error lists.
const MAX_LISTED: usize = 8;

/// Checks everything but the identity of the authority, as OpenSSH does: the signature and its
/// algorithm, the kind, the validity, and the host names. `name` is the host name in lower case,
/// without a port; `now` is in seconds since 1970. The error is for the user.
pub(crate) fn check(
    trust: &Trust,
    certificate: &Certificate,
    name: &str,
    now: u64,
) -> Result<(), String> {
    certificate.signature()?;
    if !trust.ca_signatures.contains(&certificate.algorithm()) {
        return Err(format!(
            "it is signed by {}, which algorithms.caSignature (CASignatureAlgorithms) leaves out",
            certificate.algorithm()
        ));
    }
    if let Some(bits) = certificate.authority_rsa_bits().filter(|bits| *bits < trust.rsa_bits) {
        return Err(format!(
            "its authority has an RSA key of {bits} bits, and requiredRSASize is {}",
            trust.rsa_bits
        ));
    }
    match certificate.kind() {
        CertificateKind::Host => {}
        CertificateKind::User => return Err("it is one for a user, not for a host".into()),
    }
    let validity = certificate.validity();
    if now < validity.start {
        return Err(format!("it is valid only in {}", format_time(validity.start - now)));
    }
    if now >= validity.end {
        return Err(format!("it expired {} ago", format_time(now - validity.end)));
    }
    // Older versions of OpenSSH take it for a certificate of every host.
    if certificate.principals().next().is_none() {
        return Err("it names no host".into());
    }
    if !certificate.principals().any(|principal| matches(principal, name.as_bytes())) {
        let principals = certificate.principals().map(|name| name.escape_ascii().to_string());
        let principals: Vec<_> = principals.take(MAX_LISTED).collect();
        return Err(format!("it is for {}, not for {name}", principals.join(", ")));
    }
    // No critical option is defined for hosts.
    if let [option, ..] = certificate.critical_options() {
        return Err(format!("it has the critical option {option}, which is not known"));
    }
    Ok(())
}

/// Formats a time for people.
fn format_time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixtures::{HOST, certificate, trust};

    fn at(id: &str, now: u64) -> Result<(), String> {
        let shown = certificate(id);
        check(&trust(&[], &[], false), shown.certificate().expect("it is one"), HOST, now)
    }

    /// 2020-01-01.
    const FROM: u64 = 1_577_836_800;
    /// The day after.
    const TO: u64 = 1_577_923_200;

    #[test]
    fn validity_includes_its_start_and_excludes_its_end() {
        assert_eq!(at("expired", FROM - 1), Err("it is valid only in 1 s".into()));
        assert_eq!(at("expired", FROM), Ok(()));
        assert_eq!(at("expired", TO - 1), Ok(()));
        assert_eq!(at("expired", TO), Err("it expired 0 s ago".into()));
        assert_eq!(at("expired", TO + 3 * 86_400), Err("it expired 3 days ago".into()));
        assert_eq!(at("good", 0), Ok(()));
        assert_eq!(at("good", u64::MAX - 1), Ok(()));
    }

    #[test]
    fn host_names_are_compared_as_a_whole() {
        let shown = certificate("pattern");
        let certificate = shown.certificate().expect("it is one");
        let check = |name| check(&trust(&[], &[], false), certificate, name, 0);
        assert_eq!(check("a.b.example.org"), Ok(()));
        for name in ["example.org", "gateway.example.org.evil", "gateway.example.orgs", "*", ""] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_signature_algorithm_that_is_not_listed_is_refused() {
        let shown = certificate("good");
        let certificate = shown.certificate().expect("it is one");
        let strict = Trust { ca_signatures: vec!["ssh-ed25519"], ..trust(&[], &[], false) };
        let reason = check(&strict, certificate, HOST, 0).expect_err("it is signed by P-256");
        assert!(reason.contains("signed by ecdsa-sha2-nistp256"), "{reason}");
    }
}
