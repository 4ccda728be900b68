//! Nonces that the server can check without remembering them.

use std::time::Duration;

use super::{hash, hex, parse_hex, same};

/// Issues nonces and recognises its own, until they are too old.
///
/// A nonce is the time it was issued plus a keyed hash of that time. Nothing is stored, so a nonce can be used again
/// during its lifetime: a caller that wants to refuse replays keeps the highest nonce count
/// ([`Credentials::nonce_count`](super::Credentials::nonce_count)) it has seen for each nonce. Behind TLS, or on a
/// connection that is bound to one user once signed in, that is not needed.
///
/// Times are durations since an epoch that the caller picks and keeps as long as it keeps the secret.
pub struct NonceKey {
    secret: [u8; 32],
    lifetime: Duration,
}

impl NonceKey {
    /// Takes a secret from a cryptographic random source.
    pub fn new(secret: [u8; 32], lifetime: Duration) -> Self {
        Self { secret, lifetime }
    }

    /// Makes a nonce: 48 hexadecimal digits, different for each nanosecond.
    pub fn issue(&self, now: Duration) -> String {
        // 64 bits of nanoseconds last for 584 years.
        let issued = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        format!("{issued:016x}{}", hex(self.mac(issued)))
    }

    /// Whether this key issued `nonce` and its lifetime has not passed.
    pub fn is_fresh(&self, nonce: &str, now: Duration) -> bool {
        // One spelling only, or counting the uses of a nonce would be worthless.
        if nonce.contains(|char| !matches!(char, '0'..='9' | 'a'..='f')) {
            return false;
        }
        let Some((time, mac)) = nonce.split_at_checked(16) else {
            return false;
        };
        let (Ok(issued), Some(mac)) = (u64::from_str_radix(time, 16), parse_hex(mac)) else {
            return false;
        };
        same(mac, self.mac(issued))
            && now
                .checked_sub(Duration::from_nanos(issued))
                .is_some_and(|age| age <= self.lifetime)
    }

    /// HMAC (RFC 2104) with MD5: the digest scheme brings MD5 along anyway, and as a keyed hash it is unbroken.
    fn mac(&self, issued: u64) -> u128 {
        let mut inner = [0x36; 64];
        let mut outer = [0x5c; 64];
        for ((inner, outer), key) in inner.iter_mut().zip(&mut outer).zip(self.secret) {
            *inner ^= key;
            *outer ^= key;
        }
        let digest = hash(&[&inner, &issued.to_be_bytes()]);
        hash(&[&outer, &digest.to_be_bytes()])
    }
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NonceKey")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);
    const NOW: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn rfc7616_3_3_nonce_is_fresh_for_its_lifetime_only() {
        let key = NonceKey::new([7; 32], LIFETIME);
        let nonce = key.issue(NOW);
        assert!(key.is_fresh(&nonce, NOW));
        assert!(key.is_fresh(&nonce, NOW + LIFETIME));
        assert!(!key.is_fresh(&nonce, NOW + LIFETIME + Duration::from_nanos(1)));
        assert!(!key.is_fresh(&nonce, NOW - Duration::from_nanos(1)));
    }

    #[test]
    fn nonces_of_another_secret_and_changed_ones_are_not_fresh() {
        let key = NonceKey::new([7; 32], LIFETIME);
        let nonce = key.issue(NOW);
        assert!(!NonceKey::new([8; 32], LIFETIME).is_fresh(&nonce, NOW));
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(!key.is_fresh(&changed, NOW), "digit {at}");
        }
        let plus = nonce.replacen('0', "+", 1);
        assert!(plus.starts_with('+'));
        for odd in [
            &nonce.to_uppercase(),
            &plus,
            "",
            "00",
            "\u{20ac}",
            nonce.strip_suffix(char::is_alphanumeric).unwrap(),
            &format!("{nonce}0"),
        ] {
            assert!(!key.is_fresh(odd, NOW), "{odd}");
        }
    }

    #[test]
    fn rfc2202_2_test_case_1_the_keyed_hash_is_hmac_md5() {
        // The first vector's key of 16 bytes: HMAC pads keys with zeros anyway.
        let mut secret = [0; 32];
        secret[..16].fill(0x0b);
        let key = NonceKey::new(secret, LIFETIME);
        let data = u64::from_be_bytes(*b"Hi There");
        assert_eq!(hex(key.mac(data)), "9294727a3638bb1c13f48ef8158bfc9d");
    }

    #[test]
    fn debug_text_holds_no_secret() {
        assert!(!format!("{:?}", NonceKey::new([77; 32], LIFETIME)).contains("77"));
    }
}
