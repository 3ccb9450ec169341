//! Passwords: where they are read from, and never a print of one.

use std::fmt;
use std::path::{Path, PathBuf};

/// A password or the place where it can be read. Shown as `***` by `Debug` and `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Origin);

#[derive(Clone, PartialEq, Eq)]
enum Origin {
    Text(String),
    Variable(String),
    File(PathBuf),
}

/// Why a secret could not be read. Names the place, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("environment variable {0} is not set")]
    NotSet(String),
    #[error("environment variable {0} is not UTF-8 text")]
    NotText(String),
    #[error("could not read the secret in file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
}

impl Secret {
    pub fn from_text(text: String) -> Self {
        Secret(Origin::Text(text))
    }

    pub fn from_variable(name: String) -> Self {
        Secret(Origin::Variable(name))
    }

    pub fn from_file(path: PathBuf) -> Self {
        Secret(Origin::File(path))
    }

    /// Reads the secret. Meant for the moment of connecting, so that a password changed in the meantime is found.
    ///
    /// Line ends at the end of a file are not part of the secret: editors and `echo` leave one.
    pub fn resolve(&self) -> Result<String, SecretError> {
        match &self.0 {
            Origin::Text(text) => Ok(text.clone()),
            Origin::Variable(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => SecretError::NotSet(name.clone()),
                std::env::VarError::NotUnicode(_) => SecretError::NotText(name.clone()),
            }),
            Origin::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &Path) -> Result<String, SecretError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
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
