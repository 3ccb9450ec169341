//! What all tests share: servers, the program, writers, a consumer, and the two states that must be equal.

pub(crate) mod address;
pub(crate) mod avro;
pub(crate) mod browser;
pub(crate) mod consume;
pub(crate) mod engine;
pub(crate) mod http;
pub(crate) mod mysql;
pub(crate) mod order;
pub(crate) mod random;
pub(crate) mod servers;
pub(crate) mod source_state;
pub(crate) mod state;
pub(crate) mod tables;
pub(crate) mod terminal;
pub(crate) mod tokens;
pub(crate) mod world;
pub(crate) mod writers;

pub(crate) use consume::{Kind, Message, Reader};
pub(crate) use engine::{Ended, Tidegate};
pub(crate) use mysql::Mysql;
pub(crate) use servers::{Private, Servers};
pub(crate) use world::{TaskFile, World};

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Against hanging only: nothing that works comes near it, even on a busy machine. `TIDEGATE_TEST_DEADLINE_S` is for whoever
/// looks for a fault and does not want to wait.
fn deadline() -> Duration {
    let seconds = std::env::var("TIDEGATE_TEST_DEADLINE_S").ok();
    Duration::from_secs(
        seconds.map_or(300, |seconds| seconds.parse().expect("TIDEGATE_TEST_DEADLINE_S must be a number")),
    )
}

/// How often a condition is looked at. It decides nothing but how soon a test goes on.
const POLL: Duration = Duration::from_millis(5);

/// Polls until the condition gives a value; panics with `what` at the deadline.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    wait_for_told(what, &mut (), |()| condition(), |()| String::new())
}

/// The same, and panics with what `tell` says then of the state.
fn wait_for_told<S, T>(
    what: &str,
    state: &mut S,
    mut condition: impl FnMut(&mut S) -> Option<T>,
    tell: impl FnOnce(&mut S) -> String,
) -> T {
    let (start, deadline) = (Instant::now(), deadline());
    loop {
        if let Some(value) = condition(state) {
            return value;
        }
        if start.elapsed() >= deadline {
            panic!("waited {} s in vain: {what}{}", deadline.as_secs(), tell(state));
        }
        pause();
    }
}

/// Between two looks at a condition.
fn pause() {
    sleep(POLL);
}

/// `count` at the size of continuous integration, more with `TIDEGATE_TEST_SCALE`.
pub(crate) fn scaled(count: u64) -> u64 {
    let scale: f64 = match std::env::var("TIDEGATE_TEST_SCALE") {
        Ok(scale) => scale.parse().expect("TIDEGATE_TEST_SCALE must be a number"),
        Err(_) => 1.0,
    };
    (count as f64 * scale) as u64
}

/// A source of random choices whose seed is printed with the test's name.
pub(crate) fn seeded(test: &str) -> fastrand::Rng {
    let seed = match std::env::var("TIDEGATE_TEST_SEED") {
        Ok(seed) => seed.parse().expect("TIDEGATE_TEST_SEED must be a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("{test}: TIDEGATE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
