//! What a message says of which rows, in both formats.
//!
//! Rows of the source are put through the task's own route and read from its messages by the same code, so that what is compared is what was sent
//! with what would be sent now.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use tidegate_format::encode::dts_avro::datum::{Datum, Operation, image_text, image_value};
use tidegate_format::encode::dts_avro::object_name;

use super::target::{Image, Target};
use crate::config::Format;

/// What a message says.
pub(super) enum Said {
    /// Of rows of a target, by its index.
    Rows(usize, Vec<Change>),
    /// A statement of this text was carried out, about these targets.
    Statement(Vec<usize>, String),
    /// The same of rows of a target, in the other format than the task's.
    Otherwise(usize),
    /// Nothing that concerns the tables that are compared.
    Nothing,
}

pub(super) struct Change {
    /// The row that was there before, if it has another key, or none.
    pub(super) before: Option<Image>,
    /// The row that is there, none after a delete.
    pub(super) after: Option<Image>,
}

/// Reads messages of one format.
pub(super) struct Reader {
    is_avro: bool,
    /// By database and table.
    names: HashMap<String, HashMap<String, usize>>,
    /// By what DTS calls a table.
    objects: HashMap<String, usize>,
}

impl Reader {
    pub(super) fn new(format: &Format, targets: &[Target]) -> Reader {
        let mut names: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (index, target) in targets.iter().enumerate() {
            names.entry(target.name.database.to_string()).or_default().insert(target.name.table.to_string(), index);
        }
        let objects = targets.iter().enumerate().map(|(index, target)| (object_name(&target.name), index)).collect();
        Reader { is_avro: matches!(format, Format::DtsAvro(_)), names, objects }
    }

    /// `None` if it is no message of either format.
    pub(super) fn read(&self, targets: &[Target], value: &[u8]) -> Option<Said> {
        if let Some(said) = self.read_as(self.is_avro, targets, value) {
            return Some(said);
        }
        Some(match self.read_as(!self.is_avro, targets, value)? {
            Said::Rows(index, _) => Said::Otherwise(index),
            _ => Said::Nothing,
        })
    }

    fn read_as(&self, is_avro: bool, targets: &[Target], value: &[u8]) -> Option<Said> {
        if is_avro { self.read_avro(targets, value) } else { self.read_canal(targets, value) }
    }

    fn read_canal(&self, targets: &[Target], value: &[u8]) -> Option<Said> {
        let message: Canal<'_> = serde_json::from_slice(value).ok()?;
        let of_database = self.names.get(&*message.database);
        let index = of_database.and_then(|tables| tables.get(&*message.table)).copied();
        if message.is_ddl {
            let all = of_database.into_iter().flat_map(HashMap::values).copied();
            // A statement about several tables has a message about one of them, and one about a database names none.
            let is_about =
                |of: &usize| message.table.is_empty() || Some(*of) == index || is_named(&targets[*of], &message.sql);
            return Some(Said::Statement(all.filter(is_about).collect(), message.sql.into_owned()));
        }
        let Some(index) = index else { return Some(Said::Nothing) };
        let target = &targets[index];
        let image = |cells: &Cells<'_>, instead: &Cells<'_>| {
            let cells = cells.0.iter().map(|(name, value)| {
                let value = instead.0.iter().find(|(other, _)| other == name).map_or(value, |(_, value)| value);
                (&*name.0, value.as_ref().map(|value| value.0.as_bytes()))
            });
            target.image(cells, |value| value, |value| String::from_utf8_lossy(value).into_owned())
        };
        let none = Cells(Vec::new());
        let rows = message.data?;
        let changes = rows.iter().enumerate().map(|(row, cells)| {
            let image_now = image(cells, &none);
            match &*message.kind {
                "DELETE" => Change { before: Some(image_now), after: None },
                _ => {
                    let old = message.old.as_ref().and_then(|old| old.get(row));
                    let names_key = |old: &&Cells<'_>| {
                        !target.has_key() || target.key_names().any(|key| old.0.iter().any(|(name, _)| name.0 == key))
                    };
                    let before = old.filter(names_key).map(|old| image(cells, old));
                    Change { before, after: Some(image_now) }
                }
            }
        });
        Some(Said::Rows(index, changes.collect()))
    }

    fn read_avro(&self, targets: &[Target], value: &[u8]) -> Option<Said> {
        let datum = Datum::read(value)?;
        if datum.operation == Operation::Ddl {
            // The object is a database: the statement says which tables of it.
            let text = datum.statement.unwrap_or_default();
            let is_about = |target: &Target| {
                datum.object == target.name.database.replace('.', "\\u002E")
                    && (is_named(target, text) || is_about_database(text))
            };
            let about = targets.iter().enumerate().filter(|(_, target)| is_about(target)).map(|(index, _)| index);
            return Some(Said::Statement(about.collect(), text.to_owned()));
        }
        let Some(&index) = self.objects.get(datum.object) else { return Some(Said::Nothing) };
        if datum.operation == Operation::Other {
            return Some(Said::Nothing);
        }
        let target = &targets[index];
        let image = |images: &Vec<&[u8]>| {
            let cells = datum.columns.iter().zip(images).map(|(name, image)| {
                // The branch of NULL is 0.
                (*name, Some(*image).filter(|image| *image != [0]))
            });
            target.image(cells, image_value, |value| image_text(value).unwrap_or_default())
        };
        let after = datum.after.as_ref().map(image);
        let before = datum.before.as_ref().map(image);
        Some(Said::Rows(index, vec![Change { before, after }]))
    }
}

/// Whether rows go by it that have no messages.
pub(super) fn empties(statement: &str) -> bool {
    let [first, second] = first_words(statement);
    first == "TRUNCATE" || is_about_database(statement) || (first == "DROP" && second == "TABLE")
}

fn is_about_database(statement: &str) -> bool {
    let [first, second] = first_words(statement);
    first == "DROP" && ["DATABASE", "SCHEMA"].contains(&second.as_str())
}

fn first_words(statement: &str) -> [String; 2] {
    let mut words = statement.split_whitespace();
    std::array::from_fn(|_| words.next().unwrap_or_default().to_ascii_uppercase())
}

/// Whether a statement has a word that is the name of the table, here or where it goes.
fn is_named(target: &Target, statement: &str) -> bool {
    let statement = statement.to_lowercase();
    let is_of_name = |character: char| character.is_alphanumeric() || "_$".contains(character);
    let has = |name: &str| {
        let name = name.to_lowercase();
        statement.match_indices(&name).any(|(at, _)| {
            let (before, behind) = (&statement[..at], &statement[at + name.len()..]);
            !before.ends_with(is_of_name) && !behind.starts_with(is_of_name)
        })
    };
    has(&target.name.table) || target.sources.iter().any(|source| has(&source.table.name().table))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Canal<'a> {
    #[serde(borrow)]
    data: Option<Vec<Cells<'a>>>,
    #[serde(borrow)]
    database: Cow<'a, str>,
    #[serde(default)]
    is_ddl: bool,
    #[serde(borrow, default)]
    old: Option<Vec<Cells<'a>>>,
    #[serde(borrow, default)]
    sql: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// A text, in place unless it has escapes.
#[derive(Deserialize, PartialEq, Eq)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Names and values of a row.
struct Cells<'a>(Vec<(Text<'a>, Option<Text<'a>>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Cells<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cells<'a>, D::Error> {
        struct InOrder<'a>(PhantomData<Cells<'a>>);
        impl<'de: 'a, 'a> Visitor<'de> for InOrder<'a> {
            type Value = Cells<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("columns and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cells<'a>, A::Error> {
                let mut cells = Vec::with_capacity(16);
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(Cells(cells))
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::config::{AvroFormat, CanalFormat, Profile};
    use crate::pipeline::route::plan_encoder;
    use tidegate_model::message::ByteStrings;
    use tidegate_model::pretty::{parse, table};

    fn formats() -> [Format; 2] {
        let avro = AvroFormat {
            rows: tidegate_format::encode::dts_avro::AvroOptions {
                enum_as: tidegate_format::encode::text::EnumText::Label,
                set_as: tidegate_format::encode::text::SetText::Labels,
            },
            zero_date: None,
            transactions: false,
            heartbeats: false,
        };
        [Format::CanalJson(CanalFormat::of(Profile::Canal)), Format::DtsAvro(avro)]
    }

    /// `-7 +8`: keys that go and come.
    fn drawn(format: &Format, targets: &[Target], value: &[u8]) -> String {
        let key = |image: &Image| String::from_utf8(image.key.clone().expect("a key")).unwrap();
        match Reader::new(format, targets).read(targets, value) {
            None => "unreadable".to_owned(),
            Some(Said::Nothing) => "nothing".to_owned(),
            Some(Said::Statement(about, sql)) => format!("{about:?} {sql}"),
            Some(Said::Otherwise(index)) => format!("{index} otherwise"),
            Some(Said::Rows(_, changes)) => {
                let texts = changes.iter().map(|change| {
                    let before = change.before.as_ref().map(|image| format!("-{}", key(image)));
                    let after = change.after.as_ref().map(|image| format!("+{}", key(image)));
                    before.into_iter().chain(after).collect::<Vec<_>>().join(" ")
                });
                texts.collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn both_formats_say_which_rows_go_and_come() {
        let columns = "id:int v:text";
        let targets = [Target::of(table(columns), &[0])];
        for format in formats() {
            let batch = parse(columns, "** 1 a\n+I 2 b\n-U 3 c\n+U 4 c\n-D 5 _");
            let mut out = ByteStrings::default();
            plan_encoder(&format, batch.table(), "9.7.0").encode(&batch, 1, &mut out).unwrap();
            let found: Vec<String> = out.iter().map(|value| drawn(&format, &targets, value)).collect();
            let id = |sign: char, id: u32| format!("{sign}{{\"id\":\"{id}\"}}");
            assert_eq!(
                found,
                [id('+', 1), id('+', 2), format!("{} {}", id('-', 3), id('+', 4)), id('-', 5)],
                "{format:?}"
            );
            assert_eq!(drawn(&format, &[], out.get(0)), "nothing");
            assert_eq!(drawn(&format, &targets, &out.get(0)[..9]), "unreadable");
            let other =
                formats().into_iter().find(|other| std::mem::discriminant(other) != std::mem::discriminant(&format));
            assert_eq!(drawn(&other.unwrap(), &targets, out.get(0)), "0 otherwise");
        }
    }

    #[test]
    fn statements_by_which_rows_go_are_known() {
        for sql in ["TRUNCATE TABLE t", "truncate t", "DROP TABLE a, b", "drop  database x"] {
            assert!(empties(sql), "{sql}");
        }
        for sql in ["ALTER TABLE t DROP COLUMN a", "DROP INDEX i ON t", "CREATE TABLE truncate_me (id INT)", ""] {
            assert!(!empties(sql), "{sql}");
        }
        let target = Target::of(table("id:int"), &[0]);
        let name = target.name.table.to_string();
        for sql in [format!("TRUNCATE {name}"), format!("drop table x,`{name}`"), format!("TRUNCATE d.{name};")] {
            assert!(is_named(&target, &sql), "{sql}");
        }
        for sql in [format!("TRUNCATE {name}_old"), format!("DROP TABLE x{name}"), "DROP DATABASE d".to_owned()] {
            assert!(!is_named(&target, &sql), "{sql}");
        }
    }
}
