//! What the environment says of the hub.

use std::path::Path;

use crate::hub::HubSettings;

pub fn hub_settings(
    _get: &dyn Fn(&str) -> Option<String>,
    cache_dir: Option<&Path>,
    offline: bool,
) -> HubSettings {
    let mut settings = HubSettings::new(
        cache_dir.unwrap_or(Path::new("cache")),
        "https://huggingface.co",
    );
    settings.offline = offline;
    settings
}
