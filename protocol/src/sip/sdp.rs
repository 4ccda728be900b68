//! The session descriptions of an instant-messaging INVITE (RFC 8866, RFC 3264).
//!
//! Nothing is ever sent to the address and port in them: the messages travel inside the SIP dialog. They are exchanged
//! because both generations of clients and servers open a chat with an INVITE that offers `m=message`.

use core::net::IpAddr;

/// The port that stands in our descriptions. It only has to differ from 0, which would mean "refused".
const PORT: u16 = 5060;

/// More media streams than any instant-messaging client offers.
const MAX_MEDIA: usize = 16;

/// Why an offer has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Not a session description: answer 400.
    #[error("malformed session description")]
    Malformed,
    /// No instant-messaging stream is offered: answer 488 (RFC 3261 §21.4.26).
    #[error("the session description offers no instant messaging")]
    NoMessaging,
}

/// The offer of our own INVITE. `address` is the text form of this side's IP address or its name; a port behind it, as where a
/// Via names this side, is left out.
pub fn offer(address: &str) -> String {
    let mut text = session(address, "0 0");
    media(&mut text, "message", "sip null");
    text
}

/// Answers an offer: its first instant-messaging stream is taken, every other stream refused with port 0, in the order
/// of the offer (RFC 3264 §6). `address` is as in [`offer`].
///
/// # Errors
///
/// [`SdpError`], which says the status to answer with.
pub fn answer(offer: &[u8], address: &str) -> Result<String, SdpError> {
    let offer = std::str::from_utf8(offer).map_err(|_| SdpError::Malformed)?;
    let mut lines = offer.lines().filter(|line| !line.is_empty());
    if lines.next() != Some("v=0") {
        return Err(SdpError::Malformed);
    }
    let mut time = None;
    let mut streams = Vec::new();
    for line in lines {
        match line.split_once('=') {
            _ if line.contains(['\0', '\r']) => return Err(SdpError::Malformed),
            // RFC 3264 §6: the t= line of the answer equals that of the offer.
            Some(("t", value)) if time.is_none() => time = Some(value),
            Some(("m", value)) if streams.len() < MAX_MEDIA => streams.push(Stream::parse(value)?),
            Some((name, _)) if name.len() == 1 && name != "m" => {}
            _ => return Err(SdpError::Malformed),
        }
    }
    let chosen = streams
        .iter()
        .position(Stream::is_messaging)
        .ok_or(SdpError::NoMessaging)?;
    let mut text = session(address, time.ok_or(SdpError::Malformed)?);
    for (index, stream) in streams.iter().enumerate() {
        if index == chosen {
            media(&mut text, stream.kind, stream.format);
        } else {
            line(
                &mut text,
                format_args!("m={} 0 {}", stream.kind, stream.format),
            );
        }
    }
    Ok(text)
}

/// An `m=` line: `message 5060 sip null`.
struct Stream<'a> {
    kind: &'a str,
    port: u16,
    /// Protocol and formats, as offered.
    format: &'a str,
}

impl<'a> Stream<'a> {
    fn parse(value: &'a str) -> Result<Self, SdpError> {
        let mut parts = value.splitn(3, ' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(port), Some(format)) if !kind.is_empty() && format.contains(' ') => {
                let port = port.split_once('/').map_or(port, |(port, _)| port);
                Ok(Self {
                    kind,
                    port: port.parse().map_err(|_| SdpError::Malformed)?,
                    format,
                })
            }
            _ => Err(SdpError::Malformed),
        }
    }

    /// `x-ms-message` is what the oldest clients and servers say for `message`.
    fn is_messaging(&self) -> bool {
        let protocol = self.format.split(' ').next().unwrap_or_default();
        matches!(self.kind, "message" | "x-ms-message")
            && protocol.eq_ignore_ascii_case("sip")
            && self.port != 0
    }
}

fn session(address: &str, time: &str) -> String {
    let (family, address) = connection_address(address);
    let mut text = String::with_capacity(160);
    line(&mut text, format_args!("v=0"));
    line(&mut text, format_args!("o=- 0 0 IN {family} {address}"));
    line(&mut text, format_args!("s=session"));
    line(&mut text, format_args!("c=IN {family} {address}"));
    line(&mut text, format_args!("t={time}"));
    text
}

/// Address type and address of a `c=` line (RFC 8866 §5.7). A name is of no family; most have an address of version 4.
fn connection_address(address: &str) -> (&'static str, String) {
    let address = address.trim();
    let host = match (address.strip_prefix('['), address.rsplit_once(':')) {
        (Some(bracketed), _) => bracketed.split(']').next().unwrap_or_default(),
        // An address of version 6 has more than one colon.
        (None, Some((host, _))) if !host.contains(':') => host,
        (None, _) => address,
    };
    // A zone says something on this machine only.
    let host = host.split('%').next().unwrap_or_default();
    match host.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(address @ IpAddr::V4(_)) => ("IP4", address.to_string()),
        Ok(address @ IpAddr::V6(_)) => ("IP6", address.to_string()),
        Err(_) => ("IP4", host.to_owned()),
    }
}

fn media(text: &mut String, kind: &str, format: &str) {
    line(text, format_args!("m={kind} {PORT} {format}"));
    line(text, format_args!("a=accept-types:text/plain"));
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    text.push_str(&content.to_string());
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: &str = "v=0\r\no=- 0 0 IN IP4 192.0.2.7\r\ns=session\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
        m=message 5061 sip null\r\na=accept-types:text/plain text/html image/gif\r\n";

    #[test]
    fn fact_offer_of_a_legacy_client_is_answered() {
        assert_eq!(
            answer(CLIENT.as_bytes(), "192.0.2.1").unwrap(),
            "v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=session\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=message 5060 sip null\r\na=accept-types:text/plain\r\n"
        );
    }

    #[test]
    fn rfc8866_5_7_an_address_has_its_family_and_no_port() {
        for (address, line) in [
            ("127.0.0.1", "IN IP4 127.0.0.1"),
            ("127.0.0.1:5060", "IN IP4 127.0.0.1"),
            ("::1", "IN IP6 ::1"),
            ("[::1]", "IN IP6 ::1"),
            ("[2001:DB8::1]:5061", "IN IP6 2001:db8::1"),
            ("[::ffff:192.0.2.1]:5061", "IN IP4 192.0.2.1"),
            ("[fe80::1%eth0]:5061", "IN IP6 fe80::1"),
            ("chat.contoso.com:5061", "IN IP4 chat.contoso.com"),
            ("chat.contoso.com", "IN IP4 chat.contoso.com"),
        ] {
            for text in [offer(address), answer(CLIENT.as_bytes(), address).unwrap()] {
                assert!(text.contains(&format!("\r\nc={line}\r\n")), "{text}");
                assert!(text.contains(&format!("\r\no=- 0 0 {line}\r\n")), "{text}");
            }
        }
    }

    #[test]
    fn fact_oldest_clients_offer_x_ms_message() {
        let offer = CLIENT.replace("m=message", "m=x-ms-message");
        let answer = answer(offer.as_bytes(), "2001:db8::1").unwrap();
        assert!(answer.contains("m=x-ms-message 5060 sip null\r\n"));
        assert!(answer.contains("c=IN IP6 2001:db8::1\r\n"));
    }

    #[test]
    fn rfc3264_6_every_stream_is_answered_in_order_and_the_time_is_repeated() {
        let offer = "v=0\no=a 1 1 IN IP4 h\ns=-\nt=7 9\nm=audio 4000/2 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\n\
            m=message 5 sip null\nm=message 6 sip null\n";
        let answer = answer(offer.as_bytes(), "192.0.2.1").unwrap();
        let tail = answer.split_once("t=").unwrap().1;
        assert_eq!(
            tail,
            "7 9\r\nm=audio 0 RTP/AVP 0 8\r\nm=message 5060 sip null\r\na=accept-types:text/plain\r\n\
             m=message 0 sip null\r\n"
        );
    }

    #[test]
    fn rfc3261_21_4_26_nothing_to_chat_with() {
        for offer in [
            CLIENT.replace("m=message", "m=audio"),
            CLIENT.replace("sip null", "TCP/MSRP *"),
            CLIENT.replace("5061", "0"),
            "v=0\r\nt=0 0\r\n".to_owned(),
        ] {
            let result = answer(offer.as_bytes(), "192.0.2.1");
            assert_eq!(result, Err(SdpError::NoMessaging), "{offer}");
        }
    }

    #[test]
    fn rfc8866_5_broken_descriptions() {
        let flood = format!("{CLIENT}{}", "m=audio 1 RTP/AVP 0\r\n".repeat(MAX_MEDIA));
        for offer in [
            "",
            "hello",
            "v=1\r\n",
            &CLIENT.replace("t=0 0\r\n", ""),
            &CLIENT.replace("m=message 5061 sip null", "m=message 5061"),
            &CLIENT.replace("m=message 5061 sip null", "m=message 5061 sip"),
            &CLIENT.replace("5061", "70000"),
            &CLIENT.replace("s=session", "session"),
            &CLIENT.replace("sip null", "sip null\u{0}"),
            &CLIENT.replace("t=0 0", "t=0\r0"),
            &flood,
        ] {
            let result = answer(offer.as_bytes(), "192.0.2.1");
            assert_eq!(result, Err(SdpError::Malformed), "{offer}");
        }
        assert_eq!(answer(b"v=0\r\n\xff", "h"), Err(SdpError::Malformed));
    }

    #[test]
    fn our_offer_is_one_we_would_answer() {
        let answer = answer(offer("192.0.2.1").as_bytes(), "192.0.2.2").unwrap();
        assert_eq!(answer, offer("192.0.2.2"));
    }

    proptest! {
        #[test]
        fn answers_have_one_line_per_stream_and_no_stray_line_end(
            lines in prop::collection::vec("(m=(message|audio) [0-9]{1,5} sip (null|\r|x y)|t=0 0|[a-z]=[ -~]{0,9})", 0..8),
        ) {
            let offer = format!("v=0\r\n{}", lines.join("\r\n"));
            if let Ok(answer) = answer(offer.as_bytes(), "192.0.2.1") {
                let count = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
                prop_assert_eq!(count(&answer), count(&offer));
                prop_assert!(!answer.replace("\r\n", "").contains(['\0', '\r', '\n']));
            }
        }
    }
}
