//! Which collations there are.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::ascii::Ascii;
use crate::weights::{File, Weights};
use crate::{Collation, Family, Order};

/// Everything of one server.
struct Known {
    by_name: HashMap<&'static str, Collation>,
    names_by_id: HashMap<u16, &'static str>,
}

static MYSQL: LazyLock<Known> = LazyLock::new(|| known(Family::MySql));
static MARIADB: LazyLock<Known> = LazyLock::new(|| known(Family::MariaDb));

fn of(server: Family) -> &'static Known {
    match server {
        Family::MySql => &MYSQL,
        Family::MariaDb => &MARIADB,
    }
}

pub(crate) fn by_name(server: Family, name: &str) -> Option<&'static Collation> {
    let known = &of(server).by_name;
    // Names come from a server, in lower case, or from a person. Older servers call utf8mb3 otherwise.
    known.get(name).or_else(|| {
        let name = name.to_ascii_lowercase();
        known.get(
            match name.strip_prefix("utf8_") {
                Some(rest) => format!("utf8mb3_{rest}"),
                None => name,
            }
            .as_str(),
        )
    })
}

pub(crate) fn by_id(server: Family, id: u16) -> Option<&'static Collation> {
    by_name(server, of(server).names_by_id.get(&id)?)
}

pub(crate) fn all(server: Family) -> impl Iterator<Item = &'static Collation> {
    of(server).by_name.values()
}

fn known(server: Family) -> Known {
    let mut known = Known { by_name: HashMap::new(), names_by_id: HashMap::new() };
    for line in include_str!("tables/collations.txt").lines() {
        let (id, collation) = read(server, line).unwrap_or_else(|| unreachable!("tables/collations.txt: {line}"));
        let Some(id) = id else { continue };
        known.names_by_id.insert(id, collation.name);
        known.by_name.insert(collation.name, collation);
    }
    known
}

/// A line of the list, and its number if the server has it.
fn read(server: Family, line: &'static str) -> Option<(Option<u16>, Collation)> {
    let [_, name, mysql_id, mariadb_id, pad, charset, file, levels] =
        line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let id = match server {
        Family::MySql => mysql_id,
        Family::MariaDb => mariadb_id,
    };
    let file = match file {
        "-" => None,
        "general" => Some(File::General),
        "uca0400" => Some(File::Uca0400),
        "uca0520" => Some(File::Uca0520),
        "uca0900" => Some(File::Uca0900),
        "uca1400" => Some(File::Uca1400),
        "bytes" => Some(File::Bytes),
        _ => return None,
    };
    let order = match file {
        None => Order::Bytes,
        Some(file) => {
            // `#17` is one table, `13` are two.
            let tables: Vec<usize> = match levels.strip_prefix('#') {
                Some(table) => vec![table.parse().ok()?],
                None => {
                    levels.chars().map(|level| level.to_digit(10).map(|level| level as usize)).collect::<Option<_>>()?
                }
            };
            let levels: Vec<Weights> = tables.into_iter().map(|table| Weights::new(file, table - 1)).collect();
            Order::Weights { ascii: Ascii::of(&levels), levels }
        }
    };
    Some((id.parse().ok(), Collation { name, charset, pad: pad == "pad", order }))
}
