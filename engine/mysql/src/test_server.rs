//! The servers that tests talk to, each named by an environment variable; a MySQL server as
//! `mysql://user:password@host:port`, with an account that may do everything.

use std::time::Duration;

use crate::wire::{ConnectOptions, TlsOptions};

/// How to connect to the MySQL server that the variable names.
pub(crate) fn options(name: &str) -> Option<ConnectOptions> {
    let url = tidegate_tests::variable(name)?;
    let parts = url.strip_prefix("mysql://").and_then(|rest| rest.split_once('@'));
    let (account, address) = parts.unwrap_or_else(|| panic!("{name} is not mysql://user:password@host:port"));
    let (user, password) = account.split_once(':').unwrap_or((account, ""));
    let (host, port) = address.trim_end_matches('/').split_once(':').unwrap_or((address, "3306"));
    Some(ConnectOptions {
        user: user.to_owned(),
        password: Some(password.to_owned()),
        ..options_for(host, port.parse().unwrap())
    })
}

/// An account that no server knows.
pub(crate) fn options_for(host: &str, port: u16) -> ConnectOptions {
    ConnectOptions {
        host: host.to_owned(),
        port,
        user: "nobody".to_owned(),
        password: None,
        password_origin: None,
        tls: TlsOptions::default(),
        connect_timeout: Duration::from_secs(10),
        max_packet_bytes: 1 << 30,
        program_name: "tidegate tests".to_owned(),
    }
}
