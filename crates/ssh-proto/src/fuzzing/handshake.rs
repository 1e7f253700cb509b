//! Messages of a server before its host key is verified.

use super::{Input, is_harmless};
use crate::Error;
use crate::server_text::ServerText;
use crate::transport::{
    AlgorithmKind, Algorithms, Exchange, Identification, Kex, KexInit, KnownKeys, Offer,
    Protection, Selection, Step, Transcript,
};

/// The lines up to the identification arrive in pieces; the result does not depend on the cuts.
pub fn identification(data: &[u8]) {
    let mut input = Input::new(data);
    let cut = 1 + input.below(300);
    let bytes = input.rest();
    let (mut said, mut said_in_pieces) = (ServerText::default(), ServerText::default());
    let mut whole = Identification::default();
    let at_once = whole.read(bytes, &mut said);
    let mut pieces = Identification::default();
    let (mut used, mut came) = (0, 0);
    let in_pieces = loop {
        came = bytes.len().min(came + cut);
        match pieces.read(&bytes[used..came], &mut said_in_pieces) {
            Ok((more, None)) => {
                used += more;
                if came == bytes.len() {
                    break Ok((used, None));
                }
            }
            Ok((more, version)) => break Ok((used + more, version)),
            Err(error) => break Err(error),
        }
    };
    match (&at_once, &in_pieces) {
        (Ok(at_once), Ok(in_pieces)) => {
            assert_eq!(at_once, in_pieces);
            assert_eq!(said.as_str(), said_in_pieces.as_str());
            assert!(said.as_str().len() <= 4096 && is_harmless(said.as_str()));
        }
        // The quoted part depends on how much was received.
        (Err(Error::NotSsh(text)), Err(Error::NotSsh(_))) => assert!(text.len() < 2000),
        other => panic!("{other:?}"),
    }
    if let Ok((used, Some(version))) = at_once {
        assert!(used <= bytes.len() && version.len() <= 8192);
        assert!(version.starts_with("SSH-2.0-") || version.starts_with("SSH-1.99-"));
    }
}

/// Checks that the chosen algorithms are in the lists of both sides.
pub fn kexinit(data: &[u8]) {
    let Ok(theirs) = KexInit::parse(data) else { return };
    let mut algorithms = Algorithms::default();
    let zlib = Selection::Only(vec!["zlib@openssh.com".into(), "none".into()]);
    algorithms.select(AlgorithmKind::Compression, &zlib).unwrap();
    let known = KnownKeys { types: vec!["ssh-rsa".into()], authority: true };
    match Offer::new(algorithms, &known).negotiate(&theirs) {
        Ok(agreed) => {
            let has = |list: &str, name: &str| list.split(',').any(|other| other == name);
            assert!(has(theirs.host_key, agreed.host_key));
            assert!(Kex::ALL.iter().any(|(name, kex)| *kex == agreed.kex && has(theirs.kex, name)));
            for (settled, lists) in
                [(agreed.to_server, theirs.to_server), (agreed.to_client, theirs.to_client)]
            {
                let fits = |(cipher, mac, protection): (&str, &str, Protection)| {
                    protection == settled
                        && has(lists.cipher, cipher)
                        && (mac.is_empty() || has(lists.mac, mac))
                };
                assert!(Protection::all().into_iter().any(fits), "{settled:?}");
            }
        }
        Err(Error::NoCommonAlgorithm { theirs, .. }) => assert!(theirs.len() < 2000),
        Err(error) => panic!("{error}"),
    }
}

/// The messages of each method, from the server's group to its signature.
pub fn key_exchange(data: &[u8]) {
    let mut input = Input::new(data);
    // The largest groups are slow, and differ only in size.
    let (name, method) = match input.byte() {
        0 => ("diffie-hellman-group18-sha512", Kex::Group18),
        1 => ("diffie-hellman-group16-sha512", Kex::Group16),
        byte => Kex::ALL[usize::from(byte) % Kex::ALL.len()],
    };
    let algorithm = input.pick(&[
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "rsa-sha2-256",
        "ssh-ed25519-cert-v01@openssh.com",
    ]);
    let mut exchange = Exchange::new(method, 128, &mut |bytes| bytes.fill(0x42));
    let transcript = Transcript {
        client_version: "SSH-2.0-client",
        server_version: "SSH-2.0-server",
        client_init: b"client",
        server_init: b"server",
    };
    assert!(exchange.init().len() < 2000, "{name}");
    let mut asked = 0;
    while !input.is_empty() {
        match exchange.handle(input.chunk(), algorithm, &transcript, None) {
            Ok(Step::Send(half)) => {
                asked += 1;
                assert!(asked == 1 && method == Kex::GroupExchange && half.len() < 2000);
            }
            Ok(Step::Done(host_key, secrets)) => {
                assert!(!secrets.session().is_empty() && !host_key.key().blob().is_empty());
                return;
            }
            Err(Error::Protocol(_) | Error::HostKey(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}
