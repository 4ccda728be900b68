//! The server that relays are measured with.

use anyhow::Result;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::user::Message;

/// Serves all connections.
pub(super) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A relay that goes away takes its connections with it.
            let _gone = echo(stream).await;
        });
    }
}

/// Answers every request, and sends every INFO back as one of its own.
async fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let mut cseq = 0;
    loop {
        while let Some(message) = Message::take(&mut input) {
            if message.is_response() || message.whole().starts_with(b"ACK ") {
                continue;
            }
            message.ok(";tag=7c1f0a9be35d4412", &mut output);
            if message.whole().starts_with(b"INFO ") {
                cseq += 1;
                let head = format!(
                    "INFO sip:10.20.31.17:49152 SIP/2.0\r\n\
                     Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{cseq:x}\r\n\
                     Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} INFO\r\n\
                     Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                    message.value("To"),
                    message.value("From"),
                    message.value("Call-ID"),
                    message.body().len()
                );
                output.extend_from_slice(head.as_bytes());
                output.extend_from_slice(message.body());
            }
        }
        stream.write_all_buf(&mut output).await?;
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}
