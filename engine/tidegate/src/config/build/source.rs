//! `source`: one of three, and what has a meaning for that one only.

use std::path::PathBuf;

use crate::config::certificate::client_certificate;
use crate::config::file::{MysqlTlsFile, SourceFile};
use crate::config::reader::{Field, Place, Report, check_exactly_one};
use crate::config::task::{BinlogFilesOptions, MysqlOptions, MysqlTlsOptions, ParquetOptions, SourceOptions};
use crate::config::values::MysqlUrl;
use tidegate_mysql::wire::TlsMode;

const MYSQL_TLS_WHEN_ABSENT: TlsMode = TlsMode::Preferred;
const MYSQL_TLS_WHEN_WRITTEN: TlsMode = TlsMode::Required;

pub(super) fn source_options(file: SourceFile, place: &Place, task: &str, report: &Report) -> Option<SourceOptions> {
    let SourceFile { mysql, binlog_files, parquet, password, tls, server_id, schema } = file;
    let alternatives =
        [("mysql", !mysql.is_absent()), ("binlog_files", !binlog_files.is_absent()), ("parquet", !parquet.is_absent())];
    check_exactly_one(&alternatives, place, report);

    if mysql.is_absent() {
        const WHY: &str = "has no meaning without source.mysql";
        password.refuse(report, WHY);
        tls.refuse(report, WHY);
        server_id.refuse(report, WHY);
    }
    if binlog_files.is_absent() {
        schema.refuse(report, "has no meaning without source.binlog_files");
    }
    let tls = mysql_tls(tls, report);
    if let Some(MysqlUrl { user, host, port }) = mysql.given() {
        let server_id = server_id.given().map(|id| u32::try_from(id).expect("the reader checked the range"));
        return Some(SourceOptions::Mysql(MysqlOptions {
            host,
            port,
            user,
            password: password.given(),
            tls,
            server_id: server_id.unwrap_or_else(|| server_id_of(task)),
        }));
    }
    if let Some(files) = binlog_files.given() {
        let files = files.into_iter().map(|(file, _)| PathBuf::from(file)).collect();
        return Some(SourceOptions::BinlogFiles(BinlogFilesOptions { files, schema: schema.given() }));
    }
    Some(SourceOptions::Parquet(ParquetOptions { folder: parquet.given()? }))
}

fn mysql_tls(field: Field<MysqlTlsFile>, report: &Report) -> MysqlTlsOptions {
    let Some(file) = field.given() else {
        return MysqlTlsOptions { mode: MYSQL_TLS_WHEN_ABSENT, ca: None, client: None };
    };
    let MysqlTlsFile { mode, ca, cert, key } = file;
    let mut written_mode = mode.given().unwrap_or(MYSQL_TLS_WHEN_WRITTEN);
    match written_mode {
        TlsMode::Disabled => {
            const WHY: &str = "has no meaning with source.tls.mode = disabled";
            ca.refuse(report, WHY);
            cert.refuse(report, WHY);
            key.refuse(report, WHY);
        }
        TlsMode::Preferred => ca.refuse(report, "is not asked with source.tls.mode = preferred, use verify_ca"),
        TlsMode::Required if !ca.is_absent() => written_mode = TlsMode::VerifyCa,
        TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity => {}
    }
    MysqlTlsOptions { mode: written_mode, ca: ca.given(), client: client_certificate(cert, key, report) }
}

/// FNV-1a of the name, in the upper half of the numbers.
fn server_id_of(task: &str) -> u32 {
    let hash = task.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash | 1 << 31
}
