//! The flood guard: limits the requests of one client, counted in this process alone.
//!
//! A client is the key that it sends, if the process knows it: so tenants behind one proxy do not use up each other's requests.
//! Else it is the address of the peer. If the peer is a trusted proxy, it is the rightmost hop of `X-Forwarded-For` that
//! is not a trusted proxy, because a client can forge everything to the left of it. An IPv6 client is its /64, because it
//! can use every address in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, Request};
use axum::response::{IntoResponse as _, Response};
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::config::Http;
use crate::serving::problem::{Kind, Problem};

/// How often idle clients are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// The header to which each proxy adds the address of its client.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The limits and the counters of all clients.
type Guard = GovernorConfig<Client, NoOpMiddleware<QuantaInstant>>;

/// The id of a request's key, which was in force when the process looked it up last.
#[derive(Clone, Copy, Debug)]
pub struct KnownKey(pub i64);

/// What a client's requests are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    Key(i64),
    Address(IpAddr),
}

/// Counts the requests of each client. Clones share the counters.
#[derive(Clone)]
pub struct FloodGuard {
    guard: Arc<Guard>,
}

impl FloodGuard {
    /// A guard that lets each client make `http.flood_burst` requests at once and `http.flood_per_second` in the long run; 0
    /// counts as 1.
    pub fn new(http: &Http) -> Self {
        let period = Duration::from_secs(1) / http.flood_per_second.max(1);
        let guard = GovernorConfigBuilder::default()
            .period(period.max(Duration::from_nanos(1)))
            .burst_size(http.flood_burst.max(1))
            .key_extractor(Client::new(http))
            .finish()
            .expect("`finish` fails only for a period or a burst of 0");
        Self {
            guard: Arc::new(guard),
        }
    }

    /// Puts the guard before every route and fallback that `router` has.
    pub fn before(&self, router: Router) -> Router {
        router.layer(GovernorLayer::new(Arc::clone(&self.guard)).error_handler(refusal))
    }

    /// Forgets idle clients once a minute; without it the guard would remember every client for ever.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => self.forget_idle(),
            }
        }
    }

    fn forget_idle(&self) {
        self.guard.limiter().retain_recent();
        self.guard.limiter().shrink_to_fit();
    }
}

fn refusal(error: GovernorError) -> Response<Body> {
    match error {
        GovernorError::TooManyRequests { wait_time, .. } => Problem::new(
            Kind::TooManyRequests,
            "this client, by its key or else by its address, makes too many requests",
        )
        .retry_after(Duration::from_secs(wait_time))
        .into_response(),
        other => {
            Problem::internal(anyhow::anyhow!("the flood guard failed: {other}")).into_response()
        }
    }
}

/// Finds the client of a request.
#[derive(Clone, Debug)]
pub struct Client {
    trusted_proxies: Arc<[IpNet]>,
}

impl Client {
    pub fn new(http: &Http) -> Self {
        Self {
            trusted_proxies: http.trusted_proxies.clone().into(),
        }
    }

    /// The addresses that count as the client of a request. Without a socket, as in tests, there is one client.
    pub fn of(&self, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
        let peer = extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
                peer.ip()
            });
        bucket(self.address(peer, headers))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        // An IPv4 address may arrive written as IPv6.
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The address of the client, as far as it can be trusted.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.trusted_proxies.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let values = headers.get_all(X_FORWARDED_FOR).iter();
        let hops: Vec<&str> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            // A trusted proxy adds an address; anything else was in the header before.
            let Some(address) = read_hop(hop.trim()) else {
                break;
            };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        client
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

/// The addresses that count as one client: an IPv4 address, or the first 64 bits of an IPv6 address.
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
    type Key = Counted;

    fn extract<T>(&self, request: &Request<T>) -> Result<Counted, GovernorError> {
        let address = || Counted::Address(self.of(request.extensions(), request.headers()));
        let key = request.extensions().get::<KnownKey>();
        Ok(key.map_or_else(address, |key| Counted::Key(key.0)))
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
