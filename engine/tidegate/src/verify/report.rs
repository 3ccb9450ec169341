//! What came out: for people and as JSON.

use std::fmt;

use serde::Serialize;

use tidegate_model::words::{counted, grouped};

/// Of the JSON; another one means that a field means something else, or is gone.
pub const VERSION: u32 = 1;

/// What `tidegate verify` prints. Fields are as [verify.md](../../../verify.md) tells.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub version: u32,
    pub task: String,
    pub equal: bool,
    /// Whether what was compared was delivered up to a place behind the last row read.
    pub delivered: bool,
    pub seconds: f64,
    pub messages: u64,
    /// What is not about one table.
    pub notes: Vec<String>,
    pub tables: Vec<TableReport>,
    /// What was done about it, if that was asked for and anything was to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

/// What `--repair` did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Repair {
    /// What is asked for as by `tidegate reload`.
    pub again: Vec<Again>,
    /// What stays as it is, and why.
    pub left: Vec<String>,
}

/// Rows of a table of the source that are loaded again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Again {
    pub table: String,
    /// All, if that is none.
    #[serde(rename = "where")]
    pub condition: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// As it is called where it goes.
    pub table: String,
    pub sources: Vec<String>,
    pub topics: Vec<String>,
    pub key: Vec<String>,
    pub verdict: Verdict,
    pub rows: Rows,
    pub explained: Explained,
    pub keys: Keys,
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Equal,
    Different,
    /// Nothing differs, and not everything could be compared.
    Unproven,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Equal => "equal",
            Verdict::Different => "DIFFERENT",
            Verdict::Unproven => "unproven",
        })
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rows {
    pub source: u64,
    pub topic: u64,
    pub missing: u64,
    pub extra: u64,
    pub different: u64,
}

/// Rows that differ, and should.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Explained {
    pub too_large: u64,
    pub gone_by_statement: u64,
    pub shared_key: u64,
}

/// The first keys of each kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Keys {
    pub missing: Vec<serde_json::Value>,
    pub extra: Vec<serde_json::Value>,
    pub different: Vec<serde_json::Value>,
}

impl Report {
    /// As JSON, with the fields in the order in which they are documented.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys only")
    }
}

impl fmt::Display for Report {
    /// ```text
    /// table        verdict    source rows  topic rows  missing  extra  different
    /// shop.items   equal        1,201,332   1,201,332        0      0          0
    /// shop.orders  DIFFERENT      812,004     812,005        0      1          0
    ///
    /// shop.orders: extra {"id":"7"}
    ///
    /// 1 table of 2 differs
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADS: [&str; 7] = ["table", "verdict", "source rows", "topic rows", "missing", "extra", "different"];
        let lines = self.tables.iter().map(|table| {
            let Rows { source, topic, missing, extra, different } = table.rows;
            let [name, verdict] = [table.table.clone(), table.verdict.to_string()];
            let [a, b, c, d, e] = [source, topic, missing, extra, different].map(grouped);
            [name, verdict, a, b, c, d, e]
        });
        let lines: Vec<[String; 7]> = std::iter::once(HEADS.map(str::to_owned)).chain(lines).collect();
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let [a, b, c, d, e, g, h]: [usize; 7] = std::array::from_fn(width);
        for [name, verdict, source, topic, missing, extra, different] in &lines {
            writeln!(
                f,
                "{name:a$}  {verdict:b$}  {source:>c$}  {topic:>d$}  {missing:>e$}  {extra:>g$}  {different:>h$}"
            )?;
        }
        writeln!(f)?;
        for table in &self.tables {
            let Keys { missing, extra, different } = &table.keys;
            for (kind, keys) in [("missing", missing), ("extra", extra), ("different", different)] {
                for key in keys {
                    writeln!(f, "{}: {kind} {key}", table.table)?;
                }
            }
            for note in &table.notes {
                writeln!(f, "{}: {note}", table.table)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        let count = |verdict| self.tables.iter().filter(|table| table.verdict == verdict).count();
        let all = counted(self.tables.len() as u64, "table");
        match (count(Verdict::Different), count(Verdict::Unproven)) {
            (0, 0) => match self.tables.iter().map(|table| table.explained.too_large).sum() {
                0 => writeln!(f, "the topics hold what the source holds"),
                rows => writeln!(
                    f,
                    "the topics hold what the source holds, but for {} too large for them",
                    counted(rows, "row")
                ),
            },
            (0, unproven) => {
                writeln!(f, "no difference was found; {unproven} of {all} could not be compared as a whole")
            }
            (1, _) if self.tables.len() == 1 => writeln!(f, "the table differs"),
            (different, _) => writeln!(f, "{different} of {all} differ"),
        }
    }
}
