//! Single values of a task file, each refused for what it is: a name with a letter that it must not have, an address without a port, a key
//! of no form.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::reader::{Field, Value};
use super::secret::Secret;
use super::tables::TableMatcher;
use tidegate_format::columns::ColumnList;
use tidegate_format::headers::HeaderName;
use tidegate_format::key::{KeyForm, KeyPolicy, KeyTemplate};
use tidegate_format::partition::PartitionPolicy;
use tidegate_sink::kafka::SaslMechanism;

/// A table's name or pattern, as text and read.
pub(super) struct TableText {
    pub(super) text: String,
    pub(super) matcher: TableMatcher,
}

pub(super) enum Threads {
    Auto,
    Count(u64),
}

/// The address of `source.mysql`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MysqlUrl {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
}

pub(super) fn task_name(value: Value<'_>) -> Option<String> {
    let text = value.scalar().unwrap_or_default();
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    if text.is_empty() || !text.chars().all(allowed) {
        return value.refuse("must be made of a-z, 0-9, _ and -, because it names a folder and a Kafka client");
    }
    Some(text.to_owned())
}

pub(super) fn path(value: Value<'_>) -> Option<PathBuf> {
    value.text().map(PathBuf::from)
}

/// `{env: NAME}`, `{file: path}` or the secret itself.
pub(super) fn secret(value: Value<'_>) -> Option<Secret> {
    const FORMS: &str = "must be {env: NAME}, {file: path} or the text itself";
    let (place, report) = value.place_and_report();
    let shown = format!("{place} in line {}, column {}", place.at.line, place.at.column);
    if let Some(left_out) = value.left_out() {
        report.add(&place, left_out.message());
        return None;
    }
    if let Some(text) = value.scalar() {
        return Some(Secret::from_text(text.to_owned()).at(shown));
    }
    if !value.has_keys() {
        return value.refuse(FORMS);
    }
    // Whatever else stands there may be the secret: to YAML, {s3cret} is a map.
    if value.has_other_keys(&["env", "file"]) {
        return value
            .refuse_unseen(format_args!("{FORMS}; a text with {{ [ or , in it has to stand between single quotes"));
    }
    match value.keys(|s| (s.field("env", Value::text), s.field("file", path))) {
        (Field::Given(name, _), Field::Absent(_)) => Some(Secret::from_variable(name).at(shown)),
        (Field::Absent(_), Field::Given(path, _)) => Some(Secret::from_file(path).at(shown)),
        (Field::Given(..), Field::Given(..)) => {
            report.add(&place, FORMS);
            None
        }
        // Whatever the map holds has been reported.
        (Field::Refused, _) | (_, Field::Refused) | (Field::Absent(_), Field::Absent(_)) => None,
    }
}

pub(super) fn address(value: Value<'_>) -> Option<SocketAddr> {
    match value.scalar().and_then(|text| text.parse().ok()) {
        Some(address) => Some(address),
        None => value.refuse("must be an address with a port, such as 127.0.0.1:8083 or [::1]:8083"),
    }
}

pub(super) fn table_text(value: Value<'_>) -> Option<TableText> {
    let Some(text) = value.scalar() else {
        return value.refuse("must be database.table");
    };
    match TableMatcher::parse(text) {
        Ok(matcher) => Some(TableText { text: text.to_owned(), matcher }),
        Err(constraint) => value.refuse(constraint),
    }
}

/// In `[a, concat(b, c)]` YAML sees three items; the torn parentheses tell.
pub(super) fn select_item(value: Value<'_>) -> Option<String> {
    let mut depth = 0;
    let mut in_quotes = false;
    for c in value.scalar().unwrap_or_default().chars() {
        match c {
            '\'' => in_quotes = !in_quotes,
            '(' if !in_quotes => depth += 1,
            ')' if !in_quotes => depth -= 1,
            _ => {}
        }
    }
    if depth != 0 || in_quotes {
        return value.refuse("must be a whole column or expression, put one that holds a comma between double quotes");
    }
    value.text()
}

/// Each item is read alone, so that all that is wrong is told with its place.
pub(super) fn column_list(value: Value<'_>) -> Option<ColumnList> {
    let (place, report) = value.place_and_report();
    let mut columns = ColumnList::default();
    value.list(|v| {
        let text = v.scalar().unwrap_or_default();
        match columns.add(text) {
            Ok(()) => v.text().map(drop),
            Err(constraint) => v.refuse(constraint),
        }
    })?;
    match columns.check() {
        Ok(()) => Some(columns),
        Err(constraint) => {
            report.add(&place, constraint);
            None
        }
    }
}

/// Column names, each once.
pub(super) fn columns(value: Value<'_>) -> Option<Vec<String>> {
    let mut seen: Vec<String> = Vec::new();
    value.list(|v| {
        let twice = v.scalar().is_some_and(|name| seen.iter().any(|other| other.eq_ignore_ascii_case(name)));
        if twice {
            return v.refuse("must be named once");
        }
        let name = v.text()?;
        seen.push(name);
        Some(())
    })?;
    Some(seen)
}

/// A word, or `{columns: [a, b]}`.
pub(super) fn partition(value: Value<'_>) -> Option<PartitionPolicy> {
    if value.has_keys() {
        return value.keys(|s| s.field("columns", columns)).given().map(PartitionPolicy::Columns);
    }
    match value.scalar() {
        Some("zero") => Some(PartitionPolicy::Zero),
        Some("table") => Some(PartitionPolicy::Table),
        Some("primary_key") => Some(PartitionPolicy::PrimaryKey),
        Some("row") => Some(PartitionPolicy::Row),
        _ => value.refuse("must be zero, table, primary_key, row or {columns: [...]}"),
    }
}

/// A word, `{columns: [a, b], form: json}` or `{template: "{table}:{id}"}`.
pub(super) fn key(value: Value<'_>) -> Option<Option<KeyPolicy>> {
    if value.has_keys() {
        let (place, report) = value.place_and_report();
        let (form, columns, template) = value.keys(|s| {
            let form = s.field("form", |v| v.word(KeyForm::WORDS));
            (form, s.field("columns", columns), s.field("template", key_template))
        });
        if !template.is_absent() {
            if !form.is_absent() || !columns.is_absent() {
                report.add(&place, "must have a template alone, which names columns and is a text");
                return None;
            }
            let (template, columns) = template.given()?;
            return Some(Some(KeyPolicy { form: KeyForm::Text, columns: Some(columns), template: Some(template) }));
        }
        let form = if form.is_absent() { Some(KeyForm::Json) } else { form.given() };
        if columns.is_absent() {
            report.add(&place, "must name columns, have a template, or be a word alone: json, text or avro");
        }
        return Some(Some(KeyPolicy { form: form?, columns: Some(columns.given()?), template: None }));
    }
    match value.scalar() {
        Some("none") => Some(None),
        Some(word) if KeyForm::WORDS.iter().any(|(known, _)| *known == word) => {
            Some(Some(KeyPolicy { form: value.word(KeyForm::WORDS)?, columns: None, template: None }))
        }
        _ => {
            value.refuse("must be none, json, text, avro, {columns: [...], form: json} or {template: \"{table}:{id}\"}")
        }
    }
}

fn key_template(value: Value<'_>) -> Option<(KeyTemplate, Vec<String>)> {
    match value.scalar().map(KeyTemplate::parse) {
        Some(Ok(template)) => Some(template),
        Some(Err(constraint)) => value.refuse(constraint),
        None => value.refuse("must be a text such as \"{database}.{table}:{id}\""),
    }
}

/// Words, each once.
pub(super) fn headers(value: Value<'_>) -> Option<Vec<HeaderName>> {
    let mut seen: Vec<&str> = Vec::new();
    let headers = value.list(|v| {
        let word = v.scalar().unwrap_or_default();
        if seen.contains(&word) {
            return v.refuse("must be named once");
        }
        seen.push(word);
        v.word(HeaderName::WORDS)
    })?;
    Some(headers.into_iter().map(|(header, _)| header).collect())
}

/// `b1:9092,b2`: brokers to ask for the others. Every one gets its port.
pub(super) fn brokers(value: Value<'_>) -> Option<Vec<String>> {
    let Some(text) = value.scalar() else {
        return value.refuse("must be brokers with commas between them, such as b1:9092,b2:9092");
    };
    let mut brokers = Vec::new();
    for broker in text.split(',') {
        match host_and_port(broker.trim(), 9092) {
            Some((host, port)) if host.contains(':') => brokers.push(format!("[{host}]:{port}")),
            Some((host, port)) => brokers.push(format!("{host}:{port}")),
            None => return value.refuse("must be brokers as host:port with commas between them"),
        }
    }
    Some(brokers)
}

/// What stands in the place of Kerberos.
pub(super) const NO_KERBEROS: &str = "is Kerberos, which this build does not have: write oauthbearer, scram_sha_512, scram_sha_256 or \
     plain for sink.security.sasl, or show the brokers a certificate (sink.security.tls.cert)";

pub(super) fn sasl(value: Value<'_>) -> Option<SaslMechanism> {
    match value.scalar() {
        Some(word) if is_kerberos(word) => value.refuse(NO_KERBEROS),
        _ => value.word(SaslMechanism::WORDS),
    }
}

pub(super) fn is_kerberos(word: &str) -> bool {
    ["gssapi", "kerberos"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

pub(super) fn threads(value: Value<'_>) -> Option<Threads> {
    match value.scalar() {
        Some("auto") => Some(Threads::Auto),
        Some(text) if text.starts_with(|c: char| c.is_ascii_digit()) => value.integer(1..=1024).map(Threads::Count),
        _ => value.refuse("must be auto or a whole number from 1 to 1024"),
    }
}

pub(super) fn mysql_url(value: Value<'_>) -> Option<MysqlUrl> {
    match value.scalar().map(MysqlUrl::parse) {
        Some(Ok(url)) => Some(url),
        // Not shown: whatever is wrong with it, it may hold a password.
        Some(Err(constraint)) => value.refuse_unseen(constraint),
        None => value.refuse(MysqlUrl::FORM),
    }
}

impl MysqlUrl {
    const FORM: &'static str = "must be mysql://user@host:port";

    /// An error is the constraint that is broken, and holds nothing of the text.
    fn parse(text: &str) -> Result<Self, String> {
        let form = || Self::FORM.to_owned();
        let rest = text.strip_prefix("mysql://").ok_or_else(form)?;
        let (user, address) = rest.rsplit_once('@').ok_or_else(|| format!("{}, the user is missing", Self::FORM))?;
        if user.contains(':') {
            return Err("holds a password: put it under source.password, best as {env: NAME}".into());
        }
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?', '#']) {
            return Err(format!("{} and nothing more, databases are named under `tables`", Self::FORM));
        }
        let user = percent_decoded(user).filter(|user| !user.is_empty()).ok_or_else(form)?;
        let (host, port) = host_and_port(address, 3306).ok_or_else(form)?;
        Ok(MysqlUrl { user, host, port })
    }
}

/// `null: {}`, or nothing behind the colon.
pub(super) fn null(value: Value<'_>) -> Option<()> {
    if value.is_list() || value.scalar().is_some() {
        return value.refuse("must be an empty map, {}");
    }
    value.keys(|_| ());
    Some(())
}

/// `host`, `host:port` or `[IPv6]:port`.
fn host_and_port(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':').or((port.is_empty()).then_some(""))?)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(allowed) {
                return None;
            }
            (host, port)
        }
    };
    let port = if port.is_empty() { default_port } else { port.parse().ok().filter(|port| *port != 0)? };
    Some((host.to_owned(), port))
}

/// A user name may hold `@`, written `%40`.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn time_zone(value: Value<'_>) -> Option<i32> {
    match value.scalar().and_then(offset_s) {
        Some(offset) => Some(offset),
        None => value.refuse("must be an offset from UTC such as +00:00, +08:00 or -05:30"),
    }
}

/// `+08:00` as seconds east of UTC. The range is MySQL's.
fn offset_s(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let digits = |text: &str| text.parse::<u8>().ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
    let (hours, minutes) = (i32::from(digits(hours)?), i32::from(digits(minutes)?));
    let offset = sign * (hours * 3600 + minutes * 60);
    (minutes < 60 && (-(13 * 3600 + 59 * 60)..=14 * 3600).contains(&offset)).then_some(offset)
}
