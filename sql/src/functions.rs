//! Which functions an expression may call, and what they mean.
//!
//! A function is allowed if it gives the same result on every run and if it means what a MySQL user expects of that
//! name. Where DataFusion's function of the same name means something else, the call is either rewritten
//! ([`Function::Rewritten`]) or refused with what to write instead ([`refused`]). Names that MySQL does not have mean what DataFusion says.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion_expr::ScalarUDF;

use crate::error::nearest;

/// What a call of a function becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// A call of this DataFusion function with the same arguments.
    Direct(&'static str),
    /// An expression of other things; see `lower.rs`.
    Rewritten(Rewrite),
}

/// Functions that are no single call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// NULL if any argument is (DataFusion's own `concat` skips them).
    Concat,
    If,
    Mod,
    /// The date of a date-time.
    Date,
    DateDiff,
    DateAdd,
    DateSub,
    /// A field of a date-time by its DataFusion name.
    Part(&'static str),
    /// 1 is Sunday.
    DayOfWeek,
    /// All matches are replaced (DataFusion's own replaces the first).
    RegexpReplace,
}

const FUNCTIONS: &[(&str, Function)] = &[
    // Choice
    ("coalesce", Function::Direct("coalesce")),
    ("if", Function::Rewritten(Rewrite::If)),
    ("ifnull", Function::Direct("nvl")),
    ("nullif", Function::Direct("nullif")),
    // Text
    ("bit_length", Function::Direct("bit_length")),
    ("char_length", Function::Direct("character_length")),
    ("character_length", Function::Direct("character_length")),
    ("concat", Function::Rewritten(Rewrite::Concat)),
    ("concat_ws", Function::Direct("concat_ws")),
    ("contains", Function::Direct("contains")),
    ("ends_with", Function::Direct("ends_with")),
    ("find_in_set", Function::Direct("find_in_set")),
    ("initcap", Function::Direct("initcap")),
    ("instr", Function::Direct("strpos")),
    ("lcase", Function::Direct("lower")),
    ("left", Function::Direct("left")),
    ("length", Function::Direct("octet_length")),
    ("levenshtein", Function::Direct("levenshtein")),
    ("lower", Function::Direct("lower")),
    ("lpad", Function::Direct("lpad")),
    ("ltrim", Function::Direct("ltrim")),
    ("octet_length", Function::Direct("octet_length")),
    ("regexp_count", Function::Direct("regexp_count")),
    ("regexp_like", Function::Direct("regexp_like")),
    ("regexp_replace", Function::Rewritten(Rewrite::RegexpReplace)),
    ("repeat", Function::Direct("repeat")),
    ("replace", Function::Direct("replace")),
    ("reverse", Function::Direct("reverse")),
    ("right", Function::Direct("right")),
    ("rpad", Function::Direct("rpad")),
    ("rtrim", Function::Direct("rtrim")),
    ("split_part", Function::Direct("split_part")),
    ("starts_with", Function::Direct("starts_with")),
    ("substr", Function::Direct("substr")),
    ("substring", Function::Direct("substr")),
    ("substring_index", Function::Direct("substr_index")),
    ("translate", Function::Direct("translate")),
    ("trim", Function::Direct("btrim")),
    ("ucase", Function::Direct("upper")),
    ("upper", Function::Direct("upper")),
    // Bytes
    ("decode", Function::Direct("decode")),
    ("encode", Function::Direct("encode")),
    ("md5", Function::Direct("md5")),
    ("sha224", Function::Direct("sha224")),
    ("sha256", Function::Direct("sha256")),
    ("sha384", Function::Direct("sha384")),
    ("sha512", Function::Direct("sha512")),
    // Numbers
    ("abs", Function::Direct("abs")),
    ("ceil", Function::Direct("ceil")),
    ("ceiling", Function::Direct("ceil")),
    ("exp", Function::Direct("exp")),
    ("floor", Function::Direct("floor")),
    ("ln", Function::Direct("ln")),
    ("log10", Function::Direct("log10")),
    ("log2", Function::Direct("log2")),
    ("mod", Function::Rewritten(Rewrite::Mod)),
    ("pow", Function::Direct("power")),
    ("power", Function::Direct("power")),
    ("round", Function::Direct("round")),
    ("sign", Function::Direct("signum")),
    ("sqrt", Function::Direct("sqrt")),
    ("truncate", Function::Direct("trunc")),
    // Dates and times
    ("date", Function::Rewritten(Rewrite::Date)),
    ("date_add", Function::Rewritten(Rewrite::DateAdd)),
    ("date_part", Function::Direct("date_part")),
    ("date_sub", Function::Rewritten(Rewrite::DateSub)),
    ("datediff", Function::Rewritten(Rewrite::DateDiff)),
    ("day", Function::Rewritten(Rewrite::Part("day"))),
    ("dayofmonth", Function::Rewritten(Rewrite::Part("day"))),
    ("dayofweek", Function::Rewritten(Rewrite::DayOfWeek)),
    ("dayofyear", Function::Rewritten(Rewrite::Part("doy"))),
    ("hour", Function::Rewritten(Rewrite::Part("hour"))),
    ("minute", Function::Rewritten(Rewrite::Part("minute"))),
    ("month", Function::Rewritten(Rewrite::Part("month"))),
    ("quarter", Function::Rewritten(Rewrite::Part("quarter"))),
    ("second", Function::Rewritten(Rewrite::Part("second"))),
    ("to_char", Function::Direct("to_char")),
    ("unix_timestamp", Function::Direct("to_unixtime")),
    ("year", Function::Rewritten(Rewrite::Part("year"))),
];

/// Arguments that must be integer literals of at least this size: below it (and only there) MySQL and DataFusion disagree,
/// such as in `substr(s, -3)`, the last three characters for one and all of them for the other.
const LITERALS_AT_LEAST: &[(&str, usize, i64)] = &[
    ("left", 1, 0),
    ("right", 1, 0),
    ("substr", 1, 1),
    ("substr", 2, 0),
    ("lpad", 1, 0),
    ("rpad", 1, 0),
    ("repeat", 1, 0),
];

/// The names that an expression may call, for the manual.
pub fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// What `name` (in lower case) means.
pub(crate) fn function(name: &str) -> Option<Function> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// The smallest integer literal that argument `index` of a DataFusion function may be, if it must be one.
pub(crate) fn literal_at_least(datafusion_name: &str, index: usize) -> Option<i64> {
    LITERALS_AT_LEAST.iter().find(|(name, at, _)| *name == datafusion_name && *at == index).map(|(_, _, least)| *least)
}

pub(crate) fn implementation(datafusion_name: &str) -> Option<Arc<ScalarUDF>> {
    static BY_NAME: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
        let functions = datafusion_functions::all_default_functions();
        functions.into_iter().map(|function| (function.name().to_owned(), function)).collect()
    });
    BY_NAME.get(datafusion_name).cloned()
}

/// Why `name` (in lower case) is not allowed, and what to write instead.
pub(crate) fn refused(name: &str) -> (String, Option<String>) {
    let hint = |text: &str| Some(text.to_owned());
    match name {
        "now" | "current_timestamp" | "current_date" | "current_time" | "curdate" | "curtime" | "localtime"
        | "localtimestamp" | "sysdate" | "utc_date" | "utc_time" | "utc_timestamp" | "today" | "rand" | "random"
        | "uuid" | "uuid_short" | "connection_id" | "user" | "current_user" | "session_user" | "database"
        | "schema" | "version" | "last_insert_id" | "row_count" | "found_rows" | "sleep" => (
            format!("{name}() gives another result on another run"),
            hint("A change that is sent again must be the same; write a constant."),
        ),
        "count" | "sum" | "avg" | "min" | "max" | "group_concat" | "string_agg" | "array_agg" | "stddev"
        | "variance" | "any_value" | "bit_and" | "bit_or" | "bit_xor" | "json_arrayagg" | "json_objectagg"
        | "median" => (format!("{name}() is an aggregate, an expression sees one row"), None),
        "row_number" | "rank" | "dense_rank" | "lag" | "lead" | "first_value" | "last_value" | "nth_value"
        | "ntile" | "percent_rank" | "cume_dist" => {
            (format!("{name}() is a window function, an expression sees one row"), None)
        }
        "date_format" => (
            "date_format() is not supported".to_owned(),
            hint("Write to_char(value, '%Y-%m-%d %H:%M:%S'); its letters are those of strftime."),
        ),
        "greatest" | "least" => (
            format!("{name}() is not supported"),
            hint("Write CASE WHEN a > b THEN a ELSE b END, which says what happens to NULL."),
        ),
        "locate" | "position" | "strpos" => (format!("{name}() is not supported"), hint("Write instr(text, part).")),
        "isnull" => ("isnull() is not supported".to_owned(), hint("Write x IS NULL.")),
        "convert" => ("convert() is not supported".to_owned(), hint("Write CAST(x AS type).")),
        _ => {
            let hint = nearest(name, functions()).map(|nearest| format!("Did you mean {nearest}()?"));
            (format!("no function {name}()"), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_direct_function_exists() {
        for (name, function) in FUNCTIONS {
            if let Function::Direct(datafusion_name) = function {
                assert!(implementation(datafusion_name).is_some(), "{name} is {datafusion_name}");
            }
        }
    }

    #[test]
    fn a_misspelt_function_is_guessed() {
        assert_eq!(refused("uper").1.as_deref(), Some("Did you mean upper()?"));
        assert_eq!(refused("frobnicate").1, None);
    }
}
