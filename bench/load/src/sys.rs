//! System calls that the standard library does not offer: the only unsafe code of this program.

#![allow(unsafe_code)]

use std::io;

/// Raises the limit of open descriptors as far as it goes without privileges.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit into `limit`, which outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one rlimit from `limit`, which outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Elsewhere sockets are not counted among a limited number of descriptors.
#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    Ok(())
}
