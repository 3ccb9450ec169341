//! Passwords: where they are read from, and never a print of one.

use std::fmt;
use std::path::PathBuf;

/// A password or the place where it can be read. Shown as `***` by `Debug` and `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    origin: Origin,
    /// The key that has it and its place in the task file, for errors.
    place: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Origin {
    Text(String),
    Variable(String),
    File(PathBuf),
}

/// Why a secret could not be read. Names the place, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("environment variable {name} is not set{place}")]
    NotSet { name: String, place: String },
    #[error("environment variable {name} is not UTF-8 text{place}")]
    NotText { name: String, place: String },
    #[error("could not read the secret in file {}: {source}{place}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error, place: String },
    #[error("{what} is empty{place}")]
    Empty { what: String, place: String },
}

impl SecretError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            SecretError::NotSet { .. } | SecretError::NotText { .. } => {
                "set the variable for whoever starts tidegate (systemd: Environment= or EnvironmentFile=), or name another one"
            }
            SecretError::Unreadable { .. } => "the user that runs tidegate must be able to read the file",
            SecretError::Empty { .. } => "write a secret that is not empty, or leave the key out",
        }
    }
}

impl Secret {
    pub fn from_text(text: String) -> Self {
        Secret { origin: Origin::Text(text), place: None }
    }

    pub fn from_variable(name: String) -> Self {
        Secret { origin: Origin::Variable(name), place: None }
    }

    pub fn from_file(path: PathBuf) -> Self {
        Secret { origin: Origin::File(path), place: None }
    }

    /// With the key that has it and where that stands.
    pub fn at(self, place: String) -> Self {
        Secret { place: Some(place), ..self }
    }

    /// Whether it is written in the task file, and nothing.
    pub(super) fn is_empty_text(&self) -> bool {
        matches!(&self.origin, Origin::Text(text) if text.is_empty())
    }

    /// Whether another one may stand there while the program runs.
    pub fn may_change(&self) -> bool {
        // What is no file of its own, such as a pipe, is read once.
        matches!(&self.origin, Origin::File(path) if path.is_file())
    }

    /// Reads the secret. Meant for the moment of connecting, so that a password changed in the meantime is found.
    ///
    /// Line ends at the end of a file are not part of the secret: editors and `echo` leave one.
    pub fn resolve(&self) -> Result<String, SecretError> {
        let place = || self.place_text();
        match &self.origin {
            Origin::Text(text) => Ok(text.clone()),
            Origin::Variable(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => SecretError::NotSet { name: name.clone(), place: place() },
                std::env::VarError::NotUnicode(_) => SecretError::NotText { name: name.clone(), place: place() },
            }),
            Origin::File(path) => {
                let text = std::fs::read_to_string(path);
                let text =
                    text.map_err(|source| SecretError::Unreadable { path: path.clone(), source, place: place() })?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }

    /// As [`Secret::resolve`], of one that everybody would know if it were empty.
    pub fn resolve_some(&self) -> Result<String, SecretError> {
        let secret = self.resolve()?;
        if !secret.is_empty() {
            return Ok(secret);
        }
        let what = match &self.origin {
            Origin::Text(_) => "the secret".to_owned(),
            Origin::Variable(name) => format!("environment variable {name}"),
            Origin::File(path) => format!("the secret in file {}", path.display()),
        };
        Err(SecretError::Empty { what, place: self.place_text() })
    }

    /// What an error says of where it stands.
    fn place_text(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |place| format!(": {place}"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
