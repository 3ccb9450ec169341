//! The certificate that a task shows to a server or to brokers: a file and its key, or none.

use std::path::PathBuf;

use super::reader::{Field, Report};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

pub(super) fn client_certificate(
    cert: Field<PathBuf>,
    key: Field<PathBuf>,
    report: &Report,
) -> Option<ClientCertificate> {
    if let (Field::Given(_, place), Field::Absent(_)) = (&cert, &key) {
        report.add(place, "has no meaning without its `key`");
    }
    if let (Field::Absent(_), Field::Given(_, place)) = (&cert, &key) {
        report.add(place, "has no meaning without its `cert`");
    }
    Some(ClientCertificate { cert: cert.given()?, key: key.given()? })
}
