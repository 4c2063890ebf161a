//! What the environment says of the hub.

use std::path::Path;

use crate::hub::HubSettings;

pub fn hub_settings(
    _get: &dyn Fn(&str) -> Option<String>,
    cache_dir: Option<&Path>,
    offline: bool,
) -> HubSettings {
    HubSettings {
        cache_dir: cache_dir.unwrap_or(Path::new("cache")).to_path_buf(),
        endpoint: "https://huggingface.co".into(),
        token: None,
        offline,
        proxy: None,
        no_proxy: None,
        allow_pip: true,
    }
}
