//! How does the server order text?
//!
//! This is for keys by which tables are cut; `tidegate-collation` compares whatever a filter may meet. Answered for ASCII characters only, and for the collations of which `collation/ascii.txt` has the weights: there each
//! character has a weight of its own, and texts compare as their weights do.
//!
//! ```text
//!                     ignored    _ - : ! a A b B 1     weights of the first level, then, if all are equal, of the next
//! utf8mb4_0900_as_cs  \0 … \x7f  4 5 6 7 c c d d 3     a < A: only the second level tells them apart
//! utf8mb4_bin, pad    -          60 2e … 62 42 …       "a\t" < "a": a shorter text is followed by spaces
//! ```
//!
//! A text with another character, or with one that has no weight (control characters in Unicode's collations), is not compared:
//! what it equals and what it precedes only the server knows. The table is written by `scripts/collations.py`.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use tidegate_collation::{Collation, Family};

/// The order of ASCII text by one collation.
#[derive(Debug)]
pub struct AsciiOrder {
    /// Whether the shorter of two texts is compared as if spaces followed.
    pad: bool,
    /// By level, then by character; 0 for none.
    levels: Vec<[u8; 128]>,
}

static ORDERS: LazyLock<HashMap<&'static str, AsciiOrder>> = LazyLock::new(|| {
    let lines = include_str!("collation/ascii.txt").lines();
    lines.map(|line| read(line).unwrap_or_else(|| unreachable!("collation/ascii.txt: {line}"))).collect()
});

fn read(line: &'static str) -> Option<(&'static str, AsciiOrder)> {
    let mut fields = line.split(' ');
    let (name, pad) = (fields.next()?, fields.next()? == "pad");
    let level = |digits: &str| {
        let mut weights = [0; 128];
        for (at, weight) in weights.iter_mut().enumerate() {
            *weight = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(weights)
    };
    Some((name, AsciiOrder { pad, levels: fields.map(level).collect::<Option<_>>()? }))
}

impl AsciiOrder {
    /// None if only the server knows.
    pub fn of(collation: &str) -> Option<&'static AsciiOrder> {
        ORDERS.get(collation)
    }

    /// Whether each character has a weight here.
    pub fn covers(&self, text: &str) -> bool {
        text.bytes().all(|byte| self.levels[0].get(usize::from(byte)).is_some_and(|&weight| weight != 0))
    }

    /// Compares two texts that are both [covered](AsciiOrder::covers).
    pub fn compare(&self, a: &str, b: &str) -> Ordering {
        let by_level = |weights: &[u8; 128]| {
            let weight = |byte: u8| weights[usize::from(byte)];
            let (a, b) = (a.bytes().map(weight), b.bytes().map(weight));
            match self.pad {
                false => a.cmp(b),
                true => {
                    let length = a.len().max(b.len());
                    let space = std::iter::repeat(weight(b' '));
                    a.chain(space.clone()).take(length).cmp(b.chain(space).take(length))
                }
            }
        };
        self.levels.iter().map(by_level).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// The name of the collation of that number. MariaDB takes MySQL's names for some of its own, which have others as well.
pub(crate) fn name_of_id(is_mariadb: bool, id: u16) -> Arc<str> {
    let server = if is_mariadb { Family::MariaDb } else { Family::MySql };
    match Collation::of_id(server, id).map(Collation::name) {
        Some(name) if is_mariadb => own_name(name).into(),
        Some(name) => name.into(),
        // Nobody compares by one of which only the number is known.
        None => format!("number {id}").into(),
    }
}

/// Of a name that MariaDB has taken from MySQL.
pub(crate) fn own_name(name: &str) -> String {
    match name.strip_prefix("utf8mb4_0900_a") {
        Some(rest) => format!("utf8mb4_uca1400_nopad_a{rest}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server;
    use crate::wire::Connection;

    fn compare(collation: &str, a: &str, b: &str) -> Option<Ordering> {
        let order = AsciiOrder::of(collation)?;
        (order.covers(a) && order.covers(b)).then(|| order.compare(a, b))
    }

    #[test]
    fn texts_compare_by_weights_level_by_level() {
        use Ordering::*;
        for (collation, a, b, expected) in [
            ("utf8mb4_0900_ai_ci", "a", "A", Equal),
            ("utf8mb4_0900_ai_ci", "a", "a ", Less),
            ("utf8mb4_0900_ai_ci", "-", "0", Less),
            ("utf8mb4_0900_ai_ci", "9", "a", Less),
            ("utf8mb4_0900_as_cs", "a", "A", Less),
            ("utf8mb4_0900_as_cs", "ab", "Aa", Greater),
            ("utf8mb4_general_ci", "a", "A  ", Equal),
            ("utf8mb4_general_ci", "a\t", "a", Less),
            ("utf8mb4_general_ci", "_", "a", Greater),
            ("utf8mb4_bin", "a", "A", Greater),
            ("utf8mb4_bin", "", " ", Equal),
            ("utf8mb4_0900_bin", "", " ", Less),
        ] {
            assert_eq!(compare(collation, a, b), Some(expected), "{collation}: {a:?}, {b:?}");
            assert_eq!(compare(collation, b, a), Some(expected.reverse()), "{collation}: {b:?}, {a:?}");
        }
        assert_eq!(compare("utf8mb4_0900_ai_ci", "a\0", "a"), None);
        assert_eq!(compare("utf8mb4_bin", "a\u{e9}", "a"), None);
        assert_eq!(compare("utf8mb4_sv_0900_ai_ci", "a", "b"), None);
    }

    /// Random texts in a table of the server's, in its order and with its own count of what is equal.
    #[test]
    fn the_server_orders_ascii_text_as_the_weights_say() {
        let Some(options) = test_server::options("TIDEGATE_TEST_MYSQL") else { return };
        let mut connection = Connection::connect(&options).unwrap();
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for (collation, order) in ORDERS.iter() {
            let charset = collation.split('_').next().unwrap();
            // Few different characters at a time, so that texts have much in common.
            let mut texts = Vec::new();
            while texts.len() < 2_000 {
                let characters: Vec<u8> = (0..4).map(|_| random.u8(0..128)).collect();
                let length = random.usize(0..6);
                let text: String = (0..length).map(|_| char::from(characters[random.usize(..4)])).collect();
                if order.covers(&text) {
                    texts.push(text);
                }
            }
            let rows: Vec<String> = texts
                .iter()
                .map(|text| {
                    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                    format!("ROW(CONVERT(_ascii X'{hex}' USING {charset}) COLLATE {collation})")
                })
                .collect();
            let sql = format!(
                "SELECT HEX(CONVERT(k USING utf8mb4)), DENSE_RANK() OVER (ORDER BY k) FROM (VALUES {}) AS v (k) ORDER BY k",
                rows.join(", ")
            );
            let results = connection.query(&sql).unwrap();
            let row = |row: &Vec<Option<Vec<u8>>>| {
                let cell = |index: usize| String::from_utf8(row[index].clone().unwrap()).unwrap();
                let bytes =
                    (0..cell(0).len() / 2).map(|at| u8::from_str_radix(&cell(0)[2 * at..2 * at + 2], 16).unwrap());
                (String::from_utf8(bytes.collect()).unwrap(), cell(1).parse::<u64>().unwrap())
            };
            let sorted: Vec<(String, u64)> = results[0].rows.iter().map(row).collect();
            assert_eq!(sorted.len(), texts.len());
            for pair in sorted.windows(2) {
                let ((a, a_rank), (b, b_rank)) = (&pair[0], &pair[1]);
                assert_eq!(order.compare(a, b), a_rank.cmp(b_rank), "{collation}: {a:?}, {b:?}");
            }
            println!("{collation}: {} different texts", sorted.last().unwrap().1);
        }
    }
}
