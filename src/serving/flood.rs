//! The flood guard: how many requests one client may make, counted in this process alone.
//!
//! A client is the peer's address, or, where the peer is a trusted proxy, the rightmost hop of `X-Forwarded-For` that is
//! none: what stands further left is the client's own invention. An IPv6 client is its /64, since it may use all of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request};
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::config::Http;
use crate::serving::problem::{Kind, Problem};

/// How often clients that have been quiet are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// The header that proxies add the client's address to.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Counts the requests of each client. A clone counts on with the same figures.
#[derive(Clone)]
pub struct FloodGuard {
    // The limiter's type cannot be named without its crate, so what is done with it is kept instead.
    guard: Arc<dyn Fn(Router) -> Router + Send + Sync>,
    forget: Arc<dyn Fn() + Send + Sync>,
}

impl FloodGuard {
    /// A guard that lets each client do `http.flood_per_second` for long and `http.flood_burst` at once; 0 counts as 1.
    pub fn new(http: &Http) -> Self {
        let client = Client::new(http);
        let period = Duration::from_secs(1) / http.flood_per_second.max(1);
        let config = GovernorConfigBuilder::default()
            .period(period.max(Duration::from_nanos(1)))
            .burst_size(http.flood_burst.max(1))
            .key_extractor(client)
            .finish()
            .map(Arc::new);
        // `finish` gives nothing only for a period or burst of 0, which cannot be here.
        let (layered, counted) = (config.clone(), config);
        Self {
            guard: Arc::new(move |router| match &layered {
                Some(config) => {
                    router.layer(GovernorLayer::new(Arc::clone(config)).error_handler(refusal))
                }
                None => router,
            }),
            forget: Arc::new(move || {
                if let Some(config) = &counted {
                    config.limiter().retain_recent();
                    config.limiter().shrink_to_fit();
                }
            }),
        }
    }

    /// Puts the guard before every route and fallback that `router` has.
    pub fn before(&self, router: Router) -> Router {
        (self.guard)(router)
    }

    /// Forgets, once a minute, the clients that have been quiet; without it each would be remembered for ever.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => (self.forget)(),
            }
        }
    }
}

fn refusal(error: GovernorError) -> Response<Body> {
    match error {
        GovernorError::TooManyRequests { wait_time, .. } => {
            Problem::new(Kind::TooManyRequests, "this client makes too many requests")
                .retry_after(Duration::from_secs(wait_time))
                .into_response()
        }
        other => {
            Problem::internal(anyhow::anyhow!("the flood guard failed: {other}")).into_response()
        }
    }
}

/// Tells clients apart.
#[derive(Clone, Debug)]
struct Client {
    trusted_proxies: Arc<[IpNet]>,
}

impl Client {
    fn new(http: &Http) -> Self {
        Self {
            trusted_proxies: http.trusted_proxies.clone().into(),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        // An IPv4 address may arrive written as IPv6.
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The address that a request comes from, as far as it can be believed.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.trusted_proxies.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let values = headers.get_all(X_FORWARDED_FOR).iter();
        let hops: Vec<&str> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let mut believed = peer;
        for hop in hops.into_iter().rev() {
            // What a trusted proxy wrote is an address; anything else was there before it.
            let Some(address) = read_hop(hop.trim()) else {
                break;
            };
            believed = address;
            if !self.trusts(address) {
                break;
            }
        }
        believed
    }
}

/// Reads `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1` or `[2001:db8::1]:443`.
fn read_hop(hop: &str) -> Option<IpAddr> {
    if let Ok(address) = hop.parse() {
        return Some(address);
    }
    if let Ok(address) = hop.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// What one client has in common: an IPv4 address, or the first 64 bits of an IPv6 one.
fn bucket(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

impl KeyExtractor for Client {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        // A router that runs without a socket has one client.
        let peer = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
                peer.ip()
            });
        Ok(bucket(self.address(peer, request.headers())))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::http::{HeaderMap, HeaderValue};
    use ipnet::IpNet;

    use super::{Client, X_FORWARDED_FOR, bucket};
    use crate::config::Config;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        let network = |text: &&str| text.parse().expect("a network");
        texts.iter().map(network).collect()
    }

    fn client_of(trusted: &[&str], peer: &str, forwarded: &[&'static str]) -> String {
        let mut http = Config::default().http;
        http.trusted_proxies = networks(trusted);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let peer: IpAddr = peer.parse().expect("an address");
        bucket(Client::new(&http).address(peer, &headers)).to_string()
    }

    #[test]
    fn a_client_without_a_trusted_proxy_cannot_name_itself() {
        assert_eq!(client_of(&[], "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(
            client_of(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.9"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_other_hop_is_the_client() {
        let trusted = &["10.0.0.0/8"];
        assert_eq!(
            client_of(trusted, "10.0.0.1", &["203.0.113.9"]),
            "203.0.113.9"
        );
        assert_eq!(
            client_of(
                trusted,
                "10.0.0.1",
                &["198.51.100.1, 203.0.113.9, 10.0.0.2"]
            ),
            "203.0.113.9"
        );
        assert_eq!(
            client_of(trusted, "10.0.0.1", &["198.51.100.1", "203.0.113.9:4711"]),
            "203.0.113.9"
        );
        assert_eq!(
            client_of(trusted, "10.0.0.1", &["198.51.100.1, nonsense, 10.0.0.2"]),
            "10.0.0.2"
        );
        assert_eq!(client_of(trusted, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_proxy_is_trusted_by_address_or_network() {
        let mut http = Config::default().http;
        http.trusted_proxies = networks(&["10.1.0.0/16", "192.168.0.7/32", "fd00::/8"]);
        let client = Client::new(&http);
        let trusts = |address: &str| client.trusts(address.parse().expect("an address"));
        assert!(
            trusts("10.1.255.1")
                && trusts("192.168.0.7")
                && trusts("::ffff:10.1.0.1")
                && trusts("fd12::1")
        );
        assert!(
            !trusts("10.2.0.1") && !trusts("192.168.0.8") && !trusts("fe80::1") && !trusts("::1")
        );
    }

    #[test]
    fn an_ipv6_client_is_its_first_64_bits() {
        assert_eq!(
            client_of(&[], "2001:db8:1:2:3:4:5:6", &[]),
            "2001:db8:1:2::"
        );
        assert_eq!(client_of(&[], "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }
}
