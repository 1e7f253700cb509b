//! How the servers of a tunnel are reached.

use std::net::IpAddr;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::binding::errors::Failure;
use crate::binding::options::Server;
use crate::binding::types::enums::ProxyProtocol;
use crate::session::{
    Dialing, EncryptedSecret, Family, Proxy, ProxyCommand, ProxyLogin, Route, Tokens,
};

/// A proxy, with the default of its port.
#[napi(object, object_to_js = false)]
pub struct ProxyOption {
    /// The protocol.
    pub protocol: ProxyProtocol,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name of the user; together with the password.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Uint8Array>,
}

/// Returns the route to the first server.
pub(crate) fn first(
    server: &Server,
    dialing: Dialing,
    proxy: Option<ProxyOption>,
    shell: String,
) -> Result<Route, Failure> {
    if server.sock {
        return Ok(Route::Sock);
    }
    if let Some(proxy) = proxy {
        let proxy = Proxy::from(proxy);
        if let Some(fault) = proxy.host_fault(&server.host) {
            let (option, host) = (&server.option, server.host.escape_debug());
            let message = format!("The property '{option}.host' {fault}. Received '{host}'");
            return Err(Failure::new("ERR_INVALID_ARG_VALUE", message));
        }
        return Ok(Route::Proxy(dialing, proxy));
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

impl From<ProxyOption> for Proxy {
    /// Copies the password; JavaScript wipes the original.
    fn from(option: ProxyOption) -> Self {
        let login = option.username.zip(option.password).map(|(username, password)| ProxyLogin {
            username,
            password: EncryptedSecret::new(&password),
        });
        Self { protocol: option.protocol.into(), host: option.host, port: option.port, login }
    }
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
