//! Reading the nested configurations of models of images and text.

use serde_json::Value as Json;

/// No size of a real model comes near; products of two stay far below usize's end.
const LARGEST: u64 = 1 << 28;

/// An object of a configuration, with its name for errors and the defaults that stand for missing keys.
pub struct Fields<'a> {
    name: &'static str,
    json: &'a Json,
}

impl<'a> Fields<'a> {
    /// The object `name` of `json`; an empty one where there is none.
    pub fn of(json: &'a Json, name: &'static str) -> Result<Self, String> {
        const NONE: &Json = &Json::Null;
        match json.get(name) {
            None | Some(Json::Null) => Ok(Self { name, json: NONE }),
            Some(json) if json.is_object() => Ok(Self { name, json }),
            Some(other) => Err(format!("config.json: '{name}' is {other}, no object")),
        }
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, value: &Json, what: &str) -> String {
        format!("config.json: {}.{key} is {value}, not {what}", self.name)
    }

    /// A positive whole number.
    pub fn size(&self, key: &str, default: usize) -> Result<usize, String> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        match value.as_u64().filter(|n| (1..LARGEST).contains(n)) {
            Some(n) => Ok(n as usize),
            None => Err(self.wrong(key, value, "a positive whole number")),
        }
    }

    /// A small positive number.
    pub fn eps(&self, key: &str, default: f64) -> Result<f64, String> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        match value.as_f64().filter(|eps| (0.0..1.0).contains(eps)) {
            Some(eps) => Ok(eps),
            None => Err(self.wrong(key, value, "a number from 0 to 1")),
        }
    }

    /// true or false.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value
            .as_bool()
            .ok_or_else(|| self.wrong(key, value, "true or false"))
    }

    /// A list of indices.
    pub fn indices(&self, key: &str, default: &[usize]) -> Result<Vec<usize>, String> {
        let Some(value) = self.get(key) else {
            return Ok(default.to_vec());
        };
        let index = |n: &Json| n.as_u64().filter(|n| *n < LARGEST).map(|n| n as usize);
        value
            .as_array()
            .and_then(|all| all.iter().map(index).collect())
            .ok_or_else(|| self.wrong(key, value, "a list of block numbers"))
    }

    /// That a name is one of those that crane computes.
    pub fn one_of(&self, key: &str, names: &[&str]) -> Result<(), String> {
        match self.get(key) {
            None => Ok(()),
            Some(value) if value.as_str().is_some_and(|name| names.contains(&name)) => Ok(()),
            Some(value) => Err(format!(
                "config.json: {}.{key} {value} is not supported ({} is)",
                self.name,
                names.join(", ")
            )),
        }
    }
}

/// A whole number that fits a token id.
pub fn token(json: &Json, key: &str) -> Result<Option<u32>, String> {
    match json.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .map(Some)
            .ok_or_else(|| format!("config.json: '{key}' is {value}, not a token id")),
    }
}

/// Every key of `over` that is not null, into `json`.
pub fn put_over(json: &mut Json, over: &Json) {
    if let (Some(json), Some(over)) = (json.as_object_mut(), over.as_object()) {
        for (key, value) in over.iter().filter(|(_, value)| !value.is_null()) {
            json.insert(key.clone(), value.clone());
        }
    }
}
