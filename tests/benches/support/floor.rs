//! The floor: the least that a relay between two sides can do.
//!
//! It frames by Content-Length, replaces the first room identifier in each body, corrects the length, and writes to the
//! other side. It checks nothing, understands nothing and bounds nothing; nobody could run it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use holdover::transport::Stream;
use holdover::transport::tls::Acceptor;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::samples;

/// Room values of one side as the other side knows them.
type Values = HashMap<Box<[u8]>, Box<[u8]>>;

/// Relays what comes to `listener` to `upstream`, one connection for one.
pub(crate) async fn relay(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    upstream: SocketAddr,
    rooms: usize,
) -> io::Result<()> {
    let values = |from_migrated: bool| {
        let value = |number, migrated| samples::room(number, migrated).into_bytes().into();
        let pairs =
            (0..rooms).map(|number| (value(number, from_migrated), value(number, !from_migrated)));
        Arc::new(pairs.collect::<Values>())
    };
    let (to_pool, to_client) = (values(false), values(true));
    loop {
        let (client, _) = listener.accept().await?;
        let (acceptor, to_pool, to_client) = (
            acceptor.clone(),
            Arc::clone(&to_pool),
            Arc::clone(&to_client),
        );
        tokio::spawn(async move {
            client.set_nodelay(true)?;
            let client = match acceptor {
                Some(acceptor) => Stream::Tls(Box::new(acceptor.accept(client).await?)),
                None => Stream::Tcp(client),
            };
            let server = TcpStream::connect(upstream).await?;
            server.set_nodelay(true)?;
            let (from_server, to_server) = server.into_split();
            match client {
                Stream::Tcp(client) => {
                    let (from_client, to_client_side) = client.into_split();
                    tokio::spawn(pump(from_server, to_client_side, to_client));
                    pump(from_client, to_server, to_pool).await
                }
                tls @ Stream::Tls(_) => {
                    let (from_client, to_client_side) = tokio::io::split(tls);
                    tokio::spawn(pump(from_server, to_client_side, to_client));
                    pump(from_client, to_server, to_pool).await
                }
            }
        });
    }
}

/// Relays one direction.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    values: Arc<Values>,
) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(16 * 1024);
    let mut output = BytesMut::with_capacity(16 * 1024);
    while from.read_buf(&mut input).await? > 0 {
        while let Some((head, length)) = frame(&input) {
            let head = input.split_to(head);
            let body = input.split_to(length);
            splice(&head, &body, &values, &mut output);
        }
        to.write_all_buf(&mut output).await?;
        to.flush().await?;
        output.clear();
        input.reserve(16 * 1024);
    }
    to.shutdown().await
}

const LENGTH: &[u8] = b"\r\nContent-Length: ";

/// The lengths of the head and of the body of a message that is whole.
fn frame(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let at = memmem::find(buffer.get(..head)?, LENGTH)? + LENGTH.len();
    let digits = buffer
        .get(at..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    (buffer.len() >= head + length).then_some((head, length))
}

fn splice(head: &[u8], body: &[u8], values: &Values, out: &mut BytesMut) {
    const SCHEME: &[u8] = b"ma-chan://";
    let replaced = memmem::find(body, SCHEME).and_then(|at| {
        let rest = body.get(at + SCHEME.len()..)?;
        let start = at + SCHEME.len() + memchr::memchr(b'/', rest)? + 1;
        let end = start + memchr::memchr(b'"', body.get(start..)?)?;
        Some((start, end, values.get(body.get(start..end)?)?))
    });
    let (Some((start, end, value)), Some(length)) = (replaced, memmem::find(head, LENGTH)) else {
        out.extend_from_slice(head);
        out.extend_from_slice(body);
        return;
    };
    let rest = head.get(length + LENGTH.len()..).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    out.extend_from_slice(head.get(..length + LENGTH.len()).unwrap_or_default());
    out.extend_from_slice(
        (body.len() - (end - start) + value.len())
            .to_string()
            .as_bytes(),
    );
    out.extend_from_slice(rest.get(digits..).unwrap_or_default());
    out.extend_from_slice(body.get(..start).unwrap_or_default());
    out.extend_from_slice(value);
    out.extend_from_slice(body.get(end..).unwrap_or_default());
}
