//! How a server compares the names of databases and tables.
//!
//! ```text
//! lower_case_table_names   stored        compared       CREATE TABLE Orders; the catalogue says   the binlog's statement says
//! 0                        as written    exactly        Orders                                    Orders
//! 1                        folded        folded         orders                                    Orders
//! 2                        as written    folded         Orders                                    Orders
//! ```
//!
//! Statements stand in the binlog as they were typed, whatever the setting. Folding is the server's own: letter by letter
//! to lower case by the tables of `utf8mb3_general_ci`, which know the letters of Unicode 3.0 and have not grown since.

use super::TableName;

/// Which names mean the same table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameCase {
    /// Those that are equal.
    #[default]
    Exact,
    /// Those that are equal when folded.
    Folded,
    /// A binlog file does not say what its server did. Its row events name tables as they are stored; what a statement
    /// names may be any table whose folded name is the same.
    Unknown,
}

impl NameCase {
    /// As the server's variable `lower_case_table_names` says.
    pub fn of_server(lower_case_table_names: u8) -> NameCase {
        if lower_case_table_names == 0 { NameCase::Exact } else { NameCase::Folded }
    }

    /// Equal for names of the same table.
    pub fn key(self, name: &TableName) -> TableName {
        match self {
            NameCase::Folded => TableName::new(&fold(&name.database), &fold(&name.table)),
            NameCase::Exact | NameCase::Unknown => name.clone(),
        }
    }

    /// Whether a name in a statement can mean the stored one.
    pub fn can_mean(self, written: &str, stored: &str) -> bool {
        written == stored || (self != NameCase::Exact && is_same(written, stored))
    }
}

/// A name in lower case, as the server makes it.
pub fn fold(name: &str) -> String {
    name.chars().map(fold_letter).collect()
}

/// Whether two names are equal when folded. Makes neither: statements compare each name of theirs with all columns of a table.
pub fn is_same(a: &str, b: &str) -> bool {
    a.chars().map(fold_letter).eq(b.chars().map(fold_letter))
}

fn fold_letter(c: char) -> char {
    match c {
        _ if c.is_ascii() => c.to_ascii_lowercase(),
        _ if is_unknown_to_server(c) => c,
        // Where lower case is two characters (only İ), the first is what a table of single characters has.
        _ => c.to_lowercase().next().unwrap_or(c),
    }
}

/// Letters that have a lower case since Unicode 3.1 or later; the server leaves them as they are.
fn is_unknown_to_server(c: char) -> bool {
    matches!(c as u32,
        0x220 | 0x23a..=0x24f
        | 0x370..=0x377 | 0x37f | 0x3cf | 0x3d8 | 0x3f4..=0x3ff
        | 0x48a | 0x4c0 | 0x4c5 | 0x4c9 | 0x4cd | 0x4f6 | 0x4fa..=0x52f
        | 0x10a0..=0x10cf | 0x13a0..=0x13f5 | 0x1c80..=0x1cbf
        | 0x1e9e | 0x1efa..=0x1eff | 0x2132 | 0x2183 | 0x2c00..=0x2dff
        | 0xa640..=0xa7ff | 0x10000..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_letter_by_letter() {
        for (written, folded) in [
            ("Orders_2024", "orders_2024"),
            ("ÄÖÜ-É", "äöü-é"),
            ("ΣΑΣ", "σασ"),
            ("ЗАКАЗЫ", "заказы"),
            ("İI", "ii"),
            ("ꜲⰀẞ\u{10400}", "ꜲⰀẞ\u{10400}"),
            ("订单", "订单"),
        ] {
            assert_eq!(fold(written), folded);
            assert!(is_same(written, folded));
            assert!(!is_same(written, &folded[..folded.len() - folded.chars().last().unwrap().len_utf8()]));
        }
    }

    #[test]
    fn what_a_written_name_can_mean() {
        assert!(!NameCase::of_server(0).can_mean("Orders", "orders"));
        assert!(NameCase::of_server(1).can_mean("Orders", "orders"));
        assert!(NameCase::of_server(2).can_mean("orders", "Orders"));
        assert!(NameCase::Unknown.can_mean("Orders", "orders"));
        let name = TableName::new("Shop", "Orders");
        assert_eq!(NameCase::of_server(2).key(&name), TableName::new("shop", "orders"));
        assert_eq!(NameCase::Unknown.key(&name), name);
    }
}
