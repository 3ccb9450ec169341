//! Functions of one or two doubles.

use arrow::array::ArrayRef;
use arrow::datatypes::Float64Type;
use datafusion_common::Result;

use super::super::kernel::{Call, Miss};
use super::finite;

/// A function of one double that is NULL outside of its domain and an error where it is not finite.
fn doubles(call: &Call<'_>, of: impl Fn(f64) -> Option<f64>) -> Result<ArrayRef> {
    let values = call.numbers::<Float64Type>(0);
    finite(call.make_numbers::<Float64Type>(|row| of(values.get(row)?).ok_or(Miss::Null))?)
}

pub(in crate::functions) fn sqrt(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| (x >= 0.0).then(|| x.sqrt()))
}

pub(in crate::functions) fn exp(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| Some(x.exp()))
}

pub(in crate::functions) fn ln(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| (x > 0.0).then(|| x.ln()))
}

pub(in crate::functions) fn log2(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| (x > 0.0).then(|| x.log2()))
}

pub(in crate::functions) fn log10(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| (x > 0.0).then(|| x.log10()))
}

pub(in crate::functions) fn cot(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |value| Some(1.0 / value.tan()))
}

/// All digits, though MySQL shows six of them.
pub(in crate::functions) fn pi(call: &Call<'_>) -> Result<ArrayRef> {
    call.make_numbers::<Float64Type>(|_| Ok(std::f64::consts::PI))
}

/// `log(x)`, and `log(base, x)`.
pub(in crate::functions) fn log(call: &Call<'_>) -> Result<ArrayRef> {
    if call.arity() == 1 {
        return ln(call);
    }
    let (bases, values) = (call.numbers::<Float64Type>(0), call.numbers::<Float64Type>(1));
    finite(call.make_numbers::<Float64Type>(|row| match (bases.get(row)?, values.get(row)?) {
        (base, value) if base > 0.0 && base != 1.0 && value > 0.0 => Ok(value.ln() / base.ln()),
        _ => Err(Miss::Null),
    })?)
}

pub(in crate::functions) fn power(call: &Call<'_>) -> Result<ArrayRef> {
    let (bases, exponents) = (call.numbers::<Float64Type>(0), call.numbers::<Float64Type>(1));
    finite(call.make_numbers::<Float64Type>(|row| Ok(bases.get(row)?.powf(exponents.get(row)?)))?)
}

pub(in crate::functions) fn sin(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| Some(x.sin()))
}

pub(in crate::functions) fn cos(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| Some(x.cos()))
}

pub(in crate::functions) fn tan(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| Some(x.tan()))
}

pub(in crate::functions) fn asin(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| (x.abs() <= 1.0).then(|| x.asin()))
}

pub(in crate::functions) fn acos(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| (x.abs() <= 1.0).then(|| x.acos()))
}

pub(in crate::functions) fn atan(call: &Call<'_>) -> Result<ArrayRef> {
    if call.arity() == 1 {
        return doubles(call, |x| Some(x.atan()));
    }
    let (ys, xs) = (call.numbers::<Float64Type>(0), call.numbers::<Float64Type>(1));
    call.make_numbers::<Float64Type>(|row| Ok(ys.get(row)?.atan2(xs.get(row)?)))
}

pub(in crate::functions) fn radians(call: &Call<'_>) -> Result<ArrayRef> {
    // Of -0 it is 0.
    doubles(call, |x| Some(x * (std::f64::consts::PI / 180.0) + 0.0))
}

pub(in crate::functions) fn degrees(call: &Call<'_>) -> Result<ArrayRef> {
    doubles(call, |x| Some(x * (180.0 / std::f64::consts::PI) + 0.0))
}
