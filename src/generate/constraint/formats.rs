//! `format` of JSON Schema as regular expressions: each matches only what every validator takes.
//!
//! Narrower than the standards where validators differ or the calendar is more than a pattern can say: years from 1000
//! to 2999, no leap seconds, names of hosts without `--` and with letters at their end, at most nine digits of a
//! second's fraction.

/// What is known of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// A string of this format matches this, as a whole.
    Pattern(String),
    /// The parser's own.
    Builtin,
    /// The standard names it, and crane cannot make it.
    Standard,
    /// No standard names it: it says nothing about the text.
    Other,
}

/// The formats that are enforced, as messages list them.
pub(super) const ENFORCED: &str =
    "date, time, date-time, duration, email, hostname, ipv4, ipv6, uri, uuid";

const DATE: &str = "(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])\
    |(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))\
    |(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)-02-29)";
const TIME: &str = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?\
    (?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const HOST: &str = "(?:[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}\\.){0,3}[A-Za-z]{2,20}";
const MAILBOX: &str = "[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,15}){0,2}\
    @(?:[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}\\.){1,3}[A-Za-z]{2,20}";
/// RFC 3339, appendix A, with at most six digits a number.
const DURATION: &str = "P(?:N W|(?:(?:N D|N M(?:N D)?|N Y(?:N M(?:N D)?)?)CLOCK?|CLOCK))";
const CLOCK: &str = "(?:T(?:N S|N M(?:N S)?|N H(?:N M(?:N S)?)?))";

pub(super) fn format(name: &str) -> Format {
    let pattern = match name {
        "date" => DATE.to_string(),
        "time" => TIME.to_string(),
        "date-time" => format!("{DATE}T{TIME}"),
        "duration" => DURATION.replace("CLOCK", CLOCK).replace("N ", "[0-9]{1,6}"),
        "email" => MAILBOX.to_string(),
        "hostname" => HOST.to_string(),
        "ipv4" | "ipv6" | "uri" | "uuid" => return Format::Builtin,
        "idn-email"
        | "idn-hostname"
        | "uri-reference"
        | "iri"
        | "iri-reference"
        | "uri-template"
        | "json-pointer"
        | "relative-json-pointer"
        | "regex" => return Format::Standard,
        _ => return Format::Other,
    };
    Format::Pattern(format!("^(?:{pattern})$"))
}
