//! The last warnings and errors of the log, for those who look later.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::report::Problem;
use tidegate_model::status::source::now_us;

/// How many are kept; the same one in a row counts once.
const KEPT: usize = 20;

/// Hears the log. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Problems(Arc<Mutex<VecDeque<Problem>>>);

impl Problems {
    pub fn list(&self) -> Vec<Problem> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn note(&self, problem: Problem) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = kept.back_mut().filter(|last| last.message == problem.message) {
            (last.time_ms, last.count) = (problem.time_ms, last.count + 1);
            return;
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(problem);
    }
}

impl<S: Subscriber> Layer<S> for Problems {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::WARN {
            return;
        }
        let mut words = Words::default();
        event.record(&mut words);
        self.note(Problem {
            time_ms: now_us() / 1000,
            level: level.as_str().to_ascii_lowercase(),
            message: words.message + &words.fields,
            hint: words.hint,
            count: 1,
        });
    }
}

/// An event as a sentence.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
    hint: Option<String>,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "hint" => self.hint = Some(format!("{value:?}")),
            // Another number each time.
            "retry_in_ms" => {}
            "error" | "reason" => _ = write!(self.fields, ": {value:?}"),
            name => _ = write!(self.fields, " ({name} {value:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{info, warn};
    use tracing_subscriber::prelude::*;

    #[test]
    fn warnings_are_kept_with_their_hints_and_the_same_one_counts() {
        let problems = Problems::default();
        let subscriber = tracing_subscriber::registry().with(problems.clone());
        tracing::subscriber::with_default(subscriber, || {
            info!("nothing");
            for retry_in_ms in [100, 200] {
                warn!(error = %"no route", retry_in_ms, hint = "look", "lost the source");
            }
            (0..2 * KEPT).for_each(|number| warn!("{number}"));
            warn!(table = "shop.orders", "gone");
        });
        let kept = problems.list();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[KEPT - 1].message, "gone (table shop.orders)");
        let problems = Problems::default();
        let subscriber = tracing_subscriber::registry().with(problems.clone());
        tracing::subscriber::with_default(subscriber, || {
            for retry_in_ms in [100, 200] {
                warn!(error = %"no route", retry_in_ms, hint = "look", "lost the source");
            }
        });
        let [problem] = &problems.list()[..] else { panic!("{problems:?}") };
        assert_eq!((problem.message.as_str(), problem.count), ("lost the source: no route", 2));
        assert_eq!(problem.hint.as_deref(), Some("look"));
    }
}
