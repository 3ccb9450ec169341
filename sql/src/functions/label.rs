//! ENUM and SET as numbers: the place of a label among all, from 1 on, and a bit for each label. The labels are the other arguments.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion_common::Result;

use super::kernel::{Call, Cell, Kernel, Miss, value_or_null};

/// The place of a label; the empty text that stands for what is none has 0.
pub(crate) fn of_enum() -> Kernel {
    Kernel::new("place_of_label", DataType::UInt64, |call| {
        let places = labels(call);
        numbers(call, |text| match text {
            "" => Ok(0),
            label => places.get(label).map(|place| place + 1).ok_or(Miss::Refused),
        })
    })
    .keeps_nulls()
}

/// The bits of labels with commas between.
pub(crate) fn of_set() -> Kernel {
    Kernel::new("bits_of_labels", DataType::UInt64, |call| {
        let places = labels(call);
        numbers(call, |text| match text {
            "" => Ok(0),
            text => text
                .split(',')
                .try_fold(0, |bits, label| places.get(label).map(|place| bits | 1 << place).ok_or(Miss::Refused)),
        })
    })
    .keeps_nulls()
}

fn labels<'a>(call: &'a Call<'_>) -> HashMap<&'a str, u64> {
    let labels = (1..call.arity()).filter_map(|at| call.texts(at).get(0).ok());
    labels.zip(0..).collect()
}

/// Each label of a dictionary is looked up once.
fn numbers(call: &Call<'_>, number: impl Fn(&str) -> Cell<u64>) -> Result<ArrayRef> {
    let column = call.array(0);
    match column.as_any_dictionary_opt() {
        Some(dictionary) => {
            // What no row has may be no label.
            let known: UInt64Array =
                texts(dictionary.values())?.iter().map(|text| number(text.unwrap_or_default()).ok()).collect();
            let found = take(&known, dictionary.keys(), None)?;
            if found.null_count() > dictionary.keys().null_count() {
                return Err(Miss::Refused.error());
            }
            Ok(found)
        }
        None => {
            let texts = texts(column)?;
            let found = texts.iter().map(|text| text.map(|text| value_or_null(number(text))).transpose());
            Ok(Arc::new(found.map(|number| Ok(number?.flatten())).collect::<Result<UInt64Array>>()?))
        }
    }
}

fn texts(array: &ArrayRef) -> Result<StringArray> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}
