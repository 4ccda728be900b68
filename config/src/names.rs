//! Names, domains, addresses and other small values of the configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{Schema, json_schema};

use crate::codes;
use crate::text::{FromText, TextError, text_types};

/// Longest name of a listener or pool, in bytes.
const NAME_BYTES: usize = 64;

/// Longest name of a rule, in bytes.
const RULE_NAME_BYTES: usize = 128;

fn check_name(text: &str) -> Result<Arc<str>, TextError> {
    let help = "use letters, digits, `-`, `_` and `.`, at most 64";
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() {
        Err(TextError::new("empty", help))
    } else if text.len() > NAME_BYTES {
        Err(TextError::new("too long", help))
    } else if text.bytes().all(allowed) {
        Ok(text.into())
    } else {
        Err(TextError::new("not a name", help))
    }
}

fn name_schema() -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" })
}

macro_rules! names {
    ($( $(#[doc = $doc:literal])* $name:ident: $check:ident, $schema:ident, $code:ident; )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromText for $name {
            const CODE: &'static str = codes::$code;

            fn from_text(text: &str) -> Result<Self, TextError> {
                $check(text).map(Self)
            }

            fn schema() -> Schema {
                $schema()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        text_types!($name);
    )* };
}

names! {
    /// Name of a listener: letters, digits, `-`, `_` and `.`, at most 64 of them.
    ListenerName: check_name, name_schema, BAD_NAME;
    /// Name of a pool: letters, digits, `-`, `_` and `.`, at most 64 of them.
    PoolName: check_name, name_schema, BAD_NAME;
    /// Name of a region that pools are in: letters, digits, `-`, `_` and `.`, at most 64 of them.
    Region: check_name, name_schema, BAD_NAME;
    /// Name of a rule: printable, at most 128 bytes, without blanks at its ends.
    RuleName: check_rule_name, rule_name_schema, BAD_NAME;
    /// A domain name, in lower case.
    Domain: check_domain, domain_schema, BAD_DOMAIN;
    /// Name under which DNS has SRV records, in lower case: `_service._tcp.domain`.
    SrvName: check_srv_name, srv_name_schema, BAD_SRV_NAME;
    /// Realm of a digest challenge: printable, without quotes and backslashes, at most 128 bytes.
    Realm: check_realm, realm_schema, BAD_REALM;
    /// Which log records are written: a level, or a list of levels and `target=level`.
    LogFilter: check_log_filter, log_filter_schema, BAD_LOG_LEVEL;
}

impl From<&Domain> for Realm {
    /// Every domain is a realm: it has only letters, digits, hyphens and dots.
    fn from(domain: &Domain) -> Self {
        Self(Arc::clone(&domain.0))
    }
}

impl LogFilter {
    /// The level `info` for everything.
    pub(crate) fn info() -> Self {
        Self("info".into())
    }
}

/// People read it in logs, so it may have blanks between its words.
fn check_rule_name(text: &str) -> Result<Arc<str>, TextError> {
    let help = "use printable characters, at most 128 bytes";
    if text.is_empty() {
        Err(TextError::new("empty", help))
    } else if text.len() > RULE_NAME_BYTES {
        Err(TextError::new("too long", help))
    } else if text.trim() != text {
        Err(TextError::new(
            "not a name",
            "remove the blanks at its ends",
        ))
    } else if text.contains(char::is_control) {
        Err(TextError::new("not a name", help))
    } else {
        Ok(text.into())
    }
}

fn rule_name_schema() -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 128 })
}

/// RFC 1123 §2.1: labels of letters, digits and inner hyphens, 63 bytes each and 253 together.
fn check_domain(text: &str) -> Result<Arc<str>, TextError> {
    let help = "write a DNS name such as `contoso.com`";
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.starts_with("sip:") || text.contains('@') {
        Err(TextError::new(
            "a SIP URI, not a domain",
            "write only what stands behind the `@`",
        ))
    } else if text.contains(['*', '?']) {
        Err(TextError::new(
            "not a domain name: it takes no wildcards",
            format!("in a rule write `user = \"*@{text}\"`"),
        ))
    } else if text.is_empty() {
        Err(TextError::new("empty", help))
    } else if text.len() > 253 || !text.split('.').all(label) {
        Err(TextError::new("not a domain name", help))
    } else {
        Ok(text.to_ascii_lowercase().into())
    }
}

/// RFC 2782: service and protocol, each with an underscore, and the domain.
fn check_srv_name(text: &str) -> Result<Arc<str>, TextError> {
    let help = "write service, protocol and domain such as `_sipinternaltls._tcp.contoso.com`";
    let not = || TextError::new("not the name of SRV records", help);
    let lower = text.to_ascii_lowercase();
    let mut labels = lower.splitn(3, '.');
    let mut underscored = || {
        labels
            .next()
            .and_then(|label| label.strip_prefix('_'))
            .filter(|label| !label.contains('_') && check_domain(label).is_ok())
    };
    let (_, protocol) = (
        underscored().ok_or_else(not)?,
        underscored().ok_or_else(not)?,
    );
    if protocol != "tcp" {
        return Err(TextError::new(
            "not records of TCP",
            "pools are reached over TCP, with TLS or without: `_tcp`",
        ));
    }
    let domain = labels.next().ok_or_else(not)?;
    check_domain(domain).map_err(|_| not())?;
    if lower.len() > 253 {
        return Err(not());
    }
    Ok(lower.into())
}

fn srv_name_schema() -> Schema {
    json_schema!({ "type": "string", "pattern": "^_[A-Za-z0-9-]+\\._[Tt][Cc][Pp](\\.[A-Za-z0-9-]+)+$", "maxLength": 253 })
}

fn domain_schema() -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*$", "maxLength": 253 })
}

fn check_realm(text: &str) -> Result<Arc<str>, TextError> {
    let help = "use printable characters without `\"` and `\\`, at most 128 bytes";
    if text.is_empty() {
        Err(TextError::new("empty", help))
    } else if text.len() > 128 || text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'))
    {
        // The realm stands in a quoted string of a header, and old clients do not undo its escapes.
        Err(TextError::new("not a realm", help))
    } else {
        Ok(text.into())
    }
}

fn realm_schema() -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 128 })
}

fn check_log_filter(text: &str) -> Result<Arc<str>, TextError> {
    const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
    let target = |target: &str| {
        !target.is_empty()
            && target
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-'))
    };
    for directive in text.split(',').map(str::trim) {
        let level = match directive.split_once('=') {
            Some((name, level)) if target(name) => level,
            Some(_) => {
                return Err(TextError::new(
                    "no log filter",
                    "before `=` stands the path of a module: `holdover::session`",
                ));
            }
            None => directive,
        };
        if !LEVELS.contains(&level) {
            return Err(TextError::new(
                "no log level",
                crate::suggest::help(level, LEVELS, "the levels are"),
            ));
        }
    }
    Ok(text.into())
}

fn log_filter_schema() -> Schema {
    let level = "(off|error|warn|info|debug|trace)";
    let directive = format!(" *([A-Za-z0-9_:-]+=)?{level} *");
    json_schema!({ "type": "string", "pattern": format!("^{directive}(,{directive})*$") })
}

/// An IP address and a port to listen on. Port 0 lets the system choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(pub(crate) SocketAddr);

impl FromText for ListenAddress {
    const CODE: &'static str = codes::BAD_ADDRESS;

    fn from_text(text: &str) -> Result<Self, TextError> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let help = if let Ok(ip) = text.parse() {
            format!("add the port: `{}`", SocketAddr::new(ip, 5060))
        } else if text.starts_with(':') || text.starts_with("*:") {
            "for all addresses write `0.0.0.0:` or `[::]:` and the port".to_owned()
        } else {
            "write an IP address and a port such as `0.0.0.0:5060` or `[::1]:5060`; names are not looked up".to_owned()
        };
        Err(TextError::new("not an IP address with a port", help))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(\\d+(\\.\\d+){3}|\\[[0-9A-Fa-f:.%]+\\]):\\d{1,5}$" })
    }
}

/// A host and a port to connect to. The host is a name, to be looked up, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: Box<str>,
    port: u16,
}

impl ServerAddress {
    /// The name, in lower case, or the address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; not 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for ServerAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string().into(),
            port: address.port(),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl FromText for ServerAddress {
    const CODE: &'static str = codes::BAD_SERVER;

    fn from_text(text: &str) -> Result<Self, TextError> {
        const HELP: &str =
            "write a host and a port such as `pc1.contoso.com:5041` or `[2001:db8::1]:5041`";
        let not = |help: String| TextError::new("not a host with a port", help);
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(TextError::new("a server at port 0", HELP)),
                _ => Ok(Self::from(address)),
            };
        }
        if let Ok(ip) = text.parse() {
            let with_port = SocketAddr::new(ip, 5061);
            return Err(not(format!("add the port: `{with_port}`")));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(match check_domain(text) {
                Ok(host) => not(format!("add the port: `{host}:5061`")),
                Err(_) => not(HELP.to_owned()),
            });
        };
        let host = check_domain(host).map_err(|_| not(HELP.to_owned()))?;
        // What has only digits and dots is an address, and was none above.
        if host
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            return Err(not(HELP.to_owned()));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self {
                host: (*host).into(),
                port,
            }),
            _ => Err(not("ports are numbers from 1 to 65535".to_owned())),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.%]+\\]):\\d{1,5}$" })
    }
}

/// A path as it is written: relative ones start at the folder of the file that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(PathBuf);

impl FilePath {
    /// The path seen from the folder `base`.
    pub(crate) fn within(&self, base: &Path) -> PathBuf {
        base.join(&self.0)
    }

    /// As it is written.
    pub(crate) fn as_written(&self) -> String {
        self.0.display().to_string()
    }
}

impl FromText for FilePath {
    const CODE: &'static str = codes::BAD_PATH;

    fn from_text(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            Err(TextError::new("empty", "write the path of a file"))
        } else if text.contains(char::is_control) {
            let help =
                "write `\\\\` for a backslash, or the path in single quotes, which know no escapes";
            Err(TextError::new("a path with control characters", help))
        } else {
            Ok(Self(text.into()))
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

text_types!(ListenAddress, ServerAddress, FilePath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        assert!("hq-1.a_b".parse::<PoolName>().is_ok());
        assert!("".parse::<PoolName>().is_err());
        assert!("h q".parse::<PoolName>().is_err());
        assert!("ü".parse::<PoolName>().is_err());
        assert!("a".repeat(64).parse::<PoolName>().is_ok());
        assert!("a".repeat(65).parse::<PoolName>().is_err());
    }

    #[test]
    fn domains_are_dns_names_in_lower_case() {
        assert_eq!(
            "Contoso.COM".parse::<Domain>().unwrap().as_str(),
            "contoso.com"
        );
        assert!("localhost".parse::<Domain>().is_ok());
        for wrong in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "a b",
            "a_b.c",
            "contoso.com.",
            "sip:contoso.com",
            "ann@contoso.com",
        ] {
            assert!(wrong.parse::<Domain>().is_err(), "{wrong}");
        }
        assert!(format!("{}.com", "a".repeat(64)).parse::<Domain>().is_err());
        assert!(["abcdefg."; 40].concat().parse::<Domain>().is_err());
    }

    #[test]
    fn srv_names_say_service_protocol_and_domain() {
        let name: SrvName = "_SIPinternalTLS._tcp.Contoso.com".parse().unwrap();
        assert_eq!(name.as_str(), "_sipinternaltls._tcp.contoso.com");
        for wrong in [
            "",
            "contoso.com",
            "_sip.contoso.com",
            "_sip._udp.contoso.com",
            "_sip._tcp",
            "_sip._tcp.",
            "_._tcp.contoso.com",
            "_s_p._tcp.contoso.com",
            "_sip._tcp.con_toso.com",
            "_sip._tcp.contoso.com:5061",
        ] {
            assert!(wrong.parse::<SrvName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn log_filters_are_levels_and_targets() {
        for right in ["info", "warn,holdover::session=debug", "off, a-b=trace"] {
            assert!(right.parse::<LogFilter>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            "inf0",
            "info,",
            "=info",
            "a b=info",
            "holdover=loud",
            "[span]=info",
        ] {
            assert!(wrong.parse::<LogFilter>().is_err(), "{wrong}");
        }
        assert_eq!(
            "warning".parse::<LogFilter>().unwrap_err().help(),
            "the levels are: `off`, `error`, `warn`, `info`, `debug`, `trace`"
        );
    }

    #[test]
    fn an_address_without_a_port_is_told_with_one() {
        assert_eq!(
            "::1".parse::<ListenAddress>().unwrap_err().help(),
            "add the port: `[::1]:5060`"
        );
        assert!("localhost:5060".parse::<ListenAddress>().is_err());
        assert!("1.2.3.4:70000".parse::<ListenAddress>().is_err());
    }

    #[test]
    fn a_server_is_a_name_or_an_address_with_a_port() {
        for (text, host, port) in [
            ("PC1.contoso.com:5041", "pc1.contoso.com", 5041),
            ("10.0.0.1:5061", "10.0.0.1", 5061),
            ("[2001:db8::1]:5061", "2001:db8::1", 5061),
        ] {
            let server: ServerAddress = text.parse().unwrap();
            assert_eq!((server.host(), server.port()), (host, port));
            assert_eq!(server.to_string(), text.to_ascii_lowercase());
        }
        for wrong in [
            "",
            ":5061",
            "pc1.contoso.com:0",
            "10.0.0.1:0",
            "pc1.contoso.com:65536",
            "pc1.contoso.com:",
            "sip:pc1.contoso.com:5061",
            "a b:1",
            "10.0.0:5061",
            "[pc1]:5061",
        ] {
            assert!(wrong.parse::<ServerAddress>().is_err(), "{wrong}");
        }
        let help = |text: &str| text.parse::<ServerAddress>().unwrap_err().help().to_owned();
        assert_eq!(help("PC1"), "add the port: `pc1:5061`");
        assert_eq!(help("2001:db8::1"), "add the port: `[2001:db8::1]:5061`");
    }

    #[test]
    fn relative_paths_start_at_the_base() {
        let path: FilePath = "a/b.csv".parse().unwrap();
        assert_eq!(
            path.within(Path::new("/etc/holdover")),
            Path::new("/etc/holdover/a/b.csv")
        );
        let path: FilePath = "/a".parse().unwrap();
        assert_eq!(path.within(Path::new("/etc")), Path::new("/a"));
    }
}
