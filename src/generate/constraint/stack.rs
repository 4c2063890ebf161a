//! The stack that compiling a structure takes.
//!
//! The parser compiles what a reference or a rule names within what names it, so that a chain of them costs stack with
//! each link, and it has no limit of its own there. Both halves are needed: a limit alone that fits any thread's stack
//! would refuse schemas that people use (FHIR's has hundreds of definitions that name each other), a large stack alone
//! ends somewhere. The tests compile what is just within the limit, in every way that a chain can be made.

use serde_json::Value;

use super::ConstraintError;

/// Only what is used of it costs memory.
const STACK: usize = 256 << 20;

/// Links of a chain, with all that is nested in each. One takes 4 KiB at most.
pub(super) const MAX_LEVELS: usize = 16_000;

/// Does `work` where what is within [`MAX_LEVELS`] fits.
///
/// # Errors
/// Where the system gives no such stack.
pub(super) fn large<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, ConstraintError> {
    crate::stack::large(STACK, work).map_err(|error| {
        ConstraintError::TooComplex(format!("no stack of {STACK} bytes for it ({error})"))
    })
}

/// How deep lists and objects nest in `value`.
pub(super) fn levels(value: &Value) -> usize {
    let within = match value {
        Value::Array(list) => list.iter().map(levels).max(),
        Value::Object(map) => map.values().map(levels).max(),
        _ => return 0,
    };
    1 + within.unwrap_or(0)
}

/// More levels than the rules and terminals of a grammar in Lark can nest: each of them has a colon of its own, each
/// group a bracket and each negation a tilde. Schemas in it have them as well.
pub(super) fn most_levels(lark: &str) -> usize {
    lark.matches([':', '(', '[', '{', '~']).count()
}
