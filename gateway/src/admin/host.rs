//! Whom a request is addressed to. A page of another site can have a name of its own lead to this server (DNS rebinding) and
//! read what is here as if it were its own; its requests carry that name.

use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, Version, header};
use holdover_config::Domain;

use super::problem::Problem;

/// The names under which the admin server is asked.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<Domain>);

impl Hosts {
    /// These, beside `localhost`, loopback addresses, and the address that a connection came in on.
    #[must_use]
    pub fn new(listed: &[Domain]) -> Self {
        Self(listed.to_vec())
    }

    /// Whether a request that came in on `local` is for this server. Ports are not compared: they may be forwarded, and no
    /// name is better for them.
    ///
    /// # Errors
    ///
    /// 400 without a host, or with more than one; 421 for a name that is not listed.
    pub(super) fn check(
        &self,
        local: Option<SocketAddr>,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let mut named = headers.get_all(header::HOST).iter();
        let (host, second) = (named.next(), named.next());
        if second.is_some() {
            return Err(bad("the request has several Host headers"));
        }
        let Some(host) = host else {
            // Browsers always name one; old probes speak HTTP/1.0 and do not.
            return if version < Version::HTTP_11 && uri.authority().is_none() {
                Ok(())
            } else {
                Err(bad("the request has no Host header"))
            };
        };
        let authority = host.to_str().ok().and_then(|host| host.parse().ok());
        let authority: Authority = authority.ok_or_else(|| bad("the Host header is no host"))?;
        for authority in uri.authority().into_iter().chain([&authority]) {
            self.check_authority(local, authority)?;
        }
        Ok(())
    }

    fn check_authority(
        &self,
        local: Option<SocketAddr>,
        authority: &Authority,
    ) -> Result<(), Problem> {
        if authority.as_str().contains('@') {
            return Err(bad("the Host header is no host"));
        }
        let host = authority.host();
        let literal = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_own = match literal.unwrap_or(host).parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                // A page is never at the address that stands for all of them but by this server's own hand.
                address.is_loopback()
                    || address.is_unspecified()
                    || local.is_some_and(|own| own.ip().to_canonical() == address)
            }
            Err(_) => false,
        };
        let name = host.strip_suffix('.').unwrap_or(host);
        let is_listed = name.eq_ignore_ascii_case("localhost")
            || self
                .0
                .iter()
                .any(|listed| listed.as_str().eq_ignore_ascii_case(name));
        if is_own || is_listed {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "the admin server is not known under this name",
            "ask by its address, or list the name in `hosts` of `[admin]`",
        ))
    }
}

fn bad(error: &str) -> Problem {
    let help = "send one Host header with the name or address of this server";
    Problem::new(StatusCode::BAD_REQUEST, error, help)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::response::IntoResponse as _;

    use super::*;

    fn status(host: Option<&str>, uri: &str, version: Version) -> u16 {
        let hosts = Hosts::new(&["admin.contoso.com".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        let local = "10.0.0.5:9090".parse().ok();
        match hosts.check(local, version, &uri.parse().unwrap(), &headers) {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn only_own_names_and_addresses_are_answered() {
        for (host, expected) in [
            ("localhost", 200),
            ("LocalHost:9090", 200),
            ("localhost.", 200),
            ("127.0.0.1:1", 200),
            ("127.8.0.1", 200),
            ("[::1]:9090", 200),
            ("10.0.0.5", 200),
            ("[::ffff:10.0.0.5]", 200),
            ("ADMIN.contoso.com:443", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("admin.contoso.com.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("10.0.0.6", 421),
            ("2130706433", 421),
            ("0.0.0.0:9090", 200),
            ("localhost@evil.example", 400),
            ("evil.example@localhost", 400),
            ("", 400),
            ("a b", 400),
        ] {
            assert_eq!(
                status(Some(host), "/", Version::HTTP_11),
                expected,
                "{host}"
            );
        }
    }

    #[test]
    fn a_host_is_needed_where_http_has_one() {
        assert_eq!(status(None, "/healthz", Version::HTTP_11), 400);
        assert_eq!(status(None, "/healthz", Version::HTTP_10), 200);
        assert_eq!(status(Some("evil.example"), "/", Version::HTTP_10), 421);
        let uri = "http://evil.example/";
        assert_eq!(status(Some("localhost"), uri, Version::HTTP_11), 421);
        assert_eq!(status(None, uri, Version::HTTP_10), 400);
    }
}
