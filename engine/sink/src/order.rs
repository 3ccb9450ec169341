//! In which order do the messages of several batches leave?
//!
//! ```text
//! sequence   a  0 1     4 5 5       runs:  a[0..2]  b[0..2]  a[2..5]  b[2..3]
//!            b      2 3       7
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use tidegate_model::message::MessageBatch;

/// Hands out the messages of all batches in ascending sequence, as runs of one batch each.
///
/// A number that occurs twice stands side by side in one batch, so that a run never ends between the two.
pub(super) fn each_run<'b>(batches: &[&'b MessageBatch], mut emit: impl FnMut(&'b MessageBatch, Range<usize>)) {
    if let [batch] = batches {
        return emit(batch, 0..batch.values.len());
    }
    let mut heads: BinaryHeap<Reverse<(u32, usize, usize)>> = batches
        .iter()
        .enumerate()
        .filter_map(|(number, batch)| Some(Reverse((*batch.sequence.first()?, number, 0))))
        .collect();
    while let Some(Reverse((_, number, start))) = heads.pop() {
        let batch = batches[number];
        let rest = &batch.sequence[start..];
        let run_len = match heads.peek() {
            Some(&Reverse((next, ..))) => rest.iter().take_while(|&&sequence| sequence < next).count().max(1),
            None => rest.len(),
        };
        let end = start + run_len;
        emit(batch, start..end);
        if let Some(&sequence) = batch.sequence.get(end) {
            heads.push(Reverse((sequence, number, end)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::each_run;
    use tidegate_model::message::MessageBatch;

    fn check(batches: &[(&str, &[u32])], expected: &str) {
        let batches: Vec<MessageBatch> = batches
            .iter()
            .map(|&(topic, sequence)| MessageBatch {
                topic: topic.into(),
                sequence: sequence.to_vec(),
                values: tidegate_model::message::ByteStrings { bytes: Vec::new(), ends: vec![0; sequence.len()] },
                ..MessageBatch::default()
            })
            .collect();
        let mut runs = String::new();
        each_run(&batches.iter().collect::<Vec<_>>(), |batch, run| {
            runs.push_str(&format!("{}{run:?} ", batch.topic));
        });
        assert_eq!(runs.trim_end(), expected);
    }

    #[test]
    fn batches_interleave_by_sequence() {
        check(&[("a", &[0, 1, 4, 5, 5]), ("b", &[2, 3, 7])], "a0..2 b0..2 a2..5 b2..3");
        check(&[("a", &[3]), ("b", &[]), ("c", &[1, 2, 4])], "c0..2 a0..1 c2..3");
        check(&[("a", &[9, 10])], "a0..2");
        check(&[], "");
    }
}
