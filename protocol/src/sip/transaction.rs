//! How long a request waits for its final response (RFC 3261 §17).
//!
//! All transports here are reliable, so nothing is ever sent again and a transaction needs no timer but its end. What
//! waits in a dialog is in a [`Window`](super::call::Window).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::headers::{Headers, Name};

/// How long a request waits for its final response: 64 × T1 (RFC 3261 §17.1.2.2, timer F).
pub const TIMEOUT: Duration = Duration::from_secs(32);

/// A number that differs between requests with different credentials, as far as chance goes; 0 without any.
pub(super) fn credentials_mark(headers: &Headers) -> u64 {
    let names = [Name::Authorization, Name::ProxyAuthorization];
    if names.iter().all(|&name| headers.get(name).is_none()) {
        return 0;
    }
    let values = names.iter().flat_map(|&name| headers.all(name));
    let mut hasher = DefaultHasher::new();
    values.for_each(|value| value.hash(&mut hasher));
    hasher.finish()
}
