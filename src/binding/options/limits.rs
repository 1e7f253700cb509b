//! Limits that `lib/validate` checks options against, and defaults that it fills in.

use napi_derive::napi;
use ssh_proto::Windows;

use crate::names;

/// The smallest `windowLimit`, in bytes.
#[napi]
pub const MIN_WINDOW: u32 = Windows::MIN_LIMIT;
/// The largest `windowLimit`, in bytes.
#[napi]
pub const MAX_WINDOW: u32 = Windows::MAX_LIMIT;
/// The default of `windowLimit`, in bytes.
#[napi]
pub const WINDOW_LIMIT: u32 = Windows::DEFAULT.limit;
/// The default of `memoryLimit`, in bytes.
#[napi]
pub const MEMORY_LIMIT: f64 = Windows::DEFAULT.memory as f64;
/// Bytes of a host name.
#[napi]
pub const MAX_HOST: u32 = names::MAX_HOST as u32;
/// Bytes of a user name.
#[napi]
pub const MAX_USER: u32 = names::MAX_USER as u32;
/// Bytes of the path of a Unix socket at a server: the longest of any system, AIX.
#[napi]
pub const MAX_REMOTE_PATH: u32 = names::MAX_PATH as u32;
