//! The key/value part of a GGUF header.

use std::collections::HashMap;

/// A value of GGUF's metadata (specification: ggml's docs/gguf.md).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Array(Vec<Value>),
}

impl Value {
    /// The value as a non-negative integer, whatever integer type stores it.
    pub fn as_usize(&self) -> Option<usize> {
        match self {
            Self::Unsigned(v) => usize::try_from(*v).ok(),
            Self::Signed(v) => usize::try_from(*v).ok(),
            _ => None,
        }
    }

    /// The value as an integer of either sign.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Unsigned(v) => i64::try_from(*v).ok(),
            Self::Signed(v) => Some(*v),
            _ => None,
        }
    }

    /// The value as a number; integers are converted.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(v) => Some(*v as f64),
            Self::Signed(v) => Some(*v as f64),
            Self::Float(v) => Some(*v),
            _ => None,
        }
    }

    /// A truth value; None for any other type.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            _ => None,
        }
    }

    /// A string; None for any other type.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }

    /// An array; None for any other type.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(v) => Some(v),
            _ => None,
        }
    }
}

/// The metadata of a GGUF file, in file order.
#[derive(Debug, Default)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    index: HashMap<String, usize>,
}

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let (_, value) = self.entries.get(*self.index.get(key)?)?;
        Some(value)
    }

    /// All pairs in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// A string; None if the key is absent or of another type.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Any integer type.
    pub fn usize(&self, key: &str) -> Option<usize> {
        self.get(key)?.as_usize()
    }

    /// Any number; integers are converted.
    pub fn f64(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// A truth value; None if the key is absent or of another type.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    /// An array; None if the key is absent or of another type.
    pub fn array(&self, key: &str) -> Option<&[Value]> {
        self.get(key)?.as_array()
    }

    /// An array that holds strings only.
    pub fn strings(&self, key: &str) -> Option<Vec<&str>> {
        self.array(key)?.iter().map(Value::as_str).collect()
    }

    /// Appends a pair; false (and unchanged) if the key is there already.
    pub(crate) fn push(&mut self, key: String, value: Value) -> bool {
        if self.index.contains_key(&key) {
            return false;
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        true
    }
}

impl FromIterator<(String, Value)> for Metadata {
    /// The first of equal keys wins.
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        let mut metadata = Self::default();
        for (key, value) in pairs {
            metadata.push(key, value);
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_access_converts_integers_and_refuses_other_types() {
        let metadata: Metadata = [
            ("u".to_string(), Value::Unsigned(7)),
            ("neg".to_string(), Value::Signed(-1)),
            ("f".to_string(), Value::Float(0.5)),
            ("s".to_string(), Value::String("x".into())),
            (
                "mixed".to_string(),
                Value::Array(vec![Value::String("a".into()), Value::Bool(true)]),
            ),
            ("u".to_string(), Value::Unsigned(8)),
        ]
        .into_iter()
        .collect();
        assert_eq!(metadata.usize("u"), Some(7));
        assert_eq!(metadata.f64("u"), Some(7.0));
        assert_eq!(metadata.usize("neg"), None);
        assert_eq!(metadata.usize("f"), None);
        assert_eq!(metadata.str("s"), Some("x"));
        assert_eq!(metadata.strings("mixed"), None);
        assert_eq!(metadata.bool("absent"), None);
        assert_eq!(metadata.iter().count(), 5);
    }
}
