//! What a message is matched to its dialog by.

use crate::sip::grammar::{cut, split_before};
use crate::sip::headers::{HeaderError, Headers, NameAddr};
use crate::sip::message::{Request, Response};

/// Identifies one dialog among all of a connection, or of a front end that many users come through.
///
/// RFC 3261 §12 makes Call-ID and the two tags enough. Real clients draw all three from a generator seeded with the
/// second they were started in, so two users' dialogs can agree in them. The remote user's address and endpoint
/// identifier are therefore part of the key. The address counts without regard to ASCII case and without parameters,
/// everything else byte for byte. Equal keys mean the same dialog: the key holds the values, not a hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DialogKey(Box<str>);

impl DialogKey {
    /// The dialog a received request belongs to. `None` if its To has no tag: it belongs to none (yet).
    ///
    /// # Errors
    ///
    /// From, To or Call-ID is missing or malformed.
    pub fn of_request(request: &Request) -> Result<Option<Self>, HeaderError> {
        let headers = request.headers();
        Self::of(headers, &headers.to()?, &headers.from()?)
    }

    /// Whether a received request belongs to this dialog: what comparing with [`of_request`](Self::of_request) says, without
    /// making a key of it.
    #[must_use]
    pub fn is_of_request(&self, request: &Request) -> bool {
        let headers = request.headers();
        let (Ok(to), Ok(from)) = (headers.to(), headers.from()) else {
            return false;
        };
        self.is_of(headers, &to, &from)
    }

    /// The same for a response.
    #[must_use]
    pub fn is_of_response(&self, response: &Response) -> bool {
        let headers = response.headers();
        let (Ok(to), Ok(from)) = (headers.to(), headers.from()) else {
            return false;
        };
        to.tag().is_some() && self.is_of(headers, &from, &to)
    }

    fn is_of(&self, headers: &Headers, local: &NameAddr<'_>, remote: &NameAddr<'_>) -> bool {
        let (Ok(call_id), Some(local_tag)) = (headers.call_id(), local.tag()) else {
            return false;
        };
        let address = address_of_record(remote.uri_text());
        let parts = [
            remote.epid().unwrap_or_default(),
            call_id,
            remote.tag().unwrap_or_default(),
            local_tag,
        ];
        let Some((own, mut rest)) = self.0.split_at_checked(address.len()) else {
            return false;
        };
        own.eq_ignore_ascii_case(address)
            && parts.into_iter().all(|part| {
                let next = rest
                    .strip_prefix('\n')
                    .and_then(|rest| rest.strip_prefix(part));
                rest = next.unwrap_or_default();
                next.is_some()
            })
            && rest == "\n"
    }

    /// The dialog a received response belongs to. `None` if its To has no tag, as in a 100.
    ///
    /// # Errors
    ///
    /// From, To or Call-ID is missing or malformed.
    pub fn of_response(response: &Response) -> Result<Option<Self>, HeaderError> {
        let headers = response.headers();
        let to = headers.to()?;
        if to.tag().is_none() {
            return Ok(None);
        }
        Self::of(headers, &headers.from()?, &to)
    }

    fn of(
        headers: &Headers,
        local: &NameAddr<'_>,
        remote: &NameAddr<'_>,
    ) -> Result<Option<Self>, HeaderError> {
        let Some(local_tag) = local.tag() else {
            return Ok(None);
        };
        Ok(Some(Self::new(
            headers.call_id()?,
            local_tag,
            remote.uri_text(),
            // RFC 3261 §12.1.1: peers older than the RFC have no tag, which is a tag of its own.
            remote.tag().unwrap_or_default(),
            remote.epid().unwrap_or_default(),
        )))
    }

    pub(super) fn new(
        call_id: &str,
        local_tag: &str,
        remote_uri: &str,
        remote_tag: &str,
        remote_epid: &str,
    ) -> Self {
        let address = address_of_record(remote_uri);
        let parts = [address, remote_epid, call_id, remote_tag, local_tag];
        let length = parts.map(|part| part.len() + 1).iter().sum();
        let mut key = String::with_capacity(length);
        for part in parts {
            key.push_str(part);
            // No header value holds a line feed.
            key.push('\n');
        }
        if let Some(address) = key.get_mut(..address.len()) {
            address.make_ascii_lowercase();
        }
        Self(key.into())
    }
}

/// The URI without parameters and headers.
fn address_of_record(uri: &str) -> &str {
    // The user part may hold `;` and `?` unescaped, and `@` stands nowhere else.
    let host = cut(uri, b'@').map_or(uri, |(_, host)| host);
    let (_, behind) = split_before(host, |byte| matches!(byte, b';' | b'?'));
    uri.get(..uri.len() - behind.len()).unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn key(parts: [&str; 5]) -> DialogKey {
        let [call_id, local_tag, remote_uri, remote_tag, remote_epid] = parts;
        DialogKey::new(call_id, local_tag, remote_uri, remote_tag, remote_epid)
    }

    #[test]
    fn comparing_without_a_key_says_the_same() {
        let message = |from: &str, to: &str, call_id: &str| {
            let text = format!(
                "INFO sip:c@contoso.com SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: {from}\r\nTo: {to}\r\n\
                 Call-ID: {call_id}\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n"
            );
            let response = text
                .replacen("INFO sip:c@contoso.com SIP/2.0", "SIP/2.0 200 OK", 1)
                .replace("From:", "X:")
                .replace("To:", "From:")
                .replace("X:", "To:");
            match (
                Message::parse(text.as_bytes()).unwrap(),
                Message::parse(response.as_bytes()).unwrap(),
            ) {
                (Message::Request(request), Message::Response(response)) => (request, response),
                other => panic!("{other:?}"),
            }
        };
        let addresses = [
            "<sip:alice@contoso.com>;tag=r1;epid=0123456789ab",
            "<sip:Alice@CONTOSO.com;transport=tcp>;epid=0123456789ab;tag=r1",
            "<sip:alice@contoso.com>;tag=r1",
            "<sip:alice@contoso.co>;tag=r1;epid=0123456789ab",
            "<sip:alice@contoso.com>;tag=r12;epid=0123456789ab",
        ];
        let others = ["<sip:c@contoso.com>;tag=l1", "<sip:c@contoso.com>;tag=l"];
        let mut messages = Vec::new();
        for from in addresses {
            for to in others {
                for call_id in ["call", "cal"] {
                    messages.push(message(from, to, call_id));
                }
            }
        }
        for (request, response) in &messages {
            let key = DialogKey::of_request(request).unwrap().unwrap();
            for (other, answer) in &messages {
                let same = DialogKey::of_request(other).unwrap().as_ref() == Some(&key);
                assert_eq!(key.is_of_request(other), same);
                assert_eq!(key.is_of_response(answer), same);
            }
            assert_eq!(DialogKey::of_response(response).unwrap(), Some(key));
        }
    }

    const ALICE: [&str; 5] = ["call", "l1", "sip:alice@contoso.com", "r1", "0123456789ab"];

    #[test]
    fn rfc3261_19_1_4_address_counts_without_case_and_parameters() {
        let mut other = ALICE;
        other[2] = "SIP:Alice@CONTOSO.com;transport=tcp?x=y";
        assert_eq!(key(other), key(ALICE));
        assert_eq!(
            address_of_record("sip:a;b?c@h:5060;p=q"),
            "sip:a;b?c@h:5060"
        );
        assert_eq!(address_of_record("sip:contoso.com;p=q"), "sip:contoso.com");
        assert_eq!(address_of_record("tel:+1-201"), "tel:+1-201");
    }

    #[test]
    fn fact_clients_started_in_one_second_share_call_id_and_tags_but_not_the_key() {
        let mut bob = ALICE;
        bob[2] = "sip:bob@contoso.com";
        assert_ne!(key(bob), key(ALICE));
        let mut second_endpoint = ALICE;
        second_endpoint[4] = "ba9876543210";
        assert_ne!(key(second_endpoint), key(ALICE));
    }

    #[test]
    fn rfc3261_12_call_id_and_tags_count_byte_for_byte_and_in_their_place() {
        for index in [0, 1, 3, 4] {
            let upper = ALICE[index].to_uppercase();
            let mut other = ALICE;
            other[index] = &upper;
            assert_ne!(key(other), key(ALICE), "{index}");
        }
        assert_ne!(key(["ab", "c", "x", "", ""]), key(["a", "bc", "x", "", ""]));
        let mut swapped = ALICE;
        swapped.swap(1, 3);
        assert_ne!(key(swapped), key(ALICE));
    }
}
