//! Connections: time limits, proxies, certificates.

use ureq::Agent;

use super::{HubError, HubSettings};

/// Connections with the settings' limits, through `proxy` if one is given.
pub fn agent(
    settings: &HubSettings,
    tls: &ureq::tls::TlsConfig,
    proxy: Option<&str>,
) -> Result<Agent, HubError> {
    let proxy = match proxy {
        None => None,
        Some(url) => {
            let url = if url.contains("://") {
                url.to_string()
            } else {
                format!("http://{url}")
            };
            if url.to_ascii_lowercase().starts_with("socks") {
                return Err(HubError::Network(
                    "SOCKS proxies are not supported; set HTTPS_PROXY to an http:// proxy, or unset \
                     ALL_PROXY"
                        .into(),
                ));
            }
            Some(ureq::Proxy::new(&url).map_err(|_| {
                HubError::Network(format!(
                    "the proxy address '{}' cannot be read; HTTPS_PROXY takes http://host:port",
                    without_password(&url)
                ))
            })?)
        }
    };
    let limits = &settings.limits;
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(settings.user_agent.as_str())
        .accept_encoding("identity")
        .proxy(proxy)
        .tls_config(tls.clone())
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.response))
        .timeout_recv_response(Some(limits.response))
        .timeout_per_read(Some(limits.idle))
        .build()
        .new_agent())
}

/// [`agent`] for a proxy that may not be set.
pub fn optional_agent(
    settings: &HubSettings,
    tls: &ureq::tls::TlsConfig,
    proxy: Option<&str>,
) -> Result<Option<Agent>, HubError> {
    match proxy {
        None => Ok(None),
        some => agent(settings, tls, some).map(Some),
    }
}

/// A proxy's address fit for a message.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_string(),
    }
}

/// Which certificates are trusted.
pub fn tls(settings: &HubSettings) -> Result<ureq::tls::TlsConfig, HubError> {
    use ureq::tls::{parse_pem, PemItem, RootCerts, TlsConfig};
    let mut builder = TlsConfig::builder();
    if let Some(path) = &settings.ca_bundle {
        let pem =
            std::fs::read(path).map_err(|e| HubError::io("read the certificates in", path, e))?;
        let certificates: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(c)) => Some(c),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(HubError::Network(format!(
                "{} holds no certificate in PEM form",
                path.display()
            )));
        }
        builder = builder.root_certs(RootCerts::from(certificates));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_messages() {
        assert_eq!(
            without_password("http://me:secret@proxy:3128"),
            "http://proxy:3128"
        );
    }
}
