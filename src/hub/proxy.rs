//! Which hosts are reached without a proxy: `NO_PROXY` as Python's `requests` reads it.

use std::net::Ipv4Addr;

/// Whether `host` (with `port`, if the address names one) is on the list: `*`, a host, a domain with
/// or without a leading dot (its subdomains too), `host:port`, an IPv4 address or network `10.0.0.0/8`.
pub fn bypasses(no_proxy: &str, host: &str, port: Option<u16>) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let with_port = port.map(|p| format!("{host}:{p}"));
    no_proxy
        .split(',')
        .map(|e| e.trim().to_ascii_lowercase())
        .filter(|e| !e.is_empty())
        .any(|entry| {
            if entry == "*" {
                return true;
            }
            if let (Ok(address), Some((network, bits))) =
                (host.parse::<Ipv4Addr>(), entry.split_once('/'))
            {
                return in_network(address, network, bits).unwrap_or(false);
            }
            let entry = entry.trim_start_matches('.');
            let matches = |h: &str| h == entry || h.ends_with(&format!(".{entry}"));
            matches(&host) || with_port.as_deref().is_some_and(matches)
        })
}

fn in_network(address: Ipv4Addr, network: &str, bits: &str) -> Option<bool> {
    let network: Ipv4Addr = network.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|b| *b <= 32)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    Some(u32::from(address) & mask == u32::from(network) & mask)
}

#[cfg(test)]
mod tests {
    use super::bypasses;

    #[test]
    fn hosts_domains_ports_and_networks() {
        let list = "localhost, .corp.example,10.0.0.0/8,mirror:8080";
        assert!(bypasses(list, "localhost", None));
        assert!(bypasses(list, "a.corp.example", Some(443)));
        assert!(bypasses(list, "CORP.example", None));
        assert!(bypasses(list, "10.20.30.40", Some(80)));
        assert!(bypasses(list, "mirror", Some(8080)));
        assert!(!bypasses(list, "mirror", Some(8081)));
        assert!(!bypasses(list, "11.0.0.1", None));
        assert!(!bypasses(list, "notlocalhost", None));
        assert!(!bypasses("", "huggingface.co", None));
        assert!(bypasses("*", "huggingface.co", None));
    }
}
