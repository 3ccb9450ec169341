//! What is the key of a message?
//!
//! A log-compacted topic keeps the last message of each key, and consumers who build a table from it look rows up by it. So the
//! key is made of the columns that identify a row, in the order of the table's key, or of columns that the task names:
//!
//! ```text
//! PRIMARY KEY (region, id)      json   {"region":"de,at","id":"7"}     texts as in `data`, names as they leave
//! row  7 | de,at | 5.00         text   de\,at,7                        one column: its text and nothing else
//!                               avro   0a "de,at" 0e                   a datum of `tidegate schema`'s record
//!                {table}/{region}/{id}   orders/de,at/7                text around columns that the template names
//! ```
//!
//! Two rows have the same key only if the texts of these columns are the same. So text is what [`text`] says, byte by byte: a
//! collation may take `a` and `A` for the same, a key does not. And a date that no calendar has stands in a key as it is, whatever
//! `zero_date` makes of it in the value: NULL would be the key of all such rows.
//!
//! In a text of several columns, each backslash of a value has a backslash before it, and so has what the text between two columns
//! begins with: a comma, or what a template says. So no two rows have the same by chance.
//!
//! A key is planned once per table version, bound once per batch, and written into one buffer beside the values.

mod template;

use std::borrow::Cow;
use std::collections::HashSet;

use apache_avro::Schema;
use serde_json::json;
use tidegate_model::message::ByteStrings;
use tidegate_model::words::word_of;
use tidegate_model::{ChangeBatch, ChangeKind, Column, SqlType, Table, TableName};

use arrow::array::{Array, AsArray};

use crate::encode::EncodeError;
use crate::encode::dts_avro::{write_bytes, write_long, write_with_length};
use crate::encode::text::{self, EnumText, SetText, TextColumn, TextOptions};
pub use template::KeyTemplate;

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    Json,
    Text,
    Avro,
}

impl KeyForm {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("json", KeyForm::Json), ("text", KeyForm::Text), ("avro", KeyForm::Avro)];

    pub fn word(self) -> &'static str {
        word_of(KeyForm::WORDS, self)
    }
}

/// What a table's messages have for their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    pub form: KeyForm,
    /// The source's names; none for the table's own key.
    pub columns: Option<Vec<String>>,
    /// What stands around the columns, of a key of text that has such.
    pub template: Option<KeyTemplate>,
}

/// Why a table's messages cannot have the key that is asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("table {table} has no column \"{column}\", which its key names")]
    UnknownColumn { table: TableName, column: String },
    #[error("table {table}: column {column} is a part of the key of its messages, and is left out")]
    NotSelected { table: TableName, column: String },
    #[error("table {table}: column {column} may be NULL, which has no text for a key")]
    Nullable { table: TableName, column: String },
    #[error("table {table}: column {column} is a part of the key of its messages, and its name is none to Avro")]
    AvroName { table: TableName, column: String },
    #[error(
        "table {table}: column {column} is a part of the key of its messages, and of its labels two are the same, or one is empty: rows that differ \
         would have one key"
    )]
    Labels { table: TableName, column: String },
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            KeyError::UnknownColumn { .. } => "name columns as the table has them, before any projection",
            KeyError::NotSelected { .. } => "the projection may give it another name, or the key other columns",
            KeyError::Nullable { .. } => "a key in JSON writes null, and so does one in Avro",
            KeyError::AvroName { .. } => "rename it to letters, digits and underscores, or take a key in JSON",
            KeyError::Labels { .. } => "write numbers, index and bits; or take other columns",
        }
    }
}

/// The columns that make the key of a table's messages, by index; none if the table has no key.
pub fn key_columns(policy: &KeyPolicy, table: &Table) -> Result<Vec<usize>, KeyError> {
    let Some(names) = &policy.columns else { return Ok(table.key().to_vec()) };
    let index = |column: &String| {
        let unknown = || KeyError::UnknownColumn { table: table.name().clone(), column: column.clone() };
        table.column_index(column).ok_or_else(unknown)
    };
    names.iter().map(index).collect()
}

/// The labels with which a column's values are written, if they are.
fn labels_of<'a>(sql_type: &'a SqlType, text: &TextOptions) -> Option<&'a [String]> {
    match sql_type {
        SqlType::Enum { labels } if text.enum_as == EnumText::Label => Some(labels),
        SqlType::Set { labels } if text.set_as == SetText::Labels => Some(labels),
        _ => None,
    }
}

/// Whether no two values are written alike. No label at all is written as an empty one is.
fn tell_apart(labels: &[String]) -> bool {
    let mut seen = HashSet::from([""]);
    labels.iter().all(|label| seen.insert(label.as_str()))
}

/// Writes the keys of one table version.
#[derive(Debug)]
pub struct KeyEncoder {
    form: KeyForm,
    columns: Vec<KeyColumn>,
    around: Around,
    text: TextOptions,
    table: TableName,
}

/// Of a key of text: what stands around its columns.
#[derive(Debug, PartialEq, Eq)]
struct Around {
    /// Before each column, and behind the last.
    texts: Vec<Box<[u8]>>,
    /// Of several columns, what has a backslash before it in each value: backslashes, and what texts between two columns begin with. So these
    /// can be told from values.
    special: Vec<u8>,
}

impl Around {
    fn new(template: Option<&KeyTemplate>, columns: usize, table: &TableName) -> Around {
        let comma = |index| if index == 0 || index == columns { Box::default() } else { Box::from(*b",") };
        let texts = match template {
            Some(template) => template.texts(table),
            None => (0..=columns).map(comma).collect(),
        };
        let mut special: Vec<u8> = texts[1..columns.max(1)].iter().filter_map(|text| text.first().copied()).collect();
        if !special.is_empty() {
            special.push(b'\\');
        }
        Around { texts, special }
    }
}

#[derive(Debug)]
struct KeyColumn {
    /// In the table that leaves.
    index: usize,
    column: Column,
    /// What stands before the value in JSON.
    name: Box<[u8]>,
}

impl KeyEncoder {
    /// The key of `source`'s rows as they leave, in `output`; `output_of` tells a column's place there. None if the source has no
    /// key.
    pub fn plan(
        policy: &KeyPolicy,
        source: &Table,
        output: &Table,
        output_of: impl Fn(usize) -> Option<usize>,
        text: TextOptions,
    ) -> Result<Option<KeyEncoder>, KeyError> {
        let table = || source.name().clone();
        let mut columns = Vec::new();
        for index in key_columns(policy, source)? {
            let name = || source.columns()[index].name.clone();
            let Some(index) = output_of(index) else {
                return Err(KeyError::NotSelected { table: table(), column: name() });
            };
            let column = output.columns()[index].clone();
            if policy.form == KeyForm::Text && policy.columns.is_some() && column.nullable {
                return Err(KeyError::Nullable { table: table(), column: column.name });
            }
            if policy.form == KeyForm::Avro && !is_avro_name(&column.name) {
                return Err(KeyError::AvroName { table: table(), column: column.name });
            }
            if labels_of(&column.sql_type, &text).is_some_and(|labels| !tell_apart(labels)) {
                return Err(KeyError::Labels { table: table(), column: column.name });
            }
            let mut name = vec![if columns.is_empty() { b'{' } else { b',' }];
            text::write_json_string(&column.name, &mut name);
            name.push(b':');
            columns.push(KeyColumn { index, column, name: name.into() });
        }
        let around = Around::new(policy.template.as_ref(), columns.len(), output.name());
        Ok((!columns.is_empty()).then(|| KeyEncoder { form: policy.form, columns, around, text, table: table() }))
    }

    /// Appends the key of each change, in order, and, with `tombstones`, that of each delete once more.
    pub fn encode(&self, batch: &ChangeBatch, tombstones: bool, out: &mut ByteStrings) -> Result<(), EncodeError> {
        let columns = self.columns.iter().map(|key| Bound::new(key, batch, self)).collect::<Result<Vec<_>, _>>()?;
        let widths = self.columns.iter().map(|key| key.name.len() + 2 + text::width(&key.column.sql_type, &self.text));
        let texts: usize = columns.iter().map(|column| column.text.text_bytes()).sum();
        out.bytes.reserve(batch.kinds().len() * (1 + widths.sum::<usize>()) + texts);
        out.ends.reserve(batch.kinds().len());
        let bytes = &mut out.bytes;
        for change in batch.changes() {
            let start = bytes.len();
            match self.form {
                KeyForm::Json => write_json(&columns, change.row, bytes),
                KeyForm::Text => write_text(&columns, &self.around, change.row, bytes),
                KeyForm::Avro => columns.iter().for_each(|column| column.write_avro(change.row, bytes)),
            }
            out.ends.push(bytes.len());
            if tombstones && change.kind == ChangeKind::Delete {
                bytes.extend_from_within(start..);
                out.ends.push(bytes.len());
            }
        }
        Ok(())
    }

    /// Whether the same rows have the same keys: by name only where names are in the key.
    pub fn has_keys_of(&self, other: &KeyEncoder) -> bool {
        let same = |(a, b): (&KeyColumn, &KeyColumn)| {
            let (one, another) = (&a.column.sql_type, &b.column.sql_type);
            has_texts_of(one, another)
                && (self.form != KeyForm::Avro
                    || AvroType::of(one) == AvroType::of(another) && a.column.nullable == b.column.nullable)
                && (self.form != KeyForm::Json || a.column.name == b.column.name)
        };
        self.form == other.form
            && (self.form != KeyForm::Text || self.around == other.around)
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(same)
    }

    /// The names of its columns, as they leave.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|key| key.column.name.as_str())
    }

    /// As people read it: `(id) as text`, `shop.orders:{id}` of a template, or the Avro schema.
    pub fn shape(&self) -> String {
        let names: Vec<&str> = self.names().collect();
        match self.form {
            // Which also says whether a column may be NULL.
            KeyForm::Avro => self.avro_schema(),
            KeyForm::Text if self.around != Around::new(None, names.len(), &self.table) => {
                let before = self.around.texts.iter().map(|text| String::from_utf8_lossy(text));
                let columns = names.iter().map(|name| format!("{{{name}}}")).chain([String::new()]);
                before.zip(columns).map(|(text, column)| format!("{text}{column}")).collect()
            }
            form => format!("({}) as {}", names.join(", "), form.word()),
        }
    }

    pub fn form(&self) -> KeyForm {
        self.form
    }

    /// The most that a key takes besides its texts and byte strings.
    pub fn row_bytes(&self) -> usize {
        let width = |key: &KeyColumn| key.name.len() + 2 + text::width(&key.column.sql_type, &self.text);
        let around: usize = self.around.texts.iter().map(|text| text.len()).sum();
        1 + around + self.columns.iter().map(width).sum::<usize>()
    }

    /// A key of these as text, for people: Avro as `apache-avro` reads it.
    pub fn readable(&self, mut key: &[u8]) -> String {
        if self.form != KeyForm::Avro {
            return shown(self.form, key);
        }
        let mut read = || -> apache_avro::AvroResult<serde_json::Value> {
            let schema = Schema::parse_str(&self.avro_schema())?;
            let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build()?;
            reader.read_value(&mut key)?.try_into()
        };
        read().map_or_else(|error| format!("not a datum of the schema: {error}"), |value| value.to_string())
    }

    /// The Avro schema of the keys: integers are long, byte strings bytes, all else text.
    pub fn avro_schema(&self) -> String {
        let fields = self.columns.iter().map(|KeyColumn { column, .. }| {
            let plain = AvroType::of(&column.sql_type).name();
            // That a table's own key is never NULL is what makes it one.
            let of_type = if column.nullable { json!(["null", plain]) } else { json!(plain) };
            json!({"name": column.name, "type": of_type})
        });
        json!({"type": "record", "name": "Key", "fields": fields.collect::<Vec<_>>()}).to_string()
    }
}

/// What a value is to Avro. An unsigned BIGINT or BIT may be more than a long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AvroType {
    Long,
    Bytes,
    String,
}

impl AvroType {
    fn of(sql_type: &SqlType) -> AvroType {
        match sql_type {
            SqlType::Int { bytes: 8, unsigned: true } => AvroType::String,
            SqlType::Int { .. } => AvroType::Long,
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob => AvroType::Bytes,
            _ => AvroType::String,
        }
    }

    fn name(self) -> &'static str {
        match self {
            AvroType::Long => "long",
            AvroType::Bytes => "bytes",
            AvroType::String => "string",
        }
    }
}

/// Whether a value of one type that becomes one of the other keeps its text.
pub(crate) fn has_texts_of(one: &SqlType, other: &SqlType) -> bool {
    let is_text = |sql_type: &SqlType| matches!(sql_type, SqlType::Char | SqlType::VarChar | SqlType::Text);
    match (one, other) {
        (SqlType::Int { .. }, SqlType::Int { .. }) => true,
        // A label that comes in front of others gives them other numbers.
        (SqlType::Enum { labels: one }, SqlType::Enum { labels: other })
        | (SqlType::Set { labels: one, .. }, SqlType::Set { labels: other, .. }) => {
            one.iter().zip(other.iter()).all(|(one, other)| one == other)
        }
        (one, other) => one == other || is_text(one) && is_text(other),
    }
}

fn is_avro_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

/// A column of the key ready to be written.
struct Bound<'a> {
    text: TextColumn<'a>,
    array: &'a dyn Array,
    key: &'a KeyColumn,
    avro: AvroType,
}

impl<'a> Bound<'a> {
    fn new(key: &'a KeyColumn, batch: &'a ChangeBatch, encoder: &'a KeyEncoder) -> Result<Bound<'a>, EncodeError> {
        let array = batch.rows().column(key.index).as_ref();
        let text = TextColumn::bind(array, &key.column.sql_type, &encoder.text).map_err(|error| EncodeError {
            table: encoder.table.clone(),
            column: key.column.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Bound { text, array, key, avro: AvroType::of(&key.column.sql_type) })
    }

    fn write_avro(&self, row: usize, out: &mut Vec<u8>) {
        if self.key.column.nullable {
            out.push(if self.text.is_null(row) { 0 } else { 2 });
        }
        if self.text.is_null(row) {
            return;
        }
        match self.avro {
            AvroType::Long => write_long(self.text.integer(row), out),
            AvroType::Bytes => write_bytes(self.array.as_binary::<i32>().value(row), out),
            AvroType::String => write_with_length(out, |out| self.text.write(row, out)),
        }
    }
}

fn write_json(columns: &[Bound], row: usize, out: &mut Vec<u8>) {
    for column in columns {
        out.extend_from_slice(&column.key.name);
        match column.text.is_null(row) {
            true => out.extend_from_slice(b"null"),
            false => column.text.write_json(row, out),
        }
    }
    out.push(b'}');
}

fn write_text(columns: &[Bound], around: &Around, row: usize, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| around.special.contains(byte);
    for (column, before) in columns.iter().zip(&around.texts) {
        out.extend_from_slice(before);
        let start = out.len();
        column.text.write(row, out);
        if !around.special.is_empty() && out[start..].iter().any(is_special) {
            let text = out.split_off(start);
            for byte in text {
                if is_special(&byte) {
                    out.push(b'\\');
                }
                out.push(byte);
            }
        }
    }
    out.extend(around.texts.last().into_iter().flatten());
}

/// A key as text that fits into a line, for people: JSON as it is, text as a JSON string, Avro as hexadecimal digits.
pub fn shown(form: KeyForm, key: &[u8]) -> String {
    match form {
        KeyForm::Json => String::from_utf8_lossy(key).into_owned(),
        KeyForm::Text => {
            let text: Cow<str> = String::from_utf8_lossy(key);
            let mut out = Vec::new();
            text::write_json_string(&text, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        }
        KeyForm::Avro => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use apache_avro::types::Value;
    use arrow::array::RecordBatch;
    use tidegate_model::pretty::{parse, table};
    use tidegate_model::{TableParts, UniqueKey};

    const TEXT: TextOptions = TextOptions { enum_as: EnumText::Label, set_as: SetText::Labels, time_zone_offset_s: 0 };

    fn policy(form: KeyForm, columns: &[&str]) -> KeyPolicy {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        KeyPolicy { form, columns: (!columns.is_empty()).then_some(columns), template: None }
    }

    /// A drawing whose columns are not NULL, with this primary key.
    fn batch(header: &str, key: &[usize], drawing: &str) -> ChangeBatch {
        let batch = parse(header, drawing);
        let mut parts = TableParts::from(Table::clone(batch.table()));
        parts.columns.iter_mut().for_each(|column| column.nullable = false);
        parts.unique_keys = vec![UniqueKey { name: "PRIMARY".into(), columns: key.to_vec() }];
        parts.unique_keys.retain(|key| !key.columns.is_empty());
        let table = Table::from(parts);
        let rows = RecordBatch::try_new(table.schema().clone(), batch.rows().columns().to_vec()).unwrap();
        batch.with_rows(Arc::new(table), rows)
    }

    fn keys(policy: &KeyPolicy, batch: &ChangeBatch, tombstones: bool) -> (KeyEncoder, ByteStrings) {
        let encoder = KeyEncoder::plan(policy, batch.table(), batch.table(), Some, TEXT).unwrap().unwrap();
        let mut out = ByteStrings::default();
        encoder.encode(batch, tombstones, &mut out).unwrap();
        (encoder, out)
    }

    #[test]
    fn labels_that_are_written_alike_make_no_key() {
        let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>();
        for (of, is_key) in [(&["a", "b"][..], true), (&["", "a"], false), (&["?", "?"], false), (&["?"], true)] {
            assert_eq!(tell_apart(&labels(of)), is_key, "{of:?}");
        }
        let labels: Arc<[String]> = labels(&["", "a"]).into();
        for sql_type in [SqlType::Enum { labels: labels.clone() }, SqlType::Set { labels }] {
            let mut parts = TableParts::from(Table::clone(&table("id:int")));
            parts.columns[0].sql_type = sql_type;
            parts.unique_keys = vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0] }];
            let table = Table::from(parts);
            let plan = |text| KeyEncoder::plan(&policy(KeyForm::Json, &[]), &table, &table, Some, text);
            assert!(matches!(plan(TEXT), Err(KeyError::Labels { .. })));
            assert!(plan(TextOptions { enum_as: EnumText::Index, set_as: SetText::Bits, ..TEXT }).is_ok());
        }
    }

    fn texts(policy: &KeyPolicy, batch: &ChangeBatch, tombstones: bool) -> Vec<String> {
        let (_, keys) = keys(policy, batch, tombstones);
        keys.iter().map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_key_has_the_columns_of_the_tables_key_in_its_order() {
        let batch = batch("id:int name:text", &[1, 0], "+I 7 a\n-U 7 a\"\n+U 7 b\n-D -1 ,\\");
        let json = texts(&policy(KeyForm::Json, &[]), &batch, false);
        assert_eq!(json, [r#"{"name":"a","id":"7"}"#, r#"{"name":"b","id":"7"}"#, r#"{"name":",\\","id":"-1"}"#]);
        assert_eq!(texts(&policy(KeyForm::Text, &[]), &batch, false), ["a,7", "b,7", r"\,\\,-1"]);
        assert_eq!(texts(&policy(KeyForm::Text, &["NAME"]), &batch, false), ["a", "b", r",\"]);
        assert_eq!(
            texts(&policy(KeyForm::Json, &["id"]), &batch, true)[1..],
            [r#"{"id":"7"}"#, r#"{"id":"-1"}"#, r#"{"id":"-1"}"#]
        );
    }

    #[test]
    fn composite_texts_are_not_ambiguous() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut part = || -> String { (0..rng.usize(1..4)).map(|_| [',', '\\', 'a'][rng.usize(..3)]).collect() };
        let pairs: std::collections::BTreeSet<(String, String)> = (0..500).map(|_| (part(), part())).collect();
        let drawing: Vec<String> = pairs.iter().map(|(a, b)| format!("+I {a} {b}")).collect();
        let batch = batch("a:text b:text", &[0, 1], &drawing.join("\n"));
        let keys = texts(&policy(KeyForm::Text, &[]), &batch, false);
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), pairs.len());
    }

    #[test]
    fn a_template_puts_text_around_columns() {
        let of = |template: &str| {
            let (template, columns) = KeyTemplate::parse(template).unwrap();
            KeyPolicy { form: KeyForm::Text, columns: Some(columns), template: Some(template) }
        };
        let batch = batch("id:int name:text", &[0], "+I 7 a:b\n-D 8 \\");
        assert_eq!(texts(&of("{database}.{table}:{id}"), &batch, true), ["db.t:7", "db.t:8", "db.t:8"]);
        assert_eq!(texts(&of("{name}"), &batch, false), ["a:b", "\\"]);
        assert_eq!(texts(&of("<{NAME}:{id}>"), &batch, false), [r"<a\:b:7>", r"<\\:8>"]);
        assert_eq!(texts(&of("{id}/{name}"), &batch, false), ["7/a:b", r"8/\\"]);
        let encoder =
            |template| KeyEncoder::plan(&of(template), batch.table(), batch.table(), Some, TEXT).unwrap().unwrap();
        assert!(encoder("{table}:{id}").has_keys_of(&encoder("t:{id}")));
        assert!(!encoder("{id}").has_keys_of(&encoder("x{id}")));
        for (template, constraint) in [
            ("{table}", "must name a column"),
            ("{id", "must have {database}"),
            ("{id}}", "must have {database}"),
            ("a}{id}", "must have {database}"),
            ("{} {id}", "must have {database}"),
            ("{a{id}", "must have {database}"),
            ("{id}{name}", "must have text between"),
            ("{table}{id}", "must have text between"),
            (r"{id}\{name}", "must not have a backslash"),
            ("{id}:{ID}", "must name each column once"),
        ] {
            let error = KeyTemplate::parse(template).unwrap_err();
            assert!(error.starts_with(constraint), "{template}: {error}");
        }
    }

    /// As [`composite_texts_are_not_ambiguous`], where what stands between columns may stand in values.
    #[test]
    fn texts_of_a_template_are_not_ambiguous() {
        let (template, columns) = KeyTemplate::parse("a{a}ab{b}b").unwrap();
        let policy = KeyPolicy { form: KeyForm::Text, columns: Some(columns), template: Some(template) };
        let mut rng = fastrand::Rng::with_seed(7);
        let mut part = || -> String { (0..rng.usize(1..4)).map(|_| ['a', '\\', 'b'][rng.usize(..3)]).collect() };
        let pairs: std::collections::BTreeSet<(String, String)> = (0..500).map(|_| (part(), part())).collect();
        let drawing: Vec<String> = pairs.iter().map(|(a, b)| format!("+I {a} {b}")).collect();
        let batch = batch("a:text b:text", &[0, 1], &drawing.join("\n"));
        let keys = texts(&policy, &batch, false);
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), pairs.len());
    }

    #[test]
    fn avro_keys_are_read_with_their_schema() {
        let batch =
            batch("id:int big:uint name:text", &[0, 1, 2], "+I -7 18446744073709551615 é\n+I 9223372036854775807 0 x");
        let (encoder, keys) = keys(&policy(KeyForm::Avro, &[]), &batch, false);
        let read = |datum: &mut &[u8]| {
            let schema = Schema::parse_str(&encoder.avro_schema()).unwrap();
            let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
            let value = reader.read_value(datum).unwrap();
            assert!(datum.is_empty());
            value
        };
        let expected = |id, big: &str, name: &str| {
            Value::Record(vec![
                ("id".into(), Value::Long(id)),
                ("big".into(), Value::String(big.into())),
                ("name".into(), Value::String(name.into())),
            ])
        };
        assert_eq!(read(&mut keys.get(0)), expected(-7, "18446744073709551615", "é"));
        assert_eq!(read(&mut keys.get(1)), expected(i64::MAX, "0", "x"));
        assert_eq!(encoder.readable(keys.get(0)), r#"{"big":"18446744073709551615","id":-7,"name":"é"}"#);
    }

    #[test]
    fn null_is_null_where_the_form_has_one() {
        let nullable = parse("id:int name:text", "+I 1 _\n+I 2 a");
        assert_eq!(texts(&policy(KeyForm::Json, &["name"]), &nullable, false), [r#"{"name":null}"#, r#"{"name":"a"}"#]);
        let (encoder, keys) = keys(&policy(KeyForm::Avro, &["name"]), &nullable, false);
        assert_eq!((keys.get(0), keys.get(1)), (&[0][..], &[2, 2, b'a'][..]));
        assert!(encoder.avro_schema().contains(r#"["null","string"]"#), "{}", encoder.avro_schema());
        let policy = policy(KeyForm::Text, &["name"]);
        let error = KeyEncoder::plan(&policy, nullable.table(), nullable.table(), Some, TEXT).unwrap_err();
        assert_eq!(error.to_string(), "table db.t: column name may be NULL, which has no text for a key");
    }

    #[test]
    fn what_cannot_be_a_key_is_refused_by_name() {
        let table = table("id:int name:text");
        let plan = |policy: &KeyPolicy, output_of: &dyn Fn(usize) -> Option<usize>| {
            KeyEncoder::plan(policy, &table, &table, output_of, TEXT).map(|encoder| encoder.is_some())
        };
        let error = plan(&policy(KeyForm::Json, &["nmae"]), &Some).unwrap_err();
        assert_eq!(error.to_string(), "table db.t has no column \"nmae\", which its key names");
        let error = plan(&policy(KeyForm::Json, &[]), &|_| None).unwrap_err();
        assert_eq!(error.to_string(), "table db.t: column id is a part of the key of its messages, and is left out");
        let mut parts = TableParts::from(Table::clone(&table));
        parts.columns[0].name = "größe".into();
        let odd = Table::from(parts.clone());
        let error = KeyEncoder::plan(&policy(KeyForm::Avro, &[]), &odd, &odd, Some, TEXT).unwrap_err();
        assert!(error.to_string().contains("column größe"), "{error}");
        parts.unique_keys.clear();
        let keyless = Table::from(parts);
        assert!(KeyEncoder::plan(&policy(KeyForm::Json, &[]), &keyless, &keyless, Some, TEXT).unwrap().is_none());
    }

    #[test]
    fn an_altered_column_may_give_rows_other_keys() {
        let encoder = |form, header: &str| {
            let table = table(header);
            KeyEncoder::plan(&policy(form, &[]), &table, &table, Some, TEXT).unwrap().unwrap()
        };
        let same = |form, a: &str, b: &str| encoder(form, a).has_keys_of(&encoder(form, b));
        assert!(same(KeyForm::Json, "id:int name:text", "id:int more:int"));
        assert!(!same(KeyForm::Json, "id:int", "uid:int") && same(KeyForm::Text, "id:int", "uid:int"));
        assert!(same(KeyForm::Text, "id:int", "id:uint") && !same(KeyForm::Text, "id:int", "id:double"));
        // A long is no string.
        assert!(!same(KeyForm::Avro, "id:int", "id:uint"));
    }

    #[test]
    fn a_key_fits_into_a_line() {
        assert_eq!(shown(KeyForm::Text, b"a\tb\n"), r#""a\tb\n""#);
        assert_eq!(shown(KeyForm::Avro, &[0, 255]), "00ff");
    }
}
