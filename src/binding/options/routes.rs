//! How the servers of a tunnel are reached.

use std::net::IpAddr;
use std::sync::Arc;

use crate::binding::errors::Failure;
use crate::binding::options::Server;
use crate::session::{Dialing, Family, ProxyCommand, Route, Tokens};

/// Returns the route to the first server.
pub(crate) fn first(server: &Server, dialing: Dialing, shell: String) -> Result<Route, Failure> {
    if server.sock {
        return Ok(Route::Sock(Arc::default()));
    }
    let Some(text) = &server.proxy_command else { return Ok(Route::Direct(dialing)) };
    let tokens = Tokens { host: &server.host, port: server.port, username: &server.username };
    let command = ProxyCommand::new(text, tokens, shell).map_err(|reason| {
        // The text may hold secrets.
        let option = &server.option;
        let message =
            format!("The property '{option}.proxyCommand' {reason}. Received type string");
        Failure::new("ERR_INVALID_ARG_VALUE", message)
    })?;
    Ok(Route::Command(command))
}

/// The error for an option that this system does not support.
pub(crate) fn unavailable(option: &str) -> Failure {
    let message = format!("options.{option} is unavailable on this platform");
    Failure::new("ERR_FEATURE_UNAVAILABLE_ON_PLATFORM", message)
}

/// Returns how the first server is dialed. JavaScript has checked that at most one family is forced.
pub(crate) fn dialing(
    local: Option<String>,
    force_ipv4: bool,
    force_ipv6: bool,
    attempts: u32,
) -> Result<Dialing, Failure> {
    let family = match (force_ipv4, force_ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        (false, false) => Family::Any,
    };
    let invalid = |text: &str, reason| {
        let text = text.escape_debug();
        let message = format!("The property 'options.localAddress' {reason}. Received '{text}'");
        Failure::new("ERR_INVALID_ARG_VALUE", message)
    };
    let Some(text) = local else { return Ok(Dialing { local_address: None, family, attempts }) };
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err(invalid(&text, "must be an IP address"));
    };
    if !family.contains(address) {
        return Err(invalid(&text, "must be of the family that is forced"));
    }
    Ok(Dialing { local_address: Some(address), family, attempts })
}
