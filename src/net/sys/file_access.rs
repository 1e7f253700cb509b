//! Who may use a file of Windows, by its owner and its access control list.

use std::io;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{
    CloseHandle, GENERIC_ALL, GENERIC_WRITE, HANDLE, LocalFree, NO_ERROR,
};
use windows_sys::Win32::Security::Authorization::{GetNamedSecurityInfoW, SE_FILE_OBJECT};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce,
    GetTokenInformation, INHERIT_ONLY_ACE, IsWellKnownSid, OWNER_SECURITY_INFORMATION, PSID,
    TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_WRITE_ATTRIBUTES, FILE_WRITE_DATA, FILE_WRITE_EA, WRITE_DAC,
    WRITE_OWNER,
};
use windows_sys::Win32::System::SystemServices::{ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// The rights to change a file, or who may use it.
const CHANGES: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_WRITE_ATTRIBUTES
    | FILE_WRITE_EA
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | GENERIC_WRITE
    | GENERIC_ALL;

/// What others than the user, the administrators and the system may do with a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileAccess {
    /// They own it.
    pub(crate) owned: bool,
    /// They have any right to it.
    pub(crate) used: bool,
    /// They may change it.
    pub(crate) changed: bool,
}

/// Reads who may use a file.
pub(crate) fn file_access(path: &str) -> io::Result<FileAccess> {
    let path: Vec<u16> = path.encode_utf16().chain([0]).collect();
    let (mut owner, mut list, mut descriptor) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the path ends with 0; the callee writes three pointers.
    let status = unsafe {
        GetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            &raw mut list,
            null_mut(),
            &raw mut descriptor,
        )
    };
    if status != NO_ERROR {
        return Err(io::Error::from_raw_os_error(status as i32));
    }
    let access = user().and_then(|user| {
        let user = (&raw const *user).cast::<TOKEN_USER>();
        // SAFETY: the structure was written, and the SID that it points to is behind it.
        let user = unsafe { (*user).User.Sid };
        let access = by_list(list, user)?;
        Ok(FileAccess { owned: !is_trusted(owner, user), ..access })
    });
    // SAFETY: allocated by the call above, which owner and list point into; neither is used any more.
    unsafe { LocalFree(descriptor) };
    access
}

fn by_list(list: *const ACL, user: PSID) -> io::Result<FileAccess> {
    let mut access = FileAccess::default();
    if list.is_null() {
        // Without a list, everybody may do everything.
        return Ok(FileAccess { used: true, changed: true, ..access });
    }
    // SAFETY: the list is valid as long as its descriptor.
    let count = unsafe { (*list).AceCount };
    for index in 0..count {
        let mut entry = null_mut();
        // SAFETY: the list is valid; the callee writes one pointer.
        if unsafe { GetAce(list, index.into(), &raw mut entry) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: every entry begins with this header.
        let header = unsafe { *entry.cast::<ACE_HEADER>() };
        let rights = match u32::from(header.AceType) {
            _ if u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0 => continue,
            ACCESS_DENIED_ACE_TYPE => continue,
            ACCESS_ALLOWED_ACE_TYPE => {
                let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
                // SAFETY: the structure of this type of entry, whose SID begins at its last member.
                let (rights, who) = unsafe { ((*entry).Mask, (&raw mut (*entry).SidStart).cast()) };
                if is_trusted(who, user) {
                    continue;
                }
                rights
            }
            // What is not understood may allow everything.
            _ => GENERIC_ALL,
        };
        access.used |= rights != 0;
        access.changed |= rights & CHANGES != 0;
    }
    Ok(access)
}

/// Returns whether a SID is that of the user, the administrators or the system.
fn is_trusted(sid: PSID, user: PSID) -> bool {
    // SAFETY: both are valid SIDs.
    !sid.is_null()
        && unsafe {
            EqualSid(sid, user) != 0
                || IsWellKnownSid(sid, WinBuiltinAdministratorsSid) != 0
                || IsWellKnownSid(sid, WinLocalSystemSid) != 0
        }
}

/// Returns the TOKEN_USER of this process, aligned for its pointers.
fn user() -> io::Result<Box<[u64]>> {
    let mut token: HANDLE = null_mut();
    // SAFETY: the callee writes one handle.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // A SID has at most 68 bytes.
    let mut user = vec![0_u64; 32].into_boxed_slice();
    let size = size_of_val(&*user) as u32;
    let mut length = 0;
    // SAFETY: the token is open; the callee writes at most `size` bytes.
    let read = unsafe {
        GetTokenInformation(token, TokenUser, user.as_mut_ptr().cast(), size, &raw mut length)
    };
    let read = if read == 0 { Err(io::Error::last_os_error()) } else { Ok(user) };
    // SAFETY: opened above, and not used any more.
    unsafe { CloseHandle(token) };
    read
}
