//! Where tokens come from.

use std::fmt;

use hyper::Uri;

/// The address of a token endpoint, `http` or `https`. Shown without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUrl {
    pub(super) is_encrypted: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// With the query.
    pub(super) path: String,
    /// As the `Host` of a request.
    pub(super) authority: String,
}

impl TokenUrl {
    /// Or what it must be.
    pub fn parse(text: &str) -> Result<TokenUrl, &'static str> {
        const FORM: &str = "must be the address of a token endpoint, such as https://login.example.com/oauth2/token";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(FORM),
        };
        let authority = uri.authority().ok_or(FORM)?;
        if authority.as_str().contains('@') {
            return Err("must not hold a user or password: they are client_id and client_secret");
        }
        if authority.host().is_empty() || text.contains('#') {
            return Err(FORM);
        }
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match (authority.port_u16(), is_encrypted) {
            (Some(port), _) => port,
            (None, _) if has_port => return Err(FORM),
            (None, true) => 443,
            (None, false) => 80,
        };
        Ok(TokenUrl {
            is_encrypted,
            // An IPv6 address stands between brackets.
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authority: authority.to_string(),
        })
    }

    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}

impl fmt::Display for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        let path = self.path.split_once('?').map_or(&*self.path, |(path, _)| path);
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}
