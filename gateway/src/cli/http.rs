//! Asking the admin server of a running gateway.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use holdover_config::Settings;

/// Longest time to connect, and longest silence after that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest silence of a gateway that reads its files: it waits until they have settled.
const RELOAD: Duration = Duration::from_secs(90);

/// Longest answer.
const BYTES: u64 = 64 * 1_024 * 1_024;

/// Where the admin server of this configuration is to be found on this machine.
///
/// # Errors
///
/// It cannot be known.
pub(super) fn admin_address(settings: &Settings) -> anyhow::Result<SocketAddr> {
    let Some(admin) = &settings.fixed.admin else {
        bail!("the configuration has no `[admin]`; say where the admin server is with --admin");
    };
    let mut address = admin.address;
    if address.port() == 0 {
        bail!("the system chose the admin server's port; say which it is with --admin");
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// The body of the answer to a GET request. `query` is escaped here.
///
/// # Errors
///
/// Nobody answers, or not with 200; then what the answer says.
pub(super) fn get(
    address: SocketAddr,
    path: &str,
    query: &[(&str, &str)],
) -> anyhow::Result<String> {
    let target = target(path, query);
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let (status, body) = exchange(address, &request, PATIENCE)?;
    if status != 200 {
        bail!("the admin server at {address} answers {status}: {body}");
    }
    Ok(body)
}

/// Status and body of the answer to a POST request without content.
///
/// # Errors
///
/// Nobody answers.
pub(super) fn post(
    address: SocketAddr,
    path: &str,
    query: &[(&str, &str)],
) -> anyhow::Result<(u16, String)> {
    let target = target(path, query);
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    exchange(address, &request, RELOAD)
}

/// A path with a query, whose values are escaped.
fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    let mut before = '?';
    for (name, value) in query {
        target.push(before);
        target.push_str(name);
        target.push('=');
        escape(value, &mut target);
        before = '&';
    }
    target
}

/// Status and body of the answer to a request.
fn exchange(
    address: SocketAddr,
    request: &str,
    silence: Duration,
) -> anyhow::Result<(u16, String)> {
    let reach = || format!("cannot ask the admin server at {address}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(reach)?;
    stream.set_read_timeout(Some(silence))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes()).with_context(reach)?;
    let mut answer = Vec::new();
    stream
        .take(BYTES)
        .read_to_end(&mut answer)
        .with_context(reach)?;
    let answer = String::from_utf8(answer).context("the admin server's answer is no text")?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the admin server at {address} does not speak HTTP");
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    let status = status
        .parse()
        .context("the admin server's answer has no status")?;
    Ok((status, body.to_owned()))
}

/// Appends a value so that it cannot be taken for anything else in a query.
fn escape(value: &str, target: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte) {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request, and says what was asked.
    fn server(answer: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (address, served)
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let (address, served) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        let query = [("user", "a+b@x.com"), ("room", "ma-chan://x.com/a&b c")];
        assert_eq!(get(address, "/v1/decisions", &query).unwrap(), "{}");
        let asked = served.join().unwrap();
        assert!(
            asked.starts_with(
                "GET /v1/decisions?user=a%2Bb@x.com&room=ma-chan://x.com/a%26b%20c HTTP/1.1\r\n"
            ),
            "{asked}"
        );
    }

    #[test]
    fn what_is_no_good_answer_is_told() {
        let (address, served) = server("HTTP/1.1 400 Bad Request\r\n\r\nnothing like it");
        let error = get(address, "/", &[]).unwrap_err().to_string();
        assert!(error.ends_with("answers 400: nothing like it"), "{error}");
        served.join().unwrap();
        let error = format!("{:#}", get(address, "/", &[]).unwrap_err());
        assert!(
            error.starts_with("cannot ask the admin server at"),
            "{error}"
        );
    }
}
