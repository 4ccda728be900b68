//! Asking the admin server of a running gateway.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::body::{Body, Bytes, to_bytes};
use holdover_config::Settings;
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// What an answer may take.
#[derive(Clone, Copy)]
struct Bounds {
    /// Until all of it is there.
    time: Duration,
    /// Bytes of its body.
    bytes: usize,
}

/// Of a question about what the gateway knows.
const QUESTION: Bounds = Bounds {
    time: Duration::from_secs(10),
    bytes: 64 << 20,
};

/// Of a reload: the gateway reads its files, and waits until they have settled.
const RELOAD: Bounds = Bounds {
    time: Duration::from_secs(90),
    bytes: 64 << 20,
};

/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);

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
    let (status, body) = exchange(address, Method::GET, &target(path, query), QUESTION)?;
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
    exchange(address, Method::POST, &target(path, query), RELOAD)
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

/// Status and body of the answer to a request without content.
fn exchange(
    address: SocketAddr,
    method: Method,
    target: &str,
    bounds: Bounds,
) -> anyhow::Result<(u16, String)> {
    let reach = || format!("cannot ask the admin server at {address}");
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .header(header::CONTENT_TYPE, "application/json")
        .body(String::new())
        .with_context(reach)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let asked = runtime.with_context(reach)?.block_on(async {
        timeout(bounds.time, ask(address, request, bounds.bytes))
            .await
            .unwrap_or_else(|_| {
                let seconds = bounds.time.as_secs_f32();
                Err(anyhow!("it did not answer within {seconds} seconds"))
            })
    });
    let (status, body) = asked.with_context(reach)?;
    let body = Vec::from(body);
    let body = String::from_utf8(body).context("the admin server's answer is no text")?;
    Ok((status, body))
}

async fn ask(
    address: SocketAddr,
    request: Request<String>,
    bytes: usize,
) -> anyhow::Result<(u16, Bytes)> {
    let stream = timeout(CONNECT, TcpStream::connect(address))
        .await
        .context("no connection in time")??;
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the runtime.
    let _connection = tokio::spawn(connection);
    let answer = requests
        .send_request(request)
        .await
        .map_err(|error| match error.is_parse() {
            true => anyhow!("it does not speak HTTP"),
            false => in_words(error),
        })?;
    let status = answer.status().as_u16();
    let body = to_bytes(Body::new(answer.into_body()), bytes).await;
    let body = body.map_err(|error| match error.into_inner().downcast::<axum::Error>() {
        Ok(error) => in_words(error),
        Err(_) => anyhow!("its answer is longer than {bytes} bytes"),
    })?;
    Ok((status, body))
}

/// An error by its cause: what the library says before it is for programmers.
fn in_words(error: impl Error + 'static) -> anyhow::Error {
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let is_cut = match (cause.downcast_ref::<hyper::Error>(), cause.downcast_ref()) {
        (Some(error), _) => error.is_incomplete_message(),
        (None, Some(error)) => io::Error::kind(error) == io::ErrorKind::UnexpectedEof,
        (None, None) => false,
    };
    match is_cut {
        true => anyhow!("the connection was closed before the answer's end"),
        false => anyhow!("{cause}"),
    }
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
    use std::io::{Read as _, Write as _};
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
    #[test]
    fn an_answer_in_pieces_is_put_together_and_one_cut_short_is_not_taken() {
        let (address, served) = server(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\n\r\n",
        );
        assert_eq!(get(address, "/v1/config", &[]).unwrap(), "{}");
        served.join().unwrap();
        for (answer, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
                "closed before the answer's end",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-",
                "closed before the answer's end",
            ),
            ("", "closed before the answer's end"),
            ("SIP/2.0 400 Bad Request\r\n\r\n", "it does not speak HTTP"),
        ] {
            let (address, served) = server(answer);
            let error = format!("{:#}", get(address, "/", &[]).unwrap_err());
            assert!(
                error.starts_with("cannot ask the admin server at"),
                "{error}"
            );
            assert!(error.ends_with(expected), "{answer:?}: {error}");
            served.join().unwrap();
        }
    }

    #[test]
    fn an_answer_is_bounded_in_size_and_time() {
        let bounds = Bounds {
            time: Duration::from_secs(60),
            bytes: 3,
        };
        let (address, served) = server("HTTP/1.1 200 OK\r\n\r\n1234");
        let error = exchange(address, Method::GET, "/", bounds).unwrap_err();
        assert!(
            format!("{error:#}").ends_with("longer than 3 bytes"),
            "{error:#}"
        );
        served.join().unwrap();
        // Connections wait to be accepted, and nobody does.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bounds = Bounds {
            time: Duration::from_millis(20),
            bytes: 3,
        };
        let address = listener.local_addr().unwrap();
        let error = exchange(address, Method::POST, "/", bounds).unwrap_err();
        assert!(
            format!("{error:#}").contains("did not answer within"),
            "{error:#}"
        );
    }
}
