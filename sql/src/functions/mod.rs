//! Which functions an expression may call, and what they mean.
//!
//! A function is allowed if it gives the same result on every run and if it means what MySQL means by that name. Most are
//! ours, a file for each family; [`kernel`] is what they have in common. Names that MySQL does not have mean what
//! DataFusion says. What cannot be the same as in MySQL is [`refused`], with what to write instead.
//!
//! ```text
//! lpad(name, 5, '*')     Function { parameters: [Text, Integer, Text], returns: Text, run: string::lpad }
//!                                                |
//!                        the call is lowered: every argument is brought to the type of its parameter, or refused
//! ```

mod case;
pub(crate) mod clock;
pub(crate) mod date;
pub(crate) mod encode;
pub(crate) mod hash;
pub(crate) mod json;
pub(crate) mod kernel;
pub(crate) mod label;
mod mask;
pub(crate) mod number;
pub(crate) mod regexp;
pub(crate) mod string;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_expr::ScalarUDF;

use crate::error::nearest;
use kernel::{Kernel, Run};

/// What a call of a function becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meaning {
    /// A kernel of ours.
    Kernel(&'static Function),
    /// A call of this DataFusion function with the same arguments.
    Direct(&'static str),
    /// An expression whose form or types depend on its arguments; see `lower/calls.rs`.
    Rewritten(Rewrite),
}

/// What an argument is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// Text, whatever its character set: characters are what counts. Numbers and dates become text.
    Text,
    /// Text that is written in the expression.
    Literal,
    /// Text of which upper and lower case are known.
    Letters,
    /// The bytes of text in its own character set, or binary values.
    Bytes,
    /// Binary values; text comes as text, and is none.
    Address,
    /// BIGINT.
    Integer,
    /// BIGINT, unsigned or not.
    Bits,
    Double,
    /// DATE, DATETIME or TIMESTAMP; dates that do not exist come as they are.
    Date,
    /// TIME, or what [`Parameter::Date`] takes.
    Time,
    /// JSON.
    Document,
    /// The path of a JSON value, a literal.
    Path,
    /// A literal of JSON that is looked for.
    Candidate,
    /// What becomes a part of JSON; NULL comes as it is.
    Value,
}

/// A function with a fixed result type.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// So many of the last parameters may be left out.
    pub(crate) optional: usize,
    /// So many of the last parameters may come again and again.
    pub(crate) repeats: usize,
    returns: Returns,
    run: Run,
    nulls: Nulls,
}

/// Where a result is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// Where an argument is.
    Kept,
    /// Anywhere.
    Made,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returns {
    Text,
    Bytes,
    Integer,
    /// A difference that is negative is out of range.
    Unsigned,
    Double,
    Condition,
    Date,
    Time,
    Document,
}

impl Function {
    const fn new(name: &'static str, parameters: &'static [Parameter], returns: Returns, run: Run) -> Function {
        Function { name, parameters, optional: 0, repeats: 0, returns, run, nulls: Nulls::Kept }
    }

    const fn optional(self, optional: usize) -> Function {
        Function { optional, ..self }
    }

    const fn repeats(self) -> Function {
        Function { repeats: 1, ..self }
    }

    const fn repeats_pairs(self) -> Function {
        Function { repeats: 2, ..self }
    }

    /// It can be NULL though no argument is.
    const fn or_null(self) -> Function {
        Function { nulls: Nulls::Made, ..self }
    }

    /// It is not NULL even where an argument is.
    const fn never_null(self) -> Function {
        Function { nulls: Nulls::None, ..self }
    }

    pub(crate) fn takes(&self, arguments: usize) -> bool {
        let most = self.parameters.len();
        let whole_pairs = self.repeats < 2 || arguments % 2 == most % 2;
        arguments >= most - self.optional && (arguments <= most || self.repeats > 0) && whole_pairs
    }

    /// The parameter of an argument, by its place.
    pub(crate) fn parameter(&self, at: usize) -> Parameter {
        match at.checked_sub(self.parameters.len()) {
            Some(again) => self.parameters[self.parameters.len() - self.repeats + again % self.repeats],
            None => self.parameters[at],
        }
    }

    pub(crate) fn kernel(&self) -> Kernel {
        let returns = match self.returns {
            Returns::Text => DataType::Utf8,
            Returns::Bytes => DataType::Binary,
            Returns::Integer => DataType::Int64,
            Returns::Unsigned => DataType::UInt32,
            Returns::Double => DataType::Float64,
            Returns::Condition => DataType::Boolean,
            Returns::Date => DataType::Date32,
            Returns::Time => DataType::Duration(TimeUnit::Microsecond),
            Returns::Document => DataType::LargeUtf8,
        };
        let kernel = Kernel::new(self.name, returns, self.run);
        match self.nulls {
            Nulls::Kept => kernel.keeps_nulls(),
            Nulls::Made => kernel,
            Nulls::None => kernel.never_null(),
        }
    }
}

/// Functions whose result type, or whose form, depends on their arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    Abs,
    AddTime { forwards: bool },
    Ceiling,
    ConvertTz,
    DateAdd,
    DateDiff,
    DateSub,
    Extreme { largest: bool },
    Field,
    Floor,
    Format,
    FromUnixtime,
    GetFormat,
    Hex,
    If,
    Interval,
    IsNull,
    MakeTime,
    Mod,
    Regexp(Regexp),
    Round,
    SecToTime,
    Sha2,
    Sign,
    StrToDate,
    TimeDiff,
    Timestamp,
    TimestampAdd,
    TimestampDiff,
    Truncate,
    UnixTimestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Regexp {
    Like,
    Replace,
    Substr,
    Instr,
}

use Parameter as P;
use Returns as R;

/// Functions of ours with a fixed result type, by their first names.
static FUNCTIONS: &[Function] = &[
    // Text
    Function::new("ascii", &[P::Bytes], R::Integer, string::ascii),
    Function::new("bin", &[P::Bits], R::Text, encode::bin),
    Function::new("bit_length", &[P::Bytes], R::Integer, string::bit_length),
    Function::new("char", &[P::Bits], R::Bytes, string::char).repeats().never_null(),
    Function::new("char_length", &[P::Text], R::Integer, string::char_length),
    Function::new("concat", &[P::Text], R::Text, string::concat).repeats(),
    Function::new("concat_ws", &[P::Text, P::Text], R::Text, string::concat_ws).repeats(),
    Function::new("conv", &[P::Text, P::Integer, P::Integer], R::Text, encode::conv).or_null(),
    Function::new("elt", &[P::Integer, P::Text], R::Text, string::elt).repeats().or_null(),
    Function::new("export_set", &[P::Bits, P::Text, P::Text, P::Text, P::Integer], R::Text, string::export_set)
        .optional(2),
    Function::new("find_in_set", &[P::Text, P::Text], R::Integer, string::find_in_set),
    Function::new("from_base64", &[P::Text], R::Bytes, encode::from_base64).or_null(),
    Function::new("insert", &[P::Text, P::Integer, P::Integer, P::Text], R::Text, string::insert),
    Function::new("instr", &[P::Text, P::Text], R::Integer, string::instr),
    Function::new("left", &[P::Text, P::Integer], R::Text, string::left),
    Function::new("length", &[P::Bytes], R::Integer, string::length),
    Function::new("locate", &[P::Text, P::Text, P::Integer], R::Integer, string::locate).optional(1),
    Function::new("lower", &[P::Letters], R::Text, string::lower),
    Function::new("lpad", &[P::Text, P::Integer, P::Text], R::Text, string::lpad).or_null(),
    Function::new("ltrim", &[P::Text, P::Text], R::Text, string::ltrim).optional(1),
    Function::new("make_set", &[P::Integer, P::Text], R::Text, string::make_set).repeats(),
    Function::new("oct", &[P::Bits], R::Text, encode::oct),
    Function::new("ord", &[P::Bytes], R::Integer, string::ord),
    Function::new("quote", &[P::Text], R::Text, string::quote),
    Function::new("repeat", &[P::Text, P::Integer], R::Text, string::repeat),
    Function::new("replace", &[P::Text, P::Text, P::Text], R::Text, string::replace),
    Function::new("reverse", &[P::Text], R::Text, string::reverse),
    Function::new("right", &[P::Text, P::Integer], R::Text, string::right),
    Function::new("rpad", &[P::Text, P::Integer, P::Text], R::Text, string::rpad).or_null(),
    Function::new("rtrim", &[P::Text, P::Text], R::Text, string::rtrim).optional(1),
    Function::new("soundex", &[P::Text], R::Text, string::soundex),
    Function::new("space", &[P::Integer], R::Text, string::space),
    Function::new("strcmp", &[P::Text, P::Text], R::Integer, string::strcmp),
    Function::new("substring", &[P::Text, P::Integer, P::Integer], R::Text, string::substring).optional(1),
    Function::new("substring_index", &[P::Text, P::Text, P::Integer], R::Text, string::substring_index),
    Function::new("to_base64", &[P::Bytes], R::Text, encode::to_base64),
    Function::new("trim", &[P::Text, P::Text], R::Text, string::trim).optional(1),
    Function::new("unhex", &[P::Text], R::Bytes, encode::unhex).or_null(),
    Function::new("upper", &[P::Letters], R::Text, string::upper),
    // Masks
    Function::new("mask_canada_sin", &[P::Text, P::Text], R::Text, mask::canada_sin).optional(1),
    Function::new("mask_iban", &[P::Text, P::Text], R::Text, mask::iban).optional(1),
    Function::new("mask_inner", &[P::Text, P::Integer, P::Integer, P::Text], R::Text, mask::inner).optional(1),
    Function::new("mask_outer", &[P::Text, P::Integer, P::Integer, P::Text], R::Text, mask::outer).optional(1),
    Function::new("mask_pan", &[P::Text, P::Text], R::Text, mask::pan).optional(1),
    Function::new("mask_pan_relaxed", &[P::Text, P::Text], R::Text, mask::pan_relaxed).optional(1),
    Function::new("mask_ssn", &[P::Text, P::Text], R::Text, mask::ssn).optional(1),
    Function::new("mask_uk_nin", &[P::Text, P::Text], R::Text, mask::uk_nin).optional(1),
    Function::new("mask_uuid", &[P::Text, P::Text], R::Text, mask::uuid).optional(1),
    // Numbers
    Function::new("acos", &[P::Double], R::Double, number::acos).or_null(),
    Function::new("asin", &[P::Double], R::Double, number::asin).or_null(),
    Function::new("atan", &[P::Double, P::Double], R::Double, number::atan).optional(1),
    Function::new("bit_count", &[P::Bits], R::Integer, number::bit_count),
    Function::new("cos", &[P::Double], R::Double, number::cos),
    Function::new("cot", &[P::Double], R::Double, number::cot),
    Function::new("degrees", &[P::Double], R::Double, number::degrees),
    Function::new("exp", &[P::Double], R::Double, number::exp),
    Function::new("ln", &[P::Double], R::Double, number::ln).or_null(),
    Function::new("log", &[P::Double, P::Double], R::Double, number::log).optional(1).or_null(),
    Function::new("log10", &[P::Double], R::Double, number::log10).or_null(),
    Function::new("log2", &[P::Double], R::Double, number::log2).or_null(),
    Function::new("pi", &[], R::Double, number::pi),
    Function::new("power", &[P::Double, P::Double], R::Double, number::power),
    Function::new("radians", &[P::Double], R::Double, number::radians),
    Function::new("sin", &[P::Double], R::Double, number::sin),
    Function::new("sqrt", &[P::Double], R::Double, number::sqrt).or_null(),
    Function::new("tan", &[P::Double], R::Double, number::tan),
    // Dates and times
    Function::new("date", &[P::Date], R::Date, date::date).or_null(),
    Function::new("dayname", &[P::Date], R::Text, date::dayname).or_null(),
    Function::new("dayofmonth", &[P::Date], R::Integer, date::dayofmonth),
    Function::new("dayofweek", &[P::Date], R::Integer, date::dayofweek).or_null(),
    Function::new("dayofyear", &[P::Date], R::Integer, date::dayofyear).or_null(),
    Function::new("from_days", &[P::Integer], R::Date, date::from_days).or_null(),
    Function::new("hour", &[P::Time], R::Integer, date::hour),
    Function::new("last_day", &[P::Date], R::Date, date::last_day).or_null(),
    Function::new("makedate", &[P::Integer, P::Integer], R::Date, date::makedate).or_null(),
    Function::new("microsecond", &[P::Time], R::Integer, date::microsecond),
    Function::new("minute", &[P::Time], R::Integer, date::minute),
    Function::new("month", &[P::Date], R::Integer, date::month),
    Function::new("monthname", &[P::Date], R::Text, date::monthname).or_null(),
    Function::new("period_add", &[P::Integer, P::Integer], R::Integer, clock::period_add),
    Function::new("period_diff", &[P::Integer, P::Integer], R::Integer, clock::period_diff),
    Function::new("quarter", &[P::Date], R::Integer, date::quarter),
    Function::new("second", &[P::Time], R::Integer, date::second),
    Function::new("time", &[P::Time], R::Time, date::time),
    Function::new("time_format", &[P::Time, P::Text], R::Text, clock::time_format).or_null(),
    Function::new("time_to_sec", &[P::Time], R::Integer, date::time_to_sec),
    Function::new("to_days", &[P::Date], R::Integer, date::to_days).or_null(),
    Function::new("to_seconds", &[P::Date], R::Integer, date::to_seconds).or_null(),
    Function::new("week", &[P::Date, P::Integer], R::Integer, date::week).optional(1).or_null(),
    Function::new("weekday", &[P::Date], R::Integer, date::weekday).or_null(),
    Function::new("weekofyear", &[P::Date], R::Integer, date::weekofyear).or_null(),
    Function::new("year", &[P::Date], R::Unsigned, date::year),
    Function::new("yearweek", &[P::Date, P::Integer], R::Integer, date::yearweek).optional(1).or_null(),
    Function::new("date_format", &[P::Date, P::Text], R::Text, date::date_format).or_null(),
    // Hashes, addresses and UUIDs
    Function::new("bin_to_uuid", &[P::Bytes, P::Bits], R::Text, hash::bin_to_uuid).optional(1).or_null(),
    Function::new("crc32", &[P::Bytes], R::Unsigned, hash::crc32),
    Function::new("inet_aton", &[P::Text], R::Unsigned, hash::inet_aton).or_null(),
    Function::new("inet_ntoa", &[P::Integer], R::Text, hash::inet_ntoa).or_null(),
    Function::new("inet6_aton", &[P::Text], R::Bytes, hash::inet6_aton).or_null(),
    Function::new("inet6_ntoa", &[P::Address], R::Text, hash::inet6_ntoa).or_null(),
    Function::new("is_ipv4", &[P::Text], R::Condition, hash::is_ipv4),
    Function::new("is_ipv4_compat", &[P::Address], R::Condition, hash::is_ipv4_compat),
    Function::new("is_ipv4_mapped", &[P::Address], R::Condition, hash::is_ipv4_mapped),
    Function::new("is_ipv6", &[P::Text], R::Condition, hash::is_ipv6),
    Function::new("is_uuid", &[P::Text], R::Condition, hash::is_uuid),
    Function::new("md5", &[P::Bytes], R::Text, hash::md5),
    Function::new("sha1", &[P::Bytes], R::Text, hash::sha1),
    Function::new("uuid_to_bin", &[P::Text, P::Bits], R::Bytes, hash::uuid_to_bin).optional(1).or_null(),
    // JSON
    Function::new("json_array", &[P::Value], R::Document, json::change::array).optional(1).repeats().never_null(),
    Function::new("json_array_append", &[P::Document, P::Path, P::Value], R::Document, json::change::array_append)
        .repeats_pairs()
        .or_null(),
    Function::new("json_array_insert", &[P::Document, P::Path, P::Value], R::Document, json::change::array_insert)
        .repeats_pairs()
        .or_null(),
    Function::new("json_contains", &[P::Document, P::Candidate, P::Path], R::Condition, json::contains)
        .optional(1)
        .or_null(),
    Function::new("json_contains_path", &[P::Document, P::Text, P::Path], R::Condition, json::contains_path)
        .repeats()
        .or_null(),
    Function::new("json_depth", &[P::Document], R::Integer, json::depth),
    Function::new("json_extract", &[P::Document, P::Path], R::Document, json::extract).repeats().or_null(),
    Function::new("json_insert", &[P::Document, P::Path, P::Value], R::Document, json::change::insert)
        .repeats_pairs()
        .or_null(),
    Function::new("json_keys", &[P::Document, P::Path], R::Document, json::keys).optional(1).or_null(),
    Function::new("json_length", &[P::Document, P::Path], R::Integer, json::length).optional(1).or_null(),
    Function::new("json_merge_patch", &[P::Document, P::Document], R::Document, json::change::merge_patch)
        .repeats()
        .or_null(),
    Function::new("json_merge_preserve", &[P::Document, P::Document], R::Document, json::change::merge_preserve)
        .repeats()
        .or_null(),
    Function::new("json_object", &[P::Text, P::Value], R::Document, json::change::object)
        .optional(2)
        .repeats_pairs()
        .never_null(),
    Function::new("json_overlaps", &[P::Document, P::Candidate], R::Condition, json::overlaps).or_null(),
    Function::new("json_pretty", &[P::Document], R::Text, json::change::pretty),
    Function::new("json_quote", &[P::Text], R::Text, json::quote),
    Function::new("json_remove", &[P::Document, P::Path], R::Document, json::change::remove).repeats().or_null(),
    Function::new("json_replace", &[P::Document, P::Path, P::Value], R::Document, json::change::replace)
        .repeats_pairs()
        .or_null(),
    Function::new("json_search", &[P::Document, P::Literal, P::Literal], R::Document, json::look::search).or_null(),
    Function::new("json_set", &[P::Document, P::Path, P::Value], R::Document, json::change::set)
        .repeats_pairs()
        .or_null(),
    Function::new("json_type", &[P::Document], R::Text, json::look::kind),
    Function::new("json_unquote", &[P::Document], R::Text, json::unquote),
    Function::new("json_valid", &[P::Text], R::Condition, json::valid),
    Function::new("json_value", &[P::Document, P::Path], R::Text, json::look::value).or_null(),
];

/// Further names of functions of ours.
const ALIASES: &[(&str, &str)] = &[
    ("atan2", "atan"),
    ("character_length", "char_length"),
    ("day", "dayofmonth"),
    ("json_merge", "json_merge_preserve"),
    ("lcase", "lower"),
    ("mid", "substring"),
    ("octet_length", "length"),
    ("position", "locate"),
    ("pow", "power"),
    ("sha", "sha1"),
    ("substr", "substring"),
    ("ucase", "upper"),
];

const REWRITTEN: &[(&str, Rewrite)] = &[
    ("abs", Rewrite::Abs),
    ("adddate", Rewrite::DateAdd),
    ("addtime", Rewrite::AddTime { forwards: true }),
    ("ceil", Rewrite::Ceiling),
    ("ceiling", Rewrite::Ceiling),
    ("convert_tz", Rewrite::ConvertTz),
    ("date_add", Rewrite::DateAdd),
    ("date_sub", Rewrite::DateSub),
    ("datediff", Rewrite::DateDiff),
    ("field", Rewrite::Field),
    ("floor", Rewrite::Floor),
    ("format", Rewrite::Format),
    ("from_unixtime", Rewrite::FromUnixtime),
    ("get_format", Rewrite::GetFormat),
    ("greatest", Rewrite::Extreme { largest: true }),
    ("hex", Rewrite::Hex),
    ("if", Rewrite::If),
    ("interval", Rewrite::Interval),
    ("isnull", Rewrite::IsNull),
    ("least", Rewrite::Extreme { largest: false }),
    ("maketime", Rewrite::MakeTime),
    ("mod", Rewrite::Mod),
    ("regexp_instr", Rewrite::Regexp(Regexp::Instr)),
    ("regexp_like", Rewrite::Regexp(Regexp::Like)),
    ("regexp_replace", Rewrite::Regexp(Regexp::Replace)),
    ("regexp_substr", Rewrite::Regexp(Regexp::Substr)),
    ("round", Rewrite::Round),
    ("sec_to_time", Rewrite::SecToTime),
    ("sha2", Rewrite::Sha2),
    ("sign", Rewrite::Sign),
    ("str_to_date", Rewrite::StrToDate),
    ("subdate", Rewrite::DateSub),
    ("subtime", Rewrite::AddTime { forwards: false }),
    ("timediff", Rewrite::TimeDiff),
    ("timestamp", Rewrite::Timestamp),
    ("timestampadd", Rewrite::TimestampAdd),
    ("timestampdiff", Rewrite::TimestampDiff),
    ("truncate", Rewrite::Truncate),
    ("unix_timestamp", Rewrite::UnixTimestamp),
];

/// Functions of DataFusion, by the names that expressions call them.
const DIRECT: &[(&str, &str)] = &[
    ("coalesce", "coalesce"),
    ("ifnull", "coalesce"),
    ("nullif", "nullif"),
    // Not MySQL's.
    ("contains", "contains"),
    ("date_part", "date_part"),
    ("ends_with", "ends_with"),
    ("initcap", "initcap"),
    ("levenshtein", "levenshtein"),
    ("sha224", "sha224"),
    ("sha256", "sha256"),
    ("sha384", "sha384"),
    ("sha512", "sha512"),
    ("split_part", "split_part"),
    ("starts_with", "starts_with"),
    ("translate", "translate"),
];

/// Functions of MySQL that are refused, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("aes_decrypt", "Keys do not belong into an expression."),
    ("aes_encrypt", "Keys do not belong into an expression."),
    ("benchmark", "It is about statements, not about rows."),
    ("charset", "It depends on the column, not on the value."),
    ("coercibility", "It depends on the column, not on the value."),
    ("collation", "It depends on the column, not on the value."),
    ("compress", "Let the topic be compressed."),
    ("extractvalue", "Take XML apart where it is consumed."),
    ("format_bytes", "Write what counts: x / 1024."),
    ("format_pico_time", "Write what counts: x / 1000000000000."),
    ("gen_range", "It gives another result on another run."),
    ("gen_rnd_email", "It gives another result on another run."),
    ("gtid_subset", "It is about transactions, not about rows."),
    ("gtid_subtract", "It is about transactions, not about rows."),
    ("json_schema_valid", "Write what decides: json_contains_path(x, 'all', '$.a', '$.b')."),
    ("json_schema_validation_report", "Write what decides: json_contains_path(x, 'all', '$.a', '$.b')."),
    ("json_storage_free", "It depends on the server, not on the value."),
    ("json_storage_size", "It depends on the server, not on the value."),
    ("json_table", "An expression sees one row and makes one value."),
    ("load_file", "An expression sees one row only."),
    ("random_bytes", "It gives another result on another run."),
    ("st_astext", "Select the column itself: functions of geometries are not here."),
    ("st_x", "Select the column itself: functions of geometries are not here."),
    ("statement_digest", "It is about statements, not about rows."),
    ("statement_digest_text", "It is about statements, not about rows."),
    ("string_to_vector", "Select the column itself: functions of vectors are not here."),
    ("to_char", "Its formats are Oracle's, on MariaDB; write date_format(x, '%Y-%m-%d %H:%i:%s')."),
    ("uncompress", "Select the column itself."),
    ("uncompressed_length", "Select the column itself."),
    ("updatexml", "Take XML apart where it is consumed."),
    ("validate_password_strength", "It depends on the server, not on the value."),
    ("vector_dim", "Select the column itself: functions of vectors are not here."),
    ("vector_to_string", "Select the column itself: functions of vectors are not here."),
    ("weight_string", "It depends on the server's collation; compare the texts."),
];

/// The names that an expression may call, for the manual.
pub fn functions() -> impl Iterator<Item = &'static str> {
    let ours = FUNCTIONS.iter().map(|function| function.name);
    let aliases = ALIASES.iter().map(|(name, _)| *name);
    ours.chain(aliases).chain(REWRITTEN.iter().map(|(name, _)| *name)).chain(DIRECT.iter().map(|(name, _)| *name))
}

/// What `name` (in lower case) means.
pub(crate) fn meaning(name: &str) -> Option<Meaning> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
    let ours = FUNCTIONS.iter().find(|function| function.name == name).map(Meaning::Kernel);
    let rewritten =
        || REWRITTEN.iter().find(|(known, _)| *known == name).map(|(_, rewrite)| Meaning::Rewritten(*rewrite));
    let direct = || DIRECT.iter().find(|(known, _)| *known == name).map(|(_, direct)| Meaning::Direct(direct));
    ours.or_else(rewritten).or_else(direct)
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
        "decode" | "encode" => (
            format!("{name}() is not a function of MySQL"),
            hint("Write hex(x) and unhex(x), or to_base64(x) and from_base64(x)."),
        ),
        "convert" => ("convert() is not supported".to_owned(), hint("Write CAST(x AS type).")),
        _ => match REFUSED.iter().find(|(known, _)| *known == name) {
            Some((_, advice)) => (format!("{name}() is not supported"), hint(advice)),
            None => {
                let hint = nearest(name, functions()).map(|nearest| format!("Did you mean {nearest}()?"));
                (format!("no function {name}()"), hint)
            }
        },
    }
}

#[cfg(test)]
mod manual;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_direct_function_exists() {
        for (name, datafusion_name) in DIRECT {
            assert!(implementation(datafusion_name).is_some(), "{name} is {datafusion_name}");
        }
    }

    #[test]
    fn a_misspelt_function_is_guessed() {
        assert_eq!(refused("uper").1.as_deref(), Some("Did you mean upper()?"));
        assert_eq!(refused("frobnicate").1, None);
    }
}
