//! Names of system errors, as Node spells them.

use std::borrow::Cow;
use std::io;

/// Numbers of Winsock, which no other system uses.
mod winsock {
    pub(super) const EMFILE: i32 = 10_024;
    pub(super) const EOPNOTSUPP: i32 = 10_045;
    pub(super) const ENOBUFS: i32 = 10_055;
    pub(super) const HOST_NOT_FOUND: i32 = 11_001;
    pub(super) const TRY_AGAIN: i32 = 11_002;
    pub(super) const NO_RECOVERY: i32 = 11_003;
    pub(super) const NO_DATA: i32 = 11_004;
}

/// Returns the name of a failed look-up. The error has kept its text only; on Windows it has the
/// system's code.
pub(crate) fn lookup_code(error: &io::Error) -> Cow<'static, str> {
    match error.raw_os_error() {
        Some(winsock::HOST_NOT_FOUND | winsock::NO_DATA) => return "ENOTFOUND".into(),
        Some(winsock::TRY_AGAIN) => return "EAI_AGAIN".into(),
        Some(winsock::NO_RECOVERY) => return "EAI_FAIL".into(),
        Some(_) => return system_code(error),
        None => {}
    }
    if error.to_string().contains("Temporary failure") { "EAI_AGAIN" } else { "ENOTFOUND" }.into()
}

/// Returns the name of a system error as Node spells it.
pub(crate) fn system_code(error: &io::Error) -> Cow<'static, str> {
    use io::ErrorKind as Kind;
    // The kind is the same for EPERM, which a firewall causes, and EACCES.
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EPERM) {
        return "EPERM".into();
    }
    let name = match error.kind() {
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::NetworkDown => "ENETDOWN",
        Kind::NotConnected => "ENOTCONN",
        Kind::AddrInUse => "EADDRINUSE",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::BrokenPipe => "EPIPE",
        Kind::NotFound => "ENOENT",
        Kind::PermissionDenied => "EACCES",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::InvalidInput => "EINVAL",
        Kind::OutOfMemory => "ENOMEM",
        _ => "",
    };
    if !name.is_empty() {
        return name.into();
    }
    match error.raw_os_error() {
        #[cfg(unix)]
        Some(libc::EMFILE) => "EMFILE".into(),
        #[cfg(unix)]
        Some(libc::ENFILE) => "ENFILE".into(),
        #[cfg(unix)]
        Some(libc::ENOBUFS) => "ENOBUFS".into(),
        Some(winsock::EMFILE) => "EMFILE".into(),
        Some(winsock::ENOBUFS) => "ENOBUFS".into(),
        Some(winsock::EOPNOTSUPP) => "ENOTSUP".into(),
        Some(number) => format!("E{number}").into(),
        None if error.kind() == Kind::Unsupported => "ENOTSUP".into(),
        None => "EIO".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn system_errors_have_their_names() {
        for (number, name) in [
            (libc::ECONNREFUSED, "ECONNREFUSED"),
            (libc::ECONNRESET, "ECONNRESET"),
            (libc::EADDRINUSE, "EADDRINUSE"),
            (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
            (libc::EACCES, "EACCES"),
            (libc::EPERM, "EPERM"),
            (libc::EHOSTUNREACH, "EHOSTUNREACH"),
            (libc::ENETUNREACH, "ENETUNREACH"),
            (libc::ETIMEDOUT, "ETIMEDOUT"),
            (libc::EPIPE, "EPIPE"),
            (libc::EMFILE, "EMFILE"),
            (libc::ENFILE, "ENFILE"),
            (libc::ENOBUFS, "ENOBUFS"),
        ] {
            assert_eq!(system_code(&io::Error::from_raw_os_error(number)), name);
        }
        assert_eq!(system_code(&io::Error::from_raw_os_error(4095)), "E4095");
        assert_eq!(system_code(&io::Error::other("without a number")), "EIO");
        assert_eq!(system_code(&io::ErrorKind::Unsupported.into()), "ENOTSUP");
    }

    #[test]
    fn failed_look_ups_have_names_of_their_own() {
        let error = |text: &str| io::Error::other(text.to_owned());
        let again = "failed to lookup address information: Temporary failure in name resolution";
        assert_eq!(lookup_code(&error(again)), "EAI_AGAIN");
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(lookup_code(&error(unknown)), "ENOTFOUND");
        for (number, name) in [
            (11_001, "ENOTFOUND"),
            (11_002, "EAI_AGAIN"),
            (11_003, "EAI_FAIL"),
            (11_004, "ENOTFOUND"),
        ] {
            assert_eq!(lookup_code(&io::Error::from_raw_os_error(number)), name, "of Windows");
        }
    }
}
