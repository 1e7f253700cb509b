//! The name of Pageant's pipe, which no other user and no other machine can know before.

use std::io;
use std::ptr::null_mut;

use aws_lc_rs::digest::{Context, SHA256};
use windows_sys::Win32::Security::Authentication::Identity::{GetUserNameExW, NameUserPrincipal};
use windows_sys::Win32::Security::Cryptography::{
    CRYPTPROTECTMEMORY_BLOCK_SIZE, CRYPTPROTECTMEMORY_CROSS_PROCESS, CryptProtectMemory,
};
use windows_sys::Win32::System::WindowsProgramming::GetUserNameW;

/// Returns the path of the pipe on which Pageant of PuTTY (0.75 or later) listens for this user: its
/// name ends with a digest of the program's name, encrypted with a key of this start of the system.
pub(crate) fn pageant_pipe() -> io::Result<String> {
    const BLOCK: usize = CRYPTPROTECTMEMORY_BLOCK_SIZE as usize;
    let mut block = [0; BLOCK];
    block[..7].copy_from_slice(b"Pageant");
    // SAFETY: the callee encrypts one block in place.
    let encrypted = unsafe {
        let start = block.as_mut_ptr().cast();
        CryptProtectMemory(start, BLOCK as u32, CRYPTPROTECTMEMORY_CROSS_PROCESS)
    };
    if encrypted == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut digest = Context::new(&SHA256);
    digest.update(&(BLOCK as u32).to_be_bytes());
    digest.update(&block);
    let digest: String =
        digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(r"\\.\pipe\pageant.{}.{digest}", user_name()?))
}

/// Returns the name of the user, in a domain without the domain.
fn user_name() -> io::Result<String> {
    // SAFETY: the callee writes at most `length` units, with the 0 at the end.
    let principal = text(|start, length| unsafe {
        u8::from(GetUserNameExW(NameUserPrincipal, start, length)).into()
    });
    let name = match principal {
        Ok(name) => name,
        // Not in a domain.
        // SAFETY: as above.
        Err(_) => text(|start, length| unsafe { GetUserNameW(start, length) })?,
    };
    Ok(name.split('@').next().unwrap_or_default().to_owned())
}

/// Reads a text whose length is not known before.
fn text(mut read: impl FnMut(*mut u16, *mut u32) -> i32) -> io::Result<String> {
    let mut length = 0;
    // Fails, and tells the length.
    let _ = read(null_mut(), &raw mut length);
    let mut units = vec![0_u16; length as usize];
    if units.is_empty() || read(units.as_mut_ptr(), &raw mut length) == 0 {
        return Err(io::Error::last_os_error());
    }
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    String::from_utf16(&units[..end]).map_err(io::Error::other)
}
