use super::*;

fn refusal(text: &str) -> Box<HostKeyRefusal> {
    Box::new(HostKeyRefusal {
        reason: HostKeyReason::Unknown,
        text: text.into(),
        fingerprint: None,
        known: None,
        line: None,
        offered: None,
    })
}

fn proxy_refusal() -> ProxyRefusal {
    let fault = ProxyFault::Reply(5);
    ProxyRefusal { host: "proxy".into(), port: 1080, fault, text: "text".into() }
}

fn auth_failure(text: &str) -> Box<AuthFailure> {
    Box::new(AuthFailure { text: text.into(), ..AuthFailure::default() })
}

#[test]
fn facts_are_those_of_the_error_at_the_jump_host() {
    let lost = Error::from(ssh_proto::Error::KeepaliveTimeout(3000));
    let with_banner = Error::WithBanner { error: Box::new(lost), banner: "hello".into() };
    let error = Error::Hop { address: "first:22".into(), error: Box::new(with_banner) };
    let reason = Some(LossReason::Silent);
    assert!(matches!(error.root(), Error::Disconnected { reason: found, .. } if *found == reason));
    let (address, detail) = error.hop().expect("a jump host");
    assert_eq!((address, error.to_string()), ("first:22", format!("jump host first:22: {detail}")));
    assert!(detail.hop().is_none());
    for (proto, reason) in [
        (
            ssh_proto::Error::Disconnected { reason: 2, description: "no".into() },
            LossReason::Disconnect,
        ),
        (
            ssh_proto::Error::Disconnected { reason: 12, description: "no".into() },
            LossReason::TooMany,
        ),
        (ssh_proto::Error::RekeyTimeout(120), LossReason::Rekey),
    ] {
        let error = Error::from(proto);
        assert!(
            matches!(error, Error::Disconnected { reason: Some(found), .. } if found == reason)
        );
    }
}

#[test]
fn each_error_has_its_code() {
    let dial = Error::Dial {
        syscall: "connect",
        code: "ECONNREFUSED".into(),
        errno: Some(111),
        address: "host:22".into(),
    };
    assert_eq!(dial.to_string(), "connect ECONNREFUSED host:22");
    assert_eq!(dial.failed_call(), Some(("connect", Some(111), "host:22")));
    let text = || "text".to_owned();
    let timeout = Error::Timeout { host: "host".into(), limit: 5, step: "a connection" };
    for (error, code) in [
        (dial, "ECONNREFUSED"),
        (timeout, "ETIMEDOUT"),
        (Error::HostKey(refusal(&text())), "ERR_SSH_HOST_KEY"),
        (Error::HostKeyFile { text: text(), file: None, line: None }, "ERR_SSH_HOST_KEY"),
        (Error::PrivateKey(text()), "ERR_SSH_PRIVATE_KEY"),
        (Error::Auth(auth_failure(&text())), "ERR_SSH_AUTH"),
        (Error::Algorithm(text()), "ERR_SSH_ALGORITHM"),
        (Error::Protocol(text()), "ERR_SSH_PROTOCOL"),
        (Error::Disconnected { reason: None, text: text() }, "ERR_SSH_DISCONNECTED"),
        (Error::Proxy(Box::new(proxy_refusal())), "ERR_TUNNEL_PROXY"),
        (
            Error::Refused { reason: OpenFailure::ConnectFailed, text: text() },
            "ERR_SSH_OPEN_CONNECT_FAILED",
        ),
    ] {
        assert_eq!(error.code(), code);
        assert_eq!(error.failed_call().is_some(), code == "ECONNREFUSED", "{code}");
    }
}

#[test]
fn a_banner_is_quoted_where_it_may_explain_the_error() {
    let auth = || Error::Auth(auth_failure("authentication failed"));
    let error = auth().with_banner("Closed for maintenance\nuntil noon\n".into());
    let text = "authentication failed; the server said: \"Closed for maintenance until noon\"";
    assert_eq!((error.to_string().as_str(), &*error.code()), (text, "ERR_SSH_AUTH"));
    assert_eq!(error.banner(), Some("Closed for maintenance\nuntil noon\n"));
    assert_eq!(auth().with_banner("\n".into()).banner(), None);
    let long = format!("{}the end\n", "é\n".repeat(1000));
    let text = auth().with_banner(long).to_string();
    assert!(text.ends_with("the end\"") && text.len() < 400, "{text}");
    let hostile = Error::HostKey(refusal("unknown")).with_banner("trust me".into());
    assert_eq!(hostile.to_string(), "unknown");
}

#[test]
fn a_cause_stays_with_its_error() {
    let thrown = Some(Thrown(7));
    let error = Error::Auth(auth_failure("refused")).caused_by(thrown).with_banner("no".into());
    let error = error.at_hop("first:22".into());
    assert_eq!((error.thrown(), error.banner()), (thrown, Some("no")));
    assert_eq!(error.code(), "ERR_SSH_AUTH");
    assert!(matches!(error.root(), Error::Auth(_)));
    let failure = CredentialsFailure { thrown, ..CredentialsFailure::unanswered() };
    let error = Error::from(failure);
    assert_eq!((&*error.code(), error.thrown()), (CredentialsFailure::CODE, thrown));
    assert_eq!(Error::from(CredentialsFailure::unanswered()).thrown(), None);
}

#[test]
fn an_error_at_a_jump_host_names_that_host_and_no_other() {
    let dial = Error::Dial {
        syscall: "connect",
        code: "ECONNREFUSED".into(),
        errno: Some(111),
        address: "first:22".into(),
    };
    let error = dial.at_hop("first:22".into()).at_hop("second:22".into());
    assert_eq!(error.to_string(), "jump host first:22: connect ECONNREFUSED first:22");
    assert_eq!(error.code(), "ECONNREFUSED");
    assert_eq!(error.failed_call(), Some(("connect", Some(111), "first:22")));

    let lost = Error::Protocol("nonsense".into()).into_disconnected().at_hop("first:22".into());
    assert_eq!(lost.code(), "ERR_SSH_DISCONNECTED");
    let seen_later = lost.into_disconnected().at_hop("second:22".into());
    assert_eq!(seen_later.to_string(), "jump host first:22: nonsense");
}

#[test]
fn each_protocol_error_has_its_code() {
    use ssh_proto::Error as Proto;
    let disconnected = Proto::Disconnected { reason: 11, description: "bye".into() };
    for (error, code) in [
        (Proto::Protocol("nonsense"), "ERR_SSH_PROTOCOL"),
        (Proto::Integrity, "ERR_SSH_PROTOCOL"),
        (Proto::HostKey("changed".into()), "ERR_SSH_HOST_KEY"),
        (Proto::HostKeyRejected, "ERR_SSH_HOST_KEY"),
        (Proto::Auth(auth_failure("refused")), "ERR_SSH_AUTH"),
        (disconnected, "ERR_SSH_DISCONNECTED"),
        (Proto::KeepaliveTimeout(3000), "ERR_SSH_DISCONNECTED"),
        (Proto::RekeyTimeout(120), "ERR_SSH_DISCONNECTED"),
    ] {
        let text = error.to_string();
        let error = Error::from(error);
        assert_eq!((&*error.code(), error.to_string()), (code, text));
    }
}
