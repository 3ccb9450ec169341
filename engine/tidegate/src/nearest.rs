//! What a word that is not known was most likely meant to be.

use tidegate_sql::edit_distance;

/// The known word that `written` most likely was meant to be, if any is close.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase().replace('-', "_");
    let (distance, key) = known.iter().map(|key| (edit_distance(&written, key), *key)).min()?;
    (distance <= (key.len() / 3).max(1)).then_some(key)
}
